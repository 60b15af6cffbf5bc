//! A repository of the Hub: its id and kind, its addresses and its place in the Hub cache.

use std::fmt;
use std::path::{Path, PathBuf};

use hf_hub::{Cache, Repo, RepoType};

use super::disk;
use super::error::Error;
use super::http::encoded;

/// Models and data sets have addresses and folders of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Model,
    Dataset,
}

/// An id that the Hub could have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RepositoryId {
    id: String,
    kind: Kind,
}

impl RepositoryId {
    pub(crate) fn new(id: &str, kind: Kind) -> Result<Self, Error> {
        super::name::check_id(id).map_err(|reason| Error::UnknownModel {
            typed: id.to_owned(),
            reason: reason.to_owned(),
            suggestion: None,
        })?;
        Ok(Self { id: id.to_owned(), kind })
    }

    /// The part after the organisation.
    pub(crate) fn name(&self) -> &str {
        self.id.rsplit('/').next().unwrap_or(&self.id)
    }

    /// The page that people open.
    pub(crate) fn page(&self, endpoint: &str) -> String {
        format!("{endpoint}/{}", self.path())
    }

    /// Address of a file at a commit.
    pub(crate) fn resolve_url(&self, endpoint: &str, commit: &str, name: &str) -> String {
        format!("{endpoint}/{}/resolve/{commit}/{}", self.path(), encoded(name))
    }

    /// Address of the interface below `tail`.
    pub(crate) fn api_url(&self, endpoint: &str, tail: &str) -> String {
        let plural = match self.kind {
            Kind::Model => "models",
            Kind::Dataset => "datasets",
        };
        format!("{endpoint}/api/{plural}/{}/{tail}", self.id)
    }

    /// Address that tells the commit of a revision.
    pub(crate) fn revision_url(&self, endpoint: &str, revision: &str) -> String {
        self.api_url(endpoint, &format!("revision/{}", encoded(revision).replace('/', "%2F")))
    }

    fn path(&self) -> String {
        match self.kind {
            Kind::Model => self.id.clone(),
            Kind::Dataset => format!("datasets/{}", self.id),
        }
    }

    fn repo(&self, revision: &str) -> Repo {
        let kind = match self.kind {
            Kind::Model => RepoType::Model,
            Kind::Dataset => RepoType::Dataset,
        };
        Repo::with_revision(self.id.clone(), kind, revision.to_owned())
    }

    /// `models--org--name`.
    pub(crate) fn folder_name(&self) -> String {
        self.repo("main").folder_name()
    }
}

impl fmt::Display for RepositoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)
    }
}

/// The Hub cache's folder of one repository:
/// `models--org--name/{refs/<revision>, blobs/<etag>, snapshots/<commit>/<file>}`, shared with
/// transformers.
#[derive(Clone, Debug)]
pub(crate) struct CacheFolder {
    cache: PathBuf,
    id: RepositoryId,
}

impl CacheFolder {
    pub(crate) fn new(cache: &Path, id: &RepositoryId) -> Self {
        Self { cache: cache.to_owned(), id: id.clone() }
    }

    fn root(&self) -> PathBuf {
        self.cache.join(self.id.folder_name())
    }

    /// The commit that a revision last stood for.
    pub(crate) fn commit_of(&self, revision: &str) -> Option<String> {
        let text = std::fs::read_to_string(self.root().join("refs").join(revision)).ok()?;
        let commit = text.trim();
        super::name::is_commit(commit).then(|| commit.to_owned())
    }

    /// Notes the commit that a revision stands for.
    pub(crate) fn note_commit(&self, revision: &str, commit: &str) -> Result<(), Error> {
        if self.commit_of(revision).as_deref() == Some(commit) {
            return Ok(());
        }
        disk::write(&self.root().join("refs").join(revision), commit.as_bytes())
    }

    /// Where a file of a commit stands when it is there.
    pub(crate) fn snapshot(&self, commit: &str, name: &str) -> PathBuf {
        let repo = Cache::new(self.cache.clone()).repo(self.id.repo(commit));
        repo.pointer_path(commit).join(name)
    }

    /// The file of a commit, if it is whole in the cache.
    pub(crate) fn find(&self, commit: &str, name: &str) -> Option<PathBuf> {
        let path = self.snapshot(commit, name);
        path.is_file().then_some(path)
    }

