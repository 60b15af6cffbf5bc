//! A canvas as SVG text and as a PNG file, and the width of texts, by plotters with an embedded
//! font, so that machines without fonts draw the same.

use super::canvas::{Align, Canvas, Shape, Spot};
use super::palette::{Colour, PAPER};
use crate::report::Error;
use crate::report::html::escape;
use plotters::coord::Shift;
use plotters::prelude::{
    BitMapBackend, Circle, DrawingArea, DrawingBackend, IntoDrawingArea, IntoFont, PathElement, Polygon,
    RGBAColor, Rectangle, SVGBackend, Text,
};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontDesc, FontStyle, FontTransform, ShapeStyle, TextStyle, register_font};
use std::fmt::Write;
use std::path::Path;
use std::sync::LazyLock;

/// The embedded font's name, with what a browser may take in its place.
const FAMILY: &str = "DejaVu Sans, Verdana, sans-serif";
/// plotters' font size is this many ems.
const EM: f64 = 1.24;
/// Steps of one logical pixel in the SVG, since plotters draws at whole numbers only.
const SVG_STEPS: f64 = 4.0;
/// PNG pixels of one logical pixel.
const PNG_STEPS: f64 = 2.0;

static FONTS: LazyLock<()> = LazyLock::new(|| {
    let fonts: [(FontStyle, &[u8]); 2] = [
        (FontStyle::Normal, include_bytes!("../assets/DejaVuSans-Latin.ttf")),
        (FontStyle::Bold, include_bytes!("../assets/DejaVuSans-Bold-Latin.ttf")),
    ];
    for (style, bytes) in fonts {
        if register_font(FAMILY, style, bytes).is_err() {
            unreachable!("the embedded fonts are valid: the tests of this module draw with them");
        }
    }
});

/// Width of a text in logical pixels.
pub(super) fn text_width(text: &str, size: f64, bold: bool) -> f64 {
    // measured large, since plotters rounds to whole pixels
    const ENLARGED: f64 = 16.0;
    font(size * ENLARGED, bold).box_size(text).map_or(0.0, |(width, _)| f64::from(width) / ENLARGED)
}

/// The SVG of a canvas, one logical pixel a unit of its size. Its spots are invisible rectangles with
/// a title, which browsers show as a hint even where no script runs.
///
/// # Errors
/// [`Error::Drawing`] if plotters cannot draw.
pub(in crate::report) fn svg(canvas: &Canvas) -> Result<String, Error> {
    let mut text = String::new();
    let size = pixels(canvas, SVG_STEPS);
    draw(canvas, &SVGBackend::with_string(&mut text, size).into_drawing_area(), SVG_STEPS)?;
    let natural = |size: (u32, u32)| format!("width=\"{}\" height=\"{}\"", size.0, size.1);
    let text = text.replacen(&natural(size), &natural(pixels(canvas, 1.0)), 1);
    let Some(end) = text.rfind("</svg>").filter(|_| !canvas.spots.is_empty()) else { return Ok(text) };
    Ok(format!("{}{}{}", &text[..end], spots(canvas), &text[end..]))
}

fn spots(canvas: &Canvas) -> String {
    let at = |place: f64| (place * SVG_STEPS).round() as i64;
    let mut text = String::from("<g class=\"spots\" fill=\"#000000\" fill-opacity=\"0\">\n");
    for Spot { from, to, text: says } in &canvas.spots {
        let (x, y) = (at(from.0), at(from.1));
        let (width, height) = ((at(to.0) - x).max(1), (at(to.1) - y).max(1));
        let says = escape(says);
        let _ = writeln!(
            text,
            "<rect class=\"spot\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"><title>{says}</title></rect>"
        );
    }
    text.push_str("</g>\n");
    text
}

/// Writes a canvas as a PNG of twice its size; the path must end in `.png`.
///
/// # Errors
/// [`Error::Drawing`] if plotters cannot draw or write.
pub(in crate::report) fn png(canvas: &Canvas, path: &Path) -> Result<(), Error> {
    draw(canvas, &BitMapBackend::new(path, pixels(canvas, PNG_STEPS)).into_drawing_area(), PNG_STEPS)
}

