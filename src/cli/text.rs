//! Numbers and tables as people read them.

use std::fmt::Write;

/// Bytes in binary units with three digits: `416 MiB`, `1.25 GiB`.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut value = count as f64;
    let mut unit = 0;
    // 1023.5 would be shown as 1024
    while value >= 1023.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let decimals = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    format!("{value:.decimals$} {}", UNITS[unit])
}

/// A span of time: `45 s`, `12 min`, `3 h 20 min`, `2 d 4 h`.
pub(crate) fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "unknown".into();
    }
    let whole = seconds.round() as u64;
    let (minutes, hours, days) = (whole / 60, whole / 3600, whole / 86_400);
    match whole {
        0 if seconds > 0.0 => "under 1 s".into(),
        0..120 => format!("{whole} s"),
        120..7200 => format!("{minutes} min"),
        7200..172_800 => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

/// A count with its noun: `1 cell`, `27 cells`.
pub(crate) fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// Whole numbers as short ranges: `0-2, 5, 7-9`.
pub(crate) fn ranges(numbers: &[usize]) -> String {
    let mut parts: Vec<(usize, usize)> = Vec::new();
    for &number in numbers {
        match parts.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => parts.push((number, number)),
        }
    }
    let part = |(first, last): &(usize, usize)| match last - first {
        0 => first.to_string(),
        1 => format!("{first}, {last}"),
        _ => format!("{first}-{last}"),
    };
    parts.iter().map(part).collect::<Vec<_>>().join(", ")
}

/// Names and values in two columns.
pub(crate) fn pairs(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, value) in rows {
        let _ = writeln!(text, "{name:<width$}  {value}");
    }
    text
}

/// A table with a header; columns marked `true` are numbers, aligned to the right.
pub(crate) fn table(columns: &[(&str, bool)], rows: &[Vec<String>]) -> String {
    let width = |at: usize| {
        let cells = rows.iter().map(|row| row[at].chars().count());
        cells.chain([columns[at].0.chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let mut text = String::new();
    let mut line = |cells: Vec<&str>| {
        let aligned = cells.iter().zip(columns).zip(&widths).map(|((cell, (_, number)), width)| {
            if *number { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        let _ = writeln!(text, "{}", aligned.collect::<Vec<_>>().join("  ").trim_end());
    };
    line(columns.iter().map(|(name, _)| *name).collect());
    for row in rows {
        line(row.iter().map(String::as_str).collect());
    }
    text
}

/// Words as a shell takes them, each quoted where it must be.
pub(crate) fn shell_words(words: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let quoted = |word: &str| {
        let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./=,:@%+".contains(letter);
        if !word.is_empty() && word.chars().all(plain) {
            word.to_owned()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    };
    words.into_iter().map(|word| quoted(word.as_ref())).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_three_digits_and_never_a_thousand() {
        let cases = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1536, "1.50 KiB"),
            (436_207_616, "416 MiB"),
            ((1 << 30) - 1, "1.00 GiB"),
            (16 << 30, "16.0 GiB"),
        ];
        for (count, expected) in cases {
            assert_eq!(bytes(count), expected);
        }
    }

    #[test]
    fn times_have_two_units_at_most() {
        let cases = [
            (0.2, "under 1 s"),
            (45.0, "45 s"),
            (720.0, "12 min"),
            (12_000.0, "3 h 20 min"),
            (187_200.0, "2 d 4 h"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(duration(seconds), expected);
        }
        assert_eq!(duration(f64::NAN), "unknown");
    }

    #[test]
    fn ranges_and_tables_are_compact() {
        assert_eq!(ranges(&[0, 1, 2, 5, 7, 8]), "0-2, 5, 7, 8");
        assert_eq!(plural(1, "cell"), "1 cell");
        let text = table(&[("name", false), ("n", true)], &[vec!["a".into(), "12".into()]]);
        assert_eq!(text, "name   n\na     12\n");
    }

    #[test]
    fn a_shell_reads_the_words_back() {
        assert_eq!(
            shell_words(["layers", "--task", "my task=a b.csv", ""]),
            "layers --task 'my task=a b.csv' ''"
        );
        assert_eq!(shell_words(["it's"]), r"'it'\''s'");
    }
}
