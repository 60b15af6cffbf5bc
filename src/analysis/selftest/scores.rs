//! Sections 4 and 8: transferability scores, probes and their agreement with the truth.

use ndarray::{Array2, Axis};

use super::fixtures::{LABELS, SCORE_A, SCORE_B, theta, toy};
use super::{Check, check, words};
use crate::analysis::agreement::{rho, tau, weighted_tau};
use crate::analysis::probing::online::{Code, code};
use crate::analysis::scores::hscore::{hscore, hscore_shrunk, hscore_tll, ledoit_wolf_shrinkage};
use crate::analysis::scores::leep::{leep, nce};
use crate::analysis::scores::logme::{Evidence, Recipe, evidences, logme};
use crate::analysis::scores::transrate::{Weights, transrate};
use crate::analysis::scores::{Labelled, Undefined};

const LOGME: &str = "4.1 LogME";
const H_SCORE: &str = "4.2 H-score";
const LEEP: &str = "4.3 LEEP";
const TRANSRATE: &str = "4.4 TransRate";
const MDL: &str = "4.6 MDL";
const AGREEMENT: &str = "4.8 agreement";
const DEBUGGING: &str = "8 intermediate values";

pub(super) fn checks() -> Vec<Check> {
    vec![
        check(LOGME, "toy X, published recipe", -0.827_491_472_156, 12, || {
            of_x(|data| logme(data, Recipe::Published))
        }),
        check(LOGME, "toy Y, published recipe", -0.897_667_604_571, 12, || {
            of_y(|data| logme(data, Recipe::Published))
        }),
        check(LOGME, "centred toy X, published recipe", -1.038_870_132_311, 12, || {
            let (x, _) = toy();
            let means = x.mean_axis(Axis(0)).ok_or_else(|| "no rows".to_owned())?;
            of(&(x - means), |data| logme(data, Recipe::Published))
        }),
        check(LOGME, "toy X, converged", -0.827_426_366, 9, || of_x(|data| logme(data, Recipe::Converged))),
        check(H_SCORE, "toy X", 0.735_529_688_167, 12, || of_x(hscore)),
        check(H_SCORE, "toy Y", 0.886_877_828_054, 12, || of_y(hscore)),
        check(H_SCORE, "toy X, regularised", 0.226_735_261_067, 12, || of_x(hscore_shrunk)),
        check(H_SCORE, "toy X, shrinkage", 0.748_203_192_643, 12, || of_x(ledoit_wolf_shrinkage)),
        check(H_SCORE, "toy X, regularised as TLL does", 0.259_126_012_647, 12, || of_x(hscore_tll)),
        check(LEEP, "θ", -0.489_535_817_351, 12, || leep(theta().view(), &LABELS).map_err(words)),
        check(LEEP, "NCE of the likeliest classes", 0.0, 12, || nce(&likeliest(), &LABELS).map_err(words)),
        check(TRANSRATE, "toy X, ε = 1e-4", 0.022_392_902_825, 11, || {
            of_x(|data| transrate(data, 1e-4, Weights::Equal))
        }),
        check(TRANSRATE, "toy X, ε = 1", 0.011_485_245_090, 12, || {
            of_x(|data| transrate(data, 1.0, Weights::Equal))
        }),
        check(MDL, "Laplace's coder, bits", 9.339_850_002_885, 12, || Ok(laplace()?.bits)),
        check(AGREEMENT, "weighted Kendall τ", 0.671_532_847, 9, || {
            weighted_tau(&SCORE_A, &SCORE_B).map_err(words)
        }),
        check(AGREEMENT, "Kendall τ", 0.8, 12, || tau(&SCORE_A, &SCORE_B).map_err(words)),
        check(AGREEMENT, "Spearman ρ", 0.9, 12, || rho(&SCORE_A, &SCORE_B).map_err(words)),
        check(DEBUGGING, "toy LogME, α of class 0", 1_642.458_063, 6, || Ok(reached(0)?.alpha)),
        check(DEBUGGING, "toy LogME, α of class 1", 117.583_159, 6, || Ok(reached(1)?.alpha)),
        check(DEBUGGING, "toy LogME, β of class 0", 2.106_235, 6, || Ok(reached(0)?.beta)),
        check(DEBUGGING, "toy LogME, β of class 1", 8.951_345, 6, || Ok(reached(1)?.beta)),
        check(DEBUGGING, "Laplace's coder, compression", 0.856_545, 6, || Ok(laplace()?.compression)),
    ]
}

fn of(
    features: &Array2<f64>,
    score: impl Fn(&Labelled<'_>) -> Result<f64, Undefined>,
) -> Result<f64, String> {
    Labelled::new(features.view(), &LABELS).and_then(|data| score(&data)).map_err(words)
}

fn of_x(score: impl Fn(&Labelled<'_>) -> Result<f64, Undefined>) -> Result<f64, String> {
    of(&toy().0, score)
}

fn of_y(score: impl Fn(&Labelled<'_>) -> Result<f64, Undefined>) -> Result<f64, String> {
    of(&toy().1, score)
}

/// Where the published recipe ends for a class of the toy.
fn reached(class: usize) -> Result<Evidence, String> {
    let (x, _) = toy();
    let all = Labelled::new(x.view(), &LABELS).and_then(|data| evidences(&data, Recipe::Published));
    Ok(all.map_err(words)?[class])
}

fn likeliest() -> Vec<u32> {
    let largest = |row: &[f64]| (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap_or(0) as u32;
    theta().rows().into_iter().map(|row| largest(&row.to_vec())).collect()
}

/// Blocks end at 1, 2, 4 and 8; counts are frozen at a block's start.
fn laplace() -> Result<Code, String> {
    code(&[1, 2, 4, 8], 2, |seen, next| {
        let count = |label| LABELS[seen.clone()].iter().filter(|other| **other == label).count() as f64;
        let bits = |label| -((count(label) + 1.0) / (seen.len() as f64 + 2.0)).log2();
        Ok::<_, String>(LABELS[next].iter().map(|label| bits(*label)).collect())
    })
}
