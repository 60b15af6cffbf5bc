//! What a broken connection, a killed process or a second one leaves, and how the next fetch goes
//! on from there.

use std::ops::ControlFlow;
use std::time::Duration;

use pifi_probe::hub::{Error, Progress, bundle, unwatched};

use crate::fetch::assert_is_layer;
use crate::hub_server::{Action, Fault, HubServer, Port};
use crate::model::{ID, bytes, open, requests, safetensors, server, settings, shards, tensor};

/// Fault on the second shard's data requests: the first two of its requests are for the header.
fn on_data(action: Action, times: usize) -> Fault {
    Fault { port: Port::Cdn, path: "model-00002", skip: 2, times, action }
}

fn ranges(server: &HubServer) -> Vec<String> {
    server.log().into_iter().filter(|it| it.port == Port::Cdn).filter_map(|it| it.range).collect()
}

fn first_byte(range: &str) -> u64 {
    range.strip_prefix("bytes=").unwrap().split('-').next().unwrap().parse().unwrap()
}

#[test]
fn a_truncated_body_is_taken_up_at_the_byte_reached() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let repository = open(&settings(&server.endpoint, folder.path()));
    server.fault(on_data(Action::Truncate(10_000), 2));
    let bundle = bundle::fetch(&repository, &requests(8), 8, "sequence", &mut unwatched).unwrap();
    assert_is_layer(&bundle, 8, &requests(8));
    let starts: Vec<u64> = ranges(&server)[2..].iter().map(|range| first_byte(range)).collect();
    assert_eq!(starts, [starts[0], starts[0] + 10_000, starts[0] + 20_000]);
    assert_eq!(bundle.transfer().tensor_bytes, bytes(8, &requests(8)), "no byte came twice");
}

#[test]
fn patience_ends_when_nothing_comes() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let repository = open(&settings(&server.endpoint, folder.path()));
    server.fault(on_data(Action::Truncate(0), 100));
    let error = bundle::fetch(&repository, &requests(8), 8, "sequence", &mut unwatched).unwrap_err();
    assert!(matches!(error, Error::Network { .. }), "{error}");
    assert_eq!(ranges(&server).len(), 2 + 4, "the header, one attempt and three retries");
}

#[test]
fn a_stopped_fetch_goes_on_from_its_last_byte_in_another_session() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let settings = settings(&server.endpoint, folder.path());
    let mut reached = 0;
    server.fault(on_data(Action::Slow(Duration::from_millis(2)), 1));
    let stopped = bundle::fetch(&open(&settings), &requests(8), 8, "sequence", &mut |progress| {
        if let Progress::Advanced { done, .. } = progress {
            reached = done;
        }
        if reached > 20_000 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(matches!(stopped, Err(Error::Interrupted)));
    let total = bytes(8, &requests(8));
    assert!(reached < total);
    let bundle = bundle::fetch(&open(&settings), &requests(8), 8, "sequence", &mut unwatched).unwrap();
    assert_is_layer(&bundle, 8, &requests(8));
    assert_eq!(bundle.transfer().from_cache, reached);
    assert_eq!(bundle.transfer().tensor_bytes, total - reached);
    bundle.verify().unwrap();
}

/// The process that the next test kills; does nothing when run by itself.
#[test]
fn fetch_in_a_process_of_its_own() {
    let (Ok(endpoint), Ok(folder)) = (std::env::var("TEST_HUB"), std::env::var("TEST_FOLDER")) else {
        return;
    };
    let settings = settings(&endpoint, std::path::Path::new(&folder));
    bundle::fetch(&open(&settings), &requests(8), 8, "sequence", &mut unwatched).unwrap();
}

#[test]
fn a_killed_process_leaves_bytes_that_the_next_one_goes_on_from() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    server.fault(on_data(Action::Slow(Duration::from_millis(40)), 1));
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "resume::fetch_in_a_process_of_its_own"])
        .env("TEST_HUB", &server.endpoint)
        .env("TEST_FOLDER", folder.path())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let settings = settings(&server.endpoint, folder.path());
    let grown = || {
        let entries = pifi_probe::hub::cache::list(&settings).unwrap();
        entries.first().is_some_and(|it| it.about.is_none() && it.bytes > 15_000)
    };
    for _ in 0..2_000 {
        if grown() {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(grown(), "the child had fetched something, and not everything");
    let bundle = bundle::fetch(&open(&settings), &requests(8), 8, "sequence", &mut unwatched).unwrap();
    assert_is_layer(&bundle, 8, &requests(8));
    let transfer = bundle.transfer();
    assert!(transfer.from_cache > 10_000, "{transfer:?}");
    assert_eq!(transfer.from_cache + transfer.tensor_bytes, bytes(8, &requests(8)));
    assert_eq!(transfer.header_bytes, 0, "the header was kept too");
    bundle.verify().unwrap();
}

#[test]
fn two_at_once_fetch_a_layer_once() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let settings = settings(&server.endpoint, folder.path());
    open(&settings).tensor_index().unwrap();
    server.clear_log();
    server.fault(Fault { skip: 0, ..on_data(Action::Slow(Duration::from_millis(3)), 1) });
    let transferred: u64 = std::thread::scope(|scope| {
        let fetch = || {
            let bundle =
                bundle::fetch(&open(&settings), &requests(9), 9, "sequence", &mut unwatched).unwrap();
            assert_is_layer(&bundle, 9, &requests(9));
            bundle.transfer().tensor_bytes
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(fetch)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(transferred, bytes(9, &requests(9)));
    assert_eq!(ranges(&server).len(), 1);
}

#[test]
fn an_expired_link_is_signed_anew_and_the_fetch_goes_on() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let repository = open(&settings(&server.endpoint, folder.path()));
    server.fault(on_data(Action::Truncate(5_000), 1));
    server.fault(Fault { skip: 2, ..on_data(Action::ExpireLinks, 1) });
    let bundle = bundle::fetch(&repository, &requests(8), 8, "sequence", &mut unwatched).unwrap();
    assert_is_layer(&bundle, 8, &requests(8));
    assert_eq!(bundle.transfer().tensor_bytes, bytes(8, &requests(8)));
    let heads = server.log().into_iter().filter(|it| it.method == "HEAD").count();
    assert_eq!(heads, 2);
}

#[test]
fn a_link_that_never_works_ends_patience() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let repository = open(&settings(&server.endpoint, folder.path()));
    server.fault(on_data(Action::Answer { status: 403, headers: vec![] }, 100));
    let error = bundle::fetch(&repository, &requests(8), 8, "sequence", &mut unwatched).unwrap_err();
    assert!(matches!(error, Error::Server { status: 403, .. }), "{error}");
}

/// The model's second shard with other weights behind the same names.
fn other_second_shard() -> (String, Vec<u8>) {
    let [_, (name, mut tensors)] = shards();
    for it in &mut tensors {
        it.bytes = tensor(&format!("other {}", it.name), &it.shape).bytes;
    }
    (name, safetensors(&tensors, 0))
}

#[test]
fn a_file_that_changed_since_its_header_was_read_is_noticed_and_then_read_anew() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let settings = settings(&server.endpoint, folder.path());
    open(&settings).tensor_index().unwrap();
    let (name, content) = other_second_shard();
    server.add(ID, &name, content);
    let fetch = || bundle::fetch(&open(&settings), &requests(8), 8, "sequence", &mut unwatched);
    let error = fetch().unwrap_err();
    assert!(matches!(&error, Error::Changed { what, .. } if what.contains(&name)), "{error}");
    let name = &requests(8)[1].name;
    let expected = tensor(&format!("other {name}"), &[64, 192]).bytes;
    assert_eq!(fetch().unwrap().tensor(name).unwrap().bytes, expected);
}

