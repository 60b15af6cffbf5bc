//! How numbers and names are written: the same in figures, pages and tables.

use crate::analysis::layers::{Condition, LayerAnswer, Summary};
use crate::analysis::statistics::Estimate;

/// A fraction in percent with one decimal, without the sign: `91.2`.
pub(super) fn percent(fraction: f64) -> String {
    decimal(100.0 * fraction, 1)
}

/// A difference of fractions in percentage points, signed: `+0.6`, `−0.3`, `0.0`.
pub(super) fn points(fraction: f64) -> String {
    let text = decimal(100.0 * fraction, 1);
    if fraction > 0.0 && text != "0.0" { format!("+{text}") } else { text }
}

/// `+0.6 [+0.2, +1.0]`.
pub(super) fn points_with_interval(estimate: &Estimate) -> String {
    format!("{} [{}, {}]", points(estimate.value), points(estimate.low), points(estimate.high))
}

/// The size of a difference without its sign: `0.6 points`.
pub(super) fn size_in_points(fraction: f64) -> String {
    format!("{} points", decimal(100.0 * fraction.abs(), 1))
}

/// A p value: `0.031`, `< 0.001`.
pub(super) fn p_value(p: f64) -> String {
    if p < 0.001 { "< 0.001".to_owned() } else { decimal(p, 3) }
}

/// A number with a real minus sign; what rounds to zero has no sign.
pub(super) fn decimal(value: f64, places: usize) -> String {
    let text = format!("{value:.places$}");
    match text.strip_prefix('-') {
        Some(size) if size.bytes().all(|digit| matches!(digit, b'0' | b'.')) => size.to_owned(),
        Some(size) => format!("\u{2212}{size}"),
        None => text,
    }
}

/// A count with thin spaces between thousands: `25 000`.
pub(super) fn count(value: usize) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// `1 seed`, `3 seeds`.
pub(super) fn plural(value: usize, noun: &str) -> String {
    format!("{} {noun}{}", count(value), if value == 1 { "" } else { "s" })
}

/// What a reader calls a condition: `layer 7`, `no plug`, `mappers only`, `random layer`.
pub(super) fn condition(condition: &Condition) -> String {
    match condition {
        Condition::Layer(layer) => format!("layer {layer}"),
        Condition::Control(name) => control(name).to_owned(),
    }
}

/// What a reader calls a row: `layer 7 (chosen, last)`.
pub(super) fn row_name(answer: &LayerAnswer, of: &Condition) -> String {
    let name = condition(of);
    let marks: Vec<&str> = [
        (*of == Condition::Layer(answer.chosen)).then_some("chosen"),
        (*of == Condition::Layer(answer.last())).then_some("last"),
    ]
    .into_iter()
    .flatten()
    .collect();
    if marks.is_empty() { name } else { format!("{name} ({})", marks.join(", ")) }
}

/// `91.2 [90.1, 92.3]`; a single seed has its mean only.
pub(super) fn mean(summary: &Summary) -> String {
    match &summary.interval {
        Ok(interval) => {
            format!("{} [{}, {}]", percent(interval.value), percent(interval.low), percent(interval.high))
        }
        Err(_) => percent(summary.mean),
    }
}

/// What a reader calls a control.
pub(super) fn control(name: &str) -> &str {
    match name {
        "base" => "no plug",
        "mappers" => "mappers only",
        "random" => "random layer",
        "mlp" => "trained MLP",
        "shuffled" => "shuffled layer",
        "trained" => "trained layer",
        other => other,
    }
}

/// What a control replaces the LLM's layer with, for a reader who meets it first.
pub(super) fn control_meaning(name: &str) -> Option<&'static str> {
    Some(match name {
        "base" => "the small model alone",
        "mappers" => "the two linear maps without a layer between them",
        "random" => "a frozen layer of the same shape with random weights",
        "mlp" => "a trained perceptron with as many weights as the maps",
        "shuffled" => "the last layer with the elements of each tensor permuted",
        "trained" => "the last layer, trained with the rest instead of frozen",
        _ => return None,
    })
}

/// `a`, `a and b`, `a, b and c`.
pub(super) fn list(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [init @ .., end] => format!("{} and {end}", init.join(", ")),
    }
}

/// With a capital letter at its start.
pub(super) fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_with_sign_and_unit() {
        assert_eq!(percent(0.9123), "91.2");
        assert_eq!(points(0.0061), "+0.6");
        assert_eq!(points(-0.0032), "\u{2212}0.3");
        assert_eq!(points(-0.000_01), "0.0");
        assert_eq!(points(0.000_01), "0.0");
        assert_eq!(p_value(0.000_2), "< 0.001");
        assert_eq!(count(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(plural(1, "seed"), "1 seed");
        assert_eq!(list(&["a".to_owned(), "b".to_owned(), "c".to_owned()]), "a, b and c");
    }
}
