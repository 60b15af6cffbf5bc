//! Brings one layer: the headers of its shards, then the byte ranges of its tensors and little
//! else, in the order in which they are written, so that a killed fetch goes on from its last byte.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use super::super::checkpoint::{Checkpoint, Store};
use super::super::disk;
use super::super::error::Error;
use super::super::plan;
use super::super::progress::{Progress, Watch, tell};
use super::super::remote::{Remote, fetch_command};
use super::super::repository::{Located, Location, Repository, ShardAt};
use super::super::tensor::TensorRequest;
use super::writer::{Writer, bundle_head};
use super::{About, Bundle, Sidecar, Transfer, partial_path, sidecar_path};

/// Bytes copied at once from a shard on this disk.
const CHUNK: u64 = 1 << 20;

/// The tensors of one layer: from an earlier fetch, as a view if all shards are on this disk, or
/// over the network. `scope` names the use that the requests are enough for.
///
/// # Errors
/// When the repository lacks a tensor, the Hub refuses or answers wrongly, the disk is full, or the
/// watcher says stop; what has arrived is kept and the next call goes on from there.
pub fn fetch(
    repository: &Repository,
    requests: &[TensorRequest],
    layer: usize,
    scope: &str,
    watch: &mut Watch<'_>,
) -> Result<Bundle, Error> {
    let about = About {
        repository: repository.id(),
        identity: repository.identity(),
        layer,
        scope: scope.to_owned(),
    };
    if !scope.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-') {
        let reason = "a scope is written in a-z, 0-9 and `-`".to_owned();
        return Err(Error::BadRequest { name: scope.to_owned(), reason });
    }
    let Some(remote) = repository.remote() else {
        let location = repository.locate(requests)?;
        let view = view(&about, &location).ok_or_else(|| Error::NoFile {
            repository: repository.describe(),
            name: "model.safetensors".to_owned(),
        })?;
        return Ok(view);
    };
    let path = bundle_path(remote, layer, scope);
    if let Some(found) = kept(&path, requests) {
        return Ok(found);
    }
    let location = repository.locate(requests).map_err(|error| offline_layer(error, remote, layer))?;
    if let Some(view) = view(&about, &location) {
        return Ok(view);
    }
    if let Some(error) = remote.offline("layer") {
        return Err(offline_layer(error, remote, layer));
    }
    let _lock = disk::lock(&disk::with_ending(&path, "lock"), watch)?;
    // another process may have finished it meanwhile
    if let Some(found) = kept(&path, requests) {
        return Ok(found);
    }
    let before = remote.client.requests();
    let mut transfer = store(remote, &about, &location, &path, watch)?;
    transfer.requests = remote.client.requests() - before + location.requests;
    let mut bundle = Bundle::open(&path)?;
    bundle.transfer = transfer;
    Ok(bundle)
}

/// A bundle on disk that is sound and holds everything.
fn kept(path: &std::path::Path, requests: &[TensorRequest]) -> Option<Bundle> {
    Bundle::open(path).ok().filter(|found| found.holds(requests))
}

/// The layer as a view, if every shard it lies in is here.
fn view(about: &About, location: &Location) -> Option<Bundle> {
    let mut tensors = Checkpoint::new(format!("layer {} of `{}`", about.layer, about.repository));
    for Located { name, shard, extent } in &location.tensors {
        match location.shards.get(shard) {
            Some(ShardAt::Here(store)) => tensors.insert(name, store, extent.clone()),
            _ => return None,
        }
    }
    Some(Bundle::view(about.clone(), tensors))
}

fn bundle_path(remote: &Remote, layer: usize, scope: &str) -> PathBuf {
    let folder = format!("{}@{}", remote.id.folder_name(), remote.commit);
    remote.settings().bundles.join("layers").join(folder).join(format!("L{layer}.{scope}.safetensors"))
}

/// Offline errors name the layer and the command that brings it.
fn offline_layer(error: Error, remote: &Remote, layer: usize) -> Error {
    match error {
        Error::Offline { because, missing, .. } => {
            let missing = if missing.starts_with("`layer`") {
                format!("layer {layer} of `{}`", remote.id)
            } else {
                missing
            };
            let command = format!("{} --layers {layer}", fetch_command(&remote.id, &remote.revision));
            Error::Offline { because, missing, command }
        }
        other => other,
    }
}

