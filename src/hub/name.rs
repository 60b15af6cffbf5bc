//! What a user types for a model: a path, an alias, a Hub id or the embedded demo.

use std::fmt;
use std::path::{Path, PathBuf};

use super::alias::{self, Role};
use super::error::Error;

/// The word for the embedded models.
pub const DEMO: &str = "demo";

/// A model by name, not yet looked up.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ModelName {
    /// A local directory or one `.safetensors` file: never looked up on the Hub.
    Path(PathBuf),
    /// A repository of the Hub.
    Hub {
        /// `org/name`.
        id: String,
        /// The alias that was typed for it.
        alias: Option<String>,
        /// What was typed after `@`.
        revision: Option<String>,
    },
    /// A repository inside the binary.
    Embedded(String),
}

impl ModelName {
    /// Reads what was typed, first match wins: something that starts with `.`, `/` or `~` or holds
    /// a separator and exists is a path; `demo` is embedded; an alias; a bare word that names a
    /// model's directory; `org/name` or `name`, with `@revision` after it.
    ///
    /// # Errors
    /// When it is nothing of these; a word close to an alias is taken for a slip.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let path = Path::new(text);
        if text.starts_with(['.', '/', '~']) {
            return if path.exists() {
                Ok(Self::Path(path.to_owned()))
            } else {
                Err(Error::NoSuchPath(path.to_owned()))
            };
        }
        if text.contains(std::path::MAIN_SEPARATOR) && path.exists() {
            return Ok(Self::Path(path.to_owned()));
        }
        let (name, revision) = match text.rsplit_once('@') {
            Some((name, revision)) => {
                check_revision(revision)?;
                (name, Some(revision.to_owned()))
            }
            None => (text, None),
        };
        if name == DEMO || name.starts_with("demo-") {
            return Ok(Self::Embedded(name.to_owned()));
        }
        if let Some(alias) = alias::find(name) {
            return Ok(Self::Hub { id: alias.repository.to_owned(), alias: Some(name.to_owned()), revision });
        }
        if is_model_folder(path) {
            return Ok(Self::Path(path.to_owned()));
        }
        let unknown = |reason: &str| Error::UnknownModel {
            typed: text.to_owned(),
            reason: reason.to_owned(),
            suggestion: crate::error::did_you_mean(name, alias::names()).map(str::to_owned),
        };
        if Path::new(name).extension().is_some_and(|ending| ending == "safetensors") {
            return Err(Error::NoSuchPath(path.to_owned()));
        }
        check_id(name).map_err(unknown)?;
        if !name.contains('/') && crate::error::did_you_mean(name, alias::names()).is_some() {
            return Err(unknown("close to an alias"));
        }
        Ok(Self::Hub { id: name.to_owned(), alias: None, revision })
    }

    /// Says which of the embedded models `demo` means here.
    #[must_use]
    pub fn in_role(self, role: Role) -> Self {
        match (self, role) {
            (Self::Embedded(name), Role::Llm) if name == DEMO => Self::Embedded("demo-llm".to_owned()),
            (Self::Embedded(name), Role::Slm) if name == DEMO => Self::Embedded("demo-slm".to_owned()),
            (other, _) => other,
        }
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Hub { id, revision: Some(revision), .. } => write!(f, "{id}@{revision}"),
            Self::Hub { id, .. } => f.write_str(id),
            Self::Embedded(name) => f.write_str(name),
        }
    }
}

/// Checks a Hub id as the Hub does: `name` or `org/name` of letters, digits, `-`, `_` and `.`, at
/// most 96 a part, without `--` and `..`, not starting or ending with `-` or `.`.
///
/// # Errors
/// What is wrong.
pub(crate) fn check_id(id: &str) -> Result<(), &'static str> {
    let parts: Vec<&str> = id.split('/').collect();
    if parts.len() > 2 {
        return Err("more than one `/`");
    }
    for part in parts {
        if part.is_empty() || part.len() > 96 {
            return Err("a part is empty or longer than 96 letters");
        }
        if !part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
            return Err("letters other than a-z, 0-9, `-`, `_`, `.`");
        }
        if part.starts_with(['-', '.']) || part.ends_with(['-', '.']) {
            return Err("starts or ends with `-` or `.`");
        }
        if part.contains("--") || part.contains("..") {
            return Err("`--` or `..`");
        }
    }
    Ok(())
}

