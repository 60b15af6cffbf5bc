//! Every refusal of the Hub, with its message, its remedy and its exit code.

use std::time::Instant;

use pifi_probe::error::{Category, Diagnose};
use pifi_probe::hub::{Error, ModelName, Progress, Repository, Settings, Token, bundle, unwatched};

use crate::hub_server::{Access, Action, Fault, HubServer, Port, TOKEN};
use crate::model::{ID, open, requests, server, settings};

fn with_token(mut settings: Settings, token: &str) -> Settings {
    settings.token = Some(Token::new(token, "HF_TOKEN").unwrap());
    settings
}

/// What reading the configuration of the model says.
fn refusal(settings: &Settings) -> Error {
    let repository = Repository::open(settings, &ModelName::parse(ID).unwrap(), None);
    repository.and_then(|it| it.read_file("config.json")).unwrap_err()
}

fn assert_says(error: &Error, message: &[&str], hint: &[&str], category: Category) {
    let text = error.to_string();
    let remedy = error.hint().unwrap_or_default();
    for part in message {
        assert!(text.contains(part), "`{part}` in `{text}`");
    }
    for part in hint {
        assert!(remedy.contains(part), "`{part}` in `{remedy}`");
    }
    assert_eq!(error.category(), category, "{text}");
    let all = format!("{text} {remedy} {error:?}");
    assert!(!all.contains("hf_"), "a token's value is shown: {all}");
}

#[test]
fn a_gated_model_without_a_token_says_where_to_accept_and_names_open_models() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    server.restrict(ID, Access::Gated);
    let settings = settings(&server.endpoint, folder.path());
    let page = format!("{}/{ID}", server.endpoint);
    let hint = [page.as_str(), "HF_TOKEN", "hf auth login", "qwen2-7b"];
    assert_says(&refusal(&settings), &[ID, "gated", "no token"], &hint, Category::Authentication);
    assert_eq!(refusal(&settings).category().exit_code(), 4);
}

#[test]
fn a_gated_model_with_the_right_token_is_read_and_the_token_stays_on_the_hub() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    server.restrict(ID, Access::Gated);
    let settings = with_token(settings(&server.endpoint, folder.path()), TOKEN);
    bundle::fetch(&open(&settings), &requests(0), 0, "sequence", &mut unwatched).unwrap();
    let log = server.log();
    let sent = |port| log.iter().filter(|it| it.port == port && it.authorization.is_some()).count();
    assert!(sent(Port::Hub) > 0);
    assert_eq!(sent(Port::Cdn), 0);
    assert!(log.iter().any(|it| it.port == Port::Cdn));
}

#[test]
fn a_gated_model_that_was_not_accepted_names_the_account() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    server.restrict(ID, Access::Pending);
    let settings = with_token(settings(&server.endpoint, folder.path()), TOKEN);
    let error = refusal(&settings);
    assert_says(
        &error,
        &["your account (tester) has no access yet"],
        &["accept", ID],
        Category::Authentication,
    );
}

#[test]
fn a_fine_grained_token_is_told_which_box_to_tick() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    server.restrict(ID, Access::FineGrained);
    let settings = with_token(settings(&server.endpoint, folder.path()), TOKEN);
    let hint = ["Read access to contents of all public gated repos you can access"];
    assert_says(&refusal(&settings), &["fine-grained", "HF_TOKEN"], &hint, Category::Authentication);
}

#[test]
fn a_rejected_token_is_named_by_its_source() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let settings = with_token(settings(&server.endpoint, folder.path()), "hf_wrong");
    let error = refusal(&settings);
    assert_says(&error, &["token from HF_TOKEN rejected"], &["remove it"], Category::Authentication);
}

#[test]
fn a_model_that_is_misspelt_or_private_is_called_both() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let settings = settings(&server.endpoint, folder.path());
    let message = ["not found", "private"];
    server.restrict(ID, Access::Private);
    assert_says(&refusal(&settings), &message, &["HF_TOKEN"], Category::Failure);
    let missing = |settings: &Settings, id: &str| {
        Repository::open(settings, &ModelName::parse(id).unwrap(), None).unwrap_err()
    };
    assert_says(&missing(&settings, "org/no-such"), &message, &["spelling"], Category::Failure);
    let hint = ["did you mean `llama3-8b`", "HF_TOKEN have access"];
    let member = with_token(settings, TOKEN);
    assert_says(&missing(&member, "org/lama3-8b"), &message, &hint, Category::Failure);
    open(&member);
}

