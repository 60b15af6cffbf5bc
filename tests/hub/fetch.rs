//! One layer out of a sharded checkpoint: which bytes travel, and what arrives.

use pifi_probe::hub::tensor::{TensorRequest, TensorSource};
use pifi_probe::hub::{Bundle, ModelName, Progress, Repository, bundle, cache, unwatched};

use crate::hub_server::Port;
use crate::model::{
    ID, LAYERS, STRADDLING, bytes, header_bytes, layer, one_token, open, requests, safetensors, server,
    settings, shard_headers, tensor,
};

/// Every tensor of the bundle has the bytes that the checkpoint has.
pub(crate) fn assert_is_layer(bundle: &Bundle, index: usize, requests: &[TensorRequest]) {
    let mut names: Vec<String> = requests.iter().map(|it| it.name.clone()).collect();
    names.sort();
    assert_eq!(bundle.names(), names);
    for it in layer(index).into_iter().filter(|it| names.contains(&it.name)) {
        let found = bundle.tensor(&it.name).unwrap();
        assert_eq!((found.shape, found.rows, found.bytes), (it.shape, None, it.bytes), "{}", it.name);
    }
}

#[test]
fn one_layer_takes_its_tensors_the_headers_of_its_shards_and_at_most_two_percent_more() {
    let server = server();
    for (index, shards) in [(0, &[0][..]), (STRADDLING, &[0, 1]), (LAYERS - 1, &[1])] {
        for scope in ["sequence", "one-token"] {
            let folder = tempfile::tempdir().unwrap();
            let repository = open(&settings(&server.endpoint, folder.path()));
            let wanted = if scope == "sequence" { requests(index) } else { one_token(index) };
            server.clear_log();
            let bundle = bundle::fetch(&repository, &wanted, index, scope, &mut unwatched).unwrap();
            assert_is_layer(&bundle, index, &wanted);
            let transfer = bundle.transfer();
            let needed = bytes(index, &wanted);
            let headers: u64 = shards.iter().map(|shard| shard_headers()[*shard]).sum();
            assert_eq!(transfer.header_bytes, headers);
            assert_eq!(transfer.tensor_bytes, needed);
            assert!(transfer.waste_bytes * 50 <= needed, "{transfer:?}");
            assert_eq!(transfer.from_cache, 0);
            // the server counts the same
            assert_eq!(server.sent(Port::Cdn), headers + needed + transfer.waste_bytes);
            assert_eq!(server.log().len() as u64, transfer.requests);
            assert_eq!(bundle.verify().unwrap(), needed);
        }
    }
}

#[test]
fn touching_tensors_travel_in_one_request() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let repository = open(&settings(&server.endpoint, folder.path()));
    bundle::fetch(&repository, &requests(2), 2, "sequence", &mut unwatched).unwrap();
    let ranges = server.log().into_iter().filter(|it| it.port == Port::Cdn).count();
    assert_eq!(ranges, 3, "eight bytes, the header, the layer");
}

#[test]
fn a_small_gap_is_read_over_and_not_kept() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let repository = open(&settings(&server.endpoint, folder.path()));
    let mut wanted = requests(2);
    wanted.retain(|it| !it.name.contains("post_attention_layernorm"));
    let bundle = bundle::fetch(&repository, &wanted, 2, "gap", &mut unwatched).unwrap();
    assert_is_layer(&bundle, 2, &wanted);
    assert_eq!(bundle.transfer().waste_bytes, 64 * 2, "the norm's 64 elements of bf16");
    let ranges = server.log().into_iter().filter(|it| it.port == Port::Cdn).count();
    assert_eq!(ranges, 3, "eight bytes, the header, the layer");
    bundle.verify().unwrap();
}

