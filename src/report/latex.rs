//! A document as LaTeX: tables with the rules of `booktabs`, figures as the PNG files beside it.
//! Letters of other scripts are left as they are, which needs LuaLaTeX or XeLaTeX and a font that
//! has them; everything that the program itself writes compiles with pdfLaTeX too.

use super::document::{Block, Document, Table};
use std::fmt::{self, Write};

const PREAMBLE: &str = r"\documentclass[10pt]{article}
\usepackage[a4paper,landscape,margin=18mm]{geometry}
\usepackage[T1]{fontenc}
\usepackage{textcomp}
\usepackage{amssymb}
\usepackage{array}
\usepackage{booktabs}
\usepackage{longtable}
\usepackage{graphicx}
\setlength{\parindent}{0pt}
\setlength{\parskip}{6pt}
\setlength{\tabcolsep}{4pt}
\sloppy
";

/// The whole document.
pub(super) fn page(document: &Document) -> String {
    let mut page = String::new();
    write_page(document, &mut page).expect("writing to a string cannot fail");
    page
}

/// A table alone, to stand within another document that loads `booktabs`.
pub(super) fn tabular(table: &Table) -> String {
    let columns: String =
        (0..table.header.len()).map(|column| if column < table.texts { 'l' } else { 'r' }).collect();
    let mut text =
        format!("\\begin{{tabular}}{{{columns}}}\n\\toprule\n{}\\midrule\n", line(&table.header, false));
    for row in &table.rows {
        text.push_str(&line(&row.cells, row.marked));
    }
    text.push_str("\\bottomrule\n\\end{tabular}\n");
    text
}

fn write_page(document: &Document, out: &mut String) -> fmt::Result {
    writeln!(out, "{PREAMBLE}\\begin{{document}}")?;
    writeln!(out, "\\section*{{{}}}\n{}", escape(&document.title), escape(&document.lead))?;
    for section in &document.sections {
        writeln!(out, "\n\\subsection*{{{}}}", escape(&section.title))?;
        for block in &section.blocks {
            out.push('\n');
            write_block(block, out)?;
        }
    }
    out.push_str("\n\\end{document}\n");
    Ok(())
}

fn write_block(block: &Block, out: &mut String) -> fmt::Result {
    match block {
        Block::Paragraph(text) => writeln!(out, "{}", escape(text))?,
        Block::List(items) => {
            out.push_str("\\begin{itemize}\n");
            for item in items {
                // a bracket after `\item` would be read as its label
                writeln!(out, "\\item {{}}{}", escape(item))?;
            }
            out.push_str("\\end{itemize}\n");
        }
        Block::Code(text) => {
            let lines: Vec<String> =
                text.lines().map(|line| format!("\\texttt{{{}}}", escape(line))).collect();
            writeln!(out, "{{\\raggedright {}\\par}}", lines.join("\\\\\n"))?;
        }
        Block::Table(table) => write_table(table, out)?,
        Block::Figure(figure) => {
            writeln!(out, "\\includegraphics[width=0.85\\linewidth]{{{}.png}}\n", figure.name)?;
            writeln!(out, "{{\\small {}\\par}}", escape(&figure.caption))?;
        }
    }
    Ok(())
}

/// A table that may go on over pages, its head repeated.
fn write_table(table: &Table, out: &mut String) -> fmt::Result {
    if !table.caption.is_empty() {
        writeln!(out, "{{\\small {}\\par}}\n", escape(&table.caption))?;
    }
    let columns: Vec<&str> = (0..table.header.len())
        .map(|column| match column {
            // a last column of texts breaks its lines
            _ if column > 0 && column + 1 == table.header.len() && column < table.texts => {
                ">{\\raggedright\\arraybackslash}p{0.7\\linewidth}"
            }
            _ if column < table.texts => "l",
            _ => "r",
        })
        .collect();
    writeln!(out, "{{\\footnotesize\n\\begin{{longtable}}[l]{{{}}}\n\\toprule", columns.concat())?;
    writeln!(out, "{}\\midrule\n\\endhead", line(&table.header, false))?;
    for row in &table.rows {
        out.push_str(&line(&row.cells, row.marked));
    }
    out.push_str("\\bottomrule\n\\end{longtable}}\n");
    Ok(())
}

fn line(cells: &[String], marked: bool) -> String {
    let cells: Vec<String> = cells
        .iter()
        .enumerate()
        .map(|(at, cell)| {
            let cell = escape(cell);
            if marked && at == 0 { format!("\\textbf{{{cell}}}") } else { cell }
        })
        .collect();
    let text = cells.join(" & ");
    // a bracket or a star after a line's end would be read as the line end's argument
    let guard = if text.starts_with(['[', '*']) { "{}" } else { "" };
    format!("{guard}{text} \\\\\n")
}

/// Escapes what TeX would read as a command; line ends and other control characters become spaces.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\\' => escaped.push_str("\\textbackslash{}"),
            '{' | '}' | '$' | '&' | '#' | '%' | '_' => {
                escaped.push('\\');
                escaped.push(letter);
            }
            '^' => escaped.push_str("\\textasciicircum{}"),
            '~' => escaped.push_str("\\textasciitilde{}"),
            '<' => escaped.push_str("\\textless{}"),
            '>' => escaped.push_str("\\textgreater{}"),
            '|' => escaped.push_str("\\textbar{}"),
            '"' => escaped.push_str("\\textquotedbl{}"),
            '\u{2212}' => escaped.push_str("$-$"),
            '\u{2013}' => escaped.push_str("--"),
            '\u{2014}' => escaped.push_str("---"),
            '\u{2026}' => escaped.push_str("\\ldots{}"),
            '\u{202f}' | '\u{2009}' => escaped.push_str("\\,"),
            '\u{a0}' => escaped.push('~'),
            '\u{25c6}' => escaped.push_str("$\\diamond$"),
            '\u{d7}' => escaped.push_str("$\\times$"),
            control if control.is_control() => escaped.push(' '),
            letter => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::super::document::Row;
    use super::*;

    #[test]
    fn names_cannot_become_commands() {
        assert_eq!(
            escape("\\input{/etc/passwd} 50% of a_b & c#d$ ~^\n<x>"),
            "\\textbackslash{}input\\{/etc/passwd\\} 50\\% of a\\_b \\& c\\#d\\$ \\textasciitilde{}\\textasciicircum{} \
             \\textless{}x\\textgreater{}"
        );
    }

    #[test]
    fn a_table_has_rules_and_its_brackets_are_no_arguments() {
        let row = |cells: [&str; 2], marked| Row { cells: cells.map(str::to_owned).into(), marked };
        let table = Table {
            caption: String::new(),
            header: ["Layer", "Gain"].map(str::to_owned).into(),
            rows: vec![row(["layer 1", "+0.6 [\u{2212}0.2, +1.0]"], true), row(["[x]", "\u{2013}"], false)],
            texts: 1,
        };
        assert_eq!(
            tabular(&table),
            "\\begin{tabular}{lr}\n\\toprule\nLayer & Gain \\\\\n\\midrule\n\\textbf{layer 1} & +0.6 [$-$0.2, +1.0] \\\\\n\
             {}[x] & -- \\\\\n\\bottomrule\n\\end{tabular}\n"
        );
    }
}
