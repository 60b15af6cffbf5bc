//! Turns a refusing answer of the Hub into the error that says what, why and what next.

use super::error::Error;
use super::http::{Answer, Client, Failed, Passing, host_of, wait_asked};
use super::repository_id::RepositoryId;

/// What an answer that is no success means for a request about `id` (its file `name`, if any).
pub(crate) fn explain(
    client: &Client,
    answer: &Answer,
    id: &RepositoryId,
    revision: &str,
    name: Option<&str>,
) -> Failed {
    let host = host_of(&answer.url);
    let what = name.map_or_else(|| id.to_string(), |name| format!("{id}/{name}"));
    let code = answer.header("x-error-code").unwrap_or("");
    let words: String = answer.header("x-error-message").unwrap_or("").chars().take(300).collect();
    let token = client.settings().token.as_ref().filter(|_| client.is_endpoint(&answer.url));
    let repository = id.to_string();
    let url = id.page(&client.settings().endpoint);
    let error = match (answer.status, code, token) {
        (429 | 500 | 502..=504, _, _) => return passing(answer, host, what, words),
        (401, _, Some(token)) if code != "RepoNotFound" || words.to_lowercase().contains("invalid") => {
            Error::TokenRejected { source_name: token.source().to_owned(), host }
        }
        (403, _, Some(token)) if words.to_lowercase().contains("fine-grained") => {
            Error::FineGrained { repository, source_name: token.source().to_owned() }
        }
        (403, "GatedRepo", Some(_)) => Error::GatedPending { repository, url, account: account(client) },
        (401 | 403, "GatedRepo", None) => Error::Gated { repository, url },
        (403, ..) => {
            let message = if words.is_empty() { "403".to_owned() } else { words };
            Error::Forbidden { repository, host, message }
        }
        (404, "RevisionNotFound", _) => Error::NoRevision { repository, revision: revision.to_owned() },
        (404, "EntryNotFound" | "", _) if name.is_some() => {
            Error::NoFile { repository, name: name.unwrap_or_default().to_owned() }
        }
        (401 | 404, ..) => {
            let suggestion = crate::error::did_you_mean(id.name(), super::alias::names());
            let token = token.map(|token| token.source().to_owned());
            Error::NotFound { repository, host, token, suggestion: suggestion.map(str::to_owned) }
        }
        (status, ..) => Error::Server { host, status, message: words, what },
    };
    Failed::from(error)
}

/// 429 and 5xx: worth another attempt.
fn passing(answer: &Answer, host: String, what: String, message: String) -> Failed {
    let status = answer.status;
    let wait = matches!(status, 429 | 503).then(|| wait_asked(answer)).flatten();
    let reason = format!("{status} from {host}");
    let error = if status == 429 {
        Error::RateLimited { host, seconds: wait.unwrap_or(60) }
    } else {
        Error::Server { host, status, message, what }
    };
    Failed::Passing(Box::new(Passing { error, wait, reason }))
}

/// The token's account, if the Hub tells it: one more request, only on the way to an error.
fn account(client: &Client) -> Option<String> {
    let url = format!("{}/api/whoami-v2", client.settings().endpoint);
    let answer = client.exchange(false, &url, None, "whoami").ok().filter(|answer| answer.status == 200)?;
    let bytes = answer.read(1 << 20, "whoami").ok()?;
    let value: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
    let name = value.get("name")?.as_str()?;
    (name.len() <= 96 && name.chars().all(|letter| letter.is_ascii_graphic())).then(|| name.to_owned())
}
