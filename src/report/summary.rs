//! One table over all studies of an analysis: `summary.csv`, `summary.md` and `summary.html`. Every
//! number is that of a study's own report; nothing is averaged over studies.

use super::document::{Block, Document, Row, Section, Table};
use super::text::{list, percent, points_with_interval};
use super::{Error, csv, html, markdown, put, write_text};
use crate::analysis::layers::{Condition, LayerAnswer, SetRole, ranges};
use crate::analysis::statistics::Estimate;
use crate::analysis::transfer::TransferAnswer;
use std::path::{Path, PathBuf};

/// What a study comes to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Line {
    /// The study's name in the analysis.
    pub study: String,
    /// The LLM.
    pub llm: String,
    /// The small model.
    pub slm: String,
    /// The task, or those trained on.
    pub task: String,
    /// How it differs: plug, train mode, pooling, screen.
    pub setting: String,
    /// The chosen layer.
    pub chosen: Option<usize>,
    /// Layers of the LLM, to read the chosen one as a depth.
    pub layers: usize,
    /// Layers that cannot be told apart from it.
    pub tied: String,
    /// The metric without a plug.
    pub base: Option<f64>,
    /// The metric of the chosen layer.
    pub metric: Option<f64>,
    /// The chosen layer over no plug, the last layer, the mappers, the random layer.
    pub over: [Option<Estimate>; 4],
    /// Mean gain over no plug on other domains.
    pub elsewhere: Option<Estimate>,
    /// The answer in a sentence.
    pub sentence: String,
    /// Directory of its report, relative to that of the summary.
    pub report: String,
    /// Cells that failed.
    pub failed: usize,
}

const OVER: [&str; 4] = ["base", "last", "mappers", "random"];

impl Line {
    /// From a layer study's answer.
    pub fn of_layers(study: &str, setting: &str, answer: &LayerAnswer, synthetic: bool) -> Self {
        let claim = |against: &Condition| answer.claim(against).map(|claim| claim.contrast.estimate);
        let control = |name: &str| claim(&Condition::Control(name.to_owned()));
        let mean = |condition: &Condition| answer.claim_set().get(condition).map(|row| row.metric.mean);
        let set = if answer.claims_on == SetRole::Test { "" } else { ", validation only" };
        Self {
            study: study.to_owned(),
            llm: answer.llm.clone(),
            slm: answer.slm.clone(),
            task: answer.task.clone(),
            setting: format!("{setting}{set}"),
            chosen: Some(answer.chosen),
            layers: answer.layers,
            tied: ranges(&answer.tied),
            base: mean(&Condition::base()),
            metric: mean(&Condition::Layer(answer.chosen)),
            over: [
                claim(&Condition::base()),
                claim(&Condition::Layer(answer.last())),
                control("mappers"),
                control("random"),
            ],
            sentence: super::first_sentence(answer, synthetic),
            ..Self::default()
        }
    }

    /// From a transfer study's answer.
    pub fn of_transfer(study: &str, setting: &str, answer: &TransferAnswer, synthetic: bool) -> Self {
        let row = answer.chosen();
        let estimate = |gain: &Result<crate::analysis::transfer::MeanGain, _>| {
            gain.as_ref().ok().map(|gain| gain.estimate)
        };
        let names: Vec<String> =
            answer.trained.iter().map(|domain| answer.domain(*domain).to_owned()).collect();
        Self {
            study: study.to_owned(),
            llm: answer.llm.clone(),
            slm: answer.slm.clone(),
            task: list(&names),
            setting: format!("{setting}, mean over training tasks at home"),
            chosen: answer.choice.as_ref().map(|choice| choice.layer),
            layers: answer.layers,
            over: [row.and_then(|row| estimate(&row.gain_home)), None, None, None],
            elsewhere: row.and_then(|row| estimate(&row.gain_away)),
            sentence: super::transfer_sentence(answer, synthetic),
            ..Self::default()
        }
    }
}

/// Writes the three files; returns them, the page last.
///
/// # Errors
/// [`Error::Write`].
pub fn write_summary(
    dir: &Path,
    title: &str,
    command: &str,
    lines: &[Line],
    notes: &[String],
) -> Result<Vec<PathBuf>, Error> {
    std::fs::create_dir_all(dir).map_err(|source| Error::Write { path: dir.to_owned(), source })?;
    let document = document(title, command, lines, notes);
    let texts = [
        ("summary.csv", table(lines)),
        ("summary.md", markdown::page(&document)),
        ("summary.html", html::page(&document)),
    ];
    texts.into_iter().map(|(name, text)| put(dir, name, |path| write_text(path, &text))).collect()
}

