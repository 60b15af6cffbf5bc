//! Layers as a user names them: one index, negative from the end, or a list such as
//! `0,8,16-31,-1`, `every:4` or `all`.

use std::collections::BTreeSet;

use super::error::Error;

/// The layer that `index` names among `count`; -1 is the last.
///
/// # Errors
/// [`Error::NoSuchLayer`] when it is not in `-count..count`.
pub fn resolve_layer(index: i64, count: usize) -> Result<usize, Error> {
    let missing = || Error::NoSuchLayer { layer: index, count, model: None };
    let from_start = if index < 0 {
        count.checked_sub(usize::try_from(index.unsigned_abs()).map_err(|_| missing())?)
    } else {
        usize::try_from(index).ok()
    };
    from_start.filter(|layer| *layer < count).ok_or_else(missing)
}

/// The layers that a list names, sorted, each once: `all`; `every:N` (0, N, 2N, ... and the last);
/// or comma-separated indices and inclusive ranges, where a negative index counts from the end
/// (`0,8,16-31,-1`, `-4--1`).
///
/// # Errors
/// [`Error::LayerList`] for a part that is no index or range, an empty part and a backward range;
/// [`Error::NoSuchLayer`] for an index out of range.
pub fn parse_layers(list: &str, count: usize) -> Result<Vec<usize>, Error> {
    let list = list.trim();
    if list == "all" {
        resolve_layer(0, count)?;
        return Ok((0..count).collect());
    }
    if let Some(step) = list.strip_prefix("every:") {
        let step = step.trim().parse::<usize>().ok().filter(|step| *step > 0);
        let step = step.ok_or_else(|| wrong(list, "`every:N` with N of at least 1"))?;
        let last = resolve_layer(-1, count)?;
        // the last layer is the paper's choice and stays among any selection
        return Ok((0..count).step_by(step).chain([last]).collect::<BTreeSet<_>>().into_iter().collect());
    }
    let mut layers = BTreeSet::new();
    for part in list.split(',') {
        let part = part.trim();
        let (first, last) = bounds(part)?;
        let (first, last) = (resolve_layer(first, count)?, resolve_layer(last, count)?);
        if first > last {
            return Err(wrong(part, "a range that goes upwards"));
        }
        layers.extend(first..=last);
    }
    Ok(layers.into_iter().collect())
}

fn bounds(part: &str) -> Result<(i64, i64), Error> {
    let index = |text: &str| {
        // `str::parse` would take `+3` too
        let digits = text.strip_prefix('-').unwrap_or(text);
        let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| text.parse::<i64>().ok()).flatten()
    };
    // a dash after the first character separates; one in front is a sign
    let dash = part.char_indices().skip(1).find(|(_, letter)| *letter == '-').map(|(at, _)| at);
    let parsed = match dash {
        Some(at) => index(part[..at].trim()).zip(index(part[at + 1..].trim())),
        None => index(part).map(|one| (one, one)),
    };
    parsed.ok_or_else(|| wrong(part, "an index such as `8` or `-1`, or a range such as `16-31`"))
}

fn wrong(part: &str, expected: &'static str) -> Error {
    Error::LayerList { part: part.to_owned(), expected }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negative_indices_count_from_the_end_and_both_sides_are_checked() {
        assert_eq!(resolve_layer(0, 28), Ok(0));
        assert_eq!(resolve_layer(27, 28), Ok(27));
        assert_eq!(resolve_layer(-1, 28), Ok(27));
        assert_eq!(resolve_layer(-28, 28), Ok(0));
        for index in [28, -29, i64::MAX, i64::MIN] {
            assert!(matches!(resolve_layer(index, 28), Err(Error::NoSuchLayer { count: 28, .. })), "{index}");
        }
        assert!(resolve_layer(0, 0).is_err());
    }

    #[test]
    fn lists_are_sorted_and_name_each_layer_once() {
        assert_eq!(parse_layers("all", 3), Ok(vec![0, 1, 2]));
        assert_eq!(parse_layers("-1, 2,0-2", 4), Ok(vec![0, 1, 2, 3]));
        assert_eq!(parse_layers("8,0,16-18,-1", 32), Ok(vec![0, 8, 16, 17, 18, 31]));
        assert_eq!(parse_layers("-4--2", 6), Ok(vec![2, 3, 4]));
        assert_eq!(parse_layers("3--1", 6), Ok(vec![3, 4, 5]));
        assert_eq!(parse_layers("every:4", 10), Ok(vec![0, 4, 8, 9]));
        assert_eq!(parse_layers("every:100", 3), Ok(vec![0, 2]));
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for list in [
            "", ",", "1,", "a", "1-", "-", "--1", "1-2-3", "+1", "5-2", "-1-0", "every:0", "every:", "1.5",
            "é-1",
        ] {
            assert!(matches!(parse_layers(list, 8), Err(Error::LayerList { .. })), "{list}");
        }
        for list in ["8", "0-8", "-9", "all", "every:2"] {
            let count = if list.starts_with(['a', 'e']) { 0 } else { 8 };
            assert!(matches!(parse_layers(list, count), Err(Error::NoSuchLayer { .. })), "{list}");
        }
        // far beyond any integer
        assert!(parse_layers("99999999999999999999999", 8).is_err());
    }
}
