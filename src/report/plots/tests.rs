//! Figures are looked at in all the shapes that studies come in.

use super::canvas::{Canvas, Shape};
use super::{best, layers, render, transfer};
use crate::analysis::layers::synthetic::{Made, hump};
use crate::analysis::layers::{Condition, LayerAnswer};
use std::sync::LazyLock;

/// Answering them takes seconds, so all tests share them.
static CASES: LazyLock<Vec<(&str, LayerAnswer)>> = LazyLock::new(cases);

fn cases() -> Vec<(&'static str, LayerAnswer)> {
    let domains = vec!["cr", "mr", "amazon_reviews_multi_english_electronics"];
    let with = |made: Made| made.study().answer().unwrap();
    let of = |layers, height| Made { domains: domains.clone(), ..Made::new(hump(layers, height)) };
    let mut missing = Made { overlap_every: 5, ..of(32, 0.16) }.study();
    missing.cells.retain(|cell| !matches!(cell.condition, Condition::Layer(3 | 9 | 10)));
    missing.cells.retain(|cell| !(cell.condition == Condition::Layer(21) && cell.seed == 2));
    for cell in &mut missing.cells {
        if cell.condition == Condition::Layer(5) {
            cell.domains[1] = None;
        }
    }
    let mut sparse = of(32, 0.16).study();
    let kept = [0, 8, 16, 24, 31];
    sparse.cells.retain(|cell| cell.condition.layer().is_none_or(|layer| kept.contains(&layer)));
    sparse.planned.retain(|condition| condition.layer().is_none_or(|layer| kept.contains(&layer)));
    let mut long = of(12, 0.2).study();
    long.llm =
        "an-organisation-with-a-long-name/Some-Very-Long-Model-Name-70B-Instruct-v0.1-preview".to_owned();
    long.slm = "another-organisation/deberta-v3-large-finetuned-on-everything-that-there-is-2024".to_owned();
    long.task = "tweet_sentiment_binary_with_a_long_suffix".to_owned();
    let five = vec![("base", 0.0), ("mappers", 0.005), ("random", -0.01), ("mlp", 0.01), ("shuffled", 0.0)];
    let mut impossible = of(3, 0.2).study();
    for cell in impossible.cells.iter_mut().filter(|cell| cell.condition == Condition::Layer(1)) {
        let hits = cell.seed as f64 % 2.0;
        cell.validation.scores.fill(hits);
    }
    vec![
        ("wide-intervals", impossible.answer().unwrap()),
        ("one-layer", with(of(1, 0.2))),
        ("five-layers", with(of(5, 0.25))),
        ("32-layers", with(Made { controls: five, ..of(32, 0.16) })),
        ("80-layers", with(Made { examples: 872, ..of(80, 0.16) })),
        ("one-seed", with(Made { seeds: 1, ..of(24, 0.16) })),
        ("two-seeds", with(Made { seeds: 2, ..of(12, 0.16) })),
        ("missing", missing.answer().unwrap()),
        ("sparse", sparse.answer().unwrap()),
        ("long-names", long.answer().unwrap()),
        ("no-controls", with(Made { controls: vec![], ..of(16, 0.2) })),
        ("last-is-best", with(Made::new(vec![0.0, 0.05, 0.1, 0.2, 0.3, 0.5]))),
    ]
}

fn figures(answer: &LayerAnswer) -> Vec<(&'static str, Canvas)> {
    let mut figures = vec![("layers", layers::figure(answer, &[]))];
    figures.extend(transfer::figure(answer).map(|figure| ("transfer", figure)));
    figures.extend(best::figure(answer).map(|figure| ("best", figure)));
    figures
}

#[test]
fn no_text_leaves_the_figure_or_overlaps_another() {
    for (case, answer) in CASES.iter() {
        for (name, canvas) in figures(answer) {
            let texts: Vec<_> = canvas
                .shapes
                .iter()
                .filter_map(|shape| match shape {
                    Shape::Text(label) => Some((label.text.as_str(), label.bounds())),
                    _ => None,
                })
                .collect();
            for (at, (text, (left, top, right, bottom))) in texts.iter().enumerate() {
                assert!(
                    *left >= 2.0
                        && *top >= 2.0
                        && *right <= canvas.width - 2.0
                        && *bottom <= canvas.height - 2.0,
                    "{case} {name}: `{text}` leaves the figure: {left} {top} {right} {bottom}"
                );
                for (other, bounds) in &texts[..at] {
                    let apart =
                        *right <= bounds.0 || bounds.2 <= *left || *bottom <= bounds.1 || bounds.3 <= *top;
                    assert!(apart, "{case} {name}: `{text}` overlaps `{other}`");
                }
            }
        }
    }
}

