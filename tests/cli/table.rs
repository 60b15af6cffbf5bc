//! How a row of bad input is judged: its exit code, the words that the error has to have, a hint,
//! no panic, and nothing written.

use crate::world::{Ended, World};

/// One way to get it wrong.
pub(crate) struct Row {
    /// Told when the row fails.
    pub(crate) name: &'static str,
    /// What is changed before the program runs.
    pub(crate) setup: fn(&World),
    /// What is typed after the program's name; `STUDY` stands for a whole study.
    pub(crate) line: &'static str,
    /// Exit code.
    pub(crate) code: i32,
    /// Words on the error stream: the value, and what was expected.
    pub(crate) says: &'static [&'static str],
}

/// A row that needs no change.
pub(crate) const fn typed(
    name: &'static str,
    line: &'static str,
    code: i32,
    says: &'static [&'static str],
) -> Row {
    Row { name, setup: |_| (), line, code, says }
}

/// A whole study after a change.
pub(crate) const fn changed(
    name: &'static str,
    setup: fn(&World),
    line: &'static str,
    code: i32,
    says: &'static [&'static str],
) -> Row {
    Row { name, setup, line, code, says }
}

/// Runs every row, and fails with all that are not as they should be.
pub(crate) fn check(rows: &[Row]) {
    let failures: Vec<String> = rows
        .iter()
        .filter_map(|row| {
            let world = World::new();
            (row.setup)(&world);
            let ended = world.run(row.line);
            let mut wrong = judge(&ended, row.code, row.says);
            let files = world.files("outputs");
            if !files.is_empty() {
                wrong.push(format!("left behind {files:?}"));
            }
            (!wrong.is_empty())
                .then(|| format!("{}: `{}`\n  {}\n{}", row.name, row.line, wrong.join("\n  "), ended.err))
        })
        .collect();
    assert!(failures.is_empty(), "{} of {} rows:\n\n{}", failures.len(), rows.len(), failures.join("\n"));
}

/// What is wrong with how a run ended.
pub(crate) fn judge(ended: &Ended, code: i32, says: &[&str]) -> Vec<String> {
    let mut wrong = Vec::new();
    if ended.code != Some(code) {
        wrong.push(format!("ended with {:?}, expected {code}", ended.code));
    }
    for words in says {
        if !ended.err.contains(words) {
            wrong.push(format!("does not say `{words}`"));
        }
    }
    if ended.err.contains("panicked") || ended.err.contains("failed in a way that it should not") {
        wrong.push("panicked".to_owned());
    }
    // what clap finds comes with its own advice
    if !["hint:", "--help", "tip:"].iter().any(|advice| ended.err.contains(advice)) {
        wrong.push("gives no hint".to_owned());
    }
    if ended.err.lines().filter(|line| line.starts_with("error:")).count() != 1 {
        wrong.push("does not have exactly one error".to_owned());
    }
    wrong
}