    /// Content of a file by its etag.
    pub(crate) fn blob(&self, etag: &str) -> PathBuf {
        self.root().join("blobs").join(blob_name(etag))
    }

    /// The lock that `huggingface_hub` takes for the same blob.
    pub(crate) fn lock_path(&self, etag: &str) -> PathBuf {
        let folder = self.cache.join(".locks").join(self.id.folder_name());
        folder.join(format!("{}.lock", blob_name(etag)))
    }

    /// Makes `snapshots/<commit>/<name>` point to the blob, by a relative link.
    pub(crate) fn link(&self, commit: &str, name: &str, etag: &str) -> Result<PathBuf, Error> {
        let path = self.snapshot(commit, name);
        disk::make_parent(&path)?;
        let up = "../".repeat(2 + name.matches('/').count());
        let target = format!("{up}blobs/{}", blob_name(etag));
        let temporary = disk::beside(&path, "link");
        std::os::unix::fs::symlink(&target, &temporary)
            .and_then(|()| std::fs::rename(&temporary, &path))
            .map_err(Error::io("linking", &path))?;
        Ok(path)
    }

    /// Whether the Hub has said that the commit has no such file.
    pub(crate) fn known_absent(&self, commit: &str, name: &str) -> bool {
        self.absence(commit, name).is_file()
    }

    /// Remembers that the commit has no such file, as `huggingface_hub` does.
    pub(crate) fn note_absent(&self, commit: &str, name: &str) -> Result<(), Error> {
        disk::write(&self.absence(commit, name), b"")
    }

    fn absence(&self, commit: &str, name: &str) -> PathBuf {
        self.root().join(".no_exist").join(commit).join(name)
    }
}

/// An etag as a file name; a server's odd one is hashed rather than trusted.
fn blob_name(etag: &str) -> String {
    use sha2::{Digest, Sha256};
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if (1..=128).contains(&etag.len()) && etag.bytes().all(plain) {
        etag.to_owned()
    } else {
        disk::hex(&Sha256::digest(etag.as_bytes()))
    }
}

/// Whether a name stays inside its repository.
pub(crate) fn is_inside(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 1024
        && !name.contains(['\\', '\0'])
        && name.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_and_addresses_are_those_of_the_hub() {
        let model = RepositoryId::new("org/x", Kind::Model).unwrap();
        assert_eq!(model.folder_name(), "models--org--x");
        assert_eq!(model.resolve_url("https://h", "c0", "a b"), "https://h/org/x/resolve/c0/a%20b");
        let data = RepositoryId::new("org/x", Kind::Dataset).unwrap();
        assert_eq!(data.folder_name(), "datasets--org--x");
        assert_eq!(
            data.revision_url("https://h", "refs/convert/parquet"),
            "https://h/api/datasets/org/x/revision/refs%2Fconvert%2Fparquet"
        );
        assert_eq!(data.page("https://h"), "https://h/datasets/org/x");
    }

    #[test]
    fn a_snapshot_points_to_its_blob_by_a_relative_link() {
        let cache = tempfile::tempdir().unwrap();
        let folder = CacheFolder::new(cache.path(), &RepositoryId::new("org/x", Kind::Model).unwrap());
        disk::write(&folder.blob("abc"), b"content").unwrap();
        let path = folder.link("c0", "sub/file.json", "abc").unwrap();
        assert_eq!(std::fs::read_link(&path).unwrap(), Path::new("../../../blobs/abc"));
        assert_eq!(std::fs::read(folder.find("c0", "sub/file.json").unwrap()).unwrap(), b"content");
        assert_eq!(path, cache.path().join("models--org--x/snapshots/c0/sub/file.json"));
    }

    #[test]
    fn an_odd_etag_cannot_leave_the_folder() {
        assert_eq!(blob_name("d41d8cd9"), "d41d8cd9");
        for odd in ["../../x", "", "a/b", "..", "a b"] {
            assert_eq!(blob_name(odd).len(), 64, "{odd}");
        }
    }

    #[test]
    fn names_that_leave_the_repository_are_told() {
        for good in ["a", "a/b.json", "..a", "a..b/c"] {
            assert!(is_inside(good), "{good}");
        }
        for bad in ["", "/a", "../a", "a/../b", "a//b", "./a", "a/", "a\\b", "a\0"] {
            assert!(!is_inside(bad), "{bad}");
        }
    }
}