#[test]
fn every_shape_has_finite_places_within_the_figure() {
    for (case, answer) in CASES.iter() {
        for (name, canvas) in figures(answer) {
            let inside = |(x, y): &(f64, f64)| {
                (-1.0..=canvas.width + 1.0).contains(x) && (-1.0..=canvas.height + 1.0).contains(y)
            };
            for shape in &canvas.shapes {
                let places = match shape {
                    Shape::Line { points, .. } | Shape::Polygon { points, .. } => points.clone(),
                    Shape::Rectangle { from, to, .. } => vec![*from, *to],
                    Shape::Circle { centre, .. } => vec![*centre],
                    Shape::Text(label) => vec![(label.x, label.y)],
                };
                assert!(places.iter().all(inside), "{case} {name}: {shape:?}");
            }
        }
    }
}

#[test]
fn every_value_can_be_pointed_at_and_no_place_tells_two() {
    for (case, answer) in CASES.iter() {
        for (name, canvas) in figures(answer) {
            assert!(!canvas.spots.is_empty(), "{case} {name}");
            for (at, spot) in canvas.spots.iter().enumerate() {
                let ((left, top), (right, bottom)) = (spot.from, spot.to);
                let inside = left >= 0.0 && top >= 0.0 && right <= canvas.width && bottom <= canvas.height;
                assert!(inside && right - left >= 2.0 && bottom - top >= 2.0, "{case} {name}: {spot:?}");
                let lines = spot.text.lines().count();
                assert!(lines >= 2 && !spot.text.contains("NaN"), "{case} {name}: {spot:?}");
                for other in &canvas.spots[..at] {
                    let apart = right <= other.from.0 + 1e-6
                        || other.to.0 <= left + 1e-6
                        || bottom <= other.from.1
                        || other.to.1 <= top;
                    assert!(apart, "{case} {name}: {spot:?} lies on {other:?}");
                }
            }
            if name == "layers" {
                let expected = answer.planned_layers.len()
                    + answer
                        .validation
                        .conditions
                        .iter()
                        .filter(|row| row.condition.layer().is_none())
                        .count();
                assert_eq!(canvas.spots.len(), expected, "{case}");
            }
        }
    }
}

#[test]
fn no_axis_offers_more_than_a_hundred_percent_or_less_than_none() {
    for (case, answer) in CASES.iter() {
        let ticks = layers::figure(answer, &[]).shapes.into_iter().filter_map(|shape| match shape {
            Shape::Text(label) if label.x < 60.0 && !label.upright => {
                label.text.replace('\u{2212}', "-").parse().ok()
            }
            _ => None,
        });
        let ticks: Vec<f64> = ticks.collect();
        assert!(ticks.len() > 1, "{case}");
        assert!(ticks.iter().all(|tick| (0.0..=100.0).contains(tick)), "{case}: {ticks:?}");
    }
}

#[test]
fn pruned_layers_are_hatched_and_widen_the_axis() {
    let (_, answer) = &CASES[0];
    let (last, plain) = (answer.last(), layers::figure(answer, &[]));
    // trained layers are never pruned ones
    assert_eq!(layers::figure(answer, &answer.planned_layers).shapes.len(), plain.shapes.len());
    let hatched = layers::figure(answer, &[last + 1, last + 2]);
    assert!(hatched.shapes.len() > plain.shapes.len() + 20);
    let says = |canvas: &Canvas, words: &str| {
        canvas.shapes.iter().any(|shape| matches!(shape, Shape::Text(label) if label.text.contains(words)))
    };
    assert!(says(&hatched, "pruned by the screen") && !says(&plain, "pruned by the screen"));
}

#[test]
fn figures_are_written_as_svg_and_png() {
    let folder = tempfile::tempdir().unwrap();
    let (_, answer) = &CASES[2];
    for (name, canvas) in figures(answer) {
        let svg = render::svg(&canvas).unwrap();
        assert!(svg.starts_with("<svg width=\"900\"") && svg.trim_end().ends_with("</svg>"), "{name}");
        assert!(!svg.contains("NaN"));
        let path = folder.path().join(format!("{name}.png"));
        render::png(&canvas, &path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(&bytes[..8], b"\x89PNG\r\n\x1a\n");
        // width in the header, big endian: twice the logical width
        assert_eq!(&bytes[16..20], &1800_u32.to_be_bytes());
        assert!(bytes.len() < 600_000, "{name} has {} bytes", bytes.len());
    }
}
