//! What can go wrong between a name and its bytes, said so that the next step is clear.

use std::path::{Path, PathBuf};

use crate::error::{Category, Diagnose};

use super::header::HeaderError;

/// Open models that can stand in for a gated one.
const SUBSTITUTES: &str = "open models of similar size: qwen2-7b, qwen2.5-7b, mistral-7b, falcon-7b, \
                           smollm2-1.7b, olmo2-7b";

/// An error of the Hub, its cache or a checkpoint on disk.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A model's name that is no path, no alias and no Hub id.
    #[error("unknown model `{typed}`, expected an alias, a Hub id `org/name` or a path ({reason})")]
    UnknownModel {
        /// What was typed.
        typed: String,
        /// Why it is no Hub id.
        reason: String,
        /// The nearest alias.
        suggestion: Option<String>,
    },
    /// Something that looks like a path and does not exist.
    #[error("no such file or directory `{}`, expected a model's directory or a .safetensors file", .0.display())]
    NoSuchPath(PathBuf),
    /// A local directory without what is needed.
    #[error("`{}` {reason}", path.display())]
    LocalModel {
        /// The directory or file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The embedded demo asked for a file or a repository that this build does not have.
    #[error("this build embeds no `{name}` in its model `{repository}`")]
    NotEmbedded {
        /// Embedded repository.
        repository: String,
        /// File, or "repository".
        name: String,
    },
    /// A revision that could not be one.
    #[error("`{0}` is no revision, expected a branch, a tag or a commit")]
    BadRevision(String),
    /// The endpoint is no address.
    #[error("`{0}` is no Hub address, expected one like `https://huggingface.co`")]
    BadEndpoint(String),
    /// Neither a home directory nor a cache is known.
    #[error("no place for the cache: neither HF_HOME, HF_HUB_CACHE, XDG_CACHE_HOME nor HOME is set")]
    NoHome,
    /// A token that cannot be sent in a header.
    #[error("the token from {source_name} is not a token, expected letters and digits on one line")]
    MalformedToken {
        /// Where it was found.
        source_name: String,
    },
    /// 401 `GatedRepo` without a token.
    #[error("`{repository}` is gated, and no token was found")]
    Gated {
        /// Repository.
        repository: String,
        /// Page with the form to accept.
        url: String,
    },
    /// 403 `GatedRepo`: not accepted, or pending.
    #[error("`{repository}` is gated, and your account{} has no access yet", account.as_ref().map_or(String::new(), |name| format!(" ({name})")))]
    GatedPending {
        /// Repository.
        repository: String,
        /// Page with the form to accept.
        url: String,
        /// The token's account, where the Hub told it.
        account: Option<String>,
    },
    /// 403: a fine-grained token without the box for gated repositories.
    #[error("the fine-grained token from {source_name} may not read the gated `{repository}`")]
    FineGrained {
        /// Repository.
        repository: String,
        /// Where the token was found.
        source_name: String,
    },
    /// 401 with a token.
    #[error("token from {source_name} rejected by {host}")]
    TokenRejected {
        /// Where the token was found; never its value.
        source_name: String,
        /// Who rejected it.
        host: String,
    },
    /// 403 for another reason.
    #[error("access to `{repository}` refused by {host}: {message}")]
    Forbidden {
        /// Repository.
        repository: String,
        /// Who refused.
        host: String,
        /// The server's words.
        message: String,
    },
    /// 401 or 404 `RepoNotFound`: the Hub hides which.
    #[error("`{repository}` not found on {host}, or private without access")]
    NotFound {
        /// Repository.
        repository: String,
        /// Who did not find it.
        host: String,
        /// Where a token was found, if one was sent.
        token: Option<String>,
        /// The nearest alias.
        suggestion: Option<String>,
    },
    /// 404 `RevisionNotFound`.
    #[error("`{repository}` has no revision `{revision}`")]
    NoRevision {
        /// Repository.
        repository: String,
        /// Revision asked for.
        revision: String,
    },
    /// 404 `EntryNotFound`.
    #[error("`{repository}` has no file `{name}`")]
    NoFile {
        /// Repository.
        repository: String,
        /// File.
        name: String,
    },
    /// A repository without safetensors.
    #[error("`{0}` has no safetensors checkpoint (neither `model.safetensors` nor an index of shards)")]
    NoSafetensors(String),
    /// A data set without the split, or not converted to parquet.
    #[error("data set `{dataset}` has no split `{wanted}`, it has {}", available.join(", "))]
    NoSplit {
        /// Data set.
        dataset: String,
        /// `config/split`.
        wanted: String,
        /// What there is.
        available: Vec<String>,
    },
    /// 429 to the end of all patience.
    #[error("{host} limits the rate of requests and asks to wait {seconds} s")]
    RateLimited {
        /// Who limits.
        host: String,
        /// Seconds that it asks for.
        seconds: u64,
    },
    /// Any other answer that is no success.
    #[error("{host} answered {status}{} for `{what}`", if message.is_empty() { String::new() } else { format!(" ({message})") })]
    Server {
        /// Who answered.
        host: String,
        /// HTTP status.
        status: u16,
        /// The server's words.
        message: String,
        /// What was asked for.
        what: String,
    },
    /// No connection, or one that broke to the end of all patience.
    #[error("no answer from {host} for `{what}`: {cause}")]
    Network {
        /// Who did not answer.
        host: String,
        /// What was asked for.
        what: String,
        /// The connection's error.
        cause: String,
    },
    /// A redirect that must not be followed.
    #[error("{host} redirects `{what}` {problem}")]
    Redirect {
        /// Who redirects.
        host: String,
        /// What was asked for.
        what: String,
        /// Why it is not followed.
        problem: String,
    },
    /// The server ignored `Range`, or answered with another one.
    #[error(
        "{host} answered {answer} for bytes {start}-{last} of `{what}`, expected 206 with exactly that range"
    )]
    Range {
        /// Who answered.
        host: String,
        /// File.
        what: String,
        /// First byte asked for.
        start: u64,
        /// Last byte asked for.
        last: u64,
        /// The answer: status and Content-Range.
        answer: String,
    },
    /// The file is not the one whose header was read.
    #[error("`{what}` changed while it was read: {detail}")]
    Changed {
        /// File.
        what: String,
        /// What differs.
        detail: String,
    },
    /// Bytes whose hash is not the promised one.
    #[error("`{what}` is corrupt: sha256 {found}, expected {expected}")]
    Corrupt {
        /// File or tensor.
        what: String,
        /// Hash of the bytes.
        found: String,
        /// Hash promised.
        expected: String,
    },
    /// A small file larger than any sensible one.
    #[error("`{what}` is larger than {limit} bytes, the most that is read of such a file")]
    TooLarge {
        /// File.
        what: String,
        /// Limit in bytes.
        limit: u64,
    },
    /// Offline, and not in the cache.
    #[error("offline (from {because}): missing {missing}")]
    Offline {
        /// Where the decision came from.
        because: String,
        /// What is missing.
        missing: String,
        /// The command that brings it.
        command: String,
    },
    /// A safetensors header that lies.
    #[error("`{file}` is no safetensors file: {cause}")]
    Header {
        /// File.
        file: String,
        /// What is wrong.
        cause: HeaderError,
    },
    /// An index of shards that lies.
    #[error("`{file}` is no index of shards: {reason}")]
    Index {
        /// File.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// A JSON file that is none.
    #[error("`{file}` cannot be read as JSON: {reason}")]
    Json {
        /// File.
        file: String,
        /// The parser's words.
        reason: String,
    },
    /// A tensor that is not there.
    #[error("no tensor `{name}` in {within}")]
    NoTensor {
        /// Tensor.
        name: String,
        /// Checkpoint or bundle.
        within: String,
    },
    /// A request for rows that the tensor does not have, or for the same tensor twice.
    #[error("tensor `{name}`: {reason}")]
    BadRequest {
        /// Tensor.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// A layer bundle that cannot be trusted.
    #[error("layer bundle `{}` {reason}", path.display())]
    Bundle {
        /// File.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The disk is full.
    #[error("no space left on the disk of `{}`", .0.display())]
    DiskFull(PathBuf),
    /// No permission to write.
    #[error("`{}` cannot be written: permission denied or read-only", .0.display())]
    Unwritable(PathBuf),
    /// Any other error of the file system.
    #[error("{doing} `{}`: {cause}", path.display())]
    Io {
        /// `reading`, `writing`, ...
        doing: &'static str,
        /// File or directory.
        path: PathBuf,
        /// The system's error.
        cause: std::io::Error,
    },
    /// The caller's progress said stop.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// Names a full disk and an unwritable directory as such.
    pub fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        use std::io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        move |cause| match cause.kind() {
            StorageFull | QuotaExceeded => Self::DiskFull(path.to_owned()),
            PermissionDenied | ReadOnlyFilesystem if doing != READING => Self::Unwritable(path.to_owned()),
            _ => Self::Io { doing, path: path.to_owned(), cause },
        }
    }
}

/// What was being done to a file when reading failed; any other word means that it was written.
pub(crate) const READING: &str = "reading";

impl Diagnose for Error {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::UnknownModel { suggestion, .. } => match suggestion {
                Some(alias) => format!("did you mean `{alias}`? write `org/name` for any other Hub model"),
                None => "write `org/name` for a Hub model, or `./name` for a directory".to_owned(),
            },
            Self::NoSuchPath(path) if path.starts_with("~") => {
                "the shell expands `~` only at the start of a word: write `$HOME/...`".to_owned()
            }
            Self::NoSuchPath(_) => "a path is never looked up on the Hub; check its spelling".to_owned(),
            Self::LocalModel { .. } => {
                "a model's directory holds `config.json` and `model.safetensors` or its shards".to_owned()
            }
            Self::NoHome => "set HF_HOME to a directory that can be written".to_owned(),
            Self::BadEndpoint(_) => "correct or unset HF_ENDPOINT".to_owned(),
            Self::MalformedToken { source_name } => format!("correct or remove the token in {source_name}"),
            Self::Gated { url, .. } => format!(
                "1) open {url} and accept the terms, 2) set HF_TOKEN or run `hf auth login`; {SUBSTITUTES}"
            ),
            Self::GatedPending { url, .. } => {
                format!("open {url} and accept the terms, or wait for the approval; {SUBSTITUTES}")
            }
            Self::FineGrained { .. } => {
                "in the token's settings tick `Read access to contents of all public \
                                         gated repos you can access`"
                    .to_owned()
            }
            Self::TokenRejected { source_name, .. } => format!(
                "replace the token in {source_name} (https://huggingface.co/settings/tokens), or remove it: \
                 open models need none"
            ),
            Self::NotFound { token, suggestion, .. } => {
                let did_you_mean = suggestion.as_ref().map(|it| format!("did you mean `{it}`? "));
                let access = match token {
                    Some(source) => format!("does the account of the token from {source} have access?"),
                    None => "if it is private, set HF_TOKEN or run `hf auth login`".to_owned(),
                };
                format!("{}check the spelling; {access}", did_you_mean.unwrap_or_default())
            }
            Self::NoRevision { repository, .. } => {
                format!("branches and tags are listed at https://huggingface.co/{repository}/tree/main")
            }
            Self::NoSafetensors(_) => {
                "pickled weights (.bin, .pth) are not read: convert them to safetensors first".to_owned()
            }
            Self::NoSplit { .. } => "configuration and split are those of the Hub's parquet view".to_owned(),
            Self::RateLimited { seconds, .. } => {
                format!("wait {seconds} s and run the same command again: it goes on where it stopped")
            }
            Self::Network { .. } => {
                "check the connection, or use `--offline` with what the cache holds; the \
                                     same command goes on where it stopped"
                    .to_owned()
            }
            Self::Server { status, .. } if *status >= 500 => {
                "the server has trouble: run the same command again later, it goes on where it stopped"
                    .to_owned()
            }
            Self::Range { .. } => {
                "this mirror or proxy does not serve byte ranges: unset HF_ENDPOINT, or give \
                                   a local directory"
                    .to_owned()
            }
            Self::Changed { .. } => {
                "run the same command again: what was kept of the old file is read anew".to_owned()
            }
            Self::Corrupt { .. } => "remove it and run the same command again".to_owned(),
            Self::Offline { command, .. } => {
                format!("on a connected machine run `{command}`, or drop the offline setting")
            }
            Self::Header { .. } | Self::Index { .. } => {
                "the file is damaged, truncated or of another format; fetch it again".to_owned()
            }
            Self::Bundle { .. } => "`pifi-probe cache rm` removes it; it is then fetched again".to_owned(),
            Self::DiskFull(_) => {
                "free some space (`pifi-probe cache ls`), or point PIFI_PROBE_CACHE and HF_HOME \
                                  to another disk; the same command goes on where it stopped"
                    .to_owned()
            }
            Self::Unwritable(_) => {
                "point PIFI_PROBE_CACHE and HF_HOME to a directory that can be written".to_owned()
            }
            Self::NoFile { .. } => {
                "a model of transformers has `config.json`, `model.safetensors` and, as the small model, \
                 `tokenizer.json`: copy the missing file from where the model was published"
                    .to_owned()
            }
            Self::Json { .. } => {
                "the file is damaged or of another format; copy it again from where the model was published"
                    .to_owned()
            }
            Self::Io { cause, .. } if cause.kind() == std::io::ErrorKind::FileTooLarge => {
                "a limit on the size of files is in the way: see `ulimit -f`".to_owned()
            }
            Self::Io { doing, .. } if *doing != READING => {
                "is this a place that you may write to? PIFI_PROBE_CACHE and HF_HOME say where caches are"
                    .to_owned()
            }
            _ => return None,
        })
    }

    fn category(&self) -> Category {
        match self {
            Self::UnknownModel { .. }
            | Self::NoSuchPath(_)
            | Self::BadRevision(_)
            | Self::NotEmbedded { .. }
            | Self::BadEndpoint(_) => Category::Usage,
            Self::Gated { .. }
            | Self::GatedPending { .. }
            | Self::FineGrained { .. }
            | Self::TokenRejected { .. }
            | Self::MalformedToken { .. }
            | Self::Forbidden { .. } => Category::Authentication,
            Self::Offline { .. } => Category::Offline,
            Self::Interrupted => Category::Interrupted,
            _ => Category::Failure,
        }
    }
}
