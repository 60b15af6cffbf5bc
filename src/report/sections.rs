//! What a report says, in order: the answer, the claims, the layer chart, P(best), all conditions,
//! other domains, cost, failures, warnings, how things were chosen, and where it all comes from.

use super::answer::{first_sentence, further_sentences};
use super::document::{Block, Document, Figure, Row, Section, Table};
use super::text::{
    capital, condition, control_meaning, count, mean, p_value, percent, plural, points_with_interval,
    row_name, size_in_points,
};
use super::{Error, ReportContext, attached, plots, prices};
use crate::analysis::layers::{Condition, ConditionOnSet, Contrast, LayerAnswer, SetAnswer, SetRole, ranges};
use crate::analysis::statistics::Undefined;

const NONE: &str = "\u{2013}";

/// The drawn figures of a report.
#[derive(Default)]
pub(super) struct Figures {
    pub(super) layers: String,
    pub(super) transfer: Option<String>,
    pub(super) best: Option<String>,
    pub(super) prices: Option<String>,
    /// Charts of scores by the names of their files.
    pub(super) scores: Vec<(String, String)>,
}

/// The whole report.
///
/// # Errors
/// A heat map that cannot be drawn.
pub(super) fn document(
    answer: &LayerAnswer,
    context: &ReportContext,
    figures: Figures,
) -> Result<Document, Error> {
    let section = |title: &str, blocks: Vec<Block>| Section { title: title.to_owned(), blocks };
    let mut sections = vec![
        section("What the chosen layer gains", claims(answer)),
        section("The metric by layer", layer_chart(answer, figures.layers)),
    ];
    if let Some(svg) = figures.best {
        sections.push(section("How sure is the choice?", best(answer, svg)));
    }
    sections.push(section("All conditions", conditions(answer)));
    if !answer.domains.is_empty() {
        sections.push(section("Does it carry over to other domains?", domains(answer, figures.transfer)));
    }
    let similar = attached::similarities(&context.attached)?;
    if !similar.is_empty() {
        sections.push(section("How similar layers are", similar));
    }
    let scored = attached::scores(&context.attached, &figures.scores);
    if !scored.is_empty() {
        sections.push(section("Would cheap scores have chosen it?", scored));
    }
    let mut cost = Vec::new();
    if !context.cost.is_empty() {
        cost.push(Block::Table(Table::of_pairs("", ["What", "Cost"], &context.cost)));
    }
    cost.extend(prices::blocks(answer, &context.prices, figures.prices));
    if !cost.is_empty() {
        sections.push(section("Cost", cost));
    }
    sections.push(section("Failures", failures(answer, context)));
    sections.push(section("Warnings", warnings(answer)));
    sections.push(section("What was chosen on what", protocol(answer)));
    let notes: Vec<String> = context.notes.iter().chain(&context.attached.left_out).cloned().collect();
    if !notes.is_empty() {
        sections.push(section("Notes", vec![Block::List(notes)]));
    }
    sections.push(section("Manifest", manifest(context)));
    let title =
        if context.synthetic { format!("{} (synthetic data)", context.title) } else { context.title.clone() };
    Ok(Document { title, lead: first_sentence(answer, context.synthetic), sections })
}

fn claims(answer: &LayerAnswer) -> Vec<Block> {
    let rows = answer
        .claims
        .iter()
        .map(|claim| {
            let name = if claim.against == Condition::Layer(answer.last()) {
                format!("{} (last)", condition(&claim.against))
            } else {
                condition(&claim.against)
            };
            let contrast = &claim.contrast;
            let flip =
                contrast.sign_flip.as_ref().map_or_else(|_| NONE.to_owned(), |flip| p_value(flip.two_sided));
            Row {
                cells: vec![
                    name,
                    points_with_interval(&contrast.estimate),
                    p_value(contrast.p),
                    contrast.p_holm.map_or_else(|| NONE.to_owned(), p_value),
                    flip,
                    contrast.seeds.to_string(),
                ],
                marked: false,
            }
        })
        .collect();
    let further = further_sentences(answer);
    let mut blocks = Vec::new();
    if !further.is_empty() {
        blocks.push(Block::Paragraph(further));
    }
    if !answer.claims.is_empty() {
        blocks.push(Block::Table(Table {
            caption: format!(
                "Layer {} on {} ({}), in percentage points of {} with 95% two-level paired bootstrap intervals \
                 ({} resamples of seeds and examples). p: bootstrap; Holm: corrected for the comparisons of this \
                 table; sign flip: over seeds.",
                answer.chosen,
                set_name(answer.claim_set()),
                plural(answer.claim_set().examples, "example"),
                answer.metric,
                count(answer.resamples)
            ),
            header: ["Against", "Difference [95% interval]", "p", "p (Holm)", "p (sign flip)", "Seeds"]
                .map(str::to_owned)
                .into(),
            rows,
            texts: 1,
        }));
    }
    blocks
}