fn store(
    remote: &Remote,
    about: &About,
    location: &Location,
    path: &std::path::Path,
    watch: &mut Watch<'_>,
) -> Result<Transfer, Error> {
    let shards: BTreeMap<String, String> = location
        .shards
        .iter()
        .map(|(shard, at)| match at {
            ShardAt::Here(store) => (shard.clone(), format!("{} bytes", store.size())),
            ShardAt::There(etag) => (shard.clone(), etag.clone()),
        })
        .collect();
    let extents: Vec<_> = location.tensors.iter().map(|it| (it.name.as_str(), &it.extent)).collect();
    let head = bundle_head(about, &extents, Some(&shards));
    let lengths: Vec<u64> = location.tensors.iter().map(|it| length(&it.extent.bytes)).collect();
    let total: u64 = lengths.iter().sum();
    let mut writer = Writer::open(partial_path(path), &head, lengths)?;
    let resumed = writer.done();
    let what = format!("layer {} of {}", about.layer, about.repository);
    tell(watch, Progress::Started { what, total, resumed })?;
    let mut transfer =
        Transfer { header_bytes: location.header_bytes, from_cache: resumed, ..Transfer::default() };
    let mut budget = plan::waste_budget(total);
    let mut skip = resumed;
    for (shard, at) in &location.shards {
        let mut pieces = Vec::new();
        for it in location.tensors.iter().filter(|it| it.shard == *shard) {
            let kept = skip.min(length(&it.extent.bytes));
            skip -= kept;
            let rest = it.extent.bytes.start + kept..it.extent.bytes.end;
            if !rest.is_empty() {
                pieces.push(rest);
            }
        }
        let mut progress = Growing { writer: &mut writer, total, transfer: &mut transfer };
        match at {
            ShardAt::Here(store) => progress.copy(store, &pieces, watch)?,
            ShardAt::There(etag) if !pieces.is_empty() => {
                same_content(remote, shard, etag, watch)?;
                for range in plan::coalesce(&pieces, &mut budget) {
                    progress.receive(remote, shard, range, &pieces, watch)?;
                }
            }
            ShardAt::There(..) => {}
        }
    }
    let (file, partial, hashes) = writer.finish();
    let bytes = head.len() as u64 + total;
    let tensors = location.tensors.iter().map(|it| it.name.clone()).zip(hashes).collect();
    let sidecar = Sidecar { about: about.clone(), bytes, transfer, shards, tensors };
    let text = serde_json::to_vec_pretty(&sidecar).expect("text and numbers are JSON");
    // first the sidecar: a bundle in its place always has one
    disk::write(&sidecar_path(path), &text)?;
    disk::publish(&file, &partial, path)?;
    Ok(transfer)
}

/// The shard must still be the one whose header was read; a kept header that is out of date goes.
fn same_content(remote: &Remote, shard: &str, etag: &str, watch: &mut Watch<'_>) -> Result<(), Error> {
    let now = remote.file(shard, watch)?;
    if now.etag == etag {
        return Ok(());
    }
    remote.forget_header(shard);
    let detail = format!("etag `{etag}` became `{}`", now.etag);
    Err(Error::Changed { what: format!("{}/{shard}", remote.id), detail })
}

struct Growing<'a> {
    writer: &'a mut Writer,
    total: u64,
    transfer: &'a mut Transfer,
}

impl Growing<'_> {
    /// Copies pieces of a shard on this disk.
    fn copy(
        &mut self,
        store: &Arc<Store>,
        pieces: &[Range<u64>],
        watch: &mut Watch<'_>,
    ) -> Result<(), Error> {
        for piece in pieces {
            let mut at = piece.start;
            while at < piece.end {
                let bytes = store.read(at, CHUNK.min(piece.end - at) as usize)?;
                at += bytes.len() as u64;
                self.writer.write(&bytes)?;
                self.transfer.from_cache += bytes.len() as u64;
                self.tell(watch)?;
            }
        }
        Ok(())
    }

    /// Receives one range and keeps the pieces in it.
    fn receive(
        &mut self,
        remote: &Remote,
        shard: &str,
        range: Range<u64>,
        pieces: &[Range<u64>],
        watch: &mut Watch<'_>,
    ) -> Result<(), Error> {
        let mut at = range.start;
        let mut pieces = pieces.iter().filter(|it| range.start <= it.start && it.end <= range.end).peekable();
        remote.stream(shard, range.clone(), watch, &mut |mut bytes, watch| {
            while !bytes.is_empty() {
                let Some(piece) = pieces.peek() else {
                    self.transfer.waste_bytes += bytes.len() as u64;
                    break;
                };
                let wanted = at >= piece.start;
                let border = if wanted { piece.end } else { piece.start };
                let (now, later) = bytes.split_at((border - at).min(bytes.len() as u64) as usize);
                if wanted {
                    self.writer.write(now)?;
                    self.transfer.tensor_bytes += now.len() as u64;
                } else {
                    self.transfer.waste_bytes += now.len() as u64;
                }
                at += now.len() as u64;
                if at == piece.end {
                    pieces.next();
                }
                bytes = later;
            }
            self.tell(watch)
        })
    }

    fn tell(&self, watch: &mut Watch<'_>) -> Result<(), Error> {
        tell(watch, Progress::Advanced { done: self.writer.done(), total: self.total })
    }
}

fn length(range: &Range<u64>) -> u64 {
    range.end - range.start
}
