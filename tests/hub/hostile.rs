//! Checkpoints that lie: each is refused by name, without a panic, a large allocation or a byte
//! outside of the cache.

use pifi_probe::hub::{Error, ModelName, Repository, bundle, unwatched};

use crate::hub_server::{Action, Fault, HubServer, Port};
use crate::model::{ID, files, header_bytes, layer, open, requests, safetensors, settings, tensor};

/// A file with this JSON as its header and so many bytes of data.
fn file(json: &str, data: usize) -> Vec<u8> {
    let mut file = (json.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(json.as_bytes());
    file.resize(file.len() + data, 0);
    file
}

fn lies() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let huge = |length: u64| [&length.to_le_bytes()[..], &[b'{'; 64]].concat();
    let whole = safetensors(&layer(0), 0);
    let two = |a: &str, b: &str| {
        format!(
            r#"{{"a":{{"dtype":"F32","shape":[2],"data_offsets":{a}}},"b":{{"dtype":"F32","shape":[2],"data_offsets":{b}}}}}"#
        )
    };
    vec![
        ("empty", vec![], "too short"),
        ("seven-bytes", vec![0; 7], "too short"),
        ("no-header", vec![0; 8], "does not begin"),
        ("huge", huge(u64::MAX), "more than the allowed"),
        ("over-the-limit", huge(100_000_001), "more than the allowed"),
        ("longer-than-the-file", huge(65), "too short"),
        ("no-json", huge(64), "not in the format's JSON"),
        ("trailing-bytes", [&whole[..], &[0]].concat(), "header and tensors make"),
        ("cut-short", whole[..whole.len() - 1].to_vec(), "header and tensors make"),
        ("overlap", file(&two("[0,8]", "[4,12]"), 12), "expected 8"),
        ("hole", file(&two("[0,8]", "[12,20]"), 20), "expected 8"),
        ("reversed", file(&two("[8,0]", "[0,8]"), 8), "end before"),
        ("twice", file(&two("[0,8]", "[8,16]").replace("\"b\"", "\"a\""), 16), "stands twice"),
        ("wrong-size", file(&two("[0,4]", "[4,12]"), 12), "4 bytes, but"),
        (
            "overflow",
            file(r#"{"a":{"dtype":"F64","shape":[9223372036854775807,9],"data_offsets":[0,8]}}"#, 8),
            "more elements than can be counted",
        ),
        ("deep", file(&"[".repeat(50_000), 0), "does not begin"),
    ]
}

#[test]
fn every_lie_is_refused_by_name_from_the_hub_and_from_disk() {
    let server = HubServer::start();
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(&server.endpoint, folder.path());
    for (name, content, message) in lies() {
        let id = format!("org/{name}");
        server.add(&id, "model.safetensors", content.clone());
        let path = folder.path().join(format!("{name}.safetensors"));
        std::fs::write(&path, content).unwrap();
        for model in [ModelName::parse(&id).unwrap(), ModelName::Path(path)] {
            let repository = Repository::open(&settings, &model, None).unwrap();
            let error = repository.tensor_index().unwrap_err();
            assert!(matches!(error, Error::Header { .. }), "{name}: {error}");
            assert!(error.to_string().contains(message), "{name}: {error}");
            assert!(bundle::fetch(&repository, &requests(0), 0, "sequence", &mut unwatched).is_err());
        }
    }
}

#[test]
fn a_header_that_is_no_json_costs_its_own_bytes_and_no_more() {
    let server = HubServer::start();
    let folder = tempfile::tempdir().unwrap();
    let content = [&(1_000_000u64).to_le_bytes()[..], &vec![b' '; 5_000_000]].concat();
    server.add(ID, "model.safetensors", content);
    let error = open(&settings(&server.endpoint, folder.path())).tensor_index().unwrap_err();
    assert!(matches!(error, Error::Header { .. }), "{error}");
    assert_eq!(server.sent(Port::Cdn), 1_000_008);
}

#[test]
fn an_index_that_points_outside_or_promises_too_much_is_refused() {
    let server = HubServer::start();
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(&server.endpoint, folder.path());
    for (name, shard, message) in [
        ("outside", "../../../outside.safetensors", "outside of the repository"),
        ("absolute", "/etc/passwd.safetensors", "outside of the repository"),
        ("pickle", "model.bin", "no .safetensors"),
        ("absent", "model-1.safetensors", "which has no such tensor"),
    ] {
        let id = format!("org/index-{name}");
        let index = format!(r#"{{"weight_map":{{"no.such.tensor":"{shard}"}}}}"#);
        server.add(&id, "model.safetensors.index.json", index.clone().into_bytes());
        server.add(&id, "model-1.safetensors", safetensors(&[tensor("a", &[2])], 0));
        let local = folder.path().join(name);
        std::fs::create_dir(&local).unwrap();
        std::fs::write(local.join("model.safetensors.index.json"), &index).unwrap();
        std::fs::write(local.join("model-1.safetensors"), safetensors(&[tensor("a", &[2])], 0)).unwrap();
        for model in [ModelName::parse(&id).unwrap(), ModelName::Path(local)] {
            let error =
                Repository::open(&settings, &model, None).and_then(|it| it.tensor_index()).unwrap_err();
            assert!(matches!(error, Error::Index { .. }), "{name}: {error}");
            assert!(error.to_string().contains(message), "{name}: {error}");
        }
    }
}

#[test]
fn no_corruption_of_a_whole_file_panics_or_reads_past_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let whole = safetensors(&[tensor("a", &[3, 4]), tensor("b", &[5])], 0);
    let header = header_bytes(&whole) as usize;
    // a linear congruential generator (Knuth, MMIX) is random enough to place bytes
    let mut state = 3u64;
    let mut next = |limit: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % limit
    };
    let mut read = 0;
    for round in 0..600 {
        let mut content = whole.clone();
        match round % 3 {
            0 => content.truncate(next(whole.len())),
            1 => content[next(8)] = next(256) as u8,
            _ => content[8 + next(header - 8)] = next(256) as u8,
        }
        std::fs::write(&path, &content).unwrap();
        let repository = Repository::open(
            &settings("http://127.0.0.1:9", folder.path()),
            &ModelName::Path(path.clone()),
            None,
        );
        if let Ok(checkpoint) = repository.and_then(|it| it.checkpoint(&mut unwatched)) {
            for name in checkpoint.tensor_names() {
                read += checkpoint.tensor(&name).unwrap().bytes.len();
            }
        }
    }
    assert!(read > 0, "some edits fall into a name and leave the file sound");
}

#[test]
fn an_odd_answer_to_the_revision_is_refused() {
    let server = HubServer::start();
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(&server.endpoint, folder.path());
    for (name, content) in files() {
        server.add(ID, &name, content);
    }
    let open = || Repository::open(&settings, &ModelName::parse(ID).unwrap(), None);
    let action = Action::Truncate(10);
    server.fault(Fault { port: Port::Hub, path: "/revision/", skip: 0, times: 4, action });
    let error = open().unwrap_err();
    assert!(matches!(error, Error::Network { .. }), "{error}");
    server.fault_once(Port::Hub, "/revision/", Action::Answer { status: 200, headers: vec![] });
    let error = open().unwrap_err();
    assert!(matches!(error, Error::Json { .. }), "{error}");
    open().unwrap();
}
