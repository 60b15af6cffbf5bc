//! What `runs list`, `show`, `diff` and `export` say, as text: nothing is printed here.

use std::str::FromStr;

use super::diff::{Difference, differences};
use super::record::{Condition, Metrics, RunRecord, Status};
use super::render::Grid;
use super::table::{RunRow, RunTable};
use crate::words::{UnknownWord, words};

words! {
    /// How tables are written.
    Format, "format" {
        /// Aligned columns for a person.
        Table = "table",
        /// RFC 4180, every column of the table.
        Csv = "csv",
        /// An array of objects, every column of the table.
        Json = "json",
        /// A table for a document.
        Markdown = "markdown",
    }
}

impl Format {
    /// The format that a file's ending stands for.
    ///
    /// # Errors
    /// An ending that stands for none.
    pub fn of_ending(ending: &str) -> Result<Self, UnknownWord> {
        match ending {
            "md" => Ok(Self::Markdown),
            "txt" => Ok(Self::Table),
            other => Self::from_str(other),
        }
    }
}

/// One line a run: its home metrics, or the reason why it has none.
pub fn list(table: &RunTable, format: Format) -> String {
    let rows: Vec<&RunRow> = table.rows.iter().filter(|row| row.home != Some(false)).collect();
    match format {
        Format::Json => json(&rows),
        Format::Csv => all_columns(&rows).csv(),
        Format::Table => summary(&rows, 12).text(),
        Format::Markdown => summary(&rows, 64).markdown(),
    }
}

/// Every row and every column: one row a run and evaluated task.
pub fn export(table: &RunTable, format: Format) -> String {
    let rows: Vec<&RunRow> = table.rows.iter().collect();
    match format {
        Format::Json => json(&rows),
        Format::Csv => all_columns(&rows).csv(),
        Format::Table => all_columns(&rows).text(),
        Format::Markdown => all_columns(&rows).markdown(),
    }
}

/// One run, in full as JSON and with its essentials otherwise.
pub fn show(record: &RunRecord, format: Format) -> String {
    if format == Format::Json {
        return pretty(record);
    }
    let mut facts = vec![
        ("run", record.cell.clone()),
        ("condition", condition(record)),
        ("llm", record.subject.llm.clone().unwrap_or_else(|| "none".into())),
        ("slm", record.subject.slm.clone()),
        ("task", record.subject.task.clone()),
        ("plug", record.subject.plug.clone().unwrap_or_else(|| "none".into())),
        ("train", record.subject.train.clone()),
        ("seed", record.seed.0.to_string()),
        ("status", status(record)),
    ];
    if let Some(result) = &record.result {
        facts.push(("best epoch", format!("{} of {}", result.best_epoch, result.validation.len())));
        facts.push(("trainable parameters", result.trainable_parameters.to_string()));
        facts.extend(result.notes.iter().map(|note| ("note", note.clone())));
    }
    let provenance = &record.provenance;
    for repository in &provenance.repositories {
        facts.push((
            "repository",
            format!("{} {} at {}", repository.role, repository.name, repository.revision),
        ));
    }
    let built = provenance.commit.as_ref().map(|commit| format!(" ({commit})")).unwrap_or_default();
    facts.push(("program", format!("pifi-probe {}{built}", provenance.program)));
    facts.push(("device", format!("{}, {} threads", provenance.device, provenance.threads)));
    facts.push(("started", provenance.started.clone()));
    facts.push(("seconds", format!("{:.1}", record.cost.seconds)));
    let facts = Grid {
        columns: vec![("field".into(), false), ("value".into(), false)],
        rows: facts.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect(),
    };
    let scores = scores(record);
    match format {
        Format::Csv => scores.csv(),
        Format::Markdown => format!("{}\n{}", facts.markdown(), scores.markdown()),
        Format::Table | Format::Json => format!("{}\n{}", facts.text(), scores.text()),
    }
}