#[test]
fn an_unknown_revision_or_file_is_named() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let settings = settings(&server.endpoint, folder.path());
    let name = ModelName::parse(&format!("{ID}@v9")).unwrap();
    let error = Repository::open(&settings, &name, None).unwrap_err();
    assert_says(&error, &[ID, "no revision `v9`"], &["tree/main"], Category::Failure);
    let error = open(&settings).read_file("no-such.json").unwrap_err();
    assert!(matches!(&error, Error::NoFile { name, .. } if name == "no-such.json"), "{error}");
    // that a file does not exist is asked once
    server.clear_log();
    assert!(open(&settings).read_optional("no-such.json").unwrap().is_none());
    assert_eq!(server.log().len(), 1, "the revision only");
    for bad in ["../x", "/etc/passwd", "a/../../x", ""] {
        assert!(matches!(open(&settings).read_file(bad), Err(Error::NoFile { .. })), "{bad}");
    }
}

#[test]
fn a_revision_in_the_name_is_used_and_one_given_apart_counts_more() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let settings = settings(&server.endpoint, folder.path());
    let name = ModelName::parse(&format!("{ID}@v1")).unwrap();
    let repository = Repository::open(&settings, &name, None).unwrap();
    assert_eq!(repository.commit(), Some(crate::hub_server::commit_of(ID).as_str()));
    assert!(server.log()[0].path.ends_with("/revision/v1"));
    Repository::open(&settings, &name, Some("main")).unwrap();
    assert!(server.log()[1].path.ends_with("/revision/main"));
    let commit = crate::hub_server::commit_of(ID);
    server.clear_log();
    Repository::open(&settings, &name, Some(&commit)).unwrap();
    assert_eq!(server.log().len(), 0, "a commit needs no asking");
}

fn answer(status: u16, headers: Vec<(&'static str, String)>) -> Action {
    Action::Answer { status, headers }
}

#[test]
fn a_rate_limit_is_waited_out_with_a_countdown() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let repository = open(&settings(&server.endpoint, folder.path()));
    repository.tensor_index().unwrap();
    server.fault_once(Port::Cdn, "model-00001", answer(429, vec![("retry-after", "1".to_owned())]));
    let start = Instant::now();
    let mut waits = Vec::new();
    bundle::fetch(&repository, &requests(0), 0, "sequence", &mut |progress| {
        if let Progress::Waiting { seconds, reason } = progress {
            waits.push((seconds, reason));
        }
        std::ops::ControlFlow::Continue(())
    })
    .unwrap();
    assert!(start.elapsed().as_secs_f64() >= 1.0);
    assert_eq!(waits.len(), 1);
    assert!(waits[0].0 == 1 && waits[0].1.contains("429 from 127.0.0.1"), "{waits:?}");
}

#[test]
fn a_rate_limit_beyond_patience_says_how_long() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let settings = settings(&server.endpoint, folder.path());
    for header in [("retry-after", "600".to_owned()), ("ratelimit", "\"api\";r=0;t=600".to_owned())] {
        server.fault_once(Port::Hub, "/api/models", answer(429, vec![header]));
        assert_says(&refusal(&settings), &["limits the rate", "600 s"], &["wait 600 s"], Category::Failure);
    }
}

#[test]
fn a_server_in_trouble_is_asked_again_and_then_named() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let settings = settings(&server.endpoint, folder.path());
    for status in [500, 502, 503, 504] {
        server.fault_once(Port::Hub, "/api/models", answer(status, vec![]));
        open(&settings);
    }
    server.fault(Fault {
        port: Port::Hub,
        path: "/api/models",
        skip: 0,
        times: 4,
        action: answer(502, vec![("x-error-message", "upstream".to_owned())]),
    });
    assert_says(&refusal(&settings), &["answered 502 (upstream)"], &["again later"], Category::Failure);
    // an answer that time does not mend is not asked for again
    server.clear_log();
    server.fault_once(Port::Hub, "/api/models", answer(418, vec![]));
    assert_says(&refusal(&settings), &["answered 418"], &[], Category::Failure);
    assert_eq!(server.log().len(), 1);
}

#[test]
fn nobody_there_is_a_network_error_that_mentions_offline() {
    let folder = tempfile::tempdir().unwrap();
    // a port that was just free
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let settings = settings(&format!("http://{free}"), folder.path());
    assert_says(&refusal(&settings), &["no answer from 127.0.0.1"], &["--offline"], Category::Failure);
}

#[test]
fn a_200_in_place_of_a_206_is_refused_before_its_body() {
    let server = HubServer::start();
    let folder = tempfile::tempdir().unwrap();
    let size = 48 << 20;
    let big =
        crate::model::Tensor { name: "big".to_owned(), dtype: "U8", shape: vec![size], bytes: vec![7; size] };
    server.add(ID, "model.safetensors", crate::model::safetensors(&[big], 0));
    server.fault_once(Port::Cdn, "model.safetensors", Action::IgnoreRange);
    let error = open(&settings(&server.endpoint, folder.path())).tensor_index().unwrap_err();
    assert_says(&error, &["200, the whole file", "expected 206"], &["HF_ENDPOINT"], Category::Failure);
    // what the sockets had taken already
    assert!(server.sent(Port::Cdn) < size as u64 / 2, "{}", server.sent(Port::Cdn));
}

