//! One repository of the Hub at one commit: where its files are, their small ones whole, and any
//! of their bytes by range.

use std::collections::BTreeMap;
use std::io::Read;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};

use super::disk;
use super::error::Error;
use super::explain::explain;
use super::http::{Answer, Client, Failed, Passing, host_of, passing};
use super::name::is_commit;
use super::progress::{Watch, unwatched};
use super::repository_id::{CacheFolder, RepositoryId, is_inside};
use super::settings::Settings;

/// Bytes read from a connection at once.
const CHUNK: usize = 256 << 10;
/// The answer to a revision lists all files of the repository; this many bytes are ample.
const LARGEST_LISTING: u64 = 64 << 20;

/// A repository pinned to a commit.
#[derive(Debug)]
pub(crate) struct Remote {
    pub(crate) client: Arc<Client>,
    pub(crate) id: RepositoryId,
    pub(crate) folder: CacheFolder,
    pub(crate) revision: String,
    pub(crate) commit: String,
    files: Mutex<BTreeMap<String, RemoteFile>>,
}

/// Takes bytes as they arrive.
pub(crate) type Sink<'a> = dyn FnMut(&[u8], &mut Watch<'_>) -> Result<(), Error> + 'a;

/// What the Hub told about a file, and the link that it signed for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RemoteFile {
    /// Hash or other name of the content; of git-lfs files the sha256.
    pub(crate) etag: String,
    /// Bytes.
    pub(crate) size: u64,
    /// Where the bytes are; `None` once the link has expired.
    location: Option<String>,
    /// The name that the serving host has for the content.
    served_etag: Option<(String, String)>,
}

impl Remote {
    /// Asks for the commit of a revision, or offline looks into the cache.
    pub(crate) fn pin(settings: &Settings, id: RepositoryId, revision: &str) -> Result<Self, Error> {
        super::name::check_revision(revision)?;
        let client = Client::new(settings);
        let folder = CacheFolder::new(&settings.cache, &id);
        let commit = if is_commit(revision) {
            revision.to_owned()
        } else if let Some(because) = &settings.offline {
            folder.commit_of(revision).ok_or_else(|| Error::Offline {
                because: because.clone(),
                missing: format!("the commit of `{id}` at `{revision}`"),
                command: fetch_command(&id, revision),
            })?
        } else {
            let commit = ask_commit(&client, &id, revision)?;
            folder.note_commit(revision, &commit)?;
            commit
        };
        let revision = revision.to_owned();
        let files = Mutex::new(BTreeMap::new());
        Ok(Self { client: Arc::new(client), id, folder, revision, commit, files })
    }

    pub(crate) fn settings(&self) -> &Settings {
        self.client.settings()
    }

    /// The error for something that the cache lacks while offline; `None` online.
    pub(crate) fn offline(&self, name: &str) -> Option<Error> {
        Some(Error::Offline {
            because: self.settings().offline.clone()?,
            missing: format!("`{name}` of `{}`", self.id),
            command: fetch_command(&self.id, &self.revision),
        })
    }

    /// A small file whole, from the Hub cache or into it.
    pub(crate) fn read_small(&self, name: &str, limit: u64) -> Result<Vec<u8>, Error> {
        self.check_name(name)?;
        if let Some(path) = self.folder.find(&self.commit, name) {
            return disk::read_small(&path, limit);
        }
        if self.folder.known_absent(&self.commit, name) {
            return Err(Error::NoFile { repository: self.id.to_string(), name: name.to_owned() });
        }
        if let Some(error) = self.offline(name) {
            return Err(error);
        }
        let url = self.id.resolve_url(&self.settings().endpoint, &self.commit, name);
        let (bytes, etag) = self.client.patiently(&mut unwatched, |_, _| {
            let mut etag = None;
            let answer = self.client.follow(false, &url, name, |answer| {
                etag = etag.take().or_else(|| etag_of(answer));
                true
            })?;
            if answer.status != 200 {
                return Err(self.refused(&answer, name)?);
            }
            let bytes = answer.read(limit, name)?;
            Ok((bytes, etag))
        })?;
        let hash = disk::hex(&Sha256::digest(&bytes));
        let etag = etag.unwrap_or_else(|| hash.clone());
        if is_sha256(&etag) && etag != hash {
            return Err(Error::Corrupt { what: name.to_owned(), found: hash, expected: etag });
        }
        disk::write(&self.folder.blob(&etag), &bytes)?;
        self.folder.link(&self.commit, name, &etag)?;
        Ok(bytes)
    }

    /// What the Hub tells about a file, asked once.
    pub(crate) fn file(&self, name: &str, watch: &mut Watch<'_>) -> Result<RemoteFile, Error> {
        self.check_name(name)?;
        if let Some(error) = self.offline(name) {
            return Err(error);
        }
        self.client.patiently(watch, |_, _| self.located(name).map(|(file, _)| file))
    }

