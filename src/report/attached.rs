//! Analyses that stand beside a study and are of its models: similarities of layers as heat maps, and
//! training-free scores against what training found. Where each comes from stands with it; what is
//! of other models is never shown.

use serde::{Deserialize, Serialize};

use super::Error;
use super::document::{Block, Figure, Row, Table};
use super::plots::{agreement, canvas::Canvas, heatmap, render};
use super::similarity::Comparison;
use super::text::{decimal, plural, points};
use crate::analysis::agreement::{Agreement, Measured};
use crate::analysis::layers::LayerAnswer;

/// Heat maps in a page, at most, and their bytes together; the others are named.
const MOST_MAPS: usize = 8;
const MOST_BYTES: usize = 900_000;

/// Which stored hidden states an analysis is of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// `llm`, `slm` or `run`.
    pub source: String,
    /// The model as it is shown.
    pub model: String,
    /// Commit, hash of a local model, or the run's id.
    pub revision: String,
    /// Key of the representation.
    pub key: String,
    /// The task whose texts were read.
    pub task: String,
    /// Hash of its data.
    pub data_hash: String,
    /// Split of the task.
    pub split: String,
    /// Pooling.
    pub pool: String,
    /// Examples.
    pub n: usize,
}

/// Comparisons and scores of a study's models.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attached {
    /// Folder, as seen from the report's own, and what it holds.
    pub comparisons: Vec<(String, Comparison)>,
    /// Scores held against the study.
    pub scores: Vec<Scores>,
    /// What was left out, and why.
    pub left_out: Vec<String>,
}

/// Scores of the LLM's layers, from one folder.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    /// The folder, as seen from the report's own.
    pub place: String,
    /// Of which hidden states.
    pub origin: Origin,
    /// What the scores were held against.
    pub truth: &'static str,
    /// A score each.
    pub methods: Vec<Scored>,
}

/// One score.
#[derive(Clone, Debug, PartialEq)]
pub struct Scored {
    /// Its name.
    pub name: String,
    /// Whether more is better.
    pub higher_is_better: bool,
    /// Layers with their values.
    pub values: Vec<(usize, f64)>,
    /// How far it agrees with training.
    pub agreement: Agreement,
}

/// The drawn charts of scores, in order: name of the files, canvas.
pub(super) fn canvases(answer: &LayerAnswer, attached: &Attached) -> Vec<(String, Canvas)> {
    let drawn = attached.scores.iter().enumerate().filter_map(|(at, scores)| {
        let name = if at == 0 { "scores".to_owned() } else { format!("scores-{}", at + 1) };
        Some((name, agreement::figure(answer, scores)?))
    });
    drawn.collect()
}

/// The section on scores; `figures` are the charts of [`canvases`] with their names.
pub(super) fn scores(attached: &Attached, figures: &[(String, String)]) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut figures = figures.iter();
    for scores in &attached.scores {
        if let Some((name, svg)) = figures.next() {
            blocks.push(Block::Figure(Figure {
                name: name.clone(),
                svg: svg.clone(),
                alternative: "Every layer's score against its validation, a panel a score.".to_owned(),
                caption: "Every number is a layer; a score that agrees with training rises from left to right, or \
                          falls where lower is better. Filled: the layer that the score would choose and the one \
                          that training chooses."
                    .to_owned(),
            }));
        }
        blocks.push(Block::Table(table(scores)));
    }
    blocks
}

fn table(scores: &Scores) -> Table {
    let rows = scores.methods.iter().map(|scored| {
        let found = &scored.agreement;
        let layer = |layer: Option<usize>| layer.map_or_else(|| "n/a".to_owned(), |layer| layer.to_string());
        Row {
            cells: vec![
                scored.name.clone(),
                measured(&found.weighted_tau, |x| decimal(x, 2)),
                measured(&found.tau, |x| decimal(x, 2)),
                measured(&found.rho, |x| decimal(x, 2)),
                measured(&found.regret, points),
                measured(&found.recovery, |x| decimal(x, 2)),
                layer(found.chosen),
                layer(found.best),
                found.layers.to_string(),
            ],
            marked: false,
        }
    });
    let Origin { model, revision, key, task, split, pool, n, .. } = &scores.origin;
    Table {
        caption: format!(
            "Scores of `{}` against the {} of {}, with 95% bootstrap intervals over layers and seeds. Regret: what \
             choosing by the score costs, in points; recovery: (chosen − last) / (best − last). Hidden states of \
             {model} at {revision} on {} of {task} {split}, {pool} pooled (representation {key}). No score works best \
             everywhere.",
            scores.place,
            scores.truth,
            plural(scores.methods.first().map_or(0, |first| first.agreement.layers), "layer"),
            plural(*n, "example"),
        ),
        header: ["Score", "Weighted τ", "τ", "ρ", "Regret", "Recovery", "Its layer", "Best layer", "Layers"]
            .map(str::to_owned)
            .into(),
        rows: rows.collect(),
        texts: 1,
    }
}

fn measured(measured: &Measured, show: impl Fn(f64) -> String) -> String {
    match measured {
        Ok(it) => format!("{} [{}, {}]", show(it.value), show(it.low), show(it.high)),
        Err(reason) => format!("n/a: {reason}"),
    }
}

