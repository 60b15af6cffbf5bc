//! A Hub on loopback: one port answers as huggingface.co does (revisions, trees, resolve with
//! `x-linked-*` headers and a redirect), another one serves signed links with byte ranges and fails
//! the test if it ever sees a token. Faults are injected by request.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use sha2::{Digest, Sha256};

/// The token that the server accepts.
pub(crate) const TOKEN: &str = "hf_accepted";

/// Which of the two ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Port {
    /// huggingface.co.
    Hub,
    /// The host of signed links.
    Cdn,
}

/// Who may read a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Anyone.
    Open,
    /// Accounts that accepted the terms; the token's account did.
    Gated,
    /// Gated, and the token's account has no access yet.
    Pending,
    /// Gated, and the token is a fine-grained one without the box.
    FineGrained,
    /// The token's account only.
    Private,
}

/// What goes wrong.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    /// An answer of its own.
    Answer { status: u16, headers: Vec<(&'static str, String)> },
    /// The body stops after so many bytes.
    Truncate(usize),
    /// The whole file in place of a range.
    IgnoreRange,
    /// A `Content-Range` that is not the one asked for.
    ContentRange(String),
    /// An `ETag` that is not the file's.
    Etag(&'static str),
    /// All links signed so far stop working.
    ExpireLinks,
    /// A pause after each chunk of 4 KiB.
    Slow(Duration),
}

/// An action for some requests.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    /// Port that it happens on.
    pub(crate) port: Port,
    /// Part of the path (without the address) that it happens for.
    pub(crate) path: &'static str,
    /// Matching requests that pass before.
    pub(crate) skip: usize,
    /// Matching requests that it happens to.
    pub(crate) times: usize,
    /// What happens.
    pub(crate) action: Action,
}

/// A request as it came in.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Port.
    pub(crate) port: Port,
    /// `GET` or `HEAD`.
    pub(crate) method: String,
    /// Path and query.
    pub(crate) path: String,
    /// `Range` header.
    pub(crate) range: Option<String>,
    /// `Authorization` header.
    pub(crate) authorization: Option<String>,
    /// Body bytes that were written to the connection; `None` until the answer ended.
    pub(crate) sent: Option<u64>,
}

struct Repository {
    commit: String,
    access: Access,
    files: BTreeMap<String, Arc<Vec<u8>>>,
}

#[derive(Default)]
struct State {
    repositories: Mutex<BTreeMap<String, Repository>>,
    faults: Mutex<Vec<Fault>>,
    log: Mutex<Vec<Request>>,
    signatures: AtomicU64,
    oldest_signature: AtomicU64,
    stop: AtomicBool,
    cdn: Mutex<String>,
}

/// The running server; dropping it checks that no token reached the second port.
pub(crate) struct HubServer {
    /// For `HF_ENDPOINT`.
    pub(crate) endpoint: String,
    state: Arc<State>,
}

impl HubServer {
    /// Starts both ports.
    pub(crate) fn start() -> Self {
        let state = Arc::new(State::default());
        let address = |port| {
            let listener = TcpListener::bind("127.0.0.1:0").expect("loopback can be bound");
            let address = listener.local_addr().expect("a bound port has an address");
            let state = Arc::clone(&state);
            std::thread::spawn(move || listen(&listener, port, &state));
            format!("http://{address}")
        };
        let cdn = address(Port::Cdn);
        *lock(&state.cdn) = cdn;
        let endpoint = address(Port::Hub);
        Self { endpoint, state }
    }

    /// Adds or replaces a file of `org/name` or `datasets/org/name`.
    pub(crate) fn add(&self, repository: &str, name: &str, content: impl Into<Vec<u8>>) {
        let mut repositories = lock(&self.state.repositories);
        let entry = repositories.entry(repository.to_owned()).or_insert_with(|| Repository {
            commit: commit_of(repository),
            access: Access::Open,
            files: BTreeMap::new(),
        });
        entry.files.insert(name.to_owned(), Arc::new(content.into()));
    }