    /// Hands the bytes `range` of a file to `sink`, in order and each once, through broken
    /// connections, waits and expired links.
    pub(crate) fn stream(
        &self,
        name: &str,
        range: Range<u64>,
        watch: &mut Watch<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<(), Error> {
        let mut at = range.start;
        let mut buffer = vec![0; CHUNK.min((range.end - range.start) as usize)];
        self.client.patiently(watch, |watch, progress| {
            if at == range.end {
                return Ok(());
            }
            let (file, location) = self.located(name)?;
            if range.end > file.size {
                return Err(Failed::from(self.changed(name, "it is shorter than its header says")));
            }
            let answer = self.client.exchange(false, &location, Some((at, range.end)), name)?;
            self.check_range(&answer, name, at..range.end, &file)?;
            let host = host_of(&answer.url);
            let mut body = answer.body.into_reader();
            while at < range.end {
                let want = buffer.len().min((range.end - at) as usize);
                let got = match body.read(&mut buffer[..want]) {
                    Ok(0) => return Err(passing(&host, name, "the answer was cut short")),
                    Ok(got) => got,
                    Err(error) => return Err(passing(&host, name, &error.to_string())),
                };
                sink(&buffer[..got], watch)?;
                at += got as u64;
                *progress = true;
            }
            Ok(())
        })
    }

    /// A file's address, from memory or by asking; a link that expired is signed anew, and its
    /// file must still be the same one.
    fn located(&self, name: &str) -> Result<(RemoteFile, String), Failed> {
        let known = self.files().get(name).cloned();
        if let Some(file) = &known
            && let Some(location) = &file.location
        {
            return Ok((file.clone(), location.clone()));
        }
        let (fresh, location) = self.ask(name)?;
        if let Some(old) = known
            && (old.etag != fresh.etag || old.size != fresh.size)
        {
            self.files().remove(name);
            let detail =
                format!("etag {} of {} bytes became {} of {}", old.etag, old.size, fresh.etag, fresh.size);
            return Err(Failed::from(self.changed(name, &detail)));
        }
        self.files().insert(name.to_owned(), fresh.clone());
        Ok((fresh, location))
    }

    /// Asks the endpoint about a file. Size and hash are read from the endpoint's own answers:
    /// those of the host that it redirects to describe that host's copy.
    fn ask(&self, name: &str) -> Result<(RemoteFile, String), Failed> {
        let url = self.id.resolve_url(&self.settings().endpoint, &self.commit, name);
        let (mut etag, mut size, mut commit) = (None, None, None);
        let answer = self.client.follow(true, &url, name, |answer| {
            etag = etag.take().or_else(|| etag_of(answer));
            commit = commit.take().or_else(|| answer.header("x-repo-commit").map(str::to_owned));
            size = size.or_else(|| answer.header("x-linked-size")?.parse::<u64>().ok());
            if answer.status == 200 {
                size = size.or_else(|| answer.header("content-length")?.parse().ok());
            }
            self.client.target(answer, name).is_ok_and(|target| self.client.is_endpoint(&target))
        })?;
        let location = match answer.status {
            200 => answer.url.clone(),
            301 | 302 | 303 | 307 | 308 => self.client.target(&answer, name)?,
            _ => return Err(self.refused(&answer, name)?),
        };
        if let Some(commit) = commit.filter(|commit| *commit != self.commit) {
            let detail = format!("asked for commit {}, was given {commit}", self.commit);
            return Err(Failed::from(self.changed(name, &detail)));
        }
        let (Some(etag), Some(size)) = (etag, size) else {
            return Err(Failed::from(Error::Server {
                host: host_of(&answer.url),
                status: answer.status,
                message: "without a size and an etag".to_owned(),
                what: name.to_owned(),
            }));
        };
        let file = RemoteFile { etag, size, location: Some(location.clone()), served_etag: None };
        Ok((file, location))
    }

    /// Holds an answer against the range that was asked for, before its body is touched.
    fn check_range(
        &self,
        answer: &Answer,
        name: &str,
        range: Range<u64>,
        file: &RemoteFile,
    ) -> Result<(), Failed> {
        let content_range = answer.header("content-range");
        let wrong = |answer: String| Error::Range {
            host: host_of(&self.files().get(name).and_then(|it| it.location.clone()).unwrap_or_default()),
            what: name.to_owned(),
            start: range.start,
            last: range.end - 1,
            answer,
        };
        match answer.status {
            206 => {
                let exact = format!("bytes {}-{}/{}", range.start, range.end - 1, file.size);
                let announced = answer.body.content_length();
                if content_range != Some(exact.as_str()) {
                    let told = content_range.unwrap_or("no Content-Range");
                    let total = told.rsplit('/').next().and_then(|total| total.parse::<u64>().ok());
                    if total.is_some_and(|total| total != file.size) {
                        let detail = format!("it has {} bytes now, {} before", total.unwrap_or(0), file.size);
                        return Err(Failed::from(self.changed(name, &detail)));
                    }
                    return Err(Failed::from(wrong(format!("206 with `{told}`"))));
                }
                if announced.is_some_and(|length| length != range.end - range.start) {
                    return Err(Failed::from(wrong(format!("206 with {} bytes", announced.unwrap_or(0)))));
                }
            }
            // the whole file was asked for, and the whole file is what comes
            200 if range == (0..file.size) && answer.body.content_length() == Some(file.size) => {}
            200 => return Err(Failed::from(wrong("200, the whole file,".to_owned()))),
            416 => return Err(Failed::from(self.changed(name, "it is shorter than before"))),
            status @ (401 | 403 | 404 | 410) if !self.client.is_endpoint(&answer.url) => {
                if let Some(file) = self.files().get_mut(name) {
                    file.location = None;
                }
                let host = host_of(&answer.url);
                let reason = format!("{host}: the signed link expired");
                let message = "a link that the Hub had just signed".to_owned();
                let error = Error::Server { host, status, message, what: name.to_owned() };
                return Err(Failed::Passing(Box::new(Passing { error, wait: Some(0), reason })));
            }
            _ => return Err(self.refused(answer, name)?),
        }
        self.check_served_etag(answer, name)
    }

    fn check_served_etag(&self, answer: &Answer, name: &str) -> Result<(), Failed> {
        let Some(etag) = answer.header("etag").map(plain_etag) else { return Ok(()) };
        let host = host_of(&answer.url);
        let mut files = self.files();
        let Some(file) = files.get_mut(name) else { return Ok(()) };
        match &file.served_etag {
            Some((seen_host, seen)) if *seen_host == host && *seen != etag => {
                let detail = format!("etag `{seen}` became `{etag}`");
                drop(files);
                Err(Failed::from(self.changed(name, &detail)))
            }
            _ => {
                file.served_etag = Some((host, etag));
                Ok(())
            }
        }
    }

    fn changed(&self, name: &str, detail: &str) -> Error {
        Error::Changed { what: format!("{}/{name}", self.id), detail: detail.to_owned() }
    }

    /// The error of a refusing answer; that a file does not exist is remembered.
    fn refused(&self, answer: &Answer, name: &str) -> Result<Failed, Error> {
        if answer.status == 404 && answer.header("x-error-code") == Some("EntryNotFound") {
            self.folder.note_absent(&self.commit, name)?;
        }
        Ok(explain(&self.client, answer, &self.id, &self.revision, Some(name)))
    }

    fn check_name(&self, name: &str) -> Result<(), Error> {
        if is_inside(name) {
            return Ok(());
        }
        Err(Error::NoFile { repository: self.id.to_string(), name: name.to_owned() })
    }

    fn files(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, RemoteFile>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The command that brings a repository into the cache.
pub(crate) fn fetch_command(id: &RepositoryId, revision: &str) -> String {
    if revision == "main" {
        format!("pifi-probe fetch {id}")
    } else {
        format!("pifi-probe fetch {id}@{revision}")
    }
}

/// The answer to a revision, as far as it is read.
#[derive(serde::Deserialize)]
struct Commit {
    sha: String,
}

fn ask_commit(client: &Client, id: &RepositoryId, revision: &str) -> Result<String, Error> {
    let url = id.revision_url(&client.settings().endpoint, revision);
    let what = format!("{id} at {revision}");
    let bytes = client.patiently(&mut unwatched, |_, _| {
        let answer = client.follow(false, &url, &what, |_| true)?;
        if answer.status != 200 {
            return Err(explain(client, &answer, id, revision, None));
        }
        answer.read(LARGEST_LISTING, &what)
    })?;
    let found: Commit = serde_json::from_slice(&bytes)
        .map_err(|error| Error::Json { file: what.clone(), reason: error.to_string() })?;
    if !is_commit(&found.sha) {
        let reason = "its `sha` is no commit".to_owned();
        return Err(Error::Json { file: what, reason });
    }
    Ok(found.sha)
}

/// The content's own name, if the answer has one: a redirect's plain `etag` would be that of the
/// redirect.
fn etag_of(answer: &Answer) -> Option<String> {
    let linked = answer.header("x-linked-etag");
    let own = answer.header("etag").filter(|_| answer.status == 200);
    linked.or(own).map(plain_etag)
}

fn plain_etag(etag: &str) -> String {
    etag.trim().trim_start_matches("W/").trim_matches('"').to_owned()
}

/// Whether an etag is the sha256 of its content, as those of git-lfs files are.
pub(crate) fn is_sha256(etag: &str) -> bool {
    etag.len() == 64 && etag.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
