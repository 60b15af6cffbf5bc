//! Single exchanges with the Hub: redirects followed by hand, so that the token stays with the
//! host it belongs to; answers sorted into those to retry, those to explain and those to read.

use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ureq::http::{HeaderMap, Uri};
use ureq::{Agent, Body};

use super::error::Error;
use super::progress::{Progress, Watch, tell};
use super::settings::{Settings, Token};

const MOST_REDIRECTS: usize = 10;

/// Asks the Hub and the hosts it points to.
#[derive(Debug)]
pub(crate) struct Client {
    agent: Agent,
    settings: Settings,
    requests: AtomicU64,
}

/// The head of an answer, its body unread. Dropping it closes the connection.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
    pub(crate) url: String,
}

/// Why an attempt failed: worth another one, or not.
pub(crate) enum Failed {
    /// A connection that broke, or 429 and 5xx.
    Passing(Box<Passing>),
    /// Nothing that time would mend.
    Final(Box<Error>),
}

/// A failure that time may mend.
pub(crate) struct Passing {
    /// What it is once patience ends.
    pub(crate) error: Error,
    /// Seconds that the server asked to wait.
    pub(crate) wait: Option<u64>,
    /// What the watcher is told.
    pub(crate) reason: String,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Final(Box::new(error))
    }
}

impl Answer {
    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The whole body, at most `limit` bytes of it and exactly as many as announced.
    pub(crate) fn read(self, limit: u64, what: &str) -> Result<Vec<u8>, Failed> {
        let too_large = || Failed::from(Error::TooLarge { what: what.to_owned(), limit });
        let announced = self.body.content_length();
        if announced.is_some_and(|length| length > limit) {
            return Err(too_large());
        }
        let host = host_of(&self.url);
        let mut bytes = Vec::new();
        self.body
            .into_reader()
            .take(limit + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| passing(&host, what, &error.to_string()))?;
        if bytes.len() as u64 > limit {
            return Err(too_large());
        }
        if announced.is_some_and(|length| length != bytes.len() as u64) {
            return Err(passing(&host, what, "the answer was cut short"));
        }
        Ok(bytes)
    }
}

