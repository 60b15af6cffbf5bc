//! One question, to a person at a terminal.

use std::io::BufRead;

use super::error::Error;
use super::output::Output;
use super::{environment, output};
use crate::error::Failure;

/// Asks until it is answered with yes or no; nothing typed means no. Nobody is asked where nobody
/// can answer: the work then goes on, as it would without a terminal.
///
/// # Errors
/// [`Error::Declined`] when the answer is no.
pub(crate) fn confirm(output: &Output, question: &str) -> Result<(), Failure> {
    if !environment::can_ask() || output.json {
        return Ok(());
    }
    output::stderr(&format!("{question} [y/N]"));
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    if read.is_ok() && agrees(&answer) { Ok(()) } else { Err(Error::Declined.into()) }
}

fn agrees(answer: &str) -> bool {
    ["y", "yes"].contains(&answer.trim().to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_means_yes() {
        assert!(agrees("Y\n") && agrees(" yes "));
        assert!(!agrees("\n") && !agrees("no") && !agrees("yeah"));
    }
}