fn layer_chart(answer: &LayerAnswer, svg: String) -> Vec<Block> {
    let alternative = format!(
        "Validation {} against the layer of {}: layer {} is the best with {}%; {} cannot be told apart from it.",
        answer.metric,
        answer.llm,
        answer.chosen,
        answer
            .validation
            .get(&Condition::Layer(answer.chosen))
            .map_or_else(String::new, |row| percent(row.metric.mean)),
        ranges(&answer.tied)
    );
    let caption = "Every seed is a dot; the mean over seeds has its 95% t interval (an arrow where it leaves the \
                   plot). All conditions see the same examples, so differences are surer than these intervals look: \
                   read them in the tables. Numbers: layers.csv."
        .to_owned();
    vec![Block::Figure(Figure { name: "layers".to_owned(), svg, alternative, caption })]
}

fn conditions(answer: &LayerAnswer) -> Vec<Block> {
    let validation = &answer.validation;
    let with = |pick: fn(&ConditionOnSet) -> bool| validation.conditions.iter().any(pick);
    let (f1, mcc) = (with(|row| row.macro_f1.is_some()), with(|row| row.mcc.is_some()));
    let mut header =
        vec!["Condition".to_owned(), "Seeds".to_owned(), format!("Validation {} (%)", answer.metric)];
    header.extend(f1.then(|| "Macro-F1 (%)".to_owned()));
    header.extend(mcc.then(|| "MCC".to_owned()));
    header.extend(
        ["Over no plug", "p (Holm)", "Over the last layer", "P(best) (%)", "Tied"].map(str::to_owned),
    );
    header.extend(answer.test.is_some().then(|| format!("Test {} (%)", answer.metric)));
    let rows = validation
        .conditions
        .iter()
        .map(|row| {
            let layer = row.condition.layer();
            let mut cells =
                vec![row_name(answer, &row.condition), row.metric.seeds.len().to_string(), mean(&row.metric)];
            if f1 {
                cells.push(row.macro_f1.as_ref().map_or_else(|| NONE.to_owned(), |f1| percent(f1.mean)));
            }
            if mcc {
                let decimal = |value: f64| super::text::decimal(value, 3);
                cells.push(row.mcc.as_ref().map_or_else(|| NONE.to_owned(), |mcc| decimal(mcc.mean)));
            }
            cells.push(difference(&row.over_base));
            let holm = row.over_base.as_ref().ok().and_then(|contrast| contrast.p_holm);
            cells.push(holm.map_or_else(|| NONE.to_owned(), p_value));
            cells.push(difference(&row.over_last));
            let best = answer.best_probability.iter().find(|best| Some(best.layer) == layer);
            cells.push(best.map_or_else(|| NONE.to_owned(), |best| percent(best.probability)));
            let tied = layer.is_some_and(|layer| answer.tied.contains(&layer));
            cells.push(if tied { "yes" } else { NONE }.to_owned());
            if let Some(test) = &answer.test {
                let reported = answer.is_reported(&row.condition).then(|| test.get(&row.condition)).flatten();
                cells.push(reported.map_or_else(|| NONE.to_owned(), |row| mean(&row.metric)));
            }
            Row { cells, marked: layer == Some(answer.chosen) }
        })
        .collect();
    let caption = format!(
        "Means over seeds with 95% t intervals; differences on validation ({}) in percentage points with 95% \
         bootstrap intervals, p values corrected over layers. Test is reported for the chosen layer, the last layer \
         and the controls.",
        plural(validation.examples, "example")
    );
    let mut blocks = vec![Block::Table(Table { caption, header, rows, texts: 1 })];
    let meanings: Vec<String> = validation
        .conditions
        .iter()
        .filter_map(|row| match &row.condition {
            Condition::Control(name) => {
                control_meaning(name).map(|meaning| format!("{}: {meaning}", condition(&row.condition)))
            }
            Condition::Layer(_) => None,
        })
        .collect();
    if !meanings.is_empty() {
        blocks.push(Block::Paragraph(format!("Controls \u{2013} {}.", meanings.join("; "))));
    }
    blocks
}

fn domains(answer: &LayerAnswer, svg: Option<String>) -> Vec<Block> {
    let mut blocks = Vec::new();
    if let Some(svg) = svg {
        blocks.push(Block::Figure(Figure {
            name: "transfer".to_owned(),
            svg,
            alternative: format!("Gain over no plug of every layer of {} on every domain.", answer.llm),
            caption: format!(
                "All cells were trained on {} only. A dot marks a difference with p < 0.05 after Holm's correction \
                 over the layers of its row. The row of {} shows validation, on which the layer was chosen. \
                 Numbers: transfer.csv.",
                answer.task, answer.task
            ),
        }));
    }
    let sets: Vec<&SetAnswer> = answer.test.iter().chain(&answer.domains).collect();
    let overlap = sets.iter().any(|set| set.overlapping > 0);
    let mut header: Vec<String> =
        ["Domain", "Condition", "Examples"].map(str::to_owned).into_iter().collect();
    header.extend([format!("{} (%)", capital(&answer.metric)), "Over no plug".to_owned()]);
    if overlap {
        header.extend(
            ["Texts also in training", "Without them (%)", "Over no plug without them"].map(str::to_owned),
        );
    }
    let mut rows = Vec::new();
    for set in sets {
        for row in set.conditions.iter().filter(|row| answer.is_reported(&row.condition)) {
            let mut cells = vec![
                set_name(set),
                row_name(answer, &row.condition),
                count(set.examples),
                mean(&row.metric),
                difference(&row.over_base),
            ];
            if overlap {
                cells.push(count(set.overlapping));
                match &row.without_overlap {
                    Some(part) => cells.extend([mean(&part.summary), difference(&part.over_base)]),
                    None => cells.extend([NONE.to_owned(), NONE.to_owned()]),
                }
            }
            rows.push(Row { cells, marked: row.condition == Condition::Layer(answer.chosen) });
        }
    }
    let caption =
        "Means over seeds with 95% t intervals; differences in percentage points with 95% bootstrap \
                   intervals. All layers are in transfer.csv."
            .to_owned();
    blocks.push(Block::Table(Table { caption, header, rows, texts: 2 }));
    blocks
}

