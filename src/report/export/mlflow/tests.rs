//! Exports to a server on loopback that keeps experiments and runs as the documented interface of
//! MLflow does: names once, at most 1000 points and 100 parameters a call, parameters that cannot
//! change, equal points kept once, errors as `error_code` and `message`.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::super::scalars::tests::run;
use super::*;
use crate::error::{Category, Diagnose};
use crate::runs::record::FailureKind;

#[derive(Default)]
struct Kept {
    id: String,
    status: String,
    tags: BTreeMap<String, String>,
    parameters: BTreeMap<String, String>,
    points: Vec<(String, String, u64, u64)>,
}

#[derive(Default)]
struct State {
    experiments: Vec<(String, String)>,
    runs: Vec<Kept>,
    /// Path and `Authorization` of every request.
    log: Vec<(String, Option<String>)>,
    /// Requests from this one on that are answered with a status and a body instead.
    fault: Option<(usize, usize, u16, &'static str)>,
}

struct Fake {
    address: String,
    state: Arc<Mutex<State>>,
}

impl Fake {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::<Mutex<State>>::default();
        let shared = Arc::clone(&state);
        // ends with the test's process
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                answer(stream.unwrap(), &shared);
            }
        });
        Self { address, state }
    }

    fn open(&self) -> Result<Experiment, Error> {
        Experiment::open(&self.address, None, "pifi probe & co", Duration::from_millis(1))
    }

    fn fault(&self, skip: usize, times: usize, status: u16, body: &'static str) {
        let mut state = self.state.lock().unwrap();
        let now = state.log.len();
        state.fault = Some((now + skip, times, status, body));
    }

    fn calls(&self, name: &str) -> usize {
        self.state.lock().unwrap().log.iter().filter(|(path, _)| path.contains(name)).count()
    }
}

fn answer(mut stream: TcpStream, shared: &Mutex<State>) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).unwrap_or(0) == 0 {
            return;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let header = |name: &str| {
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
    };
    let mut body = vec![0; header("content-length").map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).unwrap();
    let path = head.split(' ').nth(1).unwrap().to_owned();
    let (status, text) = {
        let mut state = shared.lock().unwrap();
        let number = state.log.len();
        state.log.push((path.clone(), header("authorization")));
        match state.fault {
            Some((from, times, status, text)) if (from..from + times).contains(&number) => {
                (status, text.to_owned())
            }
            _ => match reply(&mut state, &path, &serde_json::from_slice(&body).unwrap_or_default()) {
                Ok(value) => (200, value.to_string()),
                Err((status, code, message)) => {
                    (status, json!({ "error_code": code, "message": message }).to_string())
                }
            },
        }
    };
    let length = text.len();
    let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(text.as_bytes())).unwrap();
}

