//! What every error of the library can tell besides its message: a remedy and an exit code.
//! Each module has one error enum whose variants carry data; messages are lower case without a
//! full stop, literals in backticks, and say what was wrong, the value and what was expected.

/// Why a command ends without its result; decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Category {
    /// Anything that has no category of its own: exit 1.
    Failure,
    /// The command line or a study file asks for something that does not exist: exit 2.
    Usage,
    /// The sweep finished, but some of its cells failed: exit 3.
    CellsFailed,
    /// A token is missing or rejected, or the model is gated: exit 4.
    Authentication,
    /// Offline, and not in the cache: exit 5.
    Offline,
    /// Stopped at a checkpoint by a signal or a time limit; the same command goes on: exit 75.
    Stopped,
    /// Interrupted from the keyboard: exit 130.
    Interrupted,
}

impl Category {
    /// The exit code of the program.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Failure => 1,
            Self::Usage => 2,
            Self::CellsFailed => 3,
            Self::Authentication => 4,
            Self::Offline => 5,
            Self::Stopped => 75,
            Self::Interrupted => 130,
        }
    }
}

/// An error that knows its remedy.
pub trait Diagnose: std::error::Error + Send + Sync + 'static {
    /// What to do about it, printed after a blank line as `hint: ...`; never part of the message.
    fn hint(&self) -> Option<String> {
        None
    }

    /// Decides the exit code.
    fn category(&self) -> Category {
        Category::Failure
    }
}

/// Any error of the library, with what was being done when it came up.
#[derive(Debug)]
pub struct Failure {
    doing: Vec<String>,
    cause: Box<dyn Diagnose>,
}

impl Failure {
    /// Adds what was being done, outermost last.
    #[must_use]
    pub fn while_doing(mut self, doing: impl Into<String>) -> Self {
        self.doing.push(doing.into());
        self
    }

    /// The remedy of the cause.
    pub fn hint(&self) -> Option<String> {
        self.cause.hint()
    }

    /// The category of the cause.
    pub fn category(&self) -> Category {
        self.cause.category()
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for doing in self.doing.iter().rev() {
            write!(f, "{doing}: ")?;
        }
        write!(f, "{}", self.cause)
    }
}

impl<E: Diagnose> From<E> for Failure {
    fn from(cause: E) -> Self {
        Self { doing: Vec::new(), cause: Box::new(cause) }
    }
}

/// Adds what was being done to an error on its way up.
pub trait Context<T> {
    /// Turns the error into a [`Failure`] that says what was being done.
    ///
    /// # Errors
    /// The same error, with context.
    fn while_doing(self, doing: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T, E: Into<Failure>> Context<T> for Result<T, E> {
    fn while_doing(self, doing: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|error| error.into().while_doing(doing()))
    }
}

/// The candidate nearest to `typed` by edit distance, if it is near enough to be a typing slip:
/// at most a third of the letters differ, and at most three.
pub fn did_you_mean<'a>(typed: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let typed = typed.to_lowercase();
    let limit = (typed.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| (edit_distance(&typed, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_slip_finds_its_word_and_a_stranger_does_not() {
        let names = ["sst2", "imdb", "cola"];
        assert_eq!(did_you_mean("sts2", names), None);
        assert_eq!(did_you_mean("sst", names), Some("sst2"));
        assert_eq!(did_you_mean("IMBD", ["imdbs", "imdb"]), None);
        assert_eq!(did_you_mean("llama3-8", ["llama3-8b", "qwen"]), Some("llama3-8b"));
        assert_eq!(did_you_mean("zzz", names), None);
    }
}