#[test]
fn a_file_that_changes_between_two_parts_is_noticed() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let repository = open(&settings(&server.endpoint, folder.path()));
    server.fault(on_data(Action::Truncate(5_000), 1));
    server.fault(Fault { skip: 2, ..on_data(Action::Etag("\"another\""), 1) });
    let error = bundle::fetch(&repository, &requests(8), 8, "sequence", &mut unwatched).unwrap_err();
    assert!(matches!(&error, Error::Changed { detail, .. } if detail.contains("another")), "{error}");
}

#[test]
fn what_is_left_of_another_content_is_not_taken_up() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let settings = settings(&server.endpoint, folder.path());
    server.fault(on_data(Action::Slow(Duration::from_millis(2)), 1));
    let stopped = bundle::fetch(&open(&settings), &requests(8), 8, "sequence", &mut |it| match it {
        Progress::Advanced { .. } => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    assert!(matches!(stopped, Err(Error::Interrupted)));
    let (name, content) = other_second_shard();
    server.add(ID, &name, content);
    let fetch = || bundle::fetch(&open(&settings), &requests(8), 8, "sequence", &mut unwatched);
    assert!(matches!(fetch(), Err(Error::Changed { .. })));
    let bundle = fetch().unwrap();
    assert_eq!(bundle.transfer().tensor_bytes, bytes(8, &requests(8)));
    bundle.verify().unwrap();
}

#[test]
fn damage_on_disk_is_found() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let settings = settings(&server.endpoint, folder.path());
    let fetch = || bundle::fetch(&open(&settings), &requests(0), 0, "sequence", &mut unwatched).unwrap();
    let path = fetch().path().unwrap().to_owned();
    let mut content = std::fs::read(&path).unwrap();
    *content.last_mut().unwrap() ^= 1;
    std::fs::write(&path, &content).unwrap();
    let damaged = pifi_probe::hub::Bundle::open(&path).unwrap();
    assert!(matches!(damaged.verify(), Err(Error::Corrupt { .. })));
    // a bundle that lost its end is fetched again without being asked
    content.pop();
    std::fs::write(&path, &content).unwrap();
    assert!(pifi_probe::hub::Bundle::open(&path).is_err());
    fetch().verify().unwrap();
}
