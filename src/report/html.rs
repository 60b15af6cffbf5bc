//! A document as one self-contained HTML file: styles and figures inline, no script, nothing
//! loaded from anywhere (the content security policy forbids it), dark mode and print by style.

use super::document::{Block, Document, Figure, Table};
use super::plots::palette::{GRID, INK, LAYER, MUTED, PAPER};
use std::fmt::{self, Write};

/// The page's text.
pub(super) fn page(document: &Document) -> String {
    let mut page = String::new();
    write_page(document, &mut page).expect("writing to a string cannot fail");
    page
}

fn write_page(document: &Document, out: &mut String) -> fmt::Result {
    let title = escape(&document.title);
    out.push_str("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    out.push_str(
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; \
         img-src data:\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n",
    );
    write!(out, "<title>{title}</title>\n<style>\n{}", include_str!("assets/page.css"))?;
    write_dark_figures(out)?;
    writeln!(out, "</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>")?;
    writeln!(out, "<p class=\"lead\">{}</p>", escape(&document.lead))?;
    for section in &document.sections {
        writeln!(out, "<section>\n<h2>{}</h2>", escape(&section.title))?;
        for block in &section.blocks {
            write_block(block, out)?;
        }
        out.push_str("</section>\n");
    }
    out.push_str("</main>\n</body>\n</html>\n");
    Ok(())
}

/// Escapes text for elements and for attributes in double quotes.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // control characters are not allowed in HTML at all
            control if control.is_control() && control != '\n' && control != '\t' => escaped.push('\u{fffd}'),
            letter => escaped.push(letter),
        }
    }
    escaped
}

fn write_block(block: &Block, out: &mut String) -> fmt::Result {
    match block {
        Block::Paragraph(text) => writeln!(out, "<p>{}</p>", escape(text))?,
        Block::List(items) => {
            out.push_str("<ul>\n");
            for item in items {
                writeln!(out, "<li>{}</li>", escape(item))?;
            }
            out.push_str("</ul>\n");
        }
        Block::Code(text) => writeln!(out, "<pre><code>{}</code></pre>", escape(text))?,
        Block::Table(table) => write_table(table, out)?,
        Block::Figure(figure) => write_figure(figure, out)?,
    }
    Ok(())
}

fn write_table(table: &Table, out: &mut String) -> fmt::Result {
    // the caption stands outside of what scrolls, so that it is read whole on a narrow screen
    if !table.caption.is_empty() {
        writeln!(out, "<p class=\"caption\">{}</p>", escape(&table.caption))?;
    }
    let class = |column: usize| if column < table.texts { " class=\"text\"" } else { "" };
    out.push_str("<div class=\"scroll\" tabindex=\"0\">\n<table>\n<thead><tr>");
    for (column, name) in table.header.iter().enumerate() {
        write!(out, "<th scope=\"col\"{}>{}</th>", class(column), escape(name))?;
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for row in &table.rows {
        out.push_str(if row.marked { "<tr class=\"marked\">" } else { "<tr>" });
        for (column, cell) in row.cells.iter().enumerate() {
            let (element, scope) = if column == 0 { ("th", " scope=\"row\"") } else { ("td", "") };
            write!(out, "<{element}{scope}{}>{}</{element}>", class(column), escape(cell))?;
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody>\n</table>\n</div>\n");
    Ok(())
}

fn write_figure(figure: &Figure, out: &mut String) -> fmt::Result {
    let label = escape(&figure.alternative);
    let svg = figure.svg.replacen("<svg ", &format!("<svg role=\"img\" aria-label=\"{label}\" "), 1);
    writeln!(out, "<figure>\n<div class=\"scroll\" tabindex=\"0\">\n{}\n</div>", svg.trim_end())?;
    writeln!(out, "<figcaption>{}</figcaption>\n</figure>", escape(&figure.caption))
}

/// Exchanges the figures' neutral colours in dark mode; a style rule wins over an SVG attribute.
fn write_dark_figures(out: &mut String) -> fmt::Result {
    let rules = [
        (PAPER, "var(--card)"),
        (INK, "var(--ink)"),
        (MUTED, "var(--muted)"),
        (GRID, "var(--line)"),
        (LAYER, "#4DA6DC"),
    ];
    out.push_str("@media screen and (prefers-color-scheme: dark) {\n");
    for (colour, to) in rules {
        let hex = colour.hex();
        writeln!(out, "svg [fill=\"{hex}\"] {{ fill: {to}; }}")?;
        writeln!(out, "svg [stroke=\"{hex}\"] {{ stroke: {to}; }}")?;
    }
    out.push_str("}\n");
    Ok(())
}