/// Checks that a revision can stand in an address and in a file name.
///
/// # Errors
/// When it cannot.
pub(crate) fn check_revision(revision: &str) -> Result<(), Error> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./+".contains(&byte);
    let sound = (1..=200).contains(&revision.len())
        && revision.bytes().all(plain)
        && revision.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    if sound { Ok(()) } else { Err(Error::BadRevision(revision.to_owned())) }
}

/// Whether a revision is a full commit already.
pub(crate) fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && revision.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_model_folder(path: &Path) -> bool {
    path.join("config.json").is_file()
        || path.join("manifest.json").is_file()
        || (path.is_file() && path.extension().is_some_and(|ending| ending == "safetensors"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Diagnose;

    #[test]
    fn a_path_is_a_path_and_never_a_hub_id() {
        let folder = tempfile::tempdir().unwrap();
        let text = folder.path().to_str().unwrap();
        assert_eq!(ModelName::parse(text).unwrap(), ModelName::Path(folder.path().to_owned()));
        for missing in ["./no-such", "/no/such/model", "~/models/x", "../no-such/x", "model.safetensors"] {
            assert!(matches!(ModelName::parse(missing), Err(Error::NoSuchPath(_))), "{missing}");
        }
        assert!(ModelName::parse("~/x").unwrap_err().hint().unwrap().contains("$HOME"));
    }

    #[test]
    fn aliases_ids_and_revisions_are_told_apart() {
        let hub = |id: &str, alias: Option<&str>, revision: Option<&str>| ModelName::Hub {
            id: id.to_owned(),
            alias: alias.map(str::to_owned),
            revision: revision.map(str::to_owned),
        };
        for (text, name) in [
            ("llama3-8b", hub("meta-llama/Meta-Llama-3-8B", Some("llama3-8b"), None)),
            ("llama3-8b@v1.0", hub("meta-llama/Meta-Llama-3-8B", Some("llama3-8b"), Some("v1.0"))),
            ("some-org/some.model_1", hub("some-org/some.model_1", None, None)),
            ("some-org/model@refs/pr/1", hub("some-org/model", None, Some("refs/pr/1"))),
            ("an-entirely-other-name", hub("an-entirely-other-name", None, None)),
        ] {
            assert_eq!(ModelName::parse(text).unwrap(), name, "{text}");
        }
    }

    #[test]
    fn the_demo_takes_the_model_of_its_role() {
        let demo = ModelName::parse("demo").unwrap();
        assert_eq!(demo.clone().in_role(Role::Llm), ModelName::Embedded("demo-llm".to_owned()));
        assert_eq!(demo.in_role(Role::Slm), ModelName::parse("demo-slm").unwrap());
    }

    #[test]
    fn what_is_no_name_is_refused_with_a_suggestion() {
        for bad in ["", "a b", "a/b/c", "org/", "org/-x", "org/a..b", "org/a--b", "ünï/x", "org/x?y"] {
            assert!(ModelName::parse(bad).is_err(), "{bad}");
        }
        for bad in ["org/x@", "org/x@../../y", "org/x@a b", "org/x@/main"] {
            assert!(matches!(ModelName::parse(bad), Err(Error::BadRevision(_))), "{bad}");
        }
        let slip = ModelName::parse("lama3-8b").unwrap_err();
        assert!(slip.hint().unwrap().contains("`llama3-8b`"), "{slip:?}");
        assert_eq!(slip.category(), crate::error::Category::Usage);
    }
}