    /// Sets who may read a repository.
    pub(crate) fn restrict(&self, repository: &str, access: Access) {
        lock(&self.state.repositories).get_mut(repository).expect("the repository was added").access = access;
    }

    /// Lets something go wrong.
    pub(crate) fn fault(&self, fault: Fault) {
        lock(&self.state.faults).push(fault);
    }

    /// As [`Self::fault`], for the next matching request only.
    pub(crate) fn fault_once(&self, port: Port, path: &'static str, action: Action) {
        self.fault(Fault { port, path, skip: 0, times: 1, action });
    }

    /// All requests so far.
    pub(crate) fn log(&self) -> Vec<Request> {
        lock(&self.state.log).clone()
    }

    /// Forgets the requests so far.
    pub(crate) fn clear_log(&self) {
        lock(&self.state.log).clear();
    }

    /// Body bytes that a port sent, once all its answers have ended.
    pub(crate) fn sent(&self, port: Port) -> u64 {
        for _ in 0..500 {
            let log = self.log();
            let of_port = || log.iter().filter(|it| it.port == port);
            if of_port().all(|it| it.sent.is_some()) {
                return of_port().filter_map(|it| it.sent).sum();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("an answer does not end: {:?}", self.log());
    }
}

impl Drop for HubServer {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::SeqCst);
        if !std::thread::panicking() {
            let leaked = self.log().into_iter().find(|it| it.port == Port::Cdn && it.authorization.is_some());
            assert!(leaked.is_none(), "the token was sent to another host: {leaked:?}");
        }
    }
}

/// The commit of a repository on this server.
pub(crate) fn commit_of(repository: &str) -> String {
    hex(&Sha256::digest(repository.as_bytes()))[..40].to_owned()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Small letters of a hash.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn listen(listener: &TcpListener, port: Port, state: &Arc<State>) {
    for stream in listener.incoming() {
        if state.stop.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let state = Arc::clone(state);
        std::thread::spawn(move || serve(stream, port, &state));
    }
}

/// An answer to be written.
struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Arc<Vec<u8>>,
    range: std::ops::Range<usize>,
}

impl Answer {
    fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Arc::new(Vec::new()), range: 0..0 }
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn error(status: u16, code: &str, message: &str) -> Self {
        Self::new(status).with("x-error-code", code).with("x-error-message", message)
    }

    fn json(text: &str) -> Self {
        let body = text.as_bytes().to_vec();
        Self { range: 0..body.len(), body: Arc::new(body), ..Self::new(200) }
    }
}

fn serve(mut stream: TcpStream, port: Port, state: &State) -> Option<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?;
    let mut lines = head.lines();
    let mut words = lines.next()?.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let header = |wanted: &str| {
        let line = head.lines().find(|line| line.to_lowercase().starts_with(&format!("{wanted}:")))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let (range, authorization) = (header("range"), header("authorization"));
    let request = Request { port, method, path, range, authorization, sent: None };
    let place = {
        let mut log = lock(&state.log);
        log.push(request.clone());
        log.len() - 1
    };
    let fault = due(state, &request);
    let mut answer = match (&fault, port) {
        (Some(Action::Answer { status, headers }), _) => {
            Answer { headers: headers.clone(), ..Answer::new(*status) }
        }
        (_, Port::Hub) => hub(state, &request),
        (_, Port::Cdn) => cdn(state, &request),
    };
    let mut limit = usize::MAX;
    let mut pause = Duration::ZERO;
    match fault {
        Some(Action::Truncate(bytes)) => limit = bytes,
        Some(Action::Slow(time)) => pause = time,
        Some(Action::IgnoreRange) => {
            answer.status = 200;
            answer.range = 0..answer.body.len();
            answer.headers.retain(|(name, _)| *name != "content-range");
        }
        Some(Action::ContentRange(text)) => replace(&mut answer, "content-range", text),
        Some(Action::Etag(text)) => replace(&mut answer, "etag", text.to_owned()),
        Some(Action::ExpireLinks) => {
            let newest = state.signatures.load(Ordering::SeqCst);
            state.oldest_signature.store(newest, Ordering::SeqCst);
            answer = Answer::new(403);
        }
        _ => {}
    }
    let mut sent = 0;
    let written = write(&mut stream, &request, &answer, limit, pause, &mut sent);
    if let Some(logged) = lock(&state.log).get_mut(place) {
        logged.sent = Some(sent);
    }
    written.ok()
}