fn best(answer: &LayerAnswer, svg: String) -> Vec<Block> {
    let most = answer.best_probability.iter().max_by(|a, b| a.probability.total_cmp(&b.probability));
    let alternative = most.map_or_else(String::new, |most| {
        format!("Layer {} is the best with a probability of {}%.", most.layer, percent(most.probability))
    });
    let caption = format!(
        "On validation, by resampling seeds and examples. Tied with the best are {}: their intervals of the \
         difference to the best, made to hold for all layers at once, cover zero. Numbers: best.csv.",
        ranges(&answer.tied)
    );
    let mut blocks = vec![Block::Figure(Figure { name: "best".to_owned(), svg, alternative, caption })];
    if let Ok(luck) = &answer.luck {
        blocks.push(Block::Paragraph(format!(
            "If all {} layers were equal, the best of them would still look {} better than it is on validation, at \
             the spread over seeds that was measured ({}).",
            luck.layers,
            size_in_points(luck.excess),
            size_in_points(luck.seed_deviation)
        )));
    }
    blocks
}

fn failures(answer: &LayerAnswer, context: &ReportContext) -> Vec<Block> {
    let finished = answer.finished;
    let mut blocks = vec![Block::Paragraph(format!(
        "{} of {} finished.",
        count(finished.finished),
        plural(finished.planned, "planned cell")
    ))];
    if !context.failures.is_empty() {
        blocks.push(Block::Table(Table::of_pairs("", ["Cell", "Why it has no result"], &context.failures)));
    }
    blocks
}

fn warnings(answer: &LayerAnswer) -> Vec<Block> {
    if answer.warnings.is_empty() {
        return vec![Block::Paragraph("None.".to_owned())];
    }
    let sentence = |warning: &crate::analysis::layers::Warning| format!("{}.", capital(&warning.to_string()));
    vec![Block::List(answer.warnings.iter().map(sentence).collect())]
}

fn protocol(answer: &LayerAnswer) -> Vec<Block> {
    let mut items = vec![
        format!(
            "Chosen on validation of {} ({}): the best layer, the tied set and P(best).",
            answer.validation.name,
            plural(answer.validation.examples, "example")
        ),
        format!(
            "Layers were compared on {} {}.",
            if answer.compared_seeds.len() == 1 { "seed" } else { "seeds" },
            answer.compared_seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
        ),
    ];
    items.push(match &answer.test {
        Some(test) => format!(
            "Reported once on test of {} ({}): the chosen layer, the last layer and the controls.",
            test.name,
            plural(test.examples, "example")
        ),
        None => "There was no test set: all numbers are from validation.".to_owned(),
    });
    if !answer.domains.is_empty() {
        let names: Vec<String> = answer.domains.iter().map(|set| set.name.clone()).collect();
        items.push(format!("Nothing was chosen on the other domains: {}.", super::text::list(&names)));
    }
    vec![Block::List(items)]
}

fn manifest(context: &ReportContext) -> Vec<Block> {
    vec![
        Block::Code(context.command.clone()),
        Block::Table(Table::of_pairs("", ["What", "Value"], &context.manifest)),
    ]
}

fn set_name(set: &SetAnswer) -> String {
    match set.role {
        SetRole::Validation => format!("{} validation", set.name),
        SetRole::Test => format!("{} test", set.name),
        SetRole::Domain => set.name.clone(),
    }
}

fn difference(contrast: &Result<Contrast, Undefined>) -> String {
    contrast.as_ref().map_or_else(|_| NONE.to_owned(), |contrast| points_with_interval(&contrast.estimate))
}

/// Draws the figures of an answer.
pub(super) fn canvases(
    answer: &LayerAnswer,
    context: &ReportContext,
) -> Vec<(&'static str, plots::canvas::Canvas)> {
    let mut canvases = vec![("layers", plots::layers::figure(answer, &context.pruned))];
    canvases.extend(plots::transfer::figure(answer).map(|canvas| ("transfer", canvas)));
    canvases.extend(plots::best::figure(answer).map(|canvas| ("best", canvas)));
    let offers = prices::offers(answer, &context.prices);
    canvases.extend(plots::price::figure(answer, &offers).map(|canvas| ("prices", canvas)));
    canvases
}
