//! A list of shapes in logical pixels, y downwards, with the measures of its texts.

use super::palette::Colour;
use super::render::text_width;

/// Where a text stands with respect to its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::report) enum Align {
    Start,
    Middle,
    End,
}

/// A text with its place; vertically it is centred on `y`.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::report) struct Label {
    pub(in crate::report) text: String,
    pub(in crate::report) x: f64,
    pub(in crate::report) y: f64,
    /// Size of the em.
    pub(in crate::report) size: f64,
    pub(in crate::report) colour: Colour,
    pub(in crate::report) align: Align,
    pub(in crate::report) bold: bool,
    /// Reads upwards.
    pub(in crate::report) upright: bool,
}

impl Label {
    pub(in crate::report) fn new(text: impl Into<String>, x: f64, y: f64, size: f64, colour: Colour) -> Self {
        Self { text: text.into(), x, y, size, colour, align: Align::Start, bold: false, upright: false }
    }

    pub(in crate::report) fn align(self, align: Align) -> Self {
        Self { align, ..self }
    }

    pub(in crate::report) fn bold(self) -> Self {
        Self { bold: true, ..self }
    }

    pub(in crate::report) fn upright(self) -> Self {
        Self { upright: true, ..self }
    }

    /// Left, top, right, bottom.
    #[cfg(test)]
    pub(in crate::report) fn bounds(&self) -> (f64, f64, f64, f64) {
        let width = text_width(&self.text, self.size, self.bold);
        let before = match self.align {
            Align::Start => 0.0,
            Align::Middle => width / 2.0,
            Align::End => width,
        };
        let half = self.size * 0.5;
        if self.upright {
            (self.x - half, self.y - width + before, self.x + half, self.y + before)
        } else {
            (self.x - before, self.y - half, self.x - before + width, self.y + half)
        }
    }
}

/// What can be drawn.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::report) enum Shape {
    Line { points: Vec<(f64, f64)>, width: f64, colour: Colour },
    Polygon { points: Vec<(f64, f64)>, colour: Colour },
    Rectangle { from: (f64, f64), to: (f64, f64), colour: Colour },
    Circle { centre: (f64, f64), radius: f64, colour: Colour },
    Text(Label),
}

/// A place that tells its values to whoever points at it; nothing of it is drawn.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::report) struct Spot {
    pub(in crate::report) from: (f64, f64),
    pub(in crate::report) to: (f64, f64),
    /// One fact a line.
    pub(in crate::report) text: String,
}

/// A figure before it is rendered.
#[derive(Clone, Debug)]
pub(in crate::report) struct Canvas {
    pub(in crate::report) width: f64,
    pub(in crate::report) height: f64,
    pub(in crate::report) shapes: Vec<Shape>,
    /// In reading order.
    pub(in crate::report) spots: Vec<Spot>,
}

impl Canvas {
    pub(in crate::report) fn new(width: f64, height: f64) -> Self {
        Self { width, height, shapes: Vec::new(), spots: Vec::new() }
    }

    pub(in crate::report) fn line(&mut self, points: Vec<(f64, f64)>, width: f64, colour: Colour) {
        self.shapes.push(Shape::Line { points, width, colour });
    }

    pub(in crate::report) fn segment(
        &mut self,
        from: (f64, f64),
        to: (f64, f64),
        width: f64,
        colour: Colour,
    ) {
        self.line(vec![from, to], width, colour);
    }

    /// A straight line in dashes of the given lengths (on, off, ...); solid without lengths.
    pub(in crate::report) fn dashed(
        &mut self,
        from: (f64, f64),
        to: (f64, f64),
        (width, dashes): (f64, &[f64]),
        colour: Colour,
    ) {
        let length = (to.0 - from.0).hypot(to.1 - from.1);
        if dashes.is_empty() || length <= 0.0 {
            return self.segment(from, to, width, colour);
        }
        let at = |place: f64| {
            let part = (place / length).min(1.0);
            (from.0 + part * (to.0 - from.0), from.1 + part * (to.1 - from.1))
        };
        let mut place = 0.0;
        for (number, dash) in dashes.iter().cycle().enumerate() {
            if place >= length {
                break;
            }
            if number % 2 == 0 {
                self.segment(at(place), at(place + dash), width, colour);
            }
            place += dash;
        }
    }

    pub(in crate::report) fn rectangle(&mut self, from: (f64, f64), to: (f64, f64), colour: Colour) {
        self.shapes.push(Shape::Rectangle { from, to, colour });
    }

    pub(in crate::report) fn circle(&mut self, centre: (f64, f64), radius: f64, colour: Colour) {
        self.shapes.push(Shape::Circle { centre, radius, colour });
    }

