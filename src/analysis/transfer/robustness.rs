//! Effective robustness: how much better a model is elsewhere than its accuracy at home lets one
//! expect. The expectation is a line through probits of runs without a plug, so that the layers
//! under test have no say in it (Taori et al. 2020, Miller et al. 2021).

use super::NotAvailable;
use crate::analysis::statistics::distributions::{normal, normal_quantile};
use serde::Serialize;

/// A line needs this many points before its slope means anything at all.
const FEWEST: usize = 3;

/// Probit of the accuracy elsewhere = `intercept` + `slope` x probit of the accuracy at home.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ProbitLine {
    /// Slope.
    pub slope: f64,
    /// Intercept.
    pub intercept: f64,
    /// Runs that it was fitted over.
    pub n: usize,
    /// Accuracies at home between which it was fitted; beyond them it is extended.
    pub fitted: (f64, f64),
}

/// Least squares over pairs (accuracy at home, accuracy elsewhere) of runs without a plug.
///
/// # Errors
/// [`NotAvailable`] for fewer than three runs, for accuracies of 0 or 1, and where all are equally
/// good at home.
pub fn probit_line(base: &[(f64, f64)]) -> Result<ProbitLine, NotAvailable> {
    if base.len() < FEWEST {
        return Err(NotAvailable::TooFewBaseRuns { found: base.len(), needed: FEWEST });
    }
    let points = base
        .iter()
        .map(|&(home, away)| Ok((probit(home)?, probit(away)?)))
        .collect::<Result<Vec<_>, NotAvailable>>()?;
    let n = points.len() as f64;
    let mean_x = points.iter().map(|(x, _)| x).sum::<f64>() / n;
    let mean_y = points.iter().map(|(_, y)| y).sum::<f64>() / n;
    let squares = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum::<f64>();
    if squares < 1e-12 {
        return Err(NotAvailable::NoSpread);
    }
    let products = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum::<f64>();
    let slope = products / squares;
    let homes = || base.iter().map(|(home, _)| *home);
    Ok(ProbitLine {
        slope,
        intercept: mean_y - slope * mean_x,
        n: base.len(),
        fitted: (homes().fold(f64::INFINITY, f64::min), homes().fold(f64::NEG_INFINITY, f64::max)),
    })
}

impl ProbitLine {
    /// Accuracy elsewhere that the line expects of an accuracy at home.
    ///
    /// # Errors
    /// [`NotAvailable::AtTheEdge`].
    pub fn expected(&self, home: f64) -> Result<f64, NotAvailable> {
        Ok(normal(self.intercept + self.slope * probit(home)?))
    }

    /// Probit of the accuracy elsewhere above what the line expects, in standard deviations of the
    /// normal; positive is more robust than its accuracy at home explains.
    ///
    /// # Errors
    /// [`NotAvailable::AtTheEdge`].
    pub fn above(&self, home: f64, away: f64) -> Result<f64, NotAvailable> {
        Ok(probit(away)? - (self.intercept + self.slope * probit(home)?))
    }
}

fn probit(accuracy: f64) -> Result<f64, NotAvailable> {
    if accuracy > 0.0 && accuracy < 1.0 {
        Ok(normal_quantile(accuracy))
    } else {
        Err(NotAvailable::AtTheEdge)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// reference/analyses.md section 5: slope .934596506, intercept −.344907681.
    #[test]
    fn the_line_over_the_toy_accuracies_is_the_known_one() {
        let base = [(0.90, 0.80), (0.91, 0.82), (0.92, 0.83), (0.93, 0.86), (0.94, 0.86)];
        let line = probit_line(&base).unwrap();
        assert!((line.slope - 0.934_596_506).abs() < 1e-8, "{line:?}");
        assert!((line.intercept + 0.344_907_681).abs() < 1e-8, "{line:?}");
        assert_eq!((line.n, line.fitted), (5, (0.90, 0.94)));
        // what lies on the line is as robust as expected
        let away = line.expected(0.92).unwrap();
        assert!(line.above(0.92, away).unwrap().abs() < 1e-9);
        assert!(line.above(0.92, away + 0.01).unwrap() > 0.0);
    }

    #[test]
    fn lines_that_cannot_be_say_why() {
        let two = [(0.9, 0.8), (0.8, 0.7)];
        assert_eq!(probit_line(&two), Err(NotAvailable::TooFewBaseRuns { found: 2, needed: 3 }));
        assert_eq!(probit_line(&[(0.9, 0.8), (0.9, 0.7), (0.9, 0.6)]), Err(NotAvailable::NoSpread));
        assert_eq!(probit_line(&[(0.9, 0.8), (1.0, 0.7), (0.8, 0.6)]), Err(NotAvailable::AtTheEdge));
    }
}
