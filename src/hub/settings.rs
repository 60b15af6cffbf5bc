//! Where the Hub is, who asks, and where bytes are kept: the precedence of flags and variables
//! that users of `huggingface_hub` know. The environment itself is read by the caller.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::{Error, READING};

/// The Hub itself.
pub const ENDPOINT: &str = "https://huggingface.co";

/// A secret, and where it was found.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    value: String,
    source: String,
}

impl Token {
    /// A token from `source` (`HF_TOKEN`, `~/.cache/huggingface/token`, ...).
    ///
    /// # Errors
    /// When it could not stand in a header.
    pub fn new(value: &str, source: impl Into<String>) -> Result<Self, Error> {
        let source = source.into();
        let value = value.trim();
        if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::MalformedToken { source_name: source });
        }
        Ok(Self { value: value.to_owned(), source })
    }

    /// Where it was found, for messages.
    pub fn source(&self) -> &str {
        &self.source
    }

    pub(crate) fn header(&self) -> String {
        format!("Bearer {}", self.value)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("value", &"(hidden)").field("source", &self.source).finish()
    }
}

/// How long is waited for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For a connection.
    pub connect: Duration,
    /// For the head of an answer.
    pub response: Duration,
    /// For the next bytes of a body: a stall ends an attempt, a slow body does not.
    pub read: Duration,
    /// Attempts after the first without progress.
    pub retries: u32,
    /// Wait before the first retry; doubled at each further one.
    pub first_wait: Duration,
    /// Longest wait, also for a server's `Retry-After`.
    pub longest_wait: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            response: Duration::from_mins(1),
            read: Duration::from_secs(30),
            retries: 6,
            first_wait: Duration::from_secs(1),
            longest_wait: Duration::from_mins(5),
        }
    }
}

/// Everything that `hub` needs to know about the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Address of the Hub or a mirror, without a slash at the end.
    pub endpoint: String,
    /// Sent to the endpoint's own host and port only.
    pub token: Option<Token>,
    /// The Hub cache, shared with transformers: whole files only.
    pub cache: PathBuf,
    /// This program's own cache: layer bundles and headers.
    pub bundles: PathBuf,
    /// No request at all when set; says where the decision came from.
    pub offline: Option<String>,
    /// Sent with every request.
    pub user_agent: String,
    /// Timeouts and retries.
    pub patience: Patience,
}

impl Settings {
    /// Settings with everything below one directory, without a token: for tests and tools.
    pub fn below(directory: &Path) -> Self {
        Self {
            endpoint: ENDPOINT.to_owned(),
            token: None,
            cache: directory.join("hub"),
            bundles: directory.join("pifi-probe"),
            offline: None,
            user_agent: format!("pifi-probe/{}", env!("CARGO_PKG_VERSION")),
            patience: Patience::default(),
        }
    }