    pub(in crate::report) fn polygon(&mut self, points: Vec<(f64, f64)>, colour: Colour) {
        self.shapes.push(Shape::Polygon { points, colour });
    }

    /// Lets a rectangle tell its values; later spots lie above earlier ones.
    pub(in crate::report) fn spot(&mut self, from: (f64, f64), to: (f64, f64), text: impl Into<String>) {
        self.spots.push(Spot { from, to, text: text.into() });
    }

    pub(in crate::report) fn text(&mut self, label: Label) {
        self.shapes.push(Shape::Text(label));
    }

    /// A five-pointed star with a rim of the paper's colour, so that it stands off the line below.
    pub(in crate::report) fn star(&mut self, centre: (f64, f64), radius: f64, colour: Colour, rim: Colour) {
        for (radius, colour) in [(radius + 2.2, rim), (radius, colour)] {
            let points = (0..10)
                .map(|corner| {
                    let reach = if corner % 2 == 0 { radius } else { radius * 0.45 };
                    let angle = std::f64::consts::PI * (f64::from(corner) / 5.0 - 0.5);
                    (centre.0 + reach * angle.cos(), centre.1 + reach * angle.sin())
                })
                .collect();
            self.polygon(points, colour);
        }
    }

    /// A hollow diamond.
    pub(in crate::report) fn diamond(&mut self, (x, y): (f64, f64), radius: f64, colour: Colour) {
        let corners = [(0.0, -radius), (radius, 0.0), (0.0, radius), (-radius, 0.0), (0.0, -radius)];
        self.line(corners.iter().map(|(dx, dy)| (x + dx, y + dy)).collect(), 1.8, colour);
    }

    /// A cross for what is missing.
    pub(in crate::report) fn cross(&mut self, (x, y): (f64, f64), radius: f64, colour: Colour) {
        self.segment((x - radius, y - radius), (x + radius, y + radius), 1.4, colour);
        self.segment((x - radius, y + radius), (x + radius, y - radius), 1.4, colour);
    }
}

/// Cuts a text in its middle so that it fits into `width`.
pub(in crate::report) fn fit(text: &str, width: f64, size: f64, bold: bool) -> String {
    if text_width(text, size, bold) <= width {
        return text.to_owned();
    }
    let letters: Vec<char> = text.chars().collect();
    for kept in (1..letters.len()).rev() {
        let (start, end) = (kept.div_ceil(2), kept / 2);
        let cut: String =
            letters[..start].iter().chain(&['…']).chain(&letters[letters.len() - end..]).collect();
        if text_width(&cut, size, bold) <= width {
            return cut;
        }
    }
    "…".to_owned()
}

/// Breaks a text at spaces into at most `lines` lines of `width`; what does not fit is cut.
pub(in crate::report) fn wrap(text: &str, width: f64, size: f64, bold: bool, lines: usize) -> Vec<String> {
    let mut broken: Vec<String> = Vec::new();
    for word in text.split(' ') {
        let full = broken.len() == lines;
        match broken.last_mut() {
            Some(line) if full || text_width(&format!("{line} {word}"), size, bold) <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => broken.push(word.to_owned()),
        }
    }
    broken.iter().map(|line| fit(line, width, size, bold)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::palette::INK;
    use super::*;

    #[test]
    fn long_texts_are_cut_in_the_middle_to_fit() {
        let name = "an-organisation-with-a-long-name/a-model-with-a-long-name-too";
        let cut = fit(name, 150.0, 12.0, false);
        assert!(text_width(&cut, 12.0, false) <= 150.0);
        assert!(cut.starts_with("an-org") && cut.ends_with("too") && cut.contains('…'));
        assert_eq!(fit("short", 150.0, 12.0, false), "short");
    }

    #[test]
    fn titles_break_at_spaces_and_end_in_a_cut() {
        let lines = wrap("one two three four five six seven eight nine ten", 80.0, 12.0, true, 2);
        assert_eq!(lines.len(), 2);
        assert!(lines.iter().all(|line| text_width(line, 12.0, true) <= 80.0), "{lines:?}");
        assert!(lines[1].contains('…'));
    }

    #[test]
    fn dashes_cover_the_line_and_end_at_its_end() {
        let mut canvas = Canvas::new(100.0, 10.0);
        canvas.dashed((0.0, 5.0), (100.0, 5.0), (1.0, &[8.0, 4.0]), INK);
        assert_eq!(canvas.shapes.len(), 9);
        let Some(Shape::Line { points, .. }) = canvas.shapes.last() else { panic!("a line") };
        assert_eq!(points[1].0, 100.0);
    }
}
