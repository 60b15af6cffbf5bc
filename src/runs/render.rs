//! A small grid of words as aligned text, Markdown or CSV.

use std::fmt::Write;

/// A grid with a header; cells are words, numbers already formatted.
#[derive(Clone, Debug)]
pub(crate) struct Grid {
    /// Column names, and whether the column is numeric (aligned to the right).
    pub(crate) columns: Vec<(String, bool)>,
    /// Rows of as many cells as there are columns.
    pub(crate) rows: Vec<Vec<String>>,
}

impl Grid {
    pub(crate) fn text(&self) -> String {
        self.lines("  ", "", "", None)
    }

    pub(crate) fn markdown(&self) -> String {
        let rule = self.columns.iter().map(|(_, numeric)| if *numeric { "--:" } else { ":--" });
        self.escaped().lines(" | ", "| ", " |", Some(rule.collect()))
    }

    pub(crate) fn csv(&self) -> String {
        let names: Vec<String> = self.columns.iter().map(|(name, _)| name.clone()).collect();
        let mut text = String::new();
        for row in std::iter::once(&names).chain(&self.rows) {
            let fields: Vec<String> = row.iter().map(|cell| quoted(cell)).collect();
            text.push_str(&fields.join(","));
            text.push('\n');
        }
        text
    }

    fn escaped(&self) -> Self {
        let clean = |cell: &String| cell.replace('|', "\\|").replace('\n', " ");
        let rows = self.rows.iter().map(|row| row.iter().map(clean).collect()).collect();
        Self { columns: self.columns.clone(), rows }
    }

    fn lines(&self, between: &str, before: &str, after: &str, rule: Option<Vec<&str>>) -> String {
        let names: Vec<String> = self.columns.iter().map(|(name, _)| name.clone()).collect();
        let width = |at: usize| {
            let cells = std::iter::once(&names).chain(&self.rows).map(|row| row[at].chars().count());
            cells.max().unwrap_or(0).max(3)
        };
        let widths: Vec<usize> = (0..names.len()).map(width).collect();
        let mut text = String::new();
        let mut line = |row: &[String]| {
            let cells: Vec<String> = (row.iter().zip(&widths).zip(&self.columns))
                .map(
                    |((cell, width), (_, numeric))| {
                        if *numeric { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
                    },
                )
                .collect();
            let line = format!("{before}{}{after}", cells.join(between));
            let _ = writeln!(text, "{}", line.trim_end());
        };
        line(&names);
        if let Some(rule) = rule {
            let fill = |(edge, width): (&str, &usize)| {
                let dashes = "-".repeat(width - 1);
                if edge.ends_with(':') { format!("{dashes}:") } else { format!(":{dashes}") }
            };
            line(&rule.into_iter().zip(&widths).map(fill).collect::<Vec<_>>());
        }
        for row in &self.rows {
            line(row);
        }
        text
    }
}

/// A CSV field as RFC 4180 has it.
fn quoted(field: &str) -> String {
    if field.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> Grid {
        Grid {
            columns: vec![("name".into(), false), ("n".into(), true)],
            rows: vec![vec!["a|b, \"c\"".into(), "12".into()], vec!["d".into(), "7".into()]],
        }
    }

    #[test]
    fn columns_align_and_every_format_escapes_its_own_marks() {
        assert_eq!(grid().text(), "name        n\na|b, \"c\"   12\nd           7\n");
        let markdown =
            "| name      |   n |\n| :-------- | --: |\n| a\\|b, \"c\" |  12 |\n| d         |   7 |\n";
        assert_eq!(grid().markdown(), markdown);
        assert_eq!(grid().csv(), "name,n\n\"a|b, \"\"c\"\"\",12\nd,7\n");
    }
}
