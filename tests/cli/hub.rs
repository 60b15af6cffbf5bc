//! The program against a Hub on loopback: who may read what, and which bytes travel for one layer.

use std::fs;

use crate::hub_server::{Access, Action, Fault, HubServer, Port, TOKEN};
use crate::table::judge;
use crate::world::{World, fixture};

const ID: &str = "org/llama";

/// A Hub with the files of a fixture, and a world that sees it.
fn with(fixtures: &str) -> (HubServer, World) {
    let server = HubServer::start();
    for entry in fs::read_dir(fixture(fixtures)).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name == "config.json" || name.starts_with("model") {
            server.add(ID, &name, fs::read(&path).unwrap());
        }
    }
    let mut world = World::new();
    world.set("HF_ENDPOINT", &server.endpoint);
    world.set("HF_HUB_OFFLINE", "0");
    (server, world)
}

#[test]
fn a_repository_that_may_not_be_read_says_what_to_do() {
    let rows: [(Access, Option<&str>, i32, &[&str]); 6] = [
        (
            Access::Gated,
            None,
            4,
            &["`org/llama` is gated, and no token was found", "accept the terms", "HF_TOKEN"],
        ),
        (Access::Gated, Some("hf_wrong"), 4, &["token from HF_TOKEN rejected", "replace the token"]),
        (Access::Pending, Some(TOKEN), 4, &["`org/llama` is gated", "has no access yet"]),
        (Access::FineGrained, Some(TOKEN), 4, &["fine-grained token from HF_TOKEN", "`org/llama`"]),
        (Access::Private, None, 1, &["`org/llama` not found", "HF_TOKEN"]),
        (Access::Open, Some("no token"), 4, &["token from HF_TOKEN is not a token"]),
    ];
    for (access, token, code, says) in rows {
        let (server, mut world) = with("llm/llama2");
        server.restrict(ID, access);
        if let Some(token) = token {
            world.set("HF_TOKEN", token);
        }
        for line in ["fetch org/llama --layers 0", "layers --llm org/llama --slm ./slm --task r=reviews"] {
            let ended = world.run(line);
            let wrong = judge(&ended, code, says);
            assert!(wrong.is_empty(), "{access:?} {token:?} `{line}`: {wrong:?}\n{}", ended.err);
        }
        assert!(world.files("outputs").is_empty() && !secret(&world), "{access:?}");
    }
}

/// Whether a token stands anywhere in the caches.
fn secret(world: &World) -> bool {
    let holds = |folder: &str, file: &String| {
        let content = fs::read(world.path(folder).join(file)).unwrap();
        content.windows(TOKEN.len()).any(|part| part == TOKEN.as_bytes())
    };
    ["cache", "hf"].iter().any(|folder| world.files(folder).iter().any(|file| holds(folder, file)))
}

#[test]
fn what_is_not_there_is_told_apart() {
    let (server, mut world) = with("llm/llama2");
    for (line, code, says) in [
        ("fetch org/lama --layers 0", 1, &["`org/lama` not found", "check the spelling"][..]),
        ("fetch org/llama@v9 --layers 0", 1, &["`org/llama` has no revision `v9`", "branches and tags"]),
        ("fetch org/llama --layers 3", 2, &["layer 3 does not exist", "(0..=2)"]),
    ] {
        let ended = world.run(line);
        let wrong = judge(&ended, code, says);
        assert!(wrong.is_empty(), "`{line}`: {wrong:?}\n{}", ended.err);
    }
    // a server with trouble of its own: the program tries again, then says so
    let action = Action::Answer { status: 404, headers: vec![("x-error-code", "EntryNotFound".to_owned())] };
    server.fault(Fault { port: Port::Hub, path: "config.json", skip: 0, times: usize::MAX, action });
    world.set("PIFI_PROBE_CACHE", "other-cache");
    world.set("HF_HOME", "other-home");
    let ended = world.run("inspect org/llama");
    let wrong = judge(&ended, 1, &["`org/llama", "config.json"]);
    assert!(wrong.is_empty(), "{wrong:?}\n{}", ended.err);
    // what was never fetched is missing offline, and the hint says how to get it
    world.set("HF_HUB_OFFLINE", "1");
    world.set("PIFI_PROBE_CACHE", "empty-cache");
    world.set("HF_HOME", "empty-home");
    let ended = world.run("fetch org/llama --layers 0");
    let wrong =
        judge(&ended, 5, &["offline (from HF_HUB_OFFLINE=1)", "`org/llama`", "pifi-probe fetch org/llama"]);
    assert!(wrong.is_empty(), "{wrong:?}\n{}", ended.err);
}

/// Layer 0 of the fixture straddles the first two of its five shards.
#[test]
fn one_layer_takes_its_tensors_two_headers_and_at_most_two_percent_more() {
    let (server, world) = with("llm/llama3");
    for (scope, left_out) in [("sequence", &[][..]), ("pooled", &["q_proj", "k_proj"])] {
        let (needed, headers) = sizes(left_out);
        // what the sequence fetched is there; a cache of its own each
        let mut world = World::new();
        world.set("HF_ENDPOINT", &server.endpoint);
        world.set("HF_HUB_OFFLINE", "0");
        server.clear_log();
        let ended = world.run(&format!("fetch {ID} --layers 0 --scope {scope} --json"));
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        let events = ended.out.lines().map(|line| serde_json::from_str(line).unwrap());
        let layers: Vec<serde_json::Value> =
            events.filter(|event: &serde_json::Value| event["event"] == "layer").collect();
        let [event] = &layers[..] else { panic!("{}", ended.out) };
        let bytes = |key: &str| event[key].as_u64().unwrap();
        assert_eq!((bytes("needed_bytes"), bytes("tensor_bytes")), (needed, needed));
        assert_eq!(bytes("header_bytes"), headers);
        assert!(bytes("waste_bytes") * 50 <= needed, "{event}");
        // the server counts the same
        assert_eq!(server.sent(Port::Cdn), needed + headers + bytes("waste_bytes"));
    }
    // a person reads the same account; the second time nothing travels
    let ended = world.run(&format!("fetch {ID} --layers 0"));
    assert!(ended.out.contains(" needed, ") && ended.out.contains(" of headers, "), "{}", ended.out);
    server.clear_log();
    let again = world.run(&format!("fetch {ID} --layers 0"));
    assert!(again.out.contains("0 B fetched"), "{}", again.out);
    assert_eq!(server.sent(Port::Cdn), 0);
}

/// Bytes of layer 0's tensors but those whose names hold one of these words, and of the headers of
/// the shards that they lie in.
fn sizes(left_out: &[&str]) -> (u64, u64) {
    let folder = fixture("llm/llama3");
    let index = fs::read(folder.join("model.safetensors.index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
    let (mut needed, mut shards) = (0, std::collections::BTreeMap::new());
    for (tensor, shard) in index["weight_map"].as_object().unwrap() {
        if !tensor.starts_with("model.layers.0.") || left_out.iter().any(|word| tensor.contains(word)) {
            continue;
        }
        let file = fs::read(folder.join(shard.as_str().unwrap())).unwrap();
        let length = u64::from_le_bytes(file[..8].try_into().unwrap());
        let header: serde_json::Value =
            serde_json::from_slice(&file[8..8 + usize::try_from(length).unwrap()]).unwrap();
        let place = |at: usize| header[tensor]["data_offsets"][at].as_u64().unwrap();
        needed += place(1) - place(0);
        shards.insert(shard.to_string(), length + 8);
    }
    assert_eq!(shards.len(), 2);
    (needed, shards.values().sum())
}