fn replace(answer: &mut Answer, name: &'static str, value: String) {
    answer.headers.retain(|(other, _)| *other != name);
    answer.headers.push((name, value));
}

fn write(
    stream: &mut TcpStream,
    request: &Request,
    answer: &Answer,
    limit: usize,
    pause: Duration,
    sent: &mut u64,
) -> std::io::Result<()> {
    use std::fmt::Write as _;
    let mut head = format!("HTTP/1.1 {} Status\r\nconnection: close\r\n", answer.status);
    let _ = write!(head, "content-length: {}\r\n", answer.range.len());
    for (name, value) in &answer.headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    if request.method == "HEAD" {
        return Ok(());
    }
    let body = &answer.body[answer.range.clone()];
    for chunk in body[..limit.min(body.len())].chunks(4 << 10) {
        stream.write_all(chunk)?;
        *sent += chunk.len() as u64;
        std::thread::sleep(pause);
    }
    stream.flush()
}

/// The fault that is due for a request.
fn due(state: &State, request: &Request) -> Option<Action> {
    let mut faults = lock(&state.faults);
    for fault in faults.iter_mut() {
        if fault.port != request.port || !request.path.contains(fault.path) || fault.times == 0 {
            continue;
        }
        if fault.skip > 0 {
            fault.skip -= 1;
            continue;
        }
        fault.times -= 1;
        return Some(fault.action.clone());
    }
    None
}