/// The section on similarities.
///
/// # Errors
/// A figure that cannot be drawn.
pub(super) fn similarities(attached: &Attached) -> Result<Vec<Block>, Error> {
    let (mut blocks, mut bytes, mut maps) = (Vec::new(), 0, 0);
    let mut elsewhere = Vec::new();
    for (place, comparison) in &attached.comparisons {
        let mut shown = Vec::new();
        for grid in &comparison.grids {
            let file = format!("{place}/{}", grid.measure.name);
            let svg = render::svg(&heatmap::figure(comparison, grid))?;
            if maps == MOST_MAPS || bytes + svg.len() > MOST_BYTES {
                elsewhere.push(format!("{file}.svg"));
                continue;
            }
            maps += 1;
            bytes += svg.len();
            shown.push(Block::Figure(Figure {
                name: file,
                svg,
                alternative: format!(
                    "Heat map: {} between places of {} and {}.",
                    grid.measure.title, comparison.first.name, comparison.second.name
                ),
                caption: "Raw values rise with width and fall with the number of examples: compare with the chance \
                          level below the map."
                    .to_owned(),
            }));
        }
        if !shown.is_empty() {
            let side = |origin: &Origin| {
                format!(
                    "{} at {} ({} {}, {} pooled, {}, representation {})",
                    origin.model,
                    origin.revision,
                    origin.task,
                    origin.split,
                    origin.pool,
                    plural(origin.n, "example"),
                    origin.key
                )
            };
            let (first, second) = (&comparison.first.origin, &comparison.second.origin);
            let sides =
                if first == second { side(first) } else { format!("{} and {}", side(first), side(second)) };
            blocks.push(Block::Paragraph(format!("From `{place}`: {sides}.")));
            blocks.extend(shown);
        }
    }
    if !elsewhere.is_empty() {
        blocks
            .push(Block::Paragraph(format!("Not in this page, to keep it small: {}.", elsewhere.join(", "))));
    }
    Ok(blocks)
}

#[cfg(test)]
mod tests {
    use super::super::plots::canvas::Shape;
    use super::*;
    use crate::analysis::agreement::{Question, agreement, truth};
    use crate::analysis::layers::synthetic::{Made, hump};
    use crate::analysis::similarity::{Direction, Measure, Value};
    use crate::report::similarity::{Grid, Site, Source};
    use crate::report::{ReportContext, write};
    use crate::seed::Seed;

    fn answer(layers: usize) -> LayerAnswer {
        Made { examples: 100, ..Made::new(hump(layers, 0.2)) }.study().answer().unwrap()
    }

    fn scores(answer: &LayerAnswer, names: &[&str]) -> Scores {
        let truth = truth(answer);
        let question = Question { last: answer.last(), noise: None, resamples: 50, seed: Seed(0) };
        let methods = names.iter().enumerate().map(|(at, name)| {
            let values: Vec<(usize, f64)> =
                (0..answer.layers).map(|layer| (layer, ((layer * (at + 7)) % 11) as f64 - 600.0)).collect();
            let agreement = agreement(&values, &truth.layers, question);
            Scored { name: (*name).to_owned(), higher_is_better: at != 1, values, agreement }
        });
        Scores {
            place: "../scores/a".into(),
            origin: Origin { model: "a <b> & |c|".into(), n: 100, ..Origin::default() },
            truth: "gain",
            methods: methods.collect(),
        }
    }

    fn comparison(places: usize, grids: usize) -> Comparison {
        let sites = |width: usize| {
            (0..places).map(|at| Site { name: format!("layer {at}"), depth: None, width }).collect()
        };
        let source =
            |width: usize| Source { name: "m".into(), origin: Origin::default(), sites: sites(width) };
        let value = |at: usize| Ok(Value::new(at as f64 / 1e4, None, 9, [4, 4], Direction::HigherIsCloser));
        let grid = || Grid {
            measure: Measure::named("cka").unwrap(),
            settings: String::new(),
            values: (0..places * places).map(value).collect(),
        };
        Comparison {
            first: source(4),
            second: source(4),
            examples: String::new(),
            grids: (0..grids).map(|_| grid()).collect(),
        }
    }

    #[test]
    fn charts_of_any_number_of_scores_and_layers_stay_on_the_paper() {
        for (layers, names) in
            [(2, &["logme"][..]), (32, &["logme", "dist", "a_very_long_name_of_a_score", "d"])]
        {
            let answer = answer(layers);
            let attached = Attached { scores: vec![scores(&answer, names)], ..Attached::default() };
            let drawn = canvases(&answer, &attached);
            assert_eq!(drawn.len(), 1);
            for shape in &drawn[0].1.shapes {
                if let Shape::Text(label) = shape {
                    let (left, top, right, bottom) = label.bounds();
                    let (width, height) = (drawn[0].1.width, drawn[0].1.height);
                    let on_paper = left >= 0.0 && top >= 0.0 && right <= width && bottom <= height;
                    assert!(on_paper, "{label:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_attached_stands_in_the_page_escaped_and_keeps_it_small() {
        let answer = answer(12);
        let folder = tempfile::tempdir().unwrap();
        let attached = Attached {
            comparisons: vec![("../similarity/a".into(), comparison(33, 12))],
            scores: vec![scores(&answer, &["logme", "<script>"])],
            left_out: vec!["<script>alert(2)</script>".into()],
        };
        let context = ReportContext { attached, ..ReportContext::default() };
        let files = write(folder.path(), &answer, &context).unwrap();
        let page = std::fs::read_to_string(files.last().unwrap()).unwrap();
        assert!(page.len() < 2_000_000, "{}", page.len());
        for part in ["a &lt;b&gt; &amp; |c|", "../similarity/a/cka.svg", "Not in this page", "&lt;script&gt;"]
        {
            assert!(page.contains(part), "{part}");
        }
        assert!(!page.contains("<script>alert") && !page.contains("<th scope=\"row\"><script>"));
        assert!(page.matches("Heat map: linear CKA").count() <= MOST_MAPS);
        for name in ["scores.svg", "scores.png"] {
            assert!(folder.path().join(name).is_file(), "{name}");
        }
    }
}
