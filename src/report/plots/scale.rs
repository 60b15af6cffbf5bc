//! From data to pixels: linear scales, round tick steps, labels pushed apart.

/// A linear scale from a data range to a pixel range.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    data: (f64, f64),
    pixels: (f64, f64),
}

impl Scale {
    pub(super) fn new(data: (f64, f64), pixels: (f64, f64)) -> Self {
        Self { data, pixels }
    }

    /// The pixel of a value.
    pub(super) fn at(&self, value: f64) -> f64 {
        let part = (value - self.data.0) / (self.data.1 - self.data.0);
        self.pixels.0 + part * (self.pixels.1 - self.pixels.0)
    }

    /// The pixel of a value, kept within the scale.
    pub(super) fn clamped(&self, value: f64) -> f64 {
        self.at(value.clamp(self.data.0, self.data.1))
    }

    pub(super) fn data(&self) -> (f64, f64) {
        self.data
    }
}

/// Ticks at multiples of 1, 2 or 5 times a power of ten within the range, about `wanted` of them,
/// with the decimals that tell them apart.
pub(super) fn ticks((low, high): (f64, f64), wanted: usize) -> (Vec<f64>, usize) {
    let rough = (high - low) / wanted.max(1) as f64;
    let power = 10_f64.powf(rough.log10().floor());
    let step =
        [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= rough * 0.8);
    let step = step.unwrap_or(power);
    let (first, last) = ((low / step - 1e-9).ceil() as i64, (high / step + 1e-9).floor() as i64);
    let decimals = (-(step.log10() + 1e-9).floor()).max(0.0) as usize;
    ((first..=last).map(|multiple| multiple as f64 * step).collect(), decimals)
}

/// The step between labelled layers so that labels of `label` pixels fit at `spacing` pixels a layer.
pub(super) fn layer_step(spacing: f64, label: f64) -> usize {
    [1, 2, 5, 10, 20, 50, 100].into_iter().find(|step| spacing * *step as f64 >= label).unwrap_or(200)
}

/// Moves places apart so that neighbours are at least `gap` apart and all stay within the range, as
/// near to where they belong as one pass down and one up allow. Keeps the order of the input.
pub(super) fn spread(places: &[f64], gap: f64, (low, high): (f64, f64)) -> Vec<f64> {
    let mut order: Vec<usize> = (0..places.len()).collect();
    order.sort_by(|&a, &b| places[a].total_cmp(&places[b]));
    let mut moved = places.to_vec();
    let mut floor = low;
    for &at in &order {
        moved[at] = moved[at].max(floor);
        floor = moved[at] + gap;
    }
    let mut ceiling = high;
    for &at in order.iter().rev() {
        moved[at] = moved[at].min(ceiling);
        ceiling = moved[at] - gap;
    }
    moved
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_numbers_within_the_range() {
        let (places, decimals) = ticks((0.88, 0.93), 5);
        assert_eq!(decimals, 2);
        let texts: Vec<String> = places.iter().map(|place| format!("{place:.2}")).collect();
        assert_eq!(texts, ["0.88", "0.89", "0.90", "0.91", "0.92", "0.93"]);
        assert_eq!(ticks((0.0, 100.0), 5).0, [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
    }

    #[test]
    fn layer_labels_thin_out() {
        assert_eq!(layer_step(40.0, 26.0), 1);
        assert_eq!(layer_step(7.5, 26.0), 5);
        assert_eq!(layer_step(1.0, 26.0), 50);
    }

    #[test]
    fn spread_labels_keep_their_gap_and_their_order() {
        let moved = spread(&[100.0, 101.0, 99.0], 15.0, (0.0, 110.0));
        assert_eq!(moved, [95.0, 110.0, 80.0]);
        assert_eq!(spread(&[10.0, 90.0], 15.0, (0.0, 100.0)), [10.0, 90.0]);
    }
}