/// What two runs differ in, of what decided their results and of what came out.
pub fn diff(left: &RunRecord, right: &RunRecord, format: Format) -> String {
    let found = record_differences(left, right);
    if format == Format::Json {
        return pretty(&found);
    }
    let word = |value: &Option<serde_json::Value>| match value {
        None => "-".to_owned(),
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let grid = Grid {
        columns: vec![("what".into(), false), (left.cell.clone(), false), (right.cell.clone(), false)],
        rows: found.iter().map(|d| vec![d.path.clone(), word(&d.left), word(&d.right)]).collect(),
    };
    match format {
        Format::Csv => grid.csv(),
        Format::Markdown => grid.markdown(),
        Format::Table | Format::Json => grid.text(),
    }
}

/// The differences that [`diff`] shows: condition, seed, config, status and result.
pub fn record_differences(left: &RunRecord, right: &RunRecord) -> Vec<Difference> {
    let compared = |record: &RunRecord| {
        serde_json::json!({
            "condition": record.condition.to_string(),
            "seed": record.seed,
            "config": record.config,
            "status": record.status,
            "result": record.result,
        })
    };
    differences(&compared(left), &compared(right))
}

fn condition(record: &RunRecord) -> String {
    match (record.condition, record.subject.llm_layers) {
        (Condition::Layer(index), Some(layers)) => format!("layer {index} of {layers} (0 to {})", layers - 1),
        (other, _) => other.to_string(),
    }
}

fn status(record: &RunRecord) -> String {
    match &record.status {
        Status::Done => "done".into(),
        Status::Failed { reason, .. } => format!("failed: {reason}"),
    }
}

fn scores(record: &RunRecord) -> Grid {
    let names = ["evaluated on", "examples", "accuracy", "macro-F1", "MCC", "loss"];
    let columns = names.iter().enumerate().map(|(at, name)| ((*name).to_owned(), at > 0)).collect();
    let row = |name: String, metrics: &Metrics| {
        let score = |value: f64| format!("{value:.4}");
        vec![
            name,
            metrics.n.to_string(),
            score(metrics.accuracy),
            score(metrics.macro_f1),
            score(metrics.mcc),
            score(metrics.loss),
        ]
    };
    let mut rows = Vec::new();
    if let Some(result) = &record.result {
        for scores in &result.validation {
            rows.push(row(format!("validation, epoch {}", scores.epoch), &scores.validation));
        }
        for evaluation in &result.evaluations {
            let name = format!("{} {}", evaluation.task, evaluation.split);
            rows.push(row(name.clone(), &evaluation.metrics));
            if let Some(clean) = &evaluation.without_overlap
                && clean.n != evaluation.metrics.n
            {
                rows.push(row(format!("{name} without overlap"), clean));
            }
        }
    }
    Grid { columns, rows }
}

fn summary(rows: &[&RunRow], id_len: usize) -> Grid {
    let names = [
        ("run", false),
        ("condition", false),
        ("llm", false),
        ("slm", false),
        ("task", false),
        ("train", false),
    ];
    let numbers = ["seed", "validation", "accuracy", "macro-F1", "MCC", "seconds"];
    let mut columns: Vec<(String, bool)> =
        names.iter().map(|(name, right)| ((*name).to_owned(), *right)).collect();
    columns.extend(numbers.iter().map(|name| ((*name).to_owned(), true)));
    columns.push(("status".into(), false));
    let score = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"));
    let line = |row: &&RunRow| {
        vec![
            row.cell.chars().take(id_len).collect(),
            row.condition.clone(),
            row.llm.clone().unwrap_or_else(|| "-".into()),
            row.slm.clone(),
            row.task.clone(),
            row.train.clone(),
            row.seed.to_string(),
            score(row.validation_accuracy),
            score(row.accuracy),
            score(row.macro_f1),
            score(row.mcc),
            format!("{:.1}", row.seconds),
            row.reason
                .as_ref()
                .map_or_else(|| row.status.clone(), |reason| format!("{}: {reason}", row.status)),
        ]
    };
    Grid { columns, rows: rows.iter().map(line).collect() }
}

/// The table's own columns by their names, numbers in full precision; absent values are empty.
fn all_columns(rows: &[&RunRow]) -> Grid {
    let objects: Vec<serde_json::Map<String, serde_json::Value>> = rows
        .iter()
        .filter_map(|row| match serde_json::to_value(row) {
            Ok(serde_json::Value::Object(fields)) => Some(fields),
            _ => None,
        })
        .collect();
    let names: Vec<String> = RunRow::columns();
    let cell = |value: Option<&serde_json::Value>| match value {
        None | Some(serde_json::Value::Null) => String::new(),
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let numeric =
        |name: &str| objects.iter().any(|row| row.get(name).is_some_and(serde_json::Value::is_number));
    Grid {
        rows: objects.iter().map(|row| names.iter().map(|name| cell(row.get(name))).collect()).collect(),
        columns: names.iter().map(|name| (name.clone(), numeric(name))).collect(),
    }
}

fn json(rows: &[&RunRow]) -> String {
    pretty(&rows)
}

fn pretty(value: &impl serde::Serialize) -> String {
    let mut text = serde_json::to_string_pretty(value).expect("records have string keys and finite numbers");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::record::{Control, example};
    use crate::runs::{CellState, Store, store::FinishedRun};

    fn table() -> (tempfile::TempDir, RunTable) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Store::open(folder.path()).expect("opens");
        for record in [
            example("0a", Condition::Layer(3), 1, 0.75),
            example("0b", Condition::Control(Control::Base), 1, 0.5),
        ] {
            let claim = store.claim(&record.cell).expect("locks").expect("is free");
            let run = FinishedRun { record: &record, history: &[], predictions: &[], model: None };
            assert!(store.publish(&claim, &run).expect("publishes"));
        }
        let mut failed = example("0c", Condition::Layer(4), 1, 0.5);
        failed.result = None;
        failed.status = Status::Failed {
            kind: crate::runs::record::FailureKind::Diverged,
            reason: "diverged at step 12: loss is NaN".into(),
        };
        let lease = store.lease("0c").expect("locks").expect("is free");
        store.record_failure(&lease, &failed).expect("records");
        assert!(matches!(store.state("0c"), Ok(CellState::Failed(_))));
        (folder, RunTable::load(&store).expect("loads"))
    }

    #[test]
    fn the_list_puts_controls_first_and_gives_reasons() {
        let (_folder, table) = table();
        let text = list(&table, Format::Table);
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines[1].starts_with("0b") && lines[1].contains("base") && lines[1].contains("0.5000"),
            "{text}"
        );
        assert!(lines[2].contains("layer 3"), "{text}");
        assert!(lines[3].ends_with("failed: diverged at step 12: loss is NaN"), "{text}");
    }

    #[test]
    fn exports_hold_every_column_in_every_format() {
        let (_folder, table) = table();
        let frame = table.frame();
        let names: Vec<&str> = frame.get_column_names().iter().map(|name| name.as_str()).collect();
        let names = names.join(",");
        let csv = export(&table, Format::Csv);
        assert_eq!(csv.lines().next(), Some(names.as_str()));
        assert_eq!(csv.lines().count(), 4);
        let rows: serde_json::Value = serde_json::from_str(&export(&table, Format::Json)).expect("is JSON");
        assert_eq!(rows[1]["accuracy"], 0.75);
        assert_eq!(rows[1].as_object().map(serde_json::Map::len), Some(names.split(',').count()));
        assert!(export(&table, Format::Markdown).lines().all(|line| line.starts_with('|')));
        assert_eq!(table.frame().height(), 3);
    }

    #[test]
    fn a_diff_names_what_differs_and_nothing_else() {
        let left = example("0a", Condition::Layer(3), 1, 0.75);
        let mut right = example("0d", Condition::Layer(3), 1, 0.75);
        right.config["hyper_parameters"]["epochs"] = 3.into();
        right.provenance.started = "later".into();
        let paths: Vec<String> = record_differences(&left, &right).into_iter().map(|d| d.path).collect();
        assert_eq!(paths, ["config.hyper_parameters.epochs"]);
        assert!(diff(&left, &right, Format::Table).contains("config.hyper_parameters.epochs  1    3"));
        assert!(show(&left, Format::Table).contains("layer 3 of 6 (0 to 5)"));
    }

    #[test]
    fn endings_stand_for_formats() {
        assert_eq!(Format::of_ending("md"), Ok(Format::Markdown));
        assert!(Format::of_ending("xlsx").is_err());
    }
}
