//! A document as one self-contained HTML file. Styles, figures, the script and the data stand within
//! it; the content security policy allows that one style and that one script by their hashes and
//! nothing else, so nothing is loaded from anywhere and nothing from outside can run. Everything can
//! be read without the script, which adds sorting, filtering, copying and values at the pointer.

use super::document::{Block, Document, Figure, Table};
use super::plots::palette::{CHOSEN_TEXT, Colour, GRID, INK, LAYER, MUTED, PAPER};
use sha2::{Digest, Sha256};
use std::fmt::{self, Write};

/// A page can be sent by mail: it has fewer bytes than this.
const LARGEST_PAGE: usize = 2_000_000;

/// Colours by their roles: (name, light, dark). Figures are drawn in the light ones.
const COLOURS: [(&str, &str, &str); 11] = [
    ("paper", "#f6f7f9", "#0d1117"),
    ("card", "#ffffff", "#161b22"),
    ("ink", "#1f2328", "#e6edf3"),
    ("muted", "#59636e", "#9da7b3"),
    ("line", "#e4e8ec", "#2b323b"),
    ("edge", "#8c959f", "#6e7681"),
    ("mark", "#fff4e0", "#33270f"),
    ("accent", "#d55e00", "#f0883e"),
    ("link", "#0a5c9e", "#6cb6ff"),
    ("layer", "#0072b2", "#4da6dc"),
    ("chosen", "#b34a00", "#f0883e"),
];

/// Colours of the figures that the page exchanges by its own, with their roles.
const EXCHANGED: [(Colour, &str); 6] = [
    (PAPER, "card"),
    (INK, "ink"),
    (MUTED, "muted"),
    (GRID, "line"),
    (LAYER, "layer"),
    (CHOSEN_TEXT, "chosen"),
];

/// The page's text.
pub(super) fn page(document: &Document) -> String {
    let mut page = String::new();
    write_page(document, &mut page).expect("writing to a string cannot fail");
    page
}

/// The page with a JSON document in it, which its reader can download as `report.json`; data that
/// would make the page too large stay beside it, and the page says so.
pub(super) fn with_data(page: &str, data: &str) -> String {
    const END: &str = "</main>";
    let (before, after) = page.rsplit_once(END).expect("`page` ends its main part");
    let size = data.len().div_ceil(1000);
    // `<` stands only within strings of JSON; written as its number it can neither end the element
    // nor open a comment
    let data = data.replace('<', "\\u003c");
    let footer = if page.len() + data.len() + 1000 < LARGEST_PAGE {
        format!(
            "<footer>\n<p>All numbers of this page in full precision are embedded in it as JSON, the same as \
             <code>report.json</code> beside it. <a id=\"download\" download=\"report.json\" hidden>Download the data \
             ({size} KB)</a></p>\n</footer>\n<script type=\"application/json\" id=\"data\">{data}</script>"
        )
    } else {
        format!(
            "<footer>\n<p>All numbers of this page in full precision are in <code>report.json</code> beside it \
             ({size} KB).</p>\n</footer>"
        )
    };
    format!("{before}{footer}\n{END}{after}")
}

fn write_page(document: &Document, out: &mut String) -> fmt::Result {
    let title = escape(&document.title);
    let style = style();
    // a browser hashes a text whose line ends are line feeds, whatever a checkout made of them
    let script = include_str!("assets/page.js").replace("\r\n", "\n");
    out.push_str("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    writeln!(
        out,
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src '{}'; script-src \
         '{}'; base-uri 'none'; form-action 'none'\">",
        source_hash(&style),
        source_hash(&script)
    )?;
    out.push_str(
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" \
         content=\"light dark\">\n<meta name=\"referrer\" content=\"no-referrer\">\n",
    );
    writeln!(out, "<title>{title}</title>\n<style>{style}</style>\n<script>{script}</script>\n</head>")?;
    out.push_str(
        "<body>\n<main>\n<button type=\"button\" id=\"theme\" aria-pressed=\"false\" hidden>Dark mode</button>\n",
    );
    writeln!(out, "<h1>{title}</h1>\n<p class=\"lead\">{}</p>", escape(&document.lead))?;
    write_contents(document, out)?;
    let mut tables = 0;
    for (at, section) in document.sections.iter().enumerate() {
        writeln!(out, "<section id=\"s{at}\">\n<h2>{}</h2>", escape(&section.title))?;
        for block in &section.blocks {
            write_block(block, &section.title, &mut tables, out)?;
        }
        out.push_str("</section>\n");
    }
    out.push_str("<p class=\"away\" id=\"status\" role=\"status\" aria-live=\"polite\"></p>\n");
    out.push_str("</main>\n</body>\n</html>\n");
    Ok(())
}

fn write_contents(document: &Document, out: &mut String) -> fmt::Result {
    out.push_str("<nav aria-label=\"Contents\">\n<ul>\n");
    for (at, section) in document.sections.iter().enumerate() {
        writeln!(out, "<li><a href=\"#s{at}\">{}</a></li>", escape(&section.title))?;
    }
    out.push_str("</ul>\n</nav>\n");
    Ok(())
}

