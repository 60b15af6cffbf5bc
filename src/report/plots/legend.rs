//! A figure's head (title and subtitle) and its legend below the data.

use super::canvas::{Canvas, Label, wrap};
use super::palette::{INK, MUTED};
use super::render::text_width;

const TITLE: f64 = 15.0;
const SUBTITLE: f64 = 11.5;
const ENTRY: f64 = 11.5;
const ROW: f64 = 20.0;
const SWATCH: f64 = 26.0;
const MARGIN: f64 = 18.0;

/// Title and subtitle, broken into lines.
pub(super) struct Head {
    title: Vec<String>,
    subtitle: Vec<String>,
}

impl Head {
    pub(super) fn new(title: &str, subtitle: &str, width: f64) -> Self {
        let width = width - 2.0 * MARGIN;
        Self {
            title: wrap(title, width, TITLE, true, 2),
            subtitle: wrap(subtitle, width, SUBTITLE, false, 2),
        }
    }

    pub(super) fn height(&self) -> f64 {
        14.0 + 20.0 * self.title.len() as f64 + 16.0 * self.subtitle.len() as f64 + 8.0
    }

    pub(super) fn draw(&self, canvas: &mut Canvas) {
        let mut y = 22.0;
        for line in &self.title {
            canvas.text(Label::new(line, MARGIN, y, TITLE, INK).bold());
            y += 20.0;
        }
        y -= 1.0;
        for line in &self.subtitle {
            canvas.text(Label::new(line, MARGIN, y, SUBTITLE, MUTED));
            y += 16.0;
        }
    }
}

/// An entry's swatch is drawn by a function around the point that it is given.
pub(super) type Swatch = Box<dyn Fn(&mut Canvas, (f64, f64))>;

/// Entries that flow into rows below the axis.
#[derive(Default)]
pub(super) struct Legend {
    entries: Vec<(String, Swatch)>,
}

impl Legend {
    pub(super) fn add(
        &mut self,
        text: impl Into<String>,
        swatch: impl Fn(&mut Canvas, (f64, f64)) + 'static,
    ) {
        self.entries.push((text.into(), Box::new(swatch)));
    }

    /// (row, x) of each entry.
    fn places(&self, width: f64) -> Vec<(usize, f64)> {
        let (mut row, mut x) = (0, MARGIN);
        self.entries
            .iter()
            .map(|(text, _)| {
                let entry = SWATCH + text_width(text, ENTRY, false) + 22.0;
                if x > MARGIN && x + entry - 22.0 > width - MARGIN {
                    row += 1;
                    x = MARGIN;
                }
                let place = (row, x);
                x += entry;
                place
            })
            .collect()
    }

    pub(super) fn height(&self, width: f64) -> f64 {
        self.places(width).last().map_or(0.0, |(row, _)| ROW * (row + 1) as f64) + 10.0
    }

    pub(super) fn draw(&self, canvas: &mut Canvas, top: f64) {
        for ((text, swatch), (row, x)) in self.entries.iter().zip(self.places(canvas.width)) {
            let y = top + ROW * (row as f64 + 0.5);
            swatch(canvas, (x + SWATCH / 2.0 - 3.0, y));
            canvas.text(Label::new(text, x + SWATCH, y, ENTRY, INK));
        }
    }
}
