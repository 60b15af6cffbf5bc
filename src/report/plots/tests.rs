//! Figures are looked at in all the shapes that studies come in.

use super::canvas::{Canvas, Shape};
use super::{best, distances, layers, price, render, transfer};
use crate::analysis::layers::synthetic::{Made, hump};
use crate::analysis::layers::{Condition, LayerAnswer};
use crate::analysis::price::Spent;
use crate::analysis::probing::domain::DomainDistance;
use crate::analysis::scores;
use crate::analysis::statistics::Estimate;
use crate::analysis::transfer::{Domain, PlaceDistances, TransferAnswer, synthetic};
use crate::report::prices::{Price, offers};
use crate::report::transfer::ModelDistances;
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
    let prices = prices(answer);
    figures.extend(price::figure(answer, &offers(answer, &prices)).map(|figure| ("prices", figure)));
    figures
}

/// Layers take about as long as each other and fetch as many bytes, controls are quicker and fetch
/// nothing.
fn prices(answer: &LayerAnswer) -> Vec<Price> {
    let price = |condition: &Condition| {
        let (seconds, bytes) = match condition {
            Condition::Layer(layer) => (30.0 + ((layer * 37) % 11) as f64 / 5.0, 436_224_000),
            Condition::Control(_) => (21.0, 0),
        };
        let spent = Spent { runs: 3, seconds, range: (seconds - 1.0, seconds + 2.0), bytes: Some(bytes) };
        Price { condition: condition.clone(), spent }
    };
    answer.validation.conditions.iter().map(|row| price(&row.condition)).collect()
}

/// Distances in an LLM and a small model between so many domains; one pair has none.
fn far_apart(domains: usize, layers: usize) -> (TransferAnswer, Vec<ModelDistances>) {
    let mut answer = synthetic::study().answer().unwrap();
    let names = ["films", "gadgets", "hotels", "tweet_sentiment_binary", "imdb", "yelp_polarity", "cr", "mr"];
    let labels = answer.domains[0].labels.clone();
    answer.domains =
        names[..domains].iter().map(|name| Domain { name: (*name).into(), labels: labels.clone() }).collect();
    let estimate =
        |value: f64| Estimate { value, low: value - 0.1, high: value + 0.1, standard_error: 0.05, n: 400 };
    let place = |at: usize, layers: usize| {
        let mut pairs = Vec::new();
        for a in 0..domains {
            for b in a + 1..domains {
                let value = ((a * 5 + b * 3 + at) % 20) as f64 / 10.0;
                let (error, distance) = (estimate(0.5 - value / 4.0), estimate(value));
                let found = Ok(DomainDistance { error, distance, converged: true });
                let missing = Err(scores::Undefined::TooFew { n: 3, least: 4 });
                pairs.push((a, b, if (a, b, at) == (0, 2, 1) { missing } else { found }));
            }
        }
        let layer = at.checked_sub(1);
        let site = layer.map_or_else(|| "embeddings".to_owned(), |layer| format!("layer {layer}"));
        let mean = Some(1.9 * (layers - at) as f64 / layers as f64);
        PlaceDistances { site, layer, pairs, mean, ends: None }
    };
    let model = |name: &str, llm: bool, layers: usize| ModelDistances {
        model: name.into(),
        llm,
        basis: "mean over tokens".into(),
        places: (0..=layers).map(|at| place(at, layers)).collect(),
    };
    (answer, vec![model("meta-llama/Llama-3.1-8B", true, layers), model("bert-base-uncased", false, 12)])
}

/// All figures of all cases.
fn everything() -> Vec<(String, &'static str, Canvas)> {
    let of_answers = CASES.iter().flat_map(|(case, answer)| {
        figures(answer).into_iter().map(|(name, canvas)| ((*case).to_owned(), name, canvas))
    });
    let distances = [(3, 5), (3, 32), (8, 32), (8, 80)].into_iter().map(|(domains, layers)| {
        let (answer, models) = far_apart(domains, layers);
        let canvas = distances::figure(&answer, &models).expect("has distances");
        (format!("{domains} domains and {layers} layers"), "distances", canvas)
    });
    of_answers.chain(distances).collect()
}

#[test]
fn no_text_leaves_the_figure_or_overlaps_another() {
    for (case, name, canvas) in everything() {
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
                *left >= 2.0 && *top >= 2.0 && *right <= canvas.width - 2.0 && *bottom <= canvas.height - 2.0,
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

#[test]
fn every_shape_has_finite_places_within_the_figure() {
    for (case, name, canvas) in everything() {
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

#[test]
fn every_value_can_be_pointed_at_and_no_place_tells_two() {
    for (case, name, canvas) in everything() {
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
    }
}

#[test]
fn every_condition_of_the_first_chart_can_be_pointed_at() {
    for (case, answer) in CASES.iter() {
        let controls = answer.validation.conditions.iter().filter(|row| row.condition.layer().is_none());
        let expected = answer.planned_layers.len() + controls.count();
        assert_eq!(layers::figure(answer, &[]).spots.len(), expected, "{case}");
    }
}

/// Texts of a canvas that begin with this.
fn texts_with(canvas: &Canvas, beginning: &str) -> usize {
    let of = |shape: &&Shape| matches!(shape, Shape::Text(label) if label.text.starts_with(beginning));
    canvas.shapes.iter().filter(of).count()
}

#[test]
fn the_chart_of_prices_names_the_chosen_layer_and_no_plug_in_both_panels() {
    for (case, answer) in CASES.iter() {
        let prices = prices(answer);
        let offers = offers(answer, &prices);
        let Some(canvas) = price::figure(answer, &offers) else {
            assert!(offers.all.len() < 2, "{case}");
            continue;
        };
        assert!(offers.fetched && offers.all.iter().any(|offer| offer.unbeaten), "{case}");
        assert_eq!(texts_with(&canvas, &format!("layer {} (chosen", answer.chosen)), 2, "{case}");
        // once more in the legend
        let base = answer.validation.get(&Condition::base()).is_some();
        assert_eq!(texts_with(&canvas, "no plug"), if base { 3 } else { 0 }, "{case}");
    }
}

#[test]
fn without_bytes_there_is_one_panel_and_without_prices_no_chart() {
    let (_, answer) = &CASES[2];
    let mut prices = prices(answer);
    for price in &mut prices {
        price.spent.bytes = None;
    }
    let canvas = price::figure(answer, &offers(answer, &prices)).unwrap();
    assert_eq!(texts_with(&canvas, "seconds a cell"), 1);
    assert_eq!(texts_with(&canvas, "fetched by"), 0);
    assert!(price::figure(answer, &offers(answer, &[])).is_none());
}

#[test]
fn every_pair_of_domains_has_its_name_and_every_distance_its_place() {
    for (domains, layers) in [(3, 5), (8, 80)] {
        let (answer, models) = far_apart(domains, layers);
        let canvas = distances::figure(&answer, &models).unwrap();
        let pairs = domains * (domains - 1) / 2;
        // the LLM's embeddings and layers, and those of a small model of twelve
        assert_eq!(canvas.spots.len(), (pairs + 1) * (layers + 1 + 13));
        assert_eq!(texts_with(&canvas, "films \u{2013} gadgets"), 2);
        assert_eq!(texts_with(&canvas, "mean over pairs"), 2);
    }
    let (answer, _) = far_apart(3, 5);
    assert!(distances::figure(&answer, &[]).is_none());
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
