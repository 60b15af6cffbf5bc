//! Progress where nothing can be drawn: a line now and then.

use std::time::{Duration, Instant};

use super::tally::Tally;

/// Time between two lines about cells in work.
const EVERY: Duration = Duration::from_secs(30);

/// When the last line was written.
#[derive(Debug)]
pub(super) struct Lines {
    last: Instant,
}

impl Default for Lines {
    fn default() -> Self {
        Self { last: Instant::now() }
    }
}

impl Lines {
    /// The line that is due, if one is.
    pub(super) fn due(&mut self, tally: &Tally) -> Option<String> {
        let running = tally.running.values().next()?;
        if self.last.elapsed() < EVERY {
            return None;
        }
        self.last = Instant::now();
        Some(format!("{}: {}; {}", running.name, running.state(), tally.overall()))
    }
}