    /// Settings as flags and variables have them; `lookup` reads one variable. First wins:
    ///
    /// | setting | order |
    /// |---|---|
    /// | token | `token_file`, HF_TOKEN, the file of HF_TOKEN_PATH, `HF_HOME/token`, none |
    /// | cache | HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, `HF_HOME/hub`, `XDG_CACHE_HOME/huggingface/hub`, `~/.cache/huggingface/hub` |
    /// | offline | `offline_flag`, HF_HUB_OFFLINE, TRANSFORMERS_OFFLINE (1, ON, YES, TRUE) |
    /// | endpoint | HF_ENDPOINT |
    /// | bundles | PIFI_PROBE_CACHE, `XDG_CACHE_HOME/pifi-probe`, `~/.cache/pifi-probe` |
    ///
    /// # Errors
    /// When no cache directory can be told, the endpoint is no address, `token_file` cannot be read
    /// (a missing file that nobody asked for is fine), or a token is malformed.
    pub fn from_environment(
        lookup: impl Fn(&str) -> Option<String>,
        token_file: Option<&Path>,
        offline_flag: bool,
    ) -> Result<Self, Error> {
        let variable = |name: &str| lookup(name).map(|it| it.trim().to_owned()).filter(|it| !it.is_empty());
        let home = variable("HOME").map(PathBuf::from);
        let expand = |text: String| match (text.strip_prefix("~/"), &home) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => PathBuf::from(text),
        };
        let directory = |name: &str| variable(name).map(expand);
        let user_cache = directory("XDG_CACHE_HOME").or_else(|| home.as_ref().map(|it| it.join(".cache")));
        let hf_home = directory("HF_HOME").or_else(|| user_cache.as_ref().map(|it| it.join("huggingface")));
        let cache = directory("HF_HUB_CACHE")
            .or_else(|| directory("HUGGINGFACE_HUB_CACHE"))
            .or_else(|| hf_home.as_ref().map(|it| it.join("hub")))
            .ok_or(Error::NoHome)?;
        let bundles = directory("PIFI_PROBE_CACHE")
            .or_else(|| user_cache.map(|it| it.join("pifi-probe")))
            .or_else(|| directory("HF_HOME").map(|it| it.join("pifi-probe")))
            .ok_or(Error::NoHome)?;
        let endpoint = variable("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.to_owned());
        let token = match token_file {
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(Error::io(READING, path))?;
                Some(Token::new(&text, format!("`{}`", path.display()))?)
            }
            None => match variable("HF_TOKEN") {
                Some(value) => Some(Token::new(&value, "HF_TOKEN")?),
                None => stored_token(
                    [directory("HF_TOKEN_PATH"), hf_home.map(|it| it.join("token"))].into_iter().flatten(),
                )?,
            },
        };
        let asked = |name: &str| {
            variable(name).filter(|it| ["1", "ON", "YES", "TRUE"].contains(&it.to_uppercase().as_str()))
        };
        let offline = if offline_flag {
            Some("`--offline`".to_owned())
        } else {
            ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"]
                .into_iter()
                .find_map(|name| asked(name).map(|value| format!("{name}={value}")))
        };
        Ok(Self {
            endpoint: checked_endpoint(&endpoint)?,
            token,
            cache,
            bundles,
            offline,
            ..Self::below(Path::new(""))
        })
    }
}

/// The first token file that exists and is not empty; none is normal.
fn stored_token(files: impl Iterator<Item = PathBuf>) -> Result<Option<Token>, Error> {
    for path in files {
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        if !text.trim().is_empty() {
            return Token::new(&text, format!("`{}`", path.display())).map(Some);
        }
    }
    Ok(None)
}

