//! Section 5: transfer between domains.

use super::fixtures::{E, HOME_AND_AWAY};
use super::{Check, check, words};
use crate::analysis::transfer::{probit_line, proxy_a_distance, transfer_loss, transfer_ratio};

const TRANSFER: &str = "5 cross-domain";

pub(super) fn checks() -> Vec<Check> {
    vec![
        check(TRANSFER, "transfer ratio of E", 1.852_777_778, 9, || {
            Ok(transfer_ratio(&errors()).map_err(words)?.0)
        }),
        check(TRANSFER, "transfer loss of E", 0.078_333_333, 9, || {
            Ok(transfer_loss(&errors()).map_err(words)?.0)
        }),
        check(TRANSFER, "effective robustness, slope", 0.934_596_506, 9, || {
            Ok(probit_line(&HOME_AND_AWAY).map_err(words)?.slope)
        }),
        check(TRANSFER, "effective robustness, intercept", -0.344_907_681, 9, || {
            Ok(probit_line(&HOME_AND_AWAY).map_err(words)?.intercept)
        }),
        check(TRANSFER, "proxy A-distance, ε = .5", 0.0, 12, || proxy_a_distance(0.5).map_err(words)),
        check(TRANSFER, "proxy A-distance, ε = .25", 1.0, 12, || proxy_a_distance(0.25).map_err(words)),
        check(TRANSFER, "proxy A-distance, ε = .1", 1.6, 12, || proxy_a_distance(0.1).map_err(words)),
        check(TRANSFER, "proxy A-distance, ε = 0", 2.0, 12, || proxy_a_distance(0.0).map_err(words)),
    ]
}

fn errors() -> Vec<Vec<Option<f64>>> {
    E.iter().map(|row| row.iter().copied().map(Some).collect()).collect()
}