#[test]
fn layer_1_is_not_layer_10_and_scopes_are_kept_apart() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let repository = open(&settings(&server.endpoint, folder.path()));
    for index in [1, 10] {
        let whole = bundle::fetch(&repository, &requests(index), index, "sequence", &mut unwatched).unwrap();
        assert_is_layer(&whole, index, &requests(index));
        let part = bundle::fetch(&repository, &one_token(index), index, "one-token", &mut unwatched).unwrap();
        assert_is_layer(&part, index, &one_token(index));
    }
    let settings = settings(&server.endpoint, folder.path());
    let listed = cache::list(&settings).unwrap();
    let names: Vec<(usize, String)> =
        listed.iter().map(|it| it.about.clone().unwrap()).map(|it| (it.layer, it.scope)).collect();
    let expected = [(1, "one-token"), (1, "sequence"), (10, "one-token"), (10, "sequence")];
    assert_eq!(names, expected.map(|(layer, scope)| (layer, scope.to_owned())));
    for entry in &listed {
        cache::verify(entry).unwrap();
        assert!(cache::remove(entry).unwrap() > 0);
    }
    assert_eq!(cache::list(&settings).unwrap(), []);
}

#[test]
fn a_layer_that_was_fetched_needs_no_network() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let mut settings = settings(&server.endpoint, folder.path());
    let repository = open(&settings);
    repository.read_file("config.json").unwrap();
    bundle::fetch(&repository, &requests(3), 3, "sequence", &mut unwatched).unwrap();
    let identity = repository.identity();
    settings.offline = Some("HF_HUB_OFFLINE=1".to_owned());
    server.clear_log();
    let repository = open(&settings);
    assert_eq!(repository.identity(), identity);
    assert_eq!(repository.read_file("config.json").unwrap(), br#"{"model_type":"llama"}"#);
    assert_eq!(repository.tensor_names().unwrap().len(), LAYERS * 9 + 2);
    let bundle = bundle::fetch(&repository, &requests(3), 3, "sequence", &mut unwatched).unwrap();
    assert_is_layer(&bundle, 3, &requests(3));
    let bytes = bytes(3, &requests(3));
    assert_eq!(bundle.transfer(), bundle::Transfer { from_cache: bytes, ..bundle::Transfer::default() });
    assert_eq!(server.log().len(), 0);
}

#[test]
fn a_run_of_rows_travels_alone() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let repository = open(&settings(&server.endpoint, folder.path()));
    let name = "model.layers.4.self_attn.q_proj.weight";
    let request = TensorRequest { name: name.to_owned(), rows: Some((16, 24)) };
    let bundle =
        bundle::fetch(&repository, std::slice::from_ref(&request), 4, "rows", &mut unwatched).unwrap();
    let all = tensor(name, &[64, 64]);
    let found = bundle.tensor(name).unwrap();
    assert_eq!((found.shape, found.rows), (vec![64, 64], Some(16..24)));
    assert_eq!(found.bytes, all.bytes[16 * 128..24 * 128]);
    assert_eq!(bundle.transfer().tensor_bytes, 8 * 128);
    let reopened = Bundle::open(bundle.path().unwrap()).unwrap();
    assert_eq!(reopened.tensor(name).unwrap().rows, Some(16..24));
    for rows in [(60, 65), (5, 5)] {
        let request = TensorRequest { rows: Some(rows), ..request.clone() };
        assert!(bundle::fetch(&repository, &[request], 4, "other", &mut unwatched).is_err(), "{rows:?}");
    }
}

#[test]
fn more_tensors_in_the_same_scope_are_fetched_and_not_missed() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let repository = open(&settings(&server.endpoint, folder.path()));
    bundle::fetch(&repository, &one_token(0), 0, "x", &mut unwatched).unwrap();
    let more = bundle::fetch(&repository, &requests(0), 0, "x", &mut unwatched).unwrap();
    assert_is_layer(&more, 0, &requests(0));
}

