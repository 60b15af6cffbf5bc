//! Colours that readers with any colour vision can tell apart (Okabe and Ito, 2008), and a
//! diverging scale from orange over near white to blue. Neutral colours are named constants so
//! that the page can exchange them in dark mode.

/// A colour with its opacity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::report) struct Colour {
    pub(in crate::report) rgb: (u8, u8, u8),
    pub(in crate::report) alpha: f64,
}

impl Colour {
    const fn new(r: u8, g: u8, b: u8) -> Self {
        Self { rgb: (r, g, b), alpha: 1.0 }
    }

    pub(in crate::report) const fn faint(self, alpha: f64) -> Self {
        Self { alpha, ..self }
    }

    /// `#RRGGBB` as plotters writes it into SVG.
    pub(in crate::report) fn hex(self) -> String {
        format!("#{:02X}{:02X}{:02X}", self.rgb.0, self.rgb.1, self.rgb.2)
    }
}

pub(in crate::report) const PAPER: Colour = Colour::new(0xFF, 0xFF, 0xFF);
pub(in crate::report) const INK: Colour = Colour::new(0x1F, 0x23, 0x28);
pub(in crate::report) const MUTED: Colour = Colour::new(0x59, 0x63, 0x6E);
pub(in crate::report) const GRID: Colour = Colour::new(0xE4, 0xE8, 0xEC);
pub(in crate::report) const LAYER: Colour = Colour::new(0x00, 0x72, 0xB2);
pub(in crate::report) const TIED: Colour = Colour::new(0x56, 0xB4, 0xE9);
pub(in crate::report) const CHOSEN: Colour = Colour::new(0xD5, 0x5E, 0x00);
/// The same as a text, dark enough to be read.
pub(in crate::report) const CHOSEN_TEXT: Colour = Colour::new(0xB3, 0x4A, 0x00);
/// Text on a coloured field, the same in dark mode.
pub(in crate::report) const ON_FIELD: Colour = Colour::new(0x11, 0x11, 0x11);
pub(in crate::report) const ON_DARK_FIELD: Colour = Colour::new(0xFD, 0xFD, 0xFD);
/// The field of a missing value.
pub(in crate::report) const ABSENT: Colour = Colour::new(0xD0, 0xD5, 0xDA);

/// The line of a control: its colour and its dashes (on, off, ...); no dashes for a solid line.
pub(in crate::report) fn control(name: &str) -> (Colour, &'static [f64]) {
    match name {
        "base" => (INK, &[]),
        "mappers" => (Colour::new(0x00, 0x9E, 0x73), &[8.0, 4.0]),
        "random" => (Colour::new(0xCC, 0x79, 0xA7), &[2.0, 3.0]),
        "mlp" => (Colour::new(0xE6, 0x9F, 0x00), &[8.0, 3.0, 2.0, 3.0]),
        "shuffled" => (Colour::new(0x8C, 0x6B, 0x3F), &[4.0, 2.0]),
        "trained" => (Colour::new(0x80, 0x50, 0xB0), &[1.0, 2.0, 6.0, 2.0]),
        _ => (Colour::new(0x7A, 0x82, 0x8A), &[5.0, 5.0]),
    }
}

/// The diverging scale: -1 orange, 0 near white, 1 blue.
pub(in crate::report) fn diverging(value: f64) -> Colour {
    const STOPS: [(f64, f64, f64); 5] = [
        (179.0, 88.0, 6.0),
        (244.0, 182.0, 104.0),
        (246.0, 246.0, 246.0),
        (132.0, 182.0, 217.0),
        (18.0, 84.0, 148.0),
    ];
    let place = (value.clamp(-1.0, 1.0) + 1.0) * 2.0;
    let below = (place.floor() as usize).min(3);
    let part = place - below as f64;
    let mix = |a: f64, b: f64| (a + part * (b - a)).round() as u8;
    let (a, b) = (STOPS[below], STOPS[below + 1]);
    Colour::new(mix(a.0, b.0), mix(a.1, b.1), mix(a.2, b.2))
}

/// A scale of even lightness for every colour vision: 0 dark blue, 1 bright yellow (cividis).
pub(in crate::report) fn cividis(value: f64) -> Colour {
    const STOPS: [(f64, f64, f64); 9] = [
        (0.0, 34.0, 78.0),
        (30.0, 55.0, 110.0),
        (68.0, 78.0, 108.0),
        (96.0, 102.0, 111.0),
        (125.0, 124.0, 120.0),
        (156.0, 148.0, 118.0),
        (189.0, 174.0, 108.0),
        (223.0, 203.0, 87.0),
        (254.0, 232.0, 56.0),
    ];
    let place = value.clamp(0.0, 1.0) * (STOPS.len() - 1) as f64;
    let below = (place.floor() as usize).min(STOPS.len() - 2);
    let part = place - below as f64;
    let mix = |a: f64, b: f64| (a + part * (b - a)).round() as u8;
    let (a, b) = (STOPS[below], STOPS[below + 1]);
    Colour::new(mix(a.0, b.0), mix(a.1, b.1), mix(a.2, b.2))
}

/// The text colour that is readable on a field of the diverging scale.
pub(in crate::report) fn on_diverging(value: f64) -> Colour {
    if value.abs() > 0.7 { ON_DARK_FIELD } else { ON_FIELD }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_is_centred_and_keeps_off_the_colours_that_dark_mode_exchanges() {
        assert_eq!(diverging(0.0).rgb, (246, 246, 246));
        assert!(diverging(1.0).rgb.2 > diverging(1.0).rgb.0 && diverging(-1.0).rgb.0 > diverging(-1.0).rgb.2);
        for step in -100..=100 {
            let value = f64::from(step) / 100.0;
            for colour in [diverging(value), cividis(value)] {
                assert!(![PAPER, INK, MUTED, GRID, LAYER, CHOSEN_TEXT].contains(&colour), "{colour:?}");
            }
        }
    }

    #[test]
    fn lightness_grows_evenly_along_the_sequential_scale() {
        let lightness = |value: f64| {
            let linear = |part: u8| (f64::from(part) / 255.0).powf(2.2);
            let (r, g, b) = cividis(value).rgb;
            (0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b)).cbrt()
        };
        let steps: Vec<f64> =
            (0..10).map(|s| f64::from(s) / 10.0).map(|v| lightness(v + 0.1) - lightness(v)).collect();
        assert!(steps.iter().all(|step| (0.03..0.13).contains(step)), "{steps:?}");
    }
}
