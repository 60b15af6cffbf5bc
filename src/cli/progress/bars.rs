//! Progress on a terminal: one bar for the sweep, one for every cell in work, the best conditions.

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::tally::Tally;

/// Conditions shown while the sweep runs.
const BOARD: usize = 5;
/// Redraws a second.
const RATE: u8 = 8;

/// Everything drawn.
pub(super) struct Bars {
    all: MultiProgress,
    overall: ProgressBar,
    cells: Vec<ProgressBar>,
    board: Vec<ProgressBar>,
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).expect("the template is well formed");
    style.progress_chars("━╸ ")
}

impl Bars {
    pub(super) fn new(cells: usize, jobs: usize) -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(RATE));
        let overall = all.add(ProgressBar::new(cells as u64).with_style(style("[{bar:30}] {msg}")));
        let cells = (0..jobs.max(1))
            .map(|_| all.add(ProgressBar::new(1).with_style(style("[{bar:30}] {msg}"))))
            .collect();
        let board = (0..BOARD).map(|_| all.add(ProgressBar::new(1).with_style(style("{msg}")))).collect();
        Self { all, overall, cells, board }
    }

    /// Writes a line above the bars that stays.
    pub(super) fn print(&self, text: &str) {
        // a terminal that is gone is noticed elsewhere
        let _ = self.all.println(text);
    }

    pub(super) fn update(&self, tally: &Tally) {
        self.overall.set_length(tally.cells as u64);
        self.overall.set_position((tally.done + tally.failed) as u64);
        self.overall.set_message(tally.overall());
        let mut running = tally.running.values();
        for bar in &self.cells {
            match running.next() {
                Some(cell) => {
                    bar.set_length(cell.total.max(1));
                    bar.set_position(cell.step);
                    bar.set_message(format!("{}: {}", cell.name, cell.state()));
                }
                None => {
                    bar.set_position(0);
                    bar.set_message("");
                }
            }
        }
        let rows = tally.board(BOARD);
        for (at, bar) in self.board.iter().enumerate() {
            bar.set_message(rows.get(at).cloned().unwrap_or_default());
        }
    }

    /// Removes everything drawn; printed lines stay.
    pub(super) fn clear(self) {
        for bar in self.cells.iter().chain(&self.board).chain([&self.overall]) {
            bar.finish_and_clear();
        }
        let _ = self.all.clear();
    }
}
