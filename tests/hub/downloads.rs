//! Whole files and data sets, in the layout that transformers and datasets read.

use std::ops::ControlFlow;
use std::path::Path;

use pifi_probe::hub::{Error, ModelName, Progress, Repository, Settings, datasets, unwatched};
use sha2::{Digest, Sha256};

use crate::hub_server::{Action, Fault, HubServer, Port, commit_of, hex};
use crate::model::{ID, LAYERS, files, open, server, settings};

const SHARD: &str = "model-00001-of-00002.safetensors";

fn content(name: &str) -> Vec<u8> {
    files().into_iter().find(|(file, _)| file == name).unwrap().1
}

fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// The Hub cache's folder of the model.
fn cached(settings: &Settings) -> std::path::PathBuf {
    settings.cache.join("models--org--llama")
}

#[test]
fn files_land_in_the_hub_cache_as_transformers_expects_them() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let settings = settings(&server.endpoint, folder.path());
    let repository = open(&settings);
    let commit = commit_of(ID);
    assert_eq!(repository.read_file("config.json").unwrap(), content("config.json"));
    let path = repository.download_file(SHARD, &mut unwatched).unwrap();
    let root = cached(&settings);
    assert_eq!(std::fs::read_to_string(root.join("refs/main")).unwrap(), commit);
    assert_eq!(path, root.join("snapshots").join(&commit).join(SHARD));
    let hash = sha256(&content(SHARD));
    assert_eq!(std::fs::read_link(&path).unwrap(), Path::new("../../blobs").join(&hash));
    assert_eq!(std::fs::read(root.join("blobs").join(hash)).unwrap(), content(SHARD));
    let small = root.join("snapshots").join(&commit).join("config.json");
    let etag = &sha256(&content("config.json"))[..40];
    assert_eq!(std::fs::read_link(&small).unwrap(), Path::new("../../blobs").join(etag));
    let left = std::fs::read_dir(root.join("blobs")).unwrap().count();
    assert_eq!(left, 2, "nothing temporary is left");
    // and is not asked for again
    server.clear_log();
    repository.download_file(SHARD, &mut unwatched).unwrap();
    repository.read_file("config.json").unwrap();
    assert_eq!(server.log().len(), 0);
}

#[test]
fn a_whole_checkpoint_can_be_read_after_its_shards_came() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let repository = open(&settings(&server.endpoint, folder.path()));
    let checkpoint = repository.checkpoint(&mut unwatched).unwrap();
    assert_eq!(checkpoint.tensor_names().len(), LAYERS * 9 + 2);
    for it in crate::model::layer(5) {
        assert_eq!(checkpoint.tensor(&it.name).unwrap().bytes, it.bytes);
    }
}

#[test]
fn a_stopped_download_goes_on_from_its_last_byte() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let settings = settings(&server.endpoint, folder.path());
    server.fault_once(Port::Cdn, SHARD, Action::Truncate(100_000));
    let mut reached = 0;
    let stopped = open(&settings).download_file(SHARD, &mut |progress| match progress {
        Progress::Advanced { done, .. } => {
            reached = done;
            ControlFlow::Continue(())
        }
        Progress::Waiting { .. } => ControlFlow::Break(()),
        Progress::Started { .. } => ControlFlow::Continue(()),
    });
    assert!(matches!(stopped, Err(Error::Interrupted)));
    assert_eq!(reached, 100_000);
    let size = content(SHARD).len();
    let path = open(&settings).download_file(SHARD, &mut unwatched).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), content(SHARD));
    let last = server.log().pop().unwrap();
    assert_eq!(last.range, Some(format!("bytes=100000-{}", size - 1)));
}

#[test]
fn wrong_bytes_are_found_by_their_hash_and_not_kept() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let settings = settings(&server.endpoint, folder.path());
    let hash = sha256(&content(SHARD));
    let partial = cached(&settings).join("blobs").join(format!("{hash}.incomplete"));
    std::fs::create_dir_all(partial.parent().unwrap()).unwrap();
    std::fs::write(&partial, [0; 1000]).unwrap();
    let error = open(&settings).download_file(SHARD, &mut unwatched).unwrap_err();
    assert!(matches!(&error, Error::Corrupt { expected, .. } if *expected == hash), "{error}");
    assert!(!partial.exists());
    open(&settings).download_file(SHARD, &mut unwatched).unwrap();
}

