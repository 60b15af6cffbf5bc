//! A model's repository, wherever it is: on the Hub at a pinned commit, in a local directory, or
//! inside the binary. The Hub is asked only for what neither disk nor cache has.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::bundle::Manifest;
use super::checkpoint::{Checkpoint, Extent, Store, extents};
use super::disk;
use super::error::Error;
use super::identity;
use super::index::{LARGEST_INDEX, Shard, ShardMap, TensorEntry, TensorIndex};
use super::name::ModelName;
use super::progress::Watch;
use super::remote::Remote;
use super::repository_id::{Kind, RepositoryId, is_inside};
use super::settings::Settings;
use super::tensor::TensorRequest;

/// Largest file that [`Repository::read_file`] reads: tokenizers of large vocabularies have some
/// 40 MB.
pub const LARGEST_FILE: u64 = 128 << 20;

const INDEX: &str = "model.safetensors.index.json";
const SINGLE: &str = "model.safetensors";

/// A repository, ready to be read.
#[derive(Debug)]
pub struct Repository {
    place: Place,
    shards: OnceLock<ShardMap>,
}

#[derive(Debug)]
enum Place {
    Remote(Box<Remote>),
    Local {
        path: PathBuf,
        folder: PathBuf,
        single: Option<String>,
        identity: String,
        export: Option<Manifest>,
    },
    Memory {
        name: String,
        files: Vec<(&'static str, &'static [u8])>,
        identity: String,
    },
}

/// Where a shard's bytes are.
pub(crate) enum ShardAt {
    Here(Arc<Store>),
    There(String),
}

/// A requested tensor and the shard it is in.
pub(crate) struct Located {
    pub(crate) name: String,
    pub(crate) shard: String,
    pub(crate) extent: Extent,
}

/// What requests were found to need.
pub(crate) struct Location {
    /// By shard, then by place in it.
    pub(crate) tensors: Vec<Located>,
    pub(crate) shards: BTreeMap<String, ShardAt>,
    /// Bytes of headers that came over the network.
    pub(crate) header_bytes: u64,
    /// Requests sent for them.
    pub(crate) requests: u64,
}

impl Repository {
    /// Opens a repository. One on the Hub is pinned to the commit of `revision` (which counts more
    /// than the one in the name; `main` without both), asked from the Hub or, offline, taken from
    /// the cache. A path makes no network call.
    ///
    /// # Errors
    /// When it cannot be found, accessed or read.
    pub fn open(settings: &Settings, name: &ModelName, revision: Option<&str>) -> Result<Self, Error> {
        match name {
            ModelName::Hub { id, revision: in_name, .. } => {
                let revision = revision.or(in_name.as_deref()).unwrap_or("main");
                let remote = Remote::pin(settings, RepositoryId::new(id, Kind::Model)?, revision)?;
                Ok(Self::at(Place::Remote(Box::new(remote))))
            }
            ModelName::Path(path) => Self::local(path),
            ModelName::Embedded(name) => {
                let files = super::demo::files(name);
                if files.is_empty() {
                    return Err(Error::NotEmbedded {
                        repository: name.clone(),
                        name: "repository".to_owned(),
                    });
                }
                Ok(Self::from_memory(name, files))
            }
        }
    }

    /// A repository of files that are part of the program.
    pub fn from_memory(name: &str, files: Vec<(&'static str, &'static [u8])>) -> Self {
        let identity = format!("embedded:{name}:{}", identity::of_memory(&files));
        Self::at(Place::Memory { name: name.to_owned(), files, identity })
    }

    fn local(path: &Path) -> Result<Self, Error> {
        let (folder, single) = if path.is_dir() {
            (path.to_owned(), None)
        } else if path.is_file() {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            (parent.unwrap_or(Path::new(".")).to_owned(), Some(name))
        } else {
            return Err(Error::NoSuchPath(path.to_owned()));
        };
        let export = Manifest::read(&folder)?.filter(|_| single.is_none());
        let identity = if let Some(manifest) = &export {
            manifest.identity.clone()
        } else {
            let shards = match &single {
                Some(name) => vec![name.clone()],
                // what is missing is said when it is asked for
                None => ShardMap::of_folder(&folder).map(|map| map.shards).unwrap_or_default(),
            };
            format!("local:{}", identity::of_folder(&folder, &shards)?)
        };
        let path = path.to_owned();
        Ok(Self::at(Place::Local { path, folder, single, identity, export }))
    }

