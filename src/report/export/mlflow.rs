//! Runs on an MLflow server, by its documented REST interface (engines.md, section 6.1). A run is
//! found by the tag `pifi.run_id` before it is made, and is whole when it has `pifi.complete`: an
//! export that was cut short goes on with the run that it began, and sends it the same points at the
//! same times, of which MLflow keeps one each.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};
use ureq::Agent;

use super::scalars::{Point, parameters, points, tags, times};
use super::{Error, Outcome, Run};
use crate::report::html::base64;
use crate::runs::RunRecord;
use crate::runs::record::Status;

/// MLflow takes at most so many points in one call.
const MOST_METRICS: usize = 1000;
/// And so many parameters.
const MOST_PARAMETERS: usize = 100;
/// Characters of a name.
const LONGEST_KEY: usize = 250;
/// Characters of a parameter's or tag's value; older servers take no more.
const LONGEST_VALUE: usize = 500;
/// Bytes of an answer.
const LARGEST_ANSWER: u64 = 16 << 20;
/// The call that makes a run.
const MAKE: &str = "runs/create";
/// Tag by which a run is found again.
const RUN_ID: &str = "pifi.run_id";
/// Tag of a run that has everything.
const COMPLETE: &str = "pifi.complete";
/// Tag of a run that failed: why.
const FAILURE: &str = "pifi.failure";

/// Who asks.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// `MLFLOW_TRACKING_TOKEN`.
    Token(String),
    /// `MLFLOW_TRACKING_USERNAME` and `MLFLOW_TRACKING_PASSWORD`.
    Password {
        /// The user's name.
        user: String,
        /// The password.
        password: String,
    },
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

impl Credentials {
    fn header(&self) -> String {
        match self {
            Self::Token(token) => format!("Bearer {token}"),
            Self::Password { user, password } => {
                format!("Basic {}", base64(format!("{user}:{password}").as_bytes()))
            }
        }
    }
}

/// An experiment on a server.
#[derive(Debug)]
pub struct Experiment {
    agent: Agent,
    address: String,
    credentials: Option<Credentials>,
    wait: Duration,
    id: String,
}

/// Whether an address is on this machine.
pub fn is_local(address: &str) -> bool {
    let host = address.parse::<ureq::http::Uri>().ok().and_then(|uri| uri.host().map(str::to_owned));
    host.is_some_and(|host| host == "localhost" || host == "[::1]" || host.starts_with("127."))
}