impl Client {
    pub(crate) fn new(settings: &Settings) -> Self {
        let patience = settings.patience;
        let agent = Agent::config_builder()
            .max_redirects(0)
            .http_status_as_error(false)
            .user_agent(settings.user_agent.as_str())
            .accept_encoding("identity")
            .timeout_connect(Some(patience.connect))
            .timeout_recv_response(Some(patience.response))
            .timeout_per_read(Some(patience.read));
        // a proxy cannot reach a server on this machine
        let agent = if is_loopback(&host_of(&settings.endpoint)) { agent.proxy(None) } else { agent };
        Self { agent: agent.build().new_agent(), settings: settings.clone(), requests: AtomicU64::new(0) }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Requests sent so far.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// The token, if `url` is on the endpoint's own scheme, host and port.
    fn token_for(&self, url: &str) -> Option<&Token> {
        self.settings.token.as_ref().filter(|_| self.is_endpoint(url))
    }

    pub(crate) fn is_endpoint(&self, url: &str) -> bool {
        origin(url).is_some_and(|it| Some(it) == origin(&self.settings.endpoint))
    }

    /// One request, one answer, no redirect followed.
    pub(crate) fn exchange(
        &self,
        head: bool,
        url: &str,
        range: Option<(u64, u64)>,
        what: &str,
    ) -> Result<Answer, Failed> {
        if let Some(because) = &self.settings.offline {
            // every way to the network passes here: offline is a promise
            return Err(Failed::from(Error::Offline {
                because: because.clone(),
                missing: format!("`{what}`"),
                command: "pifi-probe fetch".to_owned(),
            }));
        }
        let mut request = if head { self.agent.head(url) } else { self.agent.get(url) };
        if let Some(token) = self.token_for(url) {
            request = request.header("authorization", token.header());
        }
        if let Some((start, end)) = range {
            request = request.header("range", format!("bytes={start}-{}", end - 1));
        }
        self.requests.fetch_add(1, Ordering::Relaxed);
        let response = request.call().map_err(|error| passing(&host_of(url), what, &error.to_string()))?;
        let (head, body) = response.into_parts();
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body, url: url.to_owned() })
    }

    /// Follows redirects; `seen` is shown every answer on the way, the last one included.
    pub(crate) fn follow(
        &self,
        head: bool,
        url: &str,
        what: &str,
        mut seen: impl FnMut(&Answer) -> bool,
    ) -> Result<Answer, Failed> {
        let mut url = url.to_owned();
        for _ in 0..=MOST_REDIRECTS {
            let answer = self.exchange(head, &url, None, what)?;
            if !seen(&answer) || !(300..400).contains(&answer.status) || answer.status == 304 {
                return Ok(answer);
            }
            url = self.target(&answer, what)?;
        }
        let problem = format!("more than {MOST_REDIRECTS} times");
        Err(Failed::from(Error::Redirect { host: host_of(&url), what: what.to_owned(), problem }))
    }

    /// Where a redirect points to.
    pub(crate) fn target(&self, answer: &Answer, what: &str) -> Result<String, Error> {
        let refuse = |problem: &str| Error::Redirect {
            host: host_of(&answer.url),
            what: what.to_owned(),
            problem: problem.to_owned(),
        };
        let location = answer.header("location").ok_or_else(|| refuse("without saying where to"))?;
        let url = join(&answer.url, location).ok_or_else(|| refuse("to what is no address"))?;
        if self.settings.endpoint.starts_with("https://") && !url.starts_with("https://") {
            return Err(refuse("to an unencrypted address"));
        }
        Ok(url)
    }

    /// Runs `attempt` until it succeeds, fails for good, or patience ends. `attempt` says through
    /// its flag whether it made progress, which starts the count anew.
    pub(crate) fn patiently<T>(
        &self,
        watch: &mut Watch<'_>,
        mut attempt: impl FnMut(&mut Watch<'_>, &mut bool) -> Result<T, Failed>,
    ) -> Result<T, Error> {
        let patience = self.settings.patience;
        let mut failures = 0;
        loop {
            let mut progress = false;
            match attempt(watch, &mut progress) {
                Ok(value) => return Ok(value),
                Err(Failed::Final(error)) => return Err(*error),
                Err(Failed::Passing(passing)) => {
                    let Passing { error, wait, reason } = *passing;
                    failures = if progress { 1 } else { failures + 1 };
                    if failures > patience.retries {
                        return Err(error);
                    }
                    let doubled = patience.first_wait.saturating_mul(1 << (failures - 1).min(16));
                    let wait = wait.map_or(doubled.min(patience.longest_wait), Duration::from_secs);
                    if wait > patience.longest_wait {
                        return Err(error);
                    }
                    pause(wait, &reason, watch)?;
                }
            }
        }
    }
}

/// Sleeps, telling the watcher the seconds that are left.
fn pause(wait: Duration, reason: &str, watch: &mut Watch<'_>) -> Result<(), Error> {
    let mut left = wait;
    loop {
        let seconds = left.as_secs_f64().ceil() as u64;
        tell(watch, Progress::Waiting { seconds, reason: reason.to_owned() })?;
        let step = left.min(Duration::from_secs(1));
        std::thread::sleep(step);
        left -= step;
        if left.is_zero() {
            return Ok(());
        }
    }
}

/// An attempt that a broken connection ended.
pub(crate) fn passing(host: &str, what: &str, cause: &str) -> Failed {
    let error = Error::Network { host: host.to_owned(), what: what.to_owned(), cause: cause.to_owned() };
    Failed::Passing(Box::new(Passing { error, wait: None, reason: format!("{host}: {cause}") }))
}