    fn at(place: Place) -> Self {
        Self { place, shards: OnceLock::new() }
    }

    /// Hub id, path or embedded name: what the repository is called in records.
    pub fn id(&self) -> String {
        match &self.place {
            Place::Remote(remote) => remote.id.to_string(),
            Place::Local { export: Some(manifest), .. } => manifest.repository.clone(),
            Place::Local { path, .. } => path.display().to_string(),
            Place::Memory { name, .. } => name.clone(),
        }
    }

    /// Name and short commit, path, or embedded name: what the repository is called in messages.
    pub fn describe(&self) -> String {
        match &self.place {
            Place::Remote(remote) => format!("{}@{}", remote.id, &remote.commit[..8]),
            Place::Local { path, .. } => path.display().to_string(),
            Place::Memory { name, .. } => format!("{name} (embedded)"),
        }
    }

    /// The commit that a Hub repository, or the origin of exported layers, is pinned to.
    pub fn commit(&self) -> Option<&str> {
        match &self.place {
            Place::Remote(remote) => Some(&remote.commit),
            Place::Local { export: Some(manifest), .. } => manifest.commit.as_deref(),
            _ => None,
        }
    }

    /// Whether it is read without any network: a path or embedded.
    pub fn is_local(&self) -> bool {
        !matches!(self.place, Place::Remote(_))
    }

    /// Decides results, so it stands in hashes: `org/name@commit`, or a hash of the content
    /// (configuration, tokenizer, headers and weights; of shards over 64 MiB their first 8 MiB and
    /// samples). The place of a directory does not matter.
    pub fn identity(&self) -> String {
        match &self.place {
            Place::Remote(remote) => format!("{}@{}", remote.id, remote.commit),
            Place::Local { identity, .. } | Place::Memory { identity, .. } => identity.clone(),
        }
    }

    /// Reads a small file (`config.json`, `tokenizer.json`, ...), through the Hub cache.
    ///
    /// # Errors
    /// When there is none, it has more than [`LARGEST_FILE`] bytes, or it cannot be had.
    pub fn read_file(&self, name: &str) -> Result<Vec<u8>, Error> {
        self.read_file_of(name, LARGEST_FILE)
    }