impl Experiment {
    /// Finds an experiment by its name or makes it. `wait` is the pause before a call is tried again,
    /// doubled at each further try.
    ///
    /// # Errors
    /// An address that is none; a server that cannot be reached, refuses, or is no MLflow.
    pub fn open(
        address: &str,
        credentials: Option<Credentials>,
        name: &str,
        wait: Duration,
    ) -> Result<Self, Error> {
        let trimmed = address.trim().trim_end_matches('/');
        let parsed = trimmed.parse::<ureq::http::Uri>().ok();
        let known = parsed.is_some_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https"))
                && uri.host().is_some()
                && uri.query().is_none()
        });
        if !known {
            return Err(Error::Address { address: address.to_owned() });
        }
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("pifi-probe/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(Duration::from_secs(15)))
            .timeout_recv_response(Some(Duration::from_mins(2)))
            .timeout_per_read(Some(Duration::from_secs(30)));
        // a proxy cannot reach a server on this machine
        let config = if is_local(trimmed) { config.proxy(None) } else { config };
        let agent = config.build().new_agent();
        let mut experiment =
            Self { agent, address: trimmed.to_owned(), credentials, wait, id: String::new() };
        experiment.id = experiment.find_or_make(name)?;
        Ok(experiment)
    }

    fn find_or_make(&self, name: &str) -> Result<String, Error> {
        if let Some(id) = self.find(name)? {
            return Ok(id);
        }
        match self.post("experiments/create", &json!({ "name": name })) {
            Ok(made) => text(&made, "/experiment_id").ok_or_else(|| self.strange("experiments/create")),
            // another export made it a moment ago
            Err(refused @ Error::Refused { .. }) => self.find(name)?.ok_or(refused),
            Err(other) => Err(other),
        }
    }

    fn find(&self, name: &str) -> Result<Option<String>, Error> {
        let call = "experiments/get-by-name";
        let found = match self.call(call, &mut || {
            let request = self.agent.get(self.url(call)).query("experiment_name", name);
            self.signed(request).call()
        }) {
            Ok(found) => found,
            // the status alone could also come from a server that is no MLflow
            Err(Error::Refused { status: 404, message, .. })
                if message.contains("RESOURCE_DOES_NOT_EXIST") =>
            {
                return Ok(None);
            }
            Err(other) => return Err(other),
        };
        if text(&found, "/experiment/lifecycle_stage").as_deref() == Some("deleted") {
            return Err(Error::Deleted { name: name.to_owned() });
        }
        text(&found, "/experiment/experiment_id").map(Some).ok_or_else(|| self.strange(call))
    }

    /// Writes a run with at most `most` points of each training curve (0 for all).
    ///
    /// # Errors
    /// As [`Experiment::open`]; [`Error::Time`].
    pub fn write(&self, run: &Run, most: usize) -> Result<Outcome, Error> {
        let record = &run.record;
        let (started, finished) = times(record)?;
        let points = points(run, most)?;
        let id = match self.search(&record.cell)? {
            Some((_, true)) => return Ok(Outcome::Present),
            Some((id, false)) => id,
            None => self.make(record, started)?,
        };
        let parameters = entries(&parameters(record));
        for some in parameters.chunks(MOST_PARAMETERS) {
            self.post("runs/log-batch", &json!({ "run_id": id, "params": some }))?;
        }
        let metrics: Vec<Value> = points.iter().map(metric).collect();
        for some in metrics.chunks(MOST_METRICS) {
            self.post("runs/log-batch", &json!({ "run_id": id, "metrics": some }))?;
        }
        let end = json!({ "run_id": id, "status": "FINISHED", "end_time": finished });
        self.post("runs/update", &end)?;
        self.post("runs/set-tag", &json!({ "run_id": id, "key": COMPLETE, "value": "true" }))?;
        Ok(Outcome::Written)
    }

    /// Marks a run as failed, with the reason as a tag. It stays open: the same run, trained again,
    /// is written in its place.
    ///
    /// # Errors
    /// As [`Experiment::open`]; [`Error::Time`].
    pub fn write_failed(&self, record: &RunRecord) -> Result<(), Error> {
        let (started, finished) = times(record)?;
        let id = match self.search(&record.cell)? {
            Some((_, true)) => return Ok(()),
            Some((id, false)) => id,
            None => self.make(record, started)?,
        };
        if let Status::Failed { reason, .. } = &record.status {
            let reason: String = reason.chars().take(1000).collect();
            self.post("runs/set-tag", &json!({ "run_id": id, "key": FAILURE, "value": reason }))?;
        }
        let end = json!({ "run_id": id, "status": "FAILED", "end_time": finished });
        self.post("runs/update", &end)?;
        Ok(())
    }

    /// The server's id of a run, and whether it has everything.
    fn search(&self, cell: &str) -> Result<Option<(String, bool)>, Error> {
        let call = "runs/search";
        // ids are hexadecimal; a quote could only come from a record that was tampered with
        let cell = cell.replace('\'', "");
        let filter = format!("tags.`{RUN_ID}` = '{cell}'");
        let body = json!({ "experiment_ids": [self.id], "filter": filter, "max_results": 10 });
        let found = self.post(call, &body)?;
        let runs = found.get("runs").and_then(Value::as_array).cloned().unwrap_or_default();
        let complete = |run: &Value| {
            let tags = run.pointer("/data/tags").and_then(Value::as_array);
            tags.is_some_and(|tags| tags.iter().any(|tag| tag["key"] == COMPLETE && tag["value"] == "true"))
        };
        let Some(run) = runs.iter().find(|run| complete(run)).or(runs.first()) else { return Ok(None) };
        let id = text(run, "/info/run_id").ok_or_else(|| self.strange(call))?;
        Ok(Some((id, complete(run))))
    }

    fn make(&self, record: &RunRecord, started: u64) -> Result<String, Error> {
        let name = format!("{}, seed {}", record.condition, record.seed.0);
        let mut tags = tags(record);
        tags = tags.into_iter().map(|(key, value)| (format!("pifi.{key}"), value)).collect();
        tags.insert(RUN_ID.to_owned(), record.cell.clone());
        tags.insert("mlflow.source.name".to_owned(), "pifi-probe".to_owned());
        let body = json!({
            "experiment_id": self.id, "start_time": started, "run_name": name, "tags": entries(&tags),
        });
        let made = self.post(MAKE, &body)?;
        text(&made, "/run/info/run_id").ok_or_else(|| self.strange(MAKE))
    }

    fn url(&self, call: &str) -> String {
        format!("{}/api/2.0/mlflow/{call}", self.address)
    }

    fn signed<B>(&self, request: ureq::RequestBuilder<B>) -> ureq::RequestBuilder<B> {
        match &self.credentials {
            Some(credentials) => request.header("authorization", credentials.header()),
            None => request,
        }
    }

    fn post(&self, call: &str, body: &Value) -> Result<Value, Error> {
        let body = body.to_string();
        self.call(call, &mut || {
            let request = self.signed(self.agent.post(self.url(call)));
            request.header("content-type", "application/json").send(body.as_str())
        })
    }

    /// Sends a request until it is answered: a server that is busy or starting gets three more tries.
    /// A run is asked for once: asked twice, a server that was not heard would make two. The next
    /// export finds what was made unheard by its tag.
    fn call(
        &self,
        call: &str,
        send: &mut dyn FnMut() -> Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<Value, Error> {
        let mut wait = self.wait;
        let mut tries = if call == MAKE { 0 } else { 3 };
        loop {
            match self.once(call, send()) {
                Err((_, true)) if tries > 0 => {
                    std::thread::sleep(wait);
                    wait *= 2;
                    tries -= 1;
                }
                Err((error, _)) => return Err(error),
                Ok(answer) => return Ok(answer),
            }
        }
    }

    /// The answer, or the error and whether another try may mend it.
    fn once(
        &self,
        call: &str,
        answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<Value, (Error, bool)> {
        let address = self.address.clone();
        let unreachable = |reason: String| (Error::Unreachable { address: address.clone(), reason }, true);
        let answer = answer.map_err(|error| unreachable(error.to_string()))?;
        let status = answer.status().as_u16();
        let body = answer.into_body().into_with_config().limit(LARGEST_ANSWER).read_to_string();
        let body = body.map_err(|error| unreachable(error.to_string()))?;
        let call = call.to_owned();
        match status {
            200..=299 => serde_json::from_str(&body).map_err(|error| {
                (Error::Strange { address: address.clone(), call, reason: error.to_string() }, false)
            }),
            401 | 403 => Err((Error::Credentials { address, status, call }, false)),
            _ => {
                let message = words(&body);
                let passing = status == 429 || status >= 500;
                Err((Error::Refused { address, status, call, message }, passing))
            }
        }
    }

    fn strange(&self, call: &str) -> Error {
        let reason = "the id is missing".to_owned();
        Error::Strange { address: self.address.clone(), call: call.to_owned(), reason }
    }
}

/// What a refusal says: `ERROR_CODE: message` of MLflow, else the first of its letters.
fn words(body: &str) -> String {
    let parsed: Option<Value> = serde_json::from_str(body).ok();
    let said = parsed.as_ref().and_then(|value| {
        let part = |name: &str| value.get(name).and_then(Value::as_str);
        Some(format!("{}: {}", part("error_code")?, part("message").unwrap_or_default()))
    });
    let said = said.unwrap_or_else(|| body.trim().to_owned());
    let plain: String = said.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    shortened(&plain, 300)
}

fn text(value: &Value, pointer: &str) -> Option<String> {
    value.pointer(pointer).and_then(Value::as_str).map(str::to_owned)
}

fn entries(pairs: &BTreeMap<String, String>) -> Vec<Value> {
    let entry = |(name, value): (&String, &String)| json!({ "key": key(name), "value": shortened(value, LONGEST_VALUE) });
    pairs.iter().map(entry).collect()
}

fn metric(point: &Point) -> Value {
    let value = match point.value {
        value if value.is_nan() => json!("NaN"),
        value if value.is_infinite() => json!(if value > 0.0 { "Infinity" } else { "-Infinity" }),
        value => json!(value),
    };
    json!({ "key": key(&point.key), "value": value, "timestamp": point.time, "step": point.step })
}

/// A name of the letters that MLflow allows; it reads names as paths, so no part may be a step up.
fn key(name: &str) -> String {
    let allowed = |letter: char| letter.is_alphanumeric() || "_-. ".contains(letter);
    let part = |part: &str| -> String {
        let kept: String = part.chars().map(|letter| if allowed(letter) { letter } else { '_' }).collect();
        if kept.chars().all(|letter| letter == '.') { "_".repeat(kept.len().max(1)) } else { kept }
    };
    let parts: Vec<String> = name.split('/').map(part).collect();
    parts.join("/").chars().take(LONGEST_KEY).collect()
}

fn shortened(text: &str, longest: usize) -> String {
    if text.chars().count() <= longest {
        return text.to_owned();
    }
    text.chars().take(longest - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests;