#[test]
fn a_mirror_without_ranges_still_serves_whole_files() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    server.fault_once(Port::Cdn, SHARD, Action::IgnoreRange);
    let path = open(&settings(&server.endpoint, folder.path())).download_file(SHARD, &mut unwatched).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), content(SHARD));
}

#[test]
fn an_empty_file_is_a_file() {
    let server = HubServer::start();
    let folder = tempfile::tempdir().unwrap();
    server.add(ID, "empty.safetensors", vec![]);
    server.add(ID, "empty.txt", vec![]);
    let repository = open(&settings(&server.endpoint, folder.path()));
    let path = repository.download_file("empty.safetensors", &mut unwatched).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), b"");
    assert_eq!(repository.read_file("empty.txt").unwrap(), b"");
}

#[test]
fn many_at_once_download_a_file_once() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let settings = settings(&server.endpoint, folder.path());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| open(&settings).download_file(SHARD, &mut unwatched).unwrap());
        }
    });
    let ranges = server.log().into_iter().filter(|it| it.port == Port::Cdn).count();
    assert_eq!(ranges, 1);
}

#[test]
fn a_large_small_file_comes_through_the_redirect_and_is_checked() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    server.add(ID, "tokenizer.json", b"{}".to_vec());
    let settings = settings(&server.endpoint, folder.path());
    let repository = open(&settings);
    assert_eq!(repository.read_file("tokenizer.json").unwrap(), b"{}");
    assert!(cached(&settings).join("blobs").join(sha256(b"{}")).is_file());
}

#[test]
fn a_split_of_a_data_set_is_found_pinned_and_kept() {
    let server = HubServer::start();
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(&server.endpoint, folder.path());
    let set = "datasets/org/reviews";
    for name in ["default/train/0001.parquet", "default/train/0000.parquet", "default/test/0000.parquet"] {
        server.add(set, name, name.as_bytes().to_vec());
    }
    server.add(set, "large/partial-train/0000.parquet", b"part".to_vec());
    let parquet = |settings: &Settings, config: &str, split: &str| {
        datasets::parquet(settings, "org/reviews", config, split, &mut unwatched)
    };
    let found = parquet(&settings, "default", "train").unwrap();
    assert_eq!(found.sha, commit_of(set));
    assert!(!found.partial);
    let texts: Vec<String> = found.files.iter().map(|it| std::fs::read_to_string(it).unwrap()).collect();
    assert_eq!(texts, ["default/train/0000.parquet", "default/train/0001.parquet"]);
    let root = settings.cache.join("datasets--org--reviews");
    assert_eq!(std::fs::read_to_string(root.join("refs/refs/convert/parquet")).unwrap(), found.sha);
    assert!(parquet(&settings, "large", "train").unwrap().partial);
    let error = parquet(&settings, "default", "validation").unwrap_err().to_string();
    assert!(error.contains("no split `default/validation`") && error.contains("default/test"), "{error}");
    assert!(parquet(&settings, "../x", "train").is_err());
    settings.offline = Some("`--offline`".to_owned());
    server.clear_log();
    assert_eq!(parquet(&settings, "default", "train").unwrap(), found);
    assert!(matches!(parquet(&settings, "default", "test"), Err(Error::Offline { .. })));
    assert_eq!(server.log().len(), 0);
}

#[test]
fn a_commit_that_the_server_does_not_keep_to_is_noticed() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let settings = settings(&server.endpoint, folder.path());
    let headers = vec![
        ("location", format!("{}/x", server.endpoint.replace("127.0.0.1", "localhost"))),
        ("x-linked-etag", "\"e\"".to_owned()),
        ("x-linked-size", "9".to_owned()),
        ("x-repo-commit", "0".repeat(40)),
    ];
    let action = Action::Answer { status: 302, headers };
    server.fault(Fault { port: Port::Hub, path: "/resolve/", skip: 0, times: 1, action });
    let name = ModelName::parse(ID).unwrap();
    let error =
        Repository::open(&settings, &name, None).unwrap().download_file(SHARD, &mut unwatched).unwrap_err();
    assert!(matches!(error, Error::Changed { .. }), "{error}");
}