/// The page's style: colours first, dark ones by the system's wish or the reader's, never on paper.
fn style() -> String {
    let roles = |pick: fn(&(&str, &str, &str)) -> String| COLOURS.iter().map(pick).collect::<String>();
    let light = roles(|(name, light, _)| format!(" --{name}: {light};"));
    let dark = roles(|(name, _, dark)| format!(" --{name}: {dark};"));
    let mut style = format!(
        "\n:root {{{light} }}\n@media screen and (prefers-color-scheme: dark) {{\n  :root:not([data-theme=\"light\"]) \
         {{{dark} }}\n}}\n@media screen {{\n  :root[data-theme=\"dark\"] {{{dark} }}\n}}\n"
    );
    style.push_str(&include_str!("assets/page.css").replace("\r\n", "\n"));
    // a style rule wins over an attribute of the figure
    for (colour, role) in EXCHANGED {
        let hex = colour.hex();
        for attribute in ["fill", "stroke"] {
            // writing to a string cannot fail
            let _ = writeln!(style, "svg [{attribute}=\"{hex}\"] {{ {attribute}: var(--{role}); }}");
        }
    }
    style
}

/// A text as a source of a content security policy: `sha256-` and the digest in base 64.
fn source_hash(text: &str) -> String {
    format!("sha256-{}", base64(&Sha256::digest(text.as_bytes())))
}

/// RFC 4648, with padding.
pub(super) fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let group =
            three.iter().fold(0_u32, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for place in 0..4 {
            let letter = LETTERS[(group >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= three.len() { char::from(letter) } else { '=' });
        }
    }
    text
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

fn write_block(block: &Block, section: &str, tables: &mut usize, out: &mut String) -> fmt::Result {
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
        Block::Table(table) => {
            *tables += 1;
            write_table(table, section, *tables, out)?;
        }
        Block::Figure(figure) => write_figure(figure, out)?,
    }
    Ok(())
}

fn write_table(table: &Table, section: &str, number: usize, out: &mut String) -> fmt::Result {
    let section = escape(section);
    writeln!(out, "<div class=\"table\" data-name=\"{section}\">")?;
    // the caption stands outside of what scrolls, so that it is read whole on a narrow screen
    let mut named = format!("aria-label=\"{section}\"");
    if !table.caption.is_empty() {
        writeln!(out, "<p class=\"caption\" id=\"t{number}\">{}</p>", escape(&table.caption))?;
        let _ = write!(named, " aria-describedby=\"t{number}\"");
    }
    let class = |column: usize| if column < table.texts { " class=\"text\"" } else { "" };
    write!(
        out,
        "<div class=\"scroll\" role=\"region\" aria-label=\"Table: {section}\" tabindex=\"0\">\n<table {named}>\n<thead><tr>"
    )?;
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
    out.push_str("</tbody>\n</table>\n</div>\n</div>\n");
    Ok(())
}

fn write_figure(figure: &Figure, out: &mut String) -> fmt::Result {
    let label = escape(&figure.alternative);
    let svg = figure.svg.replacen("<svg ", &format!("<svg role=\"img\" aria-label=\"{label}\" "), 1);
    writeln!(
        out,
        "<figure>\n<div class=\"scroll\" role=\"region\" aria-label=\"Chart: {}\" tabindex=\"0\">\n{}\n</div>",
        escape(&figure.name),
        svg.trim_end()
    )?;
    writeln!(
        out,
        "<figcaption>{} <span class=\"files\">Also as {name}.svg and {name}.png.</span></figcaption>\n\
         </figure>",
        escape(&figure.caption),
        name = escape(&figure.name)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4648 section 10, and the digest of the empty text as `openssl dgst -sha256 -binary | base64`
    /// gives it.
    #[test]
    fn hashes_are_written_as_browsers_read_them() {
        for (text, expected) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(text.as_bytes()), expected);
        }
        assert_eq!(source_hash(""), "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    }

    #[test]
    fn data_that_would_make_the_page_too_large_stay_beside_it() {
        let page = page(&Document { title: "A".into(), lead: "B".into(), sections: Vec::new() });
        let with = |size: usize| with_data(&page, &format!("\"{}\"", "<".repeat(size)));
        assert!(with(10).contains(&format!("id=\"data\">\"{}\"</script>", "\\u003c".repeat(10))));
        // escaped, a bracket takes six bytes
        let large = with(400_000);
        assert!(large.len() < 100_000 && !large.contains("id=\"data\"") && large.contains("(401 KB)"));
        assert!(large.contains("report.json") && large.ends_with("</main>\n</body>\n</html>\n"));
    }

    #[test]
    fn figures_are_drawn_in_the_light_colours_of_the_page() {
        for (colour, role) in EXCHANGED {
            let light = COLOURS.iter().find(|(name, ..)| *name == role).map(|(_, light, _)| *light);
            assert_eq!(light, Some(colour.hex().to_lowercase().as_str()), "{role}");
        }
    }

    /// WCAG 2.2, 1.4.3: 4.5 to 1 for text, on every ground that it stands on, in both modes.
    #[test]
    fn texts_have_enough_contrast_in_both_modes() {
        let luminance = |hex: &str| {
            let channel = |at: usize| {
                let value = f64::from(u8::from_str_radix(&hex[at..at + 2], 16).expect("two digits")) / 255.0;
                if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
            };
            0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
        };
        let of = |role: &str| COLOURS.iter().find(|(name, ..)| *name == role).expect("is a role");
        for text in ["ink", "muted", "link", "chosen"] {
            for ground in ["paper", "card", "mark"] {
                let ((_, light, dark), (_, on_light, on_dark)) = (of(text), of(ground));
                for (a, b) in [(light, on_light), (dark, on_dark)] {
                    let (a, b) = (luminance(a), luminance(b));
                    let contrast = (a.max(b) + 0.05) / (a.min(b) + 0.05);
                    assert!(contrast >= 4.5, "{text} on {ground}: {contrast}");
                }
            }
        }
    }
}
