//! What forbids a comparison: numbers that were made under different rules do not become comparable
//! by standing in one table.

use serde::{Serialize, Serializer};
use serde_json::Value;

use super::gather::Group;
use crate::analysis::statistics::Undefined;

/// A reason against comparing two conditions.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Obstacle {
    /// Different tasks.
    #[error("trained on different tasks, `{first}` and `{second}`")]
    Task {
        /// Of the first condition.
        first: String,
        /// Of the second condition.
        second: String,
    },
    /// Other labels, or the same ones in another order.
    #[error("the label spaces of `{task}` differ: {reason}")]
    LabelSpace {
        /// The task.
        task: String,
        /// In what.
        reason: String,
    },
    /// Other examples under the same name.
    #[error("the data of `{task}` differ: hashes {first} and {second}")]
    Data {
        /// The task.
        task: String,
        /// The start of one hash.
        first: String,
        /// The start of the other.
        second: String,
    },
    /// A rule of training, selecting or counting.
    #[error("{rule} differ: {first} and {second}")]
    Protocol {
        /// Which rule, in the plural.
        rule: &'static str,
        /// The value of the first condition.
        first: String,
        /// The value of the second condition.
        second: String,
    },
    /// Evaluated on other examples.
    #[error("evaluated on different examples, {first} and {second} of which {common} are common")]
    Examples {
        /// Examples of the first condition.
        first: usize,
        /// Examples of the second condition.
        second: usize,
        /// Examples of both.
        common: usize,
    },
    /// No run of one has the seed of a run of the other.
    #[error("no seed in common: {first} and {second}")]
    Seeds {
        /// Seeds of the first condition.
        first: String,
        /// Seeds of the second condition.
        second: String,
    },
    /// A statistic that has no value.
    #[error("{0}")]
    Statistic(Undefined),
}

impl Serialize for Obstacle {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Parts of a run's configuration that must be equal, each with what it is called.
const RULES: [(&str, &str); 6] = [
    ("as_published", "published defects that are reproduced"),
    ("split_seed", "selection protocols (seeds of the splits)"),
    ("selection", "selection protocols"),
    ("limits", "caps on the examples"),
    ("train", "train modes (a screen is no full training)"),
    ("numerics", "versions of the numbers"),
];

/// Everything that speaks against comparing the two.
pub(super) fn obstacles(first: &Group, second: &Group) -> Vec<Obstacle> {
    let (a, b) = (&first.record.config, &second.record.config);
    let mut found = Vec::new();
    if first.record.subject.task == second.record.subject.task {
        found.extend(task_differences(&a["task"], &b["task"]));
    } else {
        found.push(Obstacle::Task {
            first: first.record.subject.task.clone(),
            second: second.record.subject.task.clone(),
        });
    }
    // the task compared on, where it is another one
    let on = |config: &Value, group: &Group| {
        let (on, _split) = group.set.rsplit_once(' ')?;
        config["eval"].as_array()?.iter().find(|task| task["name"] == on).cloned()
    };
    if let (Some(a), Some(b)) = (on(a, first), on(b, second)) {
        found.extend(task_differences(&a, &b));
    }
    found.extend(under_other_rules(a, b));
    // with all that said, other examples are no news
    if found.is_empty() {
        found.extend(example_differences(first, second));
    }
    found
}

/// Rules that two configurations differ in.
pub(super) fn under_other_rules(a: &Value, b: &Value) -> Vec<Obstacle> {
    let differing = RULES.iter().filter(|(key, _)| a[*key] != b[*key]);
    differing
        .map(|(key, rule)| Obstacle::Protocol { rule, first: shown(&a[*key]), second: shown(&b[*key]) })
        .collect()
}

/// What two descriptions of a task differ in.
pub(super) fn task_differences(a: &Value, b: &Value) -> Vec<Obstacle> {
    let task = a["name"].as_str().unwrap_or("?").to_owned();
    let short = |value: &Value| value.as_str().unwrap_or("none").chars().take(8).collect::<String>();
    let mut found = Vec::new();
    if a["definition"] != b["definition"] {
        let reason = format!("its definition is {} and {}", short(&a["definition"]), short(&b["definition"]));
        found.push(Obstacle::LabelSpace { task: task.clone(), reason });
    }
    if a["data"] != b["data"] {
        found.push(Obstacle::Data { task, first: short(&a["data"]), second: short(&b["data"]) });
    }
    found
}

fn example_differences(first: &Group, second: &Group) -> Option<Obstacle> {
    let (a, b) = (&first.runs[0], &second.runs[0]);
    let labels = |reason: String| Obstacle::LabelSpace { task: first.set.clone(), reason };
    if a.classes != b.classes {
        return Some(labels(format!("{} and {} labels", a.classes, b.classes)));
    }
    if a.ids != b.ids {
        let common = a.ids.iter().filter(|id| b.ids.binary_search(id).is_ok()).count();
        return Some(Obstacle::Examples { first: a.ids.len(), second: b.ids.len(), common });
    }
    if a.gold != b.gold {
        let count = a.gold.iter().zip(&b.gold).filter(|(a, b)| a != b).count();
        return Some(labels(format!("{count} of {} examples have another right label", a.gold.len())));
    }
    let seeds = |group: &Group| {
        let seeds: Vec<String> = group.runs.iter().map(|run| run.seed.to_string()).collect();
        seeds.join(", ")
    };
    let common = first.runs.iter().any(|a| second.runs.iter().any(|b| a.seed == b.seed));
    (!common).then(|| Obstacle::Seeds { first: seeds(first), second: seeds(second) })
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => format!("`{text}`"),
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        Value::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join(" and "),
        other => format!("`{other}`"),
    }
}