fn pixels(canvas: &Canvas, steps: f64) -> (u32, u32) {
    ((canvas.width * steps).ceil() as u32, (canvas.height * steps).ceil() as u32)
}

fn font(size: f64, bold: bool) -> FontDesc<'static> {
    LazyLock::force(&FONTS);
    (FAMILY, size * EM, if bold { FontStyle::Bold } else { FontStyle::Normal }).into_font()
}

fn draw<B: DrawingBackend>(canvas: &Canvas, area: &DrawingArea<B, Shift>, steps: f64) -> Result<(), Error> {
    let failed = |error: &dyn std::fmt::Display| Error::Drawing { reason: error.to_string() };
    area.fill(&colour(PAPER)).map_err(|error| failed(&error))?;
    for shape in &canvas.shapes {
        draw_shape(shape, area, steps).map_err(|reason| Error::Drawing { reason })?;
    }
    area.present().map_err(|error| failed(&error))
}

fn draw_shape<B: DrawingBackend>(
    shape: &Shape,
    area: &DrawingArea<B, Shift>,
    steps: f64,
) -> Result<(), String> {
    let at = |(x, y): (f64, f64)| ((x * steps).round() as i32, (y * steps).round() as i32);
    let filled = |colour_: Colour| ShapeStyle { color: colour(colour_), filled: true, stroke_width: 0 };
    let drawn = match shape {
        Shape::Line { points, width, colour: of } => {
            let stroke_width = (width * steps).round().max(1.0) as u32;
            let style = ShapeStyle { color: colour(*of), filled: false, stroke_width };
            area.draw(&PathElement::new(points.iter().copied().map(at).collect::<Vec<_>>(), style))
        }
        Shape::Polygon { points, colour } => {
            area.draw(&Polygon::new(points.iter().copied().map(at).collect::<Vec<_>>(), filled(*colour)))
        }
        Shape::Rectangle { from, to, colour } => {
            area.draw(&Rectangle::new([at(*from), at(*to)], filled(*colour)))
        }
        Shape::Circle { centre, radius, colour } => {
            area.draw(&Circle::new(at(*centre), (radius * steps).round() as i32, filled(*colour)))
        }
        Shape::Text(label) => {
            let horizontal = match label.align {
                Align::Start => HPos::Left,
                Align::Middle => HPos::Center,
                Align::End => HPos::Right,
            };
            let mut face = font(label.size * steps, label.bold);
            if label.upright {
                face = face.transform(FontTransform::Rotate270);
            }
            let ink = colour(label.colour);
            let style = TextStyle::from(face).color(&ink).pos(Pos::new(horizontal, VPos::Center));
            area.draw(&Text::new(label.text.clone(), at((label.x, label.y)), style))
        }
    };
    drawn.map_err(|error| error.to_string())
}

fn colour(colour: Colour) -> RGBAColor {
    RGBAColor(colour.rgb.0, colour.rgb.1, colour.rgb.2, colour.alpha)
}

#[cfg(test)]
mod tests {
    use super::super::canvas::Label;
    use super::super::palette::INK;
    use super::*;

    #[test]
    fn both_embedded_fonts_have_widths() {
        let plain = text_width("layer 21", 12.0, false);
        assert!(plain > 40.0 && plain < 70.0, "{plain}");
        assert!(text_width("layer 21", 12.0, true) > plain);
        assert!((text_width("layer 21", 24.0, false) / plain - 2.0).abs() < 0.05);
    }

    #[test]
    fn texts_are_escaped_in_the_svg() {
        let mut canvas = Canvas::new(100.0, 40.0);
        canvas.text(Label::new("<script>&", 5.0, 20.0, 12.0, INK));
        let svg = svg(&canvas).unwrap();
        assert!(svg.contains("&lt;script&gt;&amp;") && !svg.contains("<script"), "{svg}");
        assert!(svg.contains("width=\"100\" height=\"40\"") && svg.contains("viewBox=\"0 0 400 160\""));
    }
}