/// Seconds that a 429 or 503 asks to wait: `Retry-After`, or the reset of a `RateLimit` header
/// (`"api";r=0;t=55`).
pub(crate) fn wait_asked(answer: &Answer) -> Option<u64> {
    if let Some(seconds) = answer.header("retry-after").and_then(|text| text.trim().parse().ok()) {
        return Some(seconds);
    }
    let limit = answer.header("ratelimit")?;
    limit.split(';').find_map(|part| part.trim().strip_prefix("t=")?.parse().ok())
}

/// Scheme, host and port of an address.
pub(crate) fn origin(url: &str) -> Option<(String, String, u16)> {
    let uri: Uri = url.parse().ok()?;
    let scheme = uri.scheme_str()?.to_ascii_lowercase();
    let port = uri.port_u16().or(match scheme.as_str() {
        "https" => Some(443),
        "http" => Some(80),
        _ => None,
    })?;
    Some((scheme, uri.host()?.to_ascii_lowercase(), port))
}

/// Host of an address, with its port when it is not the usual one.
pub(crate) fn host_of(url: &str) -> String {
    let uri: Option<Uri> = url.parse().ok();
    let host = uri.as_ref().and_then(|uri| Some((uri.host()?, uri.port_u16())));
    match host {
        Some((host, Some(port))) => format!("{host}:{port}"),
        Some((host, None)) => host.to_owned(),
        None => url.to_owned(),
    }
}

fn is_loopback(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name).trim_matches(['[', ']']);
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A `Location` as seen from `base`; `None` when it is no http address.
fn join(base: &str, location: &str) -> Option<String> {
    let (scheme, rest) = base.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let url = if location.contains("://") && !location.starts_with('/') {
        location.to_owned()
    } else if let Some(other) = location.strip_prefix("//") {
        format!("{scheme}://{other}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else {
        let path = base.split(['?', '#']).next()?;
        let folder = path.rfind('/').filter(|at| *at >= scheme.len() + 3).map_or(path, |at| &path[..at]);
        format!("{folder}/{location}")
    };
    let (found, _, _) = origin(&url)?;
    (found == "http" || found == "https").then_some(url)
}

/// Writes each part of a path so that it can stand in an address.
pub(crate) fn encoded(path: &str) -> String {
    use std::fmt::Write as _;
    path.bytes().fold(String::with_capacity(path.len()), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_are_joined_as_browsers_do() {
        let base = "https://hub.example:8443/org/x/resolve/main/a.bin?download=1";
        for (location, url) in [
            ("https://cdn.example/a?sig=1", Some("https://cdn.example/a?sig=1")),
            ("//cdn.example/a", Some("https://cdn.example/a")),
            ("/other/path?next=http://x", Some("https://hub.example:8443/other/path?next=http://x")),
            ("b.bin", Some("https://hub.example:8443/org/x/resolve/main/b.bin")),
            ("file:///etc/passwd", None),
            ("ftp://x/y", None),
        ] {
            assert_eq!(join(base, location).as_deref(), url, "{location}");
        }
    }

    #[test]
    fn the_token_stays_with_scheme_host_and_port() {
        let mut settings = Settings::below(std::path::Path::new(""));
        settings.endpoint = "https://hub.example".to_owned();
        settings.token = Some(Token::new("t", "test").unwrap());
        let client = Client::new(&settings);
        for (url, sent) in [
            ("https://hub.example/a", true),
            ("https://HUB.example:443/a", true),
            ("http://hub.example/a", false),
            ("https://hub.example:8443/a", false),
            ("https://hub.example.evil/a", false),
            ("https://evil/hub.example", false),
            ("https://hub.example@evil/a", false),
        ] {
            assert_eq!(client.token_for(url).is_some(), sent, "{url}");
        }
    }

    #[test]
    fn paths_are_encoded_and_loopback_is_known() {
        assert_eq!(encoded("sub/a b+ü?.bin"), "sub/a%20b%2B%C3%BC%3F.bin");
        for (host, loopback) in
            [("127.0.0.1:80", true), ("[::1]:80", true), ("localhost", true), ("hub.co", false)]
        {
            assert_eq!(is_loopback(host), loopback, "{host}");
        }
    }
}
