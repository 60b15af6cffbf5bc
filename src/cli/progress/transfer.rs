//! Bytes on their way: a bar on a terminal, a line now and then elsewhere.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use super::super::output::Output;
use super::super::signals::Stop;
use super::super::text;
use crate::hub::Progress;

/// Time between two lines about one transfer.
const EVERY: Duration = Duration::from_secs(10);
/// Time between two events about one transfer.
const EVENT: Duration = Duration::from_millis(500);

/// Shows transfers one after the other.
pub(crate) struct Transfers<'a> {
    output: &'a Output,
    stop: &'a Stop,
    bar: Option<ProgressBar>,
    what: String,
    last: Instant,
}

impl<'a> Transfers<'a> {
    pub(crate) fn new(output: &'a Output, stop: &'a Stop) -> Self {
        Self { output, stop, bar: None, what: String::new(), last: Instant::now() }
    }

    /// Hears a step of a transfer; answers with a break once a stop was asked for.
    pub(crate) fn hear(&mut self, progress: Progress) -> ControlFlow<()> {
        match progress {
            Progress::Started { what, total, resumed } => self.start(what, total, resumed),
            Progress::Advanced { done, total } => self.advance(done, total),
            Progress::Waiting { seconds, reason } => self.wait(seconds, &reason),
        }
        if self.stop.asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn start(&mut self, what: String, total: u64, resumed: u64) {
        self.clear();
        let kept = if resumed > 0 { format!(", {} kept", text::bytes(resumed)) } else { String::new() };
        let line = format!("fetching {what} ({}{kept})", text::bytes(total));
        if self.output.json {
            let event =
                json!({"event": "transfer_started", "what": what, "total": total, "resumed": resumed});
            // a reader that went away is noticed by the result
            let _ = self.output.event(&event);
        } else if self.output.draws() {
            let template = "{msg} [{bar:30}] {bytes} of {total_bytes}, {bytes_per_sec}, {eta}";
            let style = ProgressStyle::with_template(template).expect("the template is well formed");
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(8));
            bar.set_style(style.progress_chars("━╸ "));
            bar.set_message(what.clone());
            bar.set_position(resumed);
            self.output.log(&line);
            self.bar = Some(bar);
        } else {
            self.output.say(&line);
        }
        (self.what, self.last) = (what, Instant::now());
    }

    fn advance(&mut self, done: u64, total: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(done);
        } else if self.output.json && (self.last.elapsed() > EVENT || done == total) {
            self.last = Instant::now();
            let event = json!({"event": "transfer", "what": self.what, "done": done, "total": total});
            let _ = self.output.event(&event);
        } else if !self.output.json && self.last.elapsed() > EVERY {
            self.last = Instant::now();
            let (done, total) = (text::bytes(done), text::bytes(total));
            self.output.say(&format!("{}: {done} of {total}", self.what));
        }
    }

    fn wait(&mut self, seconds: u64, reason: &str) {
        let line = format!("waiting {seconds} s: {reason}");
        if let Some(bar) = &self.bar {
            bar.set_message(line);
        } else if self.last.elapsed() > EVERY || seconds.is_multiple_of(10) {
            self.last = Instant::now();
            self.output.say(&line);
        }
    }

    /// Removes what was drawn.
    pub(crate) fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Transfers<'_> {
    fn drop(&mut self) {
        self.clear();
    }
}
