//! A document as one self-contained HTML file: styles and figures inline, no script, nothing
//! loaded from anywhere (the content security policy forbids it), dark mode and print by style.

use super::document::{Block, Document, Figure, Table};
use super::plots::palette::{GRID, INK, LAYER, MUTED, PAPER};

/// The page's text.
pub(super) fn page(document: &Document) -> String {
    let title = escape(&document.title);
    let mut body = format!("<h1>{title}</h1>\n<p class=\"lead\">{}</p>\n", escape(&document.lead));
    for section in &document.sections {
        let heading = escape(&section.title);
        body.push_str(&format!("<section>\n<h2>{heading}</h2>\n"));
        for block in &section.blocks {
            write_block(block, &mut body);
        }
        body.push_str("</section>\n");
    }
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; \
         img-src data:\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n<style>\n{}{}</style>\n\
         </head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n",
        include_str!("assets/page.css"),
        dark_figures(),
    )
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

fn write_block(block: &Block, out: &mut String) {
    match block {
        Block::Paragraph(text) => out.push_str(&format!("<p>{}</p>\n", escape(text))),
        Block::List(items) => {
            out.push_str("<ul>\n");
            for item in items {
                out.push_str(&format!("<li>{}</li>\n", escape(item)));
            }
            out.push_str("</ul>\n");
        }
        Block::Code(text) => out.push_str(&format!("<pre><code>{}</code></pre>\n", escape(text))),
        Block::Table(table) => write_table(table, out),
        Block::Figure(figure) => write_figure(figure, out),
    }
}

fn write_table(table: &Table, out: &mut String) {
    let class = if table.prose { " class=\"prose\"" } else { "" };
    out.push_str(&format!("<div class=\"scroll\" tabindex=\"0\">\n<table{class}>\n"));
    if !table.caption.is_empty() {
        out.push_str(&format!("<caption>{}</caption>\n", escape(&table.caption)));
    }
    out.push_str("<thead><tr>");
    for name in &table.header {
        out.push_str(&format!("<th scope=\"col\">{}</th>", escape(name)));
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for row in &table.rows {
        out.push_str(if row.marked { "<tr class=\"marked\">" } else { "<tr>" });
        for (column, cell) in row.cells.iter().enumerate() {
            let (open, close) = if column == 0 { ("th scope=\"row\"", "th") } else { ("td", "td") };
            out.push_str(&format!("<{open}>{}</{close}>", escape(cell)));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody>\n</table>\n</div>\n");
}

fn write_figure(figure: &Figure, out: &mut String) {
    let label = escape(&figure.alternative);
    let svg = figure.svg.replacen("<svg ", &format!("<svg role=\"img\" aria-label=\"{label}\" "), 1);
    out.push_str(&format!(
        "<figure>\n<div class=\"scroll\" tabindex=\"0\">\n{}\n</div>\n<figcaption>{}</figcaption>\n</figure>\n",
        svg.trim_end(),
        escape(&figure.caption)
    ));
}

/// Exchanges the figures' neutral colours in dark mode; a style rule wins over an SVG attribute.
fn dark_figures() -> String {
    let rules = [
        (PAPER, "var(--card)"),
        (INK, "var(--ink)"),
        (MUTED, "var(--muted)"),
        (GRID, "var(--line)"),
        (LAYER, "#4DA6DC"),
    ];
    let mut style = "@media screen and (prefers-color-scheme: dark) {\n".to_owned();
    for (colour, to) in rules {
        let hex = colour.hex();
        style.push_str(&format!("svg [fill=\"{hex}\"] {{ fill: {to}; }}\n"));
        style.push_str(&format!("svg [stroke=\"{hex}\"] {{ stroke: {to}; }}\n"));
    }
    style.push_str("}\n");
    style
}