#[test]
fn headers_of_every_size_around_a_prefetch_are_read() {
    let server = crate::hub_server::HubServer::start();
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(&server.endpoint, folder.path());
    let prefetch = 256 << 10;
    let sizes =
        [99_994, 99_999, 100_000, 100_001, prefetch - 9, prefetch - 8, prefetch - 7, prefetch, prefetch + 1];
    for size in sizes {
        let id = format!("org/header-{size}");
        let file = safetensors(&layer(0), size);
        assert_eq!(header_bytes(&file), size as u64 + 8);
        server.add(&id, "model.safetensors", file);
        let repository = Repository::open(&settings, &ModelName::parse(&id).unwrap(), None).unwrap();
        assert_eq!(repository.tensor_index().unwrap().shards[0].header_bytes, size as u64 + 8);
        let bundle = bundle::fetch(&repository, &requests(0), 0, "sequence", &mut unwatched).unwrap();
        assert_is_layer(&bundle, 0, &requests(0));
    }
}

#[test]
fn headers_are_read_once() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let settings = settings(&server.endpoint, folder.path());
    let index = open(&settings).tensor_index().unwrap();
    assert_eq!(index.tensors.len(), LAYERS * 9 + 2);
    assert_eq!(index.bytes_of(&requests(1)[1]).unwrap(), 64 * 192 * 2);
    let sent = server.sent(Port::Cdn);
    assert_eq!(sent, shard_headers().iter().sum::<u64>(), "not one byte of weights");
    assert_eq!(open(&settings).tensor_index().unwrap(), index);
    assert_eq!(server.sent(Port::Cdn), sent);
}

#[test]
fn a_shard_that_is_whole_in_the_cache_is_read_from_there() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let repository = open(&settings(&server.endpoint, folder.path()));
    repository.download_file("model-00001-of-00002.safetensors", &mut unwatched).unwrap();
    server.clear_log();
    let bundle = bundle::fetch(&repository, &requests(1), 1, "sequence", &mut unwatched).unwrap();
    assert_is_layer(&bundle, 1, &requests(1));
    assert_eq!((bundle.path(), server.sent(Port::Cdn)), (None, 0), "a view, nothing copied");
    let half =
        bundle::fetch(&repository, &requests(STRADDLING), STRADDLING, "sequence", &mut unwatched).unwrap();
    assert_is_layer(&half, STRADDLING, &requests(STRADDLING));
    let transfer = half.transfer();
    assert_eq!(transfer.from_cache + transfer.tensor_bytes, bytes(STRADDLING, &requests(STRADDLING)));
    assert!(transfer.from_cache > 0 && transfer.tensor_bytes > 0);
    assert_eq!(transfer.header_bytes, shard_headers()[1]);
}

#[test]
fn a_watcher_sees_the_bytes_grow_to_the_total() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let repository = open(&settings(&server.endpoint, folder.path()));
    let mut seen = Vec::new();
    bundle::fetch(&repository, &requests(0), 0, "sequence", &mut |progress| {
        seen.push(progress);
        std::ops::ControlFlow::Continue(())
    })
    .unwrap();
    let total = bytes(0, &requests(0));
    assert!(matches!(&seen[0], Progress::Started { total: all, resumed: 0, .. } if *all == total));
    assert_eq!(seen.last(), Some(&Progress::Advanced { done: total, total }));
}

#[test]
fn an_unknown_tensor_is_named() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let repository = open(&settings(&server.endpoint, folder.path()));
    let request = TensorRequest { name: "model.layers.99.x".to_owned(), rows: None };
    let error =
        bundle::fetch(&repository, &[request], 99, "sequence", &mut unwatched).unwrap_err().to_string();
    assert!(error.contains("model.layers.99.x") && error.contains(ID), "{error}");
    let twice = [requests(0), requests(0)].concat();
    let error = bundle::fetch(&repository, &twice, 0, "sequence", &mut unwatched).unwrap_err().to_string();
    assert!(error.contains("requested twice"), "{error}");
}