type Refusal = (u16, &'static str, String);

fn reply(state: &mut State, path: &str, body: &Value) -> Result<Value, Refusal> {
    let invalid = |message: &str| (400, "INVALID_PARAMETER_VALUE", message.to_owned());
    let word = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    let list = |name: &str| body[name].as_array().cloned().unwrap_or_default();
    let call = path.strip_prefix("/api/2.0/mlflow/").unwrap();
    if let Some(query) = call.strip_prefix("experiments/get-by-name?experiment_name=") {
        let name = query.replace("%20", " ").replace('+', " ").replace("%26", "&");
        let found = state.experiments.iter().find(|(other, _)| *other == name);
        let (_, stage) = found.ok_or((404, "RESOURCE_DOES_NOT_EXIST", format!("no experiment {name}")))?;
        return Ok(json!({ "experiment": { "experiment_id": "1", "lifecycle_stage": stage } }));
    }
    if call == "experiments/create" {
        if !state.experiments.is_empty() {
            return Err((400, "RESOURCE_ALREADY_EXISTS", "it exists".into()));
        }
        state.experiments.push((word("name"), "active".into()));
        return Ok(json!({ "experiment_id": "1" }));
    }
    if call == "runs/create" {
        let id = format!("r{}", state.runs.len());
        let tags = list("tags").iter().map(pair).collect();
        state.runs.push(Kept { id: id.clone(), status: "RUNNING".into(), tags, ..Kept::default() });
        return Ok(json!({ "run": { "info": { "run_id": id } } }));
    }
    if call == "runs/search" {
        let filter = word("filter");
        let wanted =
            filter.strip_prefix("tags.`pifi.run_id` = '").and_then(|rest| rest.strip_suffix('\'')).unwrap();
        let found = state.runs.iter().filter(|run| run.tags[RUN_ID] == wanted);
        let show = |run: &Kept| {
            let tags: Vec<Value> =
                run.tags.iter().map(|(key, value)| json!({ "key": key, "value": value })).collect();
            json!({ "info": { "run_id": run.id, "status": run.status }, "data": { "tags": tags } })
        };
        return Ok(match found.map(show).collect::<Vec<_>>() {
            // the server leaves an empty list out
            none if none.is_empty() => json!({}),
            some => json!({ "runs": some }),
        });
    }
    let id = word("run_id");
    let run = state.runs.iter_mut().find(|run| run.id == id).ok_or((404, "RESOURCE_DOES_NOT_EXIST", id))?;
    match call {
        "runs/log-batch" => {
            let (metrics, params) = (list("metrics"), list("params"));
            if metrics.len() > 1000 || params.len() > 100 || metrics.len() + params.len() > 1000 {
                return Err(invalid("too many entities"));
            }
            for (key, value) in params.iter().map(pair) {
                if run.parameters.get(&key).is_some_and(|old| *old != value) {
                    return Err(invalid("parameters cannot change"));
                }
                run.parameters.insert(key, value);
            }
            for metric in metrics {
                let (time, step) = (metric["timestamp"].as_u64().unwrap(), metric["step"].as_u64().unwrap());
                let point =
                    (metric["key"].as_str().unwrap().to_owned(), metric["value"].to_string(), time, step);
                if !run.points.contains(&point) {
                    run.points.push(point);
                }
            }
        }
        "runs/update" => run.status = word("status"),
        "runs/set-tag" => drop(run.tags.insert(word("key"), word("value"))),
        other => return Err((404, "ENDPOINT_NOT_FOUND", other.to_owned())),
    }
    Ok(json!({}))
}

fn pair(entry: &Value) -> (String, String) {
    (entry["key"].as_str().unwrap().to_owned(), entry["value"].as_str().unwrap().to_owned())
}

#[test]
fn a_run_arrives_whole_in_calls_of_allowed_size() {
    let fake = Fake::start();
    let run = run("3fa8c0d1", 7, 800);
    assert_eq!(fake.open().unwrap().write(&run, 0).unwrap(), Outcome::Written);
    let state = fake.state.lock().unwrap();
    let kept = &state.runs[0];
    assert_eq!(kept.status, "FINISHED");
    assert_eq!((kept.tags[RUN_ID].as_str(), kept.tags["pifi.condition"].as_str()), ("3fa8c0d1", "layer 7"));
    assert_eq!(kept.parameters["hyper_parameters.epochs"], "1");
    let expected = points(&run, 0).unwrap();
    assert!(expected.len() > MOST_METRICS);
    assert_eq!(kept.points.len(), expected.len());
    for ((key, value, time, step), point) in kept.points.iter().zip(&expected) {
        assert_eq!((key, *time, *step), (&point.key, point.time, point.step));
        assert_eq!(value.parse::<f64>().unwrap(), point.value);
    }
}

#[test]
fn exporting_again_finds_the_run_and_sends_nothing() {
    let fake = Fake::start();
    let run = run("3fa8c0d1", 7, 8);
    fake.open().unwrap().write(&run, 0).unwrap();
    let sent = fake.calls("log-batch");
    assert_eq!(fake.open().unwrap().write(&run, 0).unwrap(), Outcome::Present);
    assert_eq!((fake.calls("log-batch"), fake.calls("runs/create")), (sent, 1));
    assert_eq!(fake.state.lock().unwrap().experiments.len(), 1);
}

#[test]
fn a_failed_run_is_marked_once_and_replaced_by_the_one_that_succeeds() {
    let fake = Fake::start();
    let done = run("3fa8c0d1", 7, 8);
    let mut failed = done.record.clone();
    failed.status = Status::Failed { kind: FailureKind::Diverged, reason: "loss is NaN".into() };
    failed.result = None;
    for _ in 0..2 {
        fake.open().unwrap().write_failed(&failed).unwrap();
    }
    {
        let state = fake.state.lock().unwrap();
        assert_eq!(state.runs.len(), 1);
        let kept = &state.runs[0];
        assert_eq!((kept.status.as_str(), kept.tags[FAILURE].as_str()), ("FAILED", "loss is NaN"));
        assert!(!kept.tags.contains_key(COMPLETE) && kept.points.is_empty());
    }
    assert_eq!(fake.open().unwrap().write(&done, 0).unwrap(), Outcome::Written);
    fake.open().unwrap().write_failed(&failed).unwrap();
    let state = fake.state.lock().unwrap();
    assert_eq!((state.runs.len(), state.runs[0].status.as_str()), (1, "FINISHED"));
}

#[test]
fn an_export_that_was_cut_short_goes_on_with_the_run_that_it_began() {
    let fake = Fake::start();
    let run = run("3fa8c0d1", 7, 800);
    let experiment = fake.open().unwrap();
    // search, create, parameters and the first points pass
    fake.fault(4, 99, 400, r#"{"error_code": "INTERNAL_ERROR", "message": "the disk is full"}"#);
    let error = experiment.write(&run, 0).unwrap_err();
    assert!(error.to_string().ends_with("to `runs/log-batch`: INTERNAL_ERROR: the disk is full"), "{error}");
    fake.state.lock().unwrap().fault = None;
    assert_eq!(experiment.write(&run, 0).unwrap(), Outcome::Written);
    let state = fake.state.lock().unwrap();
    assert_eq!((state.runs.len(), state.runs[0].points.len()), (1, points(&run, 0).unwrap().len()));
}

#[test]
fn a_busy_server_is_asked_again_and_a_lost_one_is_named() {
    let fake = Fake::start();
    fake.fault(0, 3, 503, "busy");
    assert!(fake.open().is_ok());
    fake.fault(0, 99, 503, "busy");
    assert!(matches!(fake.open(), Err(Error::Refused { status: 503, .. })));
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let lost = Experiment::open(&format!("http://127.0.0.1:{port}"), None, "x", Duration::ZERO).unwrap_err();
    assert!(matches!(lost, Error::Unreachable { .. }) && lost.hint().is_some(), "{lost}");
}

#[test]
fn answers_that_are_not_mlflows_are_errors() {
    for (status, body, expected) in [
        (200, "<html>", "something else than MLflow"),
        (200, "{}", "the id is missing"),
        (200, r#"{"experiment": {"lifecycle_stage": "deleted", "experiment_id": "1"}}"#, "is deleted"),
        (404, "<html>not here</html>", "answered 404"),
        (301, "", "answered 301"),
    ] {
        let fake = Fake::start();
        fake.fault(0, 99, status, body);
        let error = fake.open().unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    let fake = Fake::start();
    fake.fault(0, 99, 401, "who are you");
    assert_eq!(fake.open().unwrap_err().category(), Category::Authentication);
    for address in ["", "file:///tmp/mlruns", "databricks", "localhost:5000", "http://"] {
        let error = Experiment::open(address, None, "x", Duration::ZERO).unwrap_err();
        assert!(matches!(error, Error::Address { .. }), "{address}: {error}");
    }
}

#[test]
fn credentials_are_sent_and_never_shown() {
    let fake = Fake::start();
    let token = Credentials::Token("secret".into());
    let opened = Experiment::open(&fake.address, Some(token), "x", Duration::ZERO).unwrap();
    assert!(!format!("{opened:?}").contains("secret"));
    // RFC 7617, section 2
    let password = Credentials::Password { user: "Aladdin".into(), password: "open sesame".into() };
    assert_eq!(password.header(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    let state = fake.state.lock().unwrap();
    assert!(state.log.iter().all(|(_, sent)| sent.as_deref() == Some("Bearer secret")));
}

#[test]
fn names_and_values_have_the_letters_and_lengths_that_mlflow_takes() {
    assert_eq!(key("test/a task:1/../macro_f1"), "test/a task_1/__/macro_f1");
    assert_eq!(key("a//b"), "a/_/b");
    assert_eq!(key(&"x".repeat(999)).len(), 250);
    assert_eq!(shortened(&"é".repeat(501), 500).chars().count(), 500);
    let point = |value| Point { key: "k".into(), value, step: 1, time: 2 };
    assert_eq!(metric(&point(f64::NAN))["value"], "NaN");
    assert_eq!(metric(&point(f64::NEG_INFINITY))["value"], "-Infinity");
    assert!(
        is_local("http://127.0.0.1:5000") && is_local("http://localhost") && !is_local("https://mlflow.org")
    );
}
