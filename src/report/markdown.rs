//! A document as Markdown (tables as GitHub reads them); figures are links to the files beside it.

use super::document::{Block, Document, Table};
use std::fmt::{self, Write};

/// The page's text.
pub(super) fn page(document: &Document) -> String {
    let mut page = String::new();
    write_page(document, &mut page).expect("writing to a string cannot fail");
    page
}

fn write_page(document: &Document, out: &mut String) -> fmt::Result {
    writeln!(out, "# {}\n\n{}", escape(&document.title), escape(&document.lead))?;
    for section in &document.sections {
        writeln!(out, "\n## {}", escape(&section.title))?;
        for block in &section.blocks {
            out.push('\n');
            write_block(block, out)?;
        }
    }
    Ok(())
}

fn write_block(block: &Block, out: &mut String) -> fmt::Result {
    match block {
        Block::Paragraph(text) => writeln!(out, "{}", escape(text))?,
        Block::List(items) => {
            for item in items {
                writeln!(out, "- {}", escape(item))?;
            }
        }
        Block::Code(text) => {
            // a fence longer than any run of backticks within
            let longest = text.split(|letter| letter != '`').map(str::len).max().unwrap_or(0);
            let fence = "`".repeat((longest + 1).max(3));
            writeln!(out, "{fence}\n{text}\n{fence}")?;
        }
        Block::Table(table) => write_table(table, out)?,
        Block::Figure(figure) => {
            let (alternative, name) = (escape(&figure.alternative), &figure.name);
            writeln!(out, "![{alternative}]({name}.png)\n\n{}", escape(&figure.caption))?;
        }
    }
    Ok(())
}

fn write_table(table: &Table, out: &mut String) -> fmt::Result {
    if !table.caption.is_empty() {
        writeln!(out, "{}\n", escape(&table.caption))?;
    }
    let row = |cells: &[String]| {
        let cells: Vec<String> = cells.iter().map(|cell| escape(cell)).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    out.push_str(&row(&table.header));
    let rules: Vec<&str> =
        (0..table.header.len()).map(|column| if column < table.texts { "---" } else { "---:" }).collect();
    writeln!(out, "| {} |", rules.join(" | "))?;
    for line in &table.rows {
        let mut cells = line.cells.clone();
        if line.marked
            && let Some(first) = cells.first_mut()
        {
            first.push_str(" ◆");
        }
        out.push_str(&row(&cells));
    }
    Ok(())
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
