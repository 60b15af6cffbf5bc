//! A document as Markdown (tables as GitHub reads them); figures are links to the files beside it.

use super::document::{Block, Document, Table};

/// The page's text.
pub(super) fn page(document: &Document) -> String {
    let mut out = format!("# {}\n\n{}\n", escape(&document.title), escape(&document.lead));
    for section in &document.sections {
        out.push_str(&format!("\n## {}\n", escape(&section.title)));
        for block in &section.blocks {
            out.push('\n');
            write_block(block, &mut out);
        }
    }
    out
}

fn write_block(block: &Block, out: &mut String) {
    match block {
        Block::Paragraph(text) => out.push_str(&format!("{}\n", escape(text))),
        Block::List(items) => {
            for item in items {
                out.push_str(&format!("- {}\n", escape(item)));
            }
        }
        Block::Code(text) => {
            // a fence longer than any run of backticks within
            let longest = text.split(|letter| letter != '`').map(str::len).max().unwrap_or(0);
            let fence = "`".repeat((longest + 1).max(3));
            out.push_str(&format!("{fence}\n{text}\n{fence}\n"));
        }
        Block::Table(table) => write_table(table, out),
        Block::Figure(figure) => {
            let (alternative, name) = (escape(&figure.alternative), figure.name);
            out.push_str(&format!("![{alternative}]({name}.png)\n\n{}\n", escape(&figure.caption)));
        }
    }
}

fn write_table(table: &Table, out: &mut String) {
    if !table.caption.is_empty() {
        out.push_str(&format!("{}\n\n", escape(&table.caption)));
    }
    let row = |cells: &[String]| {
        let cells: Vec<String> = cells.iter().map(|cell| escape(cell)).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    out.push_str(&row(&table.header));
    let rules: Vec<&str> = (0..table.header.len())
        .map(|column| if column == 0 || table.prose { "---" } else { "---:" })
        .collect();
    out.push_str(&format!("| {} |\n", rules.join(" | ")));
    for line in &table.rows {
        let mut cells = line.cells.clone();
        if line.marked
            && let Some(first) = cells.first_mut()
        {
            first.push_str(" ◆");
        }
        out.push_str(&row(&cells));
    }
}

/// Escapes what Markdown or the HTML within it would read as markup; line ends become spaces, so
/// that a text stays in its place.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '\\' | '`' | '*' | '[' | ']' | '|' | '~' => {
                escaped.push('\\');
                escaped.push(letter);
            }
            control if control.is_control() => escaped.push(' '),
            letter => escaped.push(letter),
        }
    }
    escaped
}
