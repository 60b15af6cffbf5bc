//! Signals and time limits become one number that work looks at between steps: 0 go on, 1 stop at
//! the next checkpoint, 2 end at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::error::Error;
use crate::error::Failure;

/// How long work has to leave by itself after a second signal.
const LAST_CHANCE: Duration = Duration::from_millis(700);

const NONE: u8 = 0;
const KEYBOARD: u8 = 1;
const TERMINATED: u8 = 2;
const TIME: u8 = 3;

/// Whether and why to stop.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    /// 0, 1 or 2, as the engines and workers read it.
    pub(crate) level: AtomicU8,
    cause: AtomicU8,
}

impl Stop {
    /// Whether anything asked for an end.
    pub(crate) fn asked(&self) -> bool {
        self.level.load(Ordering::SeqCst) > 0
    }

    fn ask(&self, cause: u8) -> u8 {
        // the first cause decides the exit code
        let _ = self.cause.compare_exchange(NONE, cause, Ordering::SeqCst, Ordering::SeqCst);
        self.level.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Asks for an end at the next checkpoint, unless that was asked for already.
    pub(crate) fn ask_once(&self) {
        let _ = self.cause.compare_exchange(NONE, TERMINATED, Ordering::SeqCst, Ordering::SeqCst);
        let _ = self.level.compare_exchange(0, 1, Ordering::SeqCst, Ordering::SeqCst);
    }

    /// The error that a command ends with after a stop.
    pub(crate) fn error(&self) -> Failure {
        match self.cause.load(Ordering::SeqCst) {
            TERMINATED => Error::Stopped("by a termination signal").into(),
            TIME => Error::Stopped("at the time limit").into(),
            _ => Error::Interrupted.into(),
        }
    }

    /// Fails if anything asked for an end.
    ///
    /// # Errors
    /// [`Error::Interrupted`] or [`Error::Stopped`].
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if self.asked() { Err(self.error()) } else { Ok(()) }
    }
}

/// Listens to Ctrl-C and termination from now on: the first asks for a checkpoint, the second ends
/// the program at once.
pub(crate) fn listen() -> Arc<Stop> {
    let stop = Arc::new(Stop::default());
    let heard = Arc::clone(&stop);
    // without handlers the system's own behaviour stays, which ends the program
    if let Ok(mut signals) = Signals::new([SIGINT, SIGTERM]) {
        std::thread::spawn(move || {
            for signal in signals.forever() {
                let cause = if signal == SIGINT { KEYBOARD } else { TERMINATED };
                if heard.ask(cause) > 1 {
                    std::thread::sleep(LAST_CHANCE);
                    signal_hook::low_level::exit(if signal == SIGINT { 130 } else { 75 });
                }
            }
        });
    }
    stop
}

/// As [`listen`], for a worker: its engine tells it when to stop, so that Ctrl-C is not heard.
pub(crate) fn listen_as_worker() -> Arc<Stop> {
    let stop = Arc::new(Stop::default());
    let heard = Arc::clone(&stop);
    if let Ok(mut signals) = Signals::new([SIGINT, SIGTERM]) {
        std::thread::spawn(move || {
            for signal in signals.forever() {
                if signal == SIGTERM && heard.ask(TERMINATED) > 1 {
                    signal_hook::low_level::exit(signal_hook::consts::SIGTERM + 128);
                }
            }
        });
    }
    stop
}

/// Asks for an end when the time is over.
pub(crate) fn after(stop: &Arc<Stop>, limit: Duration) {
    let stop = Arc::clone(stop);
    std::thread::spawn(move || {
        std::thread::sleep(limit);
        if !stop.asked() {
            stop.ask(TIME);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Category;

    #[test]
    fn the_first_cause_decides_the_exit_code() {
        let stop = Stop::default();
        assert!(stop.check().is_ok());
        assert_eq!(stop.ask(TERMINATED), 1);
        assert_eq!(stop.ask(KEYBOARD), 2);
        assert_eq!(stop.error().category(), Category::Stopped);
        let stop = Stop::default();
        stop.ask(KEYBOARD);
        assert_eq!(stop.error().category(), Category::Interrupted);
    }

    #[test]
    fn an_engine_that_asks_twice_asks_for_one_checkpoint() {
        let stop = Stop::default();
        stop.ask_once();
        stop.ask_once();
        assert_eq!(stop.level.load(Ordering::SeqCst), 1);
    }
}