fn document(title: &str, command: &str, lines: &[Line], notes: &[String]) -> Document {
    let none = || "\u{2013}".to_owned();
    let gain = |estimate: &Option<Estimate>| estimate.as_ref().map_or_else(none, points_with_interval);
    let rows = lines.iter().map(|line| {
        let mut cells = vec![
            line.study.clone(),
            line.llm.clone(),
            line.slm.clone(),
            line.task.clone(),
            line.setting.clone(),
            line.chosen.map_or_else(none, |layer| format!("{layer} of {}", line.layers)),
            line.tied.clone(),
            line.base.map_or_else(none, percent),
            line.metric.map_or_else(none, percent),
        ];
        cells.extend(line.over.iter().map(gain));
        cells.push(gain(&line.elsewhere));
        Row { cells, marked: false }
    });
    let table = Table {
        caption: "The layer chosen on validation in every study. Differences in percentage points with 95% two-level \
                  paired bootstrap intervals; each study is an answer of its own, and nothing corrects for looking \
                  at several of them."
            .to_owned(),
        header: [
            "Study",
            "LLM",
            "Small model",
            "Task",
            "Setting",
            "Chosen layer",
            "Tied",
            "No plug (%)",
            "Chosen (%)",
            "Over no plug",
            "Over the last layer",
            "Over mappers only",
            "Over a random layer",
            "Over no plug elsewhere",
        ]
        .map(str::to_owned)
        .into(),
        rows: rows.collect(),
        texts: 7,
    };
    let answers = lines
        .iter()
        .map(|line| {
            let failed =
                if line.failed > 0 { format!(" {} cells failed.", line.failed) } else { String::new() };
            format!("{}: {}{failed} Report: {}", line.study, line.sentence, line.report)
        })
        .collect();
    let mut sections = vec![
        Section { title: "All studies".to_owned(), blocks: vec![Block::Table(table)] },
        Section { title: "Their answers".to_owned(), blocks: vec![Block::List(answers)] },
    ];
    if !notes.is_empty() {
        sections.push(Section { title: "Notes".to_owned(), blocks: vec![Block::List(notes.to_vec())] });
    }
    let made = vec![Block::Code(command.to_owned())];
    sections.push(Section { title: "How it was made".to_owned(), blocks: made });
    let gains = lines.iter().filter(|line| line.over[0].is_some_and(|gain| gain.low > 0.0)).count();
    let known = lines.iter().filter(|line| line.over[0].is_some()).count();
    let lead = format!("In {gains} of {known} studies the chosen layer is shown to beat no plug.");
    Document { title: title.to_owned(), lead, sections }
}

fn table(lines: &[Line]) -> String {
    let mut header: Vec<String> =
        ["study", "llm", "slm", "task", "setting", "chosen", "layers", "tied", "base", "metric"]
            .map(str::to_owned)
            .into();
    for name in OVER.iter().copied().chain(["base_elsewhere"]) {
        header.extend(["", "_low", "_high"].map(|part| format!("over_{name}{part}")));
    }
    header.extend(["failed", "report"].map(str::to_owned));
    let mut text = csv::line(&header);
    for line in lines {
        let mut cells = vec![
            line.study.clone(),
            line.llm.clone(),
            line.slm.clone(),
            line.task.clone(),
            line.setting.clone(),
            line.chosen.map_or_else(String::new, |layer| layer.to_string()),
            line.layers.to_string(),
            line.tied.clone(),
            csv::number(line.base),
            csv::number(line.metric),
        ];
        for estimate in line.over.iter().chain([&line.elsewhere]) {
            cells.extend([
                csv::number(estimate.map(|it| it.value)),
                csv::number(estimate.map(|it| it.low)),
                csv::number(estimate.map(|it| it.high)),
            ]);
        }
        cells.extend([line.failed.to_string(), line.report.clone()]);
        text.push_str(&csv::line(&cells));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::layers::synthetic::{Made, hump};
    use crate::analysis::transfer::synthetic;

    #[test]
    fn studies_of_both_kinds_stand_in_one_table() {
        let layers = Made::new(hump(5, 0.4)).study().answer().unwrap();
        let transfer = synthetic::study().answer().unwrap();
        let lines = [
            Line { report: "../one/report.html".into(), ..Line::of_layers("one", "pooled", &layers, false) },
            Line {
                report: "../two/transfer.html".into(),
                ..Line::of_transfer("two", "pooled", &transfer, false)
            },
        ];
        let folder = tempfile::tempdir().unwrap();
        let files = write_summary(folder.path(), "A question", "pifi-probe analyze x", &lines, &[]).unwrap();
        assert_eq!(files.len(), 3);
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        let table = read("summary.csv");
        let widths: Vec<usize> = table.lines().map(|line| line.split(',').count()).collect();
        assert_eq!(widths.len(), 3);
        assert_eq!(widths[0], 27);
        assert!(read("summary.md").contains("of 2 studies the chosen layer is shown to beat no plug"));
        assert!(read("summary.html").contains("../two/transfer.html"));
    }
}