#[test]
fn a_wrong_content_range_is_refused() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let repository = open(&settings(&server.endpoint, folder.path()));
    let size = repository.tensor_index().unwrap().shards[0].size;
    for wrong in ["bytes 0-7/SIZE", "bytes */SIZE", "SIZE", "items 1-2/3"] {
        let wrong = wrong.replace("SIZE", &size.to_string());
        server.fault_once(Port::Cdn, "model-00001", Action::ContentRange(wrong.clone()));
        let error = bundle::fetch(&repository, &requests(0), 0, "sequence", &mut unwatched).unwrap_err();
        assert!(matches!(error, Error::Range { .. } | Error::Changed { .. }), "{wrong}: {error}");
    }
    server.fault_once(Port::Cdn, "model-00001", Action::ContentRange("bytes 0-7/99".to_owned()));
    let error = bundle::fetch(&repository, &requests(0), 0, "sequence", &mut unwatched).unwrap_err();
    assert_says(&error, &["changed", "99 bytes now"], &["again"], Category::Failure);
    bundle::fetch(&repository, &requests(0), 0, "sequence", &mut unwatched).unwrap();
}

#[test]
fn offline_and_missing_names_source_shard_and_command() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let mut settings = settings(&server.endpoint, folder.path());
    settings.offline = Some("HF_HUB_OFFLINE=1".to_owned());
    let command = format!("`pifi-probe fetch {ID}`");
    let error = refusal(&settings);
    assert_says(&error, &["offline (from HF_HUB_OFFLINE=1)", ID], &[&command], Category::Offline);
    assert_eq!(error.category().exit_code(), 5);
    let online = Settings { offline: None, ..settings.clone() };
    open(&online).tensor_names().unwrap();
    server.clear_log();
    let repository = open(&settings);
    let error = bundle::fetch(&repository, &requests(7), 7, "sequence", &mut unwatched).unwrap_err();
    let command = format!("`pifi-probe fetch {ID} --layers 7`");
    assert_says(&error, &["model-00002-of-00002.safetensors"], &[&command], Category::Offline);
    open(&online).tensor_index().unwrap();
    server.clear_log();
    let error = bundle::fetch(&repository, &requests(7), 7, "sequence", &mut unwatched).unwrap_err();
    assert_says(&error, &["layer 7"], &[&command], Category::Offline);
    let error = repository.download_file("model-00001-of-00002.safetensors", &mut unwatched).unwrap_err();
    assert_says(&error, &["model-00001-of-00002.safetensors"], &["pifi-probe fetch"], Category::Offline);
    let name = ModelName::parse("org/other@v2").unwrap();
    let error = Repository::open(&settings, &name, None).unwrap_err();
    assert_says(&error, &["org/other"], &["`pifi-probe fetch org/other@v2`"], Category::Offline);
    assert_eq!(server.log().len(), 0, "offline is a promise");
}

#[test]
fn a_checkpoint_that_is_no_safetensors_says_so() {
    let server = HubServer::start();
    let folder = tempfile::tempdir().unwrap();
    server.add(ID, "pytorch_model.bin", b"pickle".to_vec());
    let error = open(&settings(&server.endpoint, folder.path())).tensor_names().unwrap_err();
    assert_says(&error, &["no safetensors"], &["convert"], Category::Failure);
}

#[test]
fn redirects_without_end_or_aim_are_refused() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let settings = settings(&server.endpoint, folder.path());
    for (target, times, message) in [
        (format!("/{ID}/resolve/loop/config.json"), 20, "more than"),
        ("ftp://elsewhere/x".to_owned(), 1, "no address"),
    ] {
        let repository = open(&settings);
        let action = answer(302, vec![("location", target)]);
        server.fault(Fault { port: Port::Hub, path: "/resolve/", skip: 0, times, action });
        let error = repository.read_file("config.json").unwrap_err();
        assert_says(&error, &["redirects", message], &[], Category::Failure);
    }
}

#[test]
fn an_unwritable_cache_is_named() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let mut settings = settings(&server.endpoint, folder.path());
    // a file where the directory should be: even root cannot write below it
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    settings.bundles = file.join("cache");
    let error = bundle::fetch(&open(&settings), &requests(0), 0, "sequence", &mut unwatched).unwrap_err();
    assert!(error.to_string().contains(file.to_str().unwrap()), "{error}");
    let cause = |kind: std::io::ErrorKind| Error::io("writing", &file)(kind.into());
    let full = cause(std::io::ErrorKind::StorageFull);
    assert_says(&full, &["no space left", file.to_str().unwrap()], &["PIFI_PROBE_CACHE"], Category::Failure);
    let denied = cause(std::io::ErrorKind::PermissionDenied);
    assert_says(&denied, &["cannot be written"], &["PIFI_PROBE_CACHE"], Category::Failure);
}