    /// As [`Self::read_file`], `None` when the repository has no such file.
    ///
    /// # Errors
    /// As [`Self::read_file`].
    pub fn read_optional(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        match self.read_file(name) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Error::NoFile { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn read_file_of(&self, name: &str, limit: u64) -> Result<Vec<u8>, Error> {
        match &self.place {
            Place::Remote(remote) => remote.read_small(name, limit),
            Place::Local { folder, .. } => disk::read_small(&self.existing(folder, name)?, limit),
            Place::Memory { files, .. } => files
                .iter()
                .find(|(file, _)| *file == name)
                .map(|(_, bytes)| bytes.to_vec())
                .ok_or_else(|| self.no_file(name)),
        }
    }

    /// The path of a file on this disk; one of the Hub is fetched whole into its cache first.
    ///
    /// # Errors
    /// When it cannot be had, or is embedded.
    pub fn download_file(&self, name: &str, watch: &mut Watch<'_>) -> Result<PathBuf, Error> {
        match &self.place {
            Place::Remote(remote) => remote.download(name, watch),
            Place::Local { folder, .. } => self.existing(folder, name),
            Place::Memory { .. } => Err(self.no_file(name)),
        }
    }

    /// All tensors, the whole checkpoint on this disk; one of the Hub is fetched first.
    ///
    /// # Errors
    /// When a shard cannot be had or read, or lacks a tensor that the index promises.
    pub fn checkpoint(&self, watch: &mut Watch<'_>) -> Result<Checkpoint, Error> {
        let map = self.shard_map()?;
        let mut checkpoint = Checkpoint::new(format!("`{}`", self.describe()));
        for (at, shard) in map.shards.iter().enumerate() {
            let store = match (self.here(shard)?, &self.place) {
                (Some(store), _) => store,
                (None, Place::Remote(remote)) => {
                    let path = remote.download(shard, watch).map_err(|error| self.no_weights(error))?;
                    Arc::new(Store::open(&path)?)
                }
                (None, _) => return Err(self.no_file(shard)),
            };
            let header = store.header()?;
            for (name, extent) in self.promised(map, at, extents(&header, &store.name())?)? {
                let length = |it: &Extent| it.bytes.end - it.bytes.start;
                if checkpoint.extent(&name).is_none_or(|other| length(other) < length(&extent)) {
                    checkpoint.insert(&name, &store, extent);
                }
            }
        }
        Ok(checkpoint)
    }

    /// Names of all tensors; the headers are read only where no index names them.
    ///
    /// # Errors
    /// When there is no checkpoint, or its index or header lies.
    pub fn tensor_names(&self) -> Result<BTreeSet<String>, Error> {
        match &self.shard_map()?.of {
            Some(of) => Ok(of.keys().cloned().collect()),
            None => Ok(self.tensor_index()?.names()),
        }
    }

    /// All tensors with their types, shapes and places: reads every header, no weight.
    ///
    /// # Errors
    /// As [`Self::tensor_names`]; and when a shard lacks a tensor that the index promises.
    pub fn tensor_index(&self) -> Result<TensorIndex, Error> {
        let map = self.shard_map()?;
        let mut index = TensorIndex::default();
        for (at, name) in map.shards.iter().enumerate() {
            let (_, found, size, header_bytes, _) = self.shard(name)?;
            index.shards.push(Shard { name: name.clone(), size, header_bytes });
            for (name, extent) in self.promised(map, at, found)? {
                let Extent { dtype, shape, rows, bytes } = extent;
                let length = bytes.end - bytes.start;
                if index.tensors.get(&name).is_none_or(|it| it.bytes.end - it.bytes.start < length) {
                    index.tensors.insert(name, TensorEntry { shard: at, dtype, shape, rows, bytes });
                }
            }
        }
        Ok(index)
    }

    /// Where requested tensors are, from the headers of the shards that hold them and no others.
    pub(crate) fn locate(&self, requests: &[TensorRequest]) -> Result<Location, Error> {
        let sent = || self.remote().map_or(0, |remote| remote.client.requests());
        let before = sent();
        let map = self.shard_map()?;
        let within = || format!("`{}`", self.describe());
        let needed: BTreeSet<usize> = match &map.of {
            None => (0..map.shards.len()).collect(),
            Some(of) => requests
                .iter()
                .map(|it| {
                    let missing = || Error::NoTensor { name: it.name.clone(), within: within() };
                    of.get(&it.name).copied().ok_or_else(missing)
                })
                .collect::<Result<_, _>>()?,
        };
        let mut location =
            Location { tensors: Vec::new(), shards: BTreeMap::new(), header_bytes: 0, requests: 0 };
        let mut best: BTreeMap<&str, Located> = BTreeMap::new();
        for at in needed {
            let shard = &map.shards[at];
            let (place, found, _, _, transferred) = self.shard(shard)?;
            location.header_bytes += transferred;
            location.shards.insert(shard.clone(), place);
            let found = self.promised(map, at, found)?;
            for request in requests {
                let Some(extent) = found.get(&request.name) else { continue };
                let extent = match extent.narrowed(request) {
                    Ok(extent) => extent,
                    // another exported file may hold these rows
                    Err(_) if map.of.is_none() && map.shards.len() > 1 => continue,
                    Err(error) => return Err(error),
                };
                let located = Located { name: request.name.clone(), shard: shard.clone(), extent };
                if best.insert(&request.name, located).is_some_and(|earlier| earlier.shard == *shard) {
                    let reason = "requested twice".to_owned();
                    return Err(Error::BadRequest { name: request.name.clone(), reason });
                }
            }
        }
        if let Some(lost) = requests.iter().find(|it| !best.contains_key(it.name.as_str())) {
            return Err(Error::NoTensor { name: lost.name.clone(), within: within() });
        }
        location.tensors = best.into_values().collect();
        location.tensors.sort_by(|a, b| {
            (&a.shard, a.extent.bytes.start, &a.name).cmp(&(&b.shard, b.extent.bytes.start, &b.name))
        });
        location.requests = sent() - before;
        location.shards.retain(|shard, _| location.tensors.iter().any(|it| it.shard == *shard));
        Ok(location)
    }

    /// The Hub's side of the repository.
    pub(crate) fn remote(&self) -> Option<&Remote> {
        match &self.place {
            Place::Remote(remote) => Some(remote),
            _ => None,
        }
    }

    /// A shard: place, tensors, bytes, bytes of its header, bytes transferred for that.
    #[expect(clippy::type_complexity, reason = "taken apart at once by both callers")]
    fn shard(&self, name: &str) -> Result<(ShardAt, BTreeMap<String, Extent>, u64, u64, u64), Error> {
        if let Some(store) = self.here(name)? {
            let header = store.header()?;
            let found = extents(&header, &store.name())?;
            let size = store.size();
            return Ok((ShardAt::Here(store), found, size, header.data_start, 0));
        }
        let Place::Remote(remote) = &self.place else { return Err(self.no_file(name)) };
        let read = remote.header(name).map_err(|error| self.no_weights(error))?;
        let found = extents(&read.header, name)?;
        let place = ShardAt::There(read.etag);
        Ok((place, found, read.size, read.header.data_start, read.transferred))
    }

    /// The tensors of shard `at`: those that the index says are there, if there is an index.
    fn promised(
        &self,
        map: &ShardMap,
        at: usize,
        mut found: BTreeMap<String, Extent>,
    ) -> Result<BTreeMap<String, Extent>, Error> {
        let Some(of) = &map.of else { return Ok(found) };
        let promised: BTreeSet<&String> =
            of.iter().filter(|(_, shard)| **shard == at).map(|(name, _)| name).collect();
        if let Some(lost) = promised.iter().find(|name| !found.contains_key(**name)) {
            let reason =
                format!("it puts tensor `{lost}` into `{}`, which has no such tensor", map.shards[at]);
            return Err(Error::Index { file: format!("{}/{INDEX}", self.describe()), reason });
        }
        found.retain(|name, _| promised.contains(name));
        Ok(found)
    }

    /// A shard that is whole on this disk or in the binary.
    fn here(&self, shard: &str) -> Result<Option<Arc<Store>>, Error> {
        match &self.place {
            Place::Remote(remote) => match remote.folder.find(&remote.commit, shard) {
                Some(path) => Store::open(&path).map(Arc::new).map(Some),
                None => Ok(None),
            },
            Place::Local { folder, .. } => {
                let path = self.existing(folder, shard)?;
                Store::open(&path).map(Arc::new).map(Some)
            }
            Place::Memory { name, files, .. } => {
                let found = files.iter().find(|(file, _)| *file == shard);
                let store = |bytes: &&'static [u8]| Store::Memory { name: format!("{name}/{shard}"), bytes };
                Ok(found.map(|(_, bytes)| Arc::new(store(bytes))))
            }
        }
    }

    fn shard_map(&self) -> Result<&ShardMap, Error> {
        if let Some(map) = self.shards.get() {
            return Ok(map);
        }
        let map = match &self.place {
            Place::Local { single: Some(name), .. } => ShardMap::single(name),
            Place::Local { folder, .. } => ShardMap::of_folder(folder)?,
            Place::Memory { .. } => ShardMap::single(SINGLE),
            Place::Remote(remote) => match remote.read_small(INDEX, LARGEST_INDEX) {
                Ok(bytes) => ShardMap::parse(&bytes, &format!("{}/{INDEX}", self.describe()))?,
                Err(Error::NoFile { .. }) => ShardMap::single(SINGLE),
                // a single file that is known needs no word on an index
                Err(Error::Offline { .. })
                    if remote.header(SINGLE).is_ok() || self.here(SINGLE)?.is_some() =>
                {
                    ShardMap::single(SINGLE)
                }
                Err(error) => return Err(error),
            },
        };
        Ok(self.shards.get_or_init(|| map))
    }

    fn existing(&self, folder: &Path, name: &str) -> Result<PathBuf, Error> {
        let path = folder.join(name);
        if is_inside(name) && path.is_file() { Ok(path) } else { Err(self.no_file(name)) }
    }

    fn no_file(&self, name: &str) -> Error {
        match &self.place {
            Place::Memory { name: repository, .. } => {
                Error::NoFile { repository: repository.clone(), name: name.to_owned() }
            }
            _ => Error::NoFile { repository: self.describe(), name: name.to_owned() },
        }
    }

    fn no_weights(&self, error: Error) -> Error {
        match error {
            Error::NoFile { name, .. } if name == SINGLE => Error::NoSafetensors(self.describe()),
            other => other,
        }
    }
}