fn checked_endpoint(text: &str) -> Result<String, Error> {
    let trimmed = text.trim_end_matches('/');
    let rest = trimmed.strip_prefix("https://").or_else(|| trimmed.strip_prefix("http://"));
    match rest {
        Some(rest) if !rest.is_empty() && trimmed.parse::<ureq::http::Uri>().is_ok() => {
            Ok(trimmed.to_owned())
        }
        _ => Err(Error::BadEndpoint(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Result<Settings, Error> {
        let lookup =
            |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Settings::from_environment(lookup, None, false)
    }

    #[test]
    fn the_cache_follows_the_published_precedence() {
        // each row adds the variable that must win over all rows before it
        let mut variables = Vec::new();
        for (name, value, cache) in [
            ("HOME", "/h", "/h/.cache/huggingface/hub"),
            ("XDG_CACHE_HOME", "/x", "/x/huggingface/hub"),
            ("HF_HOME", "/hf", "/hf/hub"),
            ("HUGGINGFACE_HUB_CACHE", "/old", "/old"),
            ("HF_HUB_CACHE", "~/new", "/h/new"),
        ] {
            variables.push((name, value));
            assert_eq!(settings(&variables).unwrap().cache, Path::new(cache), "{name}");
        }
        assert_eq!(settings(&variables).unwrap().bundles, Path::new("/x/pifi-probe"));
        variables.push(("PIFI_PROBE_CACHE", "/p"));
        assert_eq!(settings(&variables).unwrap().bundles, Path::new("/p"));
    }

    #[test]
    fn an_empty_variable_is_an_unset_one() {
        let found =
            settings(&[("HOME", "/h"), ("HF_HOME", ""), ("HF_ENDPOINT", " "), ("HF_TOKEN", "")]).unwrap();
        assert_eq!(found.cache, Path::new("/h/.cache/huggingface/hub"));
        assert_eq!(found.endpoint, ENDPOINT);
        assert_eq!(found.token, None);
    }

    #[test]
    fn without_any_directory_the_error_names_the_variables() {
        assert!(settings(&[]).unwrap_err().to_string().contains("HF_HOME"));
    }

    #[test]
    fn the_token_follows_the_published_precedence_and_missing_files_are_fine() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let home = folder.path().to_str().unwrap().to_owned();
        let source = |variables: &[(&str, &str)], flag: Option<&Path>| {
            let lookup = |name: &str| {
                variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
            };
            let token = Settings::from_environment(lookup, flag, false).unwrap().token;
            token.map(|token| (token.value.clone(), token.source().to_owned()))
        };
        assert_eq!(source(&[("HF_HOME", &home), ("HOME", "/h")], None), None);
        let stored = file("token", "hf_stored\n");
        let from_home = source(&[("HF_HOME", &home), ("HOME", "/h")], None).unwrap();
        assert_eq!(from_home, ("hf_stored".to_owned(), format!("`{}`", stored.display())));
        let named = file("named", "hf_named");
        let path = named.to_str().unwrap();
        let variables = [("HF_HOME", home.as_str()), ("HOME", "/h"), ("HF_TOKEN_PATH", path)];
        assert_eq!(source(&variables, None).unwrap().0, "hf_named");
        let variables = [("HF_TOKEN_PATH", path), ("HOME", "/h"), ("HF_TOKEN", "hf_variable")];
        assert_eq!(source(&variables, None).unwrap(), ("hf_variable".to_owned(), "HF_TOKEN".to_owned()));
        let flag = file("flag", "hf_flag");
        assert_eq!(source(&variables, Some(&flag)).unwrap().0, "hf_flag");
    }

    #[test]
    fn a_token_file_that_was_asked_for_must_exist() {
        let lookup = |name: &str| (name == "HOME").then(|| "/h".to_owned());
        assert!(Settings::from_environment(lookup, Some(Path::new("/no/such/token")), false).is_err());
    }

    #[test]
    fn a_token_is_never_shown_and_never_breaks_a_header() {
        let token = Token::new("hf_secret", "HF_TOKEN").unwrap();
        assert!(!format!("{token:?}").contains("secret"));
        for bad in ["a b", "a\nb", "", "ü"] {
            let error = Token::new(bad, "HF_TOKEN").unwrap_err().to_string();
            assert!(error.contains("HF_TOKEN"), "{error}");
        }
    }

    #[test]
    fn offline_says_where_the_decision_came_from() {
        let offline = |variables: &[(&str, &str)], flag: bool| {
            let lookup = |name: &str| match variables.iter().find(|(key, _)| *key == name) {
                Some((_, value)) => Some((*value).to_owned()),
                None => (name == "HOME").then(|| "/h".to_owned()),
            };
            Settings::from_environment(lookup, None, flag).unwrap().offline
        };
        for value in ["1", "on", "Yes", "TRUE"] {
            let expected = Some(format!("HF_HUB_OFFLINE={value}"));
            assert_eq!(offline(&[("HF_HUB_OFFLINE", value)], false), expected);
        }
        for value in ["0", "false", "", "off"] {
            assert_eq!(offline(&[("HF_HUB_OFFLINE", value)], false), None, "{value}");
        }
        let both = [("HF_HUB_OFFLINE", "0"), ("TRANSFORMERS_OFFLINE", "1")];
        assert_eq!(offline(&both, false).as_deref(), Some("TRANSFORMERS_OFFLINE=1"));
        assert_eq!(offline(&both, true).as_deref(), Some("`--offline`"));
    }

    #[test]
    fn an_endpoint_is_an_address() {
        let endpoint = |text| settings(&[("HOME", "/h"), ("HF_ENDPOINT", text)]).map(|it| it.endpoint);
        assert_eq!(endpoint("http://127.0.0.1:80/hf/").unwrap(), "http://127.0.0.1:80/hf");
        for bad in ["huggingface.co", "ftp://x", "https://", "https://a b"] {
            assert!(matches!(endpoint(bad), Err(Error::BadEndpoint(_))), "{bad}");
        }
    }
}