/// huggingface.co.
fn hub(state: &State, request: &Request) -> Answer {
    let token = request.authorization.as_deref().map(|it| it.strip_prefix("Bearer ").unwrap_or(it));
    if token.is_some_and(|token| token != TOKEN) {
        return Answer::new(401).with("x-error-message", "Invalid username or password.");
    }
    let path = request.path.trim_start_matches('/');
    if path == "api/whoami-v2" {
        return if token.is_some() { Answer::json(r#"{"name":"tester"}"#) } else { Answer::new(401) };
    }
    let repositories = lock(&state.repositories);
    let api = path.strip_prefix("api/").map(|it| it.strip_prefix("models/").unwrap_or(it));
    let asked = api.unwrap_or(path);
    let Some((name, repository)) =
        repositories.iter().find(|(name, _)| asked.starts_with(&format!("{name}/")))
    else {
        return match token {
            Some(_) => Answer::error(404, "RepoNotFound", "Repository not found"),
            None => Answer::error(401, "RepoNotFound", "Invalid username or password."),
        };
    };
    let rest = &asked[name.len() + 1..];
    // the Hub tells the commit of a gated repository to anyone, its files to members
    if (api.is_none() || repository.access == Access::Private)
        && let Some(refusal) = refusal(repository.access, token.is_some(), name)
    {
        return refusal;
    }
    match (api.is_some(), rest.split_once('/')) {
        (true, Some(("revision", revision))) => match revision {
            "main" | "v1" | "refs%2Fconvert%2Fparquet" => {
                Answer::json(&format!(r#"{{"id":"{name}","sha":"{}","siblings":[]}}"#, repository.commit))
            }
            _ => Answer::error(404, "RevisionNotFound", "Invalid rev id"),
        },
        (true, Some(("tree", place))) => tree(repository, place),
        (false, Some(("resolve", place))) => resolve(state, request, name, repository, place),
        _ => Answer::new(404),
    }
}

fn refusal(access: Access, token: bool, name: &str) -> Option<Answer> {
    let gated = format!("Access to model {name} is restricted.");
    match (access, token) {
        (Access::Open, _) | (Access::Gated | Access::Private, true) => None,
        (Access::Private, false) => Some(Answer::error(401, "RepoNotFound", "Repository not found")),
        (_, false) => Some(Answer::error(401, "GatedRepo", &gated)),
        (Access::Pending, true) => Some(Answer::error(403, "GatedRepo", &gated)),
        (Access::FineGrained, true) => {
            let message =
                "Please enable access to public gated repositories in your fine-grained token settings";
            Some(Answer::error(403, "GatedRepo", message))
        }
    }
}

fn tree(repository: &Repository, place: &str) -> Answer {
    let (commit, folder) = match place.split_once('/') {
        Some((commit, folder)) => (commit, Some(folder)),
        None => (place.split('?').next().unwrap_or(place), None),
    };
    let inside = |name: &&String| folder.is_none_or(|folder| name.starts_with(&format!("{folder}/")));
    let files: Vec<String> = repository
        .files
        .keys()
        .filter(inside)
        .map(|name| format!(r#"{{"type":"file","path":"{name}","size":1,"oid":"x"}}"#))
        .collect();
    if commit != repository.commit || files.is_empty() {
        return Answer::error(404, "EntryNotFound", "no such folder");
    }
    Answer::json(&format!("[{}]", files.join(",")))
}

fn resolve(state: &State, request: &Request, name: &str, repository: &Repository, place: &str) -> Answer {
    let Some((commit, file)) = place.split_once('/') else { return Answer::new(404) };
    if commit != repository.commit {
        return Answer::error(404, "RevisionNotFound", "Invalid rev id");
    }
    let Some(content) = repository.files.get(file) else {
        return Answer::error(404, "EntryNotFound", "Entry not found");
    };
    let hash = hex(&Sha256::digest(content.as_slice()));
    let large =
        file.ends_with(".safetensors") || file.ends_with(".parquet") || file.ends_with("tokenizer.json");
    if !large {
        let etag = format!("\"{}\"", &hash[..40]);
        return part(content, request.range.as_deref()).with("etag", etag).with("x-repo-commit", commit);
    }
    let signature = state.signatures.fetch_add(1, Ordering::SeqCst);
    let location = format!("{}/{name}/{file}?signature={signature}", lock(&state.cdn));
    Answer::new(302)
        .with("location", location)
        .with("etag", "\"of-the-redirect\"")
        .with("x-linked-etag", format!("\"{hash}\""))
        .with("x-linked-size", content.len().to_string())
        .with("x-repo-commit", commit)
}

/// The host of signed links.
fn cdn(state: &State, request: &Request) -> Answer {
    let Some((path, signature)) = request.path.split_once("?signature=") else { return Answer::new(403) };
    let signature: u64 = signature.parse().unwrap_or(0);
    if signature < state.oldest_signature.load(Ordering::SeqCst) {
        return Answer::new(403);
    }
    let repositories = lock(&state.repositories);
    for (name, repository) in repositories.iter() {
        if let Some(file) = path.trim_start_matches('/').strip_prefix(&format!("{name}/"))
            && let Some(content) = repository.files.get(file)
        {
            let etag = format!("\"cdn-{}\"", &hex(&Sha256::digest(content.as_slice()))[..16]);
            return part(content, request.range.as_deref()).with("etag", etag);
        }
    }
    Answer::new(404)
}

/// The whole content, or the range asked for.
fn part(content: &Arc<Vec<u8>>, range: Option<&str>) -> Answer {
    let total = content.len();
    let whole = Answer { body: Arc::clone(content), range: 0..total, ..Answer::new(200) };
    let Some((first, last)) = range.and_then(|text| text.strip_prefix("bytes=")?.split_once('-')) else {
        return whole;
    };
    let (Ok(first), Ok(last)) = (first.parse::<usize>(), last.parse::<usize>()) else { return whole };
    if first >= total || first > last {
        return Answer::new(416).with("content-range", format!("bytes */{total}"));
    }
    let last = last.min(total - 1);
    Answer { status: 206, range: first..last + 1, ..whole }
        .with("content-range", format!("bytes {first}-{last}/{total}"))
}
