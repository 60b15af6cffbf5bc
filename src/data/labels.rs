//! From the values of a label column to numbers of classes.

use std::collections::BTreeSet;

use super::Error;
use super::read::shorten;
use super::task::TaskSpec;

/// More classes than this are taken for a wrong column.
const MOST_CLASSES: usize = 1000;

/// A row before its label is understood.
pub(super) struct Row {
    pub(super) id: u64,
    pub(super) text: String,
    pub(super) pair: Option<String>,
    /// Value of the label column.
    pub(super) label: String,
    pub(super) column: String,
    pub(super) file: String,
    /// Number of the row in its file, from 1.
    pub(super) line: u64,
}

/// The classes of a task, and how values become their numbers.
pub(super) struct Labels<'a> {
    pub(super) names: Vec<String>,
    spec: &'a TaskSpec,
}

impl<'a> Labels<'a> {
    /// The classes that the task names; without names, the values found in these rows, numbers by
    /// size and before words, words by alphabet.
    pub(super) fn of<'r>(spec: &'a TaskSpec, rows: impl Iterator<Item = &'r Row>) -> Result<Self, Error> {
        if !spec.labels.is_empty() {
            return Ok(Self { names: spec.labels.clone(), spec });
        }
        let mut column = "";
        let mut found: BTreeSet<&str> = BTreeSet::new();
        for row in rows {
            column = &row.column;
            if !spec.drop.contains(&row.label) {
                found.insert(&row.label);
            }
        }
        if !(2..=MOST_CLASSES).contains(&found.len()) {
            return Err(Error::ClassCount {
                task: spec.name.clone(),
                column: column.to_owned(),
                classes: found.len(),
                limit: MOST_CLASSES,
            });
        }
        let mut names: Vec<String> = found.into_iter().map(str::to_owned).collect();
        names.sort_by_key(|name| (name.parse::<i64>().unwrap_or(i64::MAX), name.clone()));
        Ok(Self { names, spec })
    }

    /// The class of a row, or `None` when rows of its label are left out.
    pub(super) fn number(&self, row: &Row) -> Result<Option<u32>, Error> {
        let value = row.label.as_str();
        if self.spec.drop.iter().any(|dropped| dropped == value) {
            return Ok(None);
        }
        let name = self.spec.map.get(value).map_or(value, String::as_str);
        let exact = self.names.iter().position(|label| label == name);
        let by_name = exact.or_else(|| self.names.iter().position(|label| label.eq_ignore_ascii_case(name)));
        let by_number = || {
            let number = value.parse::<usize>().ok()?;
            (self.spec.map.is_empty() && !self.spec.labels.is_empty() && number < self.names.len())
                .then_some(number)
        };
        let number = by_name.or_else(by_number).ok_or_else(|| Error::UnknownLabel {
            file: row.file.clone(),
            row: row.line,
            column: row.column.clone(),
            value: shorten(value),
            known: self.known(),
        })?;
        Ok(Some(number as u32))
    }

    /// Every value that is understood, for an error message.
    fn known(&self) -> Vec<String> {
        let numbers = (0..self.names.len()).map(|number| number.to_string());
        let numbers = numbers.filter(|_| self.spec.map.is_empty() && !self.spec.labels.is_empty());
        let dropped = self.spec.drop.iter().map(|value| format!("{value} (left out)"));
        self.spec
            .map
            .keys()
            .cloned()
            .chain(numbers)
            .chain(self.names.iter().cloned())
            .chain(dropped)
            .collect()
    }
}
