//! Figures as SVG and PNG. A figure is drawn onto a [`canvas::Canvas`], a list of shapes, which is
//! then rendered by plotters' two back ends, so that both files show the same thing and tests can
//! look at where the texts stand.

pub(super) mod agreement;
pub(super) mod best;
pub(super) mod canvas;
pub(super) mod distances;
pub(super) mod heatmap;
pub(super) mod layers;
pub(super) mod legend;
pub(super) mod matrix;
pub(super) mod palette;
pub(super) mod price;
pub(super) mod render;
pub(super) mod scale;
pub(super) mod scatter;
#[cfg(test)]
mod tests;
pub(super) mod transfer;

/// Width of every figure in logical pixels.
pub(super) const WIDTH: f64 = 900.0;
