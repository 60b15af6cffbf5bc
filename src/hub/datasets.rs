//! Data sets as the Hub converts them to parquet (revision `refs/convert/parquet`), pinned to the
//! commit of the conversion and fetched whole into the Hub cache.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::disk;
use super::error::Error;
use super::explain::explain;
use super::http::encoded;
use super::progress::{Watch, unwatched};
use super::remote::Remote;
use super::repository_id::{Kind, RepositoryId, is_inside};
use super::settings::Settings;

/// The conversion's branch.
pub const REVISION: &str = "refs/convert/parquet";

const LARGEST_LISTING: u64 = 32 << 20;

/// The parquet files of one split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatasetFiles {
    /// Commit of the conversion.
    pub sha: String,
    /// Files in order, on this disk.
    pub files: Vec<PathBuf>,
    /// Whether the Hub converted only a part (data sets over 5 GB).
    pub partial: bool,
}

/// What a listing said, kept so that the split is found offline.
#[derive(Serialize, Deserialize)]
struct Listing {
    files: Vec<String>,
    partial: bool,
}

/// One entry of a tree.
#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "type")]
    kind: String,
    path: String,
}

/// Fetches the files of a split (`config` is `default` for data sets without configurations).
///
/// # Errors
/// When the data set or the split does not exist, is gated, or is offline and not in the cache.
pub fn parquet(
    settings: &Settings,
    id: &str,
    config: &str,
    split: &str,
    watch: &mut Watch<'_>,
) -> Result<DatasetFiles, Error> {
    if !is_inside(config) || !is_inside(split) {
        let wanted = format!("{config}/{split}");
        return Err(Error::NoSplit { dataset: id.to_owned(), wanted, available: Vec::new() });
    }
    let remote = Remote::pin(settings, RepositoryId::new(id, Kind::Dataset)?, REVISION)
        .map_err(|error| connected(error, id))?;
    let listing = listing(&remote, config, split).map_err(|error| connected(error, id))?;
    let mut files = Vec::new();
    for name in &listing.files {
        files.push(remote.download(name, watch).map_err(|error| connected(error, id))?);
    }
    Ok(DatasetFiles { sha: remote.commit.clone(), files, partial: listing.partial })
}

/// Offline, a data set comes with the command that uses it.
fn connected(error: Error, id: &str) -> Error {
    match error {
        Error::Offline { because, .. } => Error::Offline {
            because,
            missing: format!("data set `{id}`"),
            command: format!("hf download {id} --repo-type dataset --revision {REVISION}"),
        },
        other => other,
    }
}

fn listing(remote: &Remote, config: &str, split: &str) -> Result<Listing, Error> {
    let folder = format!("{}@{}", remote.id.folder_name(), remote.commit);
    let path =
        remote.settings().bundles.join("datasets").join(folder).join(config).join(format!("{split}.json"));
    if let Some(kept) = std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
        return Ok(kept);
    }
    if remote.settings().offline.is_some() {
        // a snapshot that another program brought
        let files = snapshot(remote, &format!("{config}/{split}"));
        if !files.is_empty() {
            return Ok(Listing { files, partial: false });
        }
    }
    let mut found = Listing { files: tree(remote, &format!("{config}/{split}"))?, partial: false };
    if found.files.is_empty() {
        found = Listing { files: tree(remote, &format!("{config}/partial-{split}"))?, partial: true };
    }
    if found.files.is_empty() {
        return Err(Error::NoSplit {
            dataset: remote.id.to_string(),
            wanted: format!("{config}/{split}"),
            available: available(remote)?,
        });
    }
    disk::write(&path, &serde_json::to_vec(&found).expect("texts are JSON"))?;
    Ok(found)
}

/// Parquet files of a folder in the Hub cache, sorted.
fn snapshot(remote: &Remote, folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(remote.folder.snapshot(&remote.commit, folder)).into_iter().flatten();
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut files: Vec<String> =
        names.filter(|name| name.ends_with(".parquet")).map(|name| format!("{folder}/{name}")).collect();
    files.sort();
    files
}

/// The `config/split`s that a conversion has.
fn available(remote: &Remote) -> Result<Vec<String>, Error> {
    let all = entries(remote, "?recursive=true")?;
    let splits: BTreeSet<String> =
        all.iter().filter_map(|it| it.path.rsplit_once('/')).map(|(folder, _)| folder.to_owned()).collect();
    let splits: BTreeSet<String> = splits.into_iter().filter(|it| it.contains('/')).collect();
    Ok(splits.into_iter().collect())
}

/// Parquet files of a folder, sorted; none if there is no such folder.
fn tree(remote: &Remote, folder: &str) -> Result<Vec<String>, Error> {
    let entries = match entries(remote, &format!("/{}", encoded(folder))) {
        Err(Error::NoFile { .. }) => return Ok(Vec::new()),
        other => other?,
    };
    let mut files: Vec<String> = entries
        .into_iter()
        .filter(|it| it.kind == "file" && it.path.ends_with(".parquet") && is_inside(&it.path))
        .map(|it| it.path)
        .collect();
    files.sort();
    Ok(files)
}

fn entries(remote: &Remote, tail: &str) -> Result<Vec<Entry>, Error> {
    if let Some(error) = remote.offline("listing") {
        return Err(error);
    }
    let client = &remote.client;
    let what = format!("files of {}", remote.id);
    let url = remote.id.api_url(&client.settings().endpoint, &format!("tree/{}{tail}", remote.commit));
    let bytes = client.patiently(&mut unwatched, |_, _| {
        let answer = client.follow(false, &url, &what, |_| true)?;
        if answer.status != 200 {
            return Err(explain(client, &answer, &remote.id, &remote.revision, Some(tail)));
        }
        answer.read(LARGEST_LISTING, &what)
    })?;
    serde_json::from_slice(&bytes).map_err(|error| Error::Json { file: what, reason: error.to_string() })
}
