//! Several methods over several data sets, as one result: Friedman's test, the critical difference
//! of mean ranks with the pairs that it tells apart, and each method against a control (Demšar,
//! "Statistical comparisons of classifiers over multiple data sets", JMLR 2006, section 3.2).

use super::Undefined;
use super::distributions::normal;
use super::estimate::or_reason;
use super::friedman::{CriticalDifference, Friedman, friedman, nemenyi};
use super::multiple::holm;
use serde::Serialize;

/// The level of the critical difference.
pub const ALPHA: f64 = 0.05;

/// Fewest methods that are ranked over data sets: two are a pair.
pub const METHODS: usize = 3;

/// Fewest data sets.
pub const SETS: usize = 2;

/// Methods ranked over data sets.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RankTest {
    /// Whether the methods differ at all, with their mean ranks.
    pub friedman: Friedman,
    /// Nemenyi's critical difference at [`ALPHA`].
    #[serde(serialize_with = "or_reason")]
    pub critical: Result<CriticalDifference, Undefined>,
    /// Pairs of methods whose mean ranks are further apart than that, the better one first; empty
    /// where there are too many methods for it to be of use.
    pub apart: Vec<(usize, usize)>,
    /// Each method against one, where one is named.
    pub control: Option<AgainstControl>,
}

/// Each method against a control by mean ranks. Holm's family is all of them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AgainstControl {
    /// Position of the control among the methods.
    pub control: usize,
    /// The others, in their order.
    pub others: Vec<ToControl>,
}

/// One method against the control.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ToControl {
    /// Position of the method.
    pub method: usize,
    /// Its mean rank minus that of the control: below zero it is the better one.
    pub ranks: f64,
    /// The same in standard errors sqrt(k (k + 1) / (6 N)).
    pub z: f64,
    /// Two-sided p value by the normal distribution.
    pub p: f64,
    /// The same after Holm's correction.
    pub p_holm: f64,
}

/// Ranks the methods of `scores[set][method]`, higher is better. `control` is the position of a
/// method that all others are compared with.
///
/// # Errors
/// [`Undefined`] for fewer than [`METHODS`] methods or [`SETS`] data sets, a control that is none of
/// the methods, and as [`friedman`].
pub fn rank_test(scores: &[Vec<f64>], control: Option<usize>) -> Result<RankTest, Undefined> {
    let methods = scores.first().map_or(0, Vec::len);
    if methods < METHODS {
        let value = methods as f64;
        return Err(Undefined::OutOfRange { name: "methods", value, expected: "at least 3" });
    }
    if let Some(none) = control.filter(|control| *control >= methods) {
        let (name, value) = ("control", none as f64);
        return Err(Undefined::OutOfRange { name, value, expected: "one of the methods" });
    }
    let friedman = friedman(scores)?;
    let critical = nemenyi(methods, scores.len(), ALPHA);
    let ranks = &friedman.mean_ranks;
    let mut apart = Vec::new();
    if let Ok(difference) = &critical
        && !difference.too_many
    {
        let pairs = (0..methods).flat_map(|a| (0..methods).map(move |b| (a, b)));
        apart.extend(pairs.filter(|(a, b)| ranks[*b] - ranks[*a] > difference.ranks));
    }
    let control = control.map(|control| against(ranks, scores.len(), control));
    Ok(RankTest { friedman, critical, apart, control })
}

/// Every method against the one at `control`, from mean ranks over `sets` data sets.
fn against(mean_ranks: &[f64], sets: usize, control: usize) -> AgainstControl {
    let (k, n) = (mean_ranks.len() as f64, sets as f64);
    let error = (k * (k + 1.0) / (6.0 * n)).sqrt();
    let others = (0..mean_ranks.len()).filter(|method| *method != control);
    let mut others: Vec<ToControl> = others
        .map(|method| {
            let ranks = mean_ranks[method] - mean_ranks[control];
            let z = ranks / error;
            let p = (2.0 * normal(-z.abs())).min(1.0);
            ToControl { method, ranks, z, p, p_holm: p }
        })
        .collect();
    let family: Vec<f64> = others.iter().map(|other| other.p).collect();
    for (other, adjusted) in others.iter_mut().zip(holm(&family)) {
        other.p_holm = adjusted;
    }
    AgainstControl { control, others }
}

impl RankTest {
    /// Whether the critical difference is of no use because there are too many methods.
    pub fn too_many(&self) -> bool {
        self.critical.as_ref().is_ok_and(|critical| critical.too_many)
    }

    /// The test in one line: statistics, degrees of freedom and p values.
    pub fn statistics(&self) -> String {
        let Friedman { sets, mean_ranks, chi_squared, p, iman_davenport } = &self.friedman;
        let freedom = mean_ranks.len() - 1;
        let sharper = match iman_davenport {
            Ok(it) => {
                format!(
                    "Iman-Davenport F({freedom}, {}) = {:.3}, {}",
                    freedom * (sets - 1),
                    it.f,
                    shown(it.p)
                )
            }
            Err(_) => "Iman-Davenport's F has no value: all data sets rank them alike".to_owned(),
        };
        format!("Friedman χ²({freedom}) = {chi_squared:.3}, {}; {sharper}", shown(*p))
    }

    /// What the critical difference tells, in one line.
    pub fn difference(&self) -> String {
        let Ok(critical) = &self.critical else {
            return "Nemenyi's critical difference has no value".to_owned();
        };
        format!("Nemenyi's critical difference at 5%: {:.2} ranks", critical.ranks)
    }

    /// What the reader must know of the critical difference where there are too many methods for it.
    pub fn warning(&self) -> Option<String> {
        let critical = self.critical.as_ref().ok().filter(|critical| critical.too_many)?;
        let k = self.friedman.mean_ranks.len();
        let instead = match self.control {
            Some(_) => "only each against the control, with Holm's correction, says something",
            None => "only each against a control, with Holm's correction, would say something",
        };
        Some(format!(
            "{k} are ranked over {} data sets, and mean ranks lie at most {} apart: with more than {} Nemenyi's critical \
             difference ({:.1} ranks) finds next to nothing; {instead}",
            self.friedman.sets,
            k - 1,
            super::friedman::METHODS_FOR_NEMENYI,
            critical.ranks
        ))
    }
}

fn shown(p: f64) -> String {
    if p < 0.000_1 { "p < 0.0001".to_owned() } else { format!("p = {p:.4}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(value: f64, golden: f64, tolerance: f64) {
        assert!((value - golden).abs() < tolerance, "{value} {golden}");
    }

    /// Demšar 2006, section 3.2.2: C4.5 as the control of four methods on 14 data sets.
    #[test]
    fn the_published_steps_down_from_a_control_come_out() {
        let found = against(&[3.143, 2.000, 2.893, 1.964], 14, 0);
        let golden = [(2.342, 0.019), (0.512, 0.607), (2.416, 0.016)];
        for (other, (z, p)) in found.others.iter().zip(golden) {
            near(-other.z, z, 2e-3);
            near(other.p, p, 2e-3);
        }
        let ps: Vec<f64> = found.others.iter().map(|other| other.p).collect();
        near(found.others[2].p_holm, 3.0 * ps[2], 1e-12);
        near(found.others[0].p_holm, (2.0 * ps[0]).max(3.0 * ps[2]), 1e-12);
        near(found.others[1].p_holm, ps[1], 1e-12);
    }

    /// Three methods that nine data sets rank alike: ranks 1, 2, 3 with a critical difference of
    /// 2.343701 sqrt(3 4 / 54) = 1.1048.
    #[test]
    fn what_lies_further_apart_than_the_critical_difference_is_told_apart() {
        let alike = rank_test(&vec![vec![0.9, 0.8, 0.7]; 9], Some(2)).unwrap();
        near(alike.critical.as_ref().unwrap().ranks, 1.104_8, 5e-4);
        assert_eq!(alike.apart, [(0, 2)]);
        assert!(alike.statistics().contains("χ²(2) = 18.000, p = 0.0001"), "{}", alike.statistics());
        assert!(alike.statistics().contains("rank them alike"));
        let control = alike.control.as_ref().unwrap();
        assert_eq!(control.others.iter().map(|other| other.method).collect::<Vec<_>>(), [0, 1]);
        assert!(control.others[0].ranks < 0.0 && alike.warning().is_none());
    }

    #[test]
    fn more_than_ten_methods_are_warned_of_and_none_is_told_apart() {
        let row = |set: usize| (0..11).map(|method| f64::from(method * 7 % 11) + set as f64).collect();
        let scores: Vec<Vec<f64>> = (0..30).map(row).collect();
        let many = rank_test(&scores, None).unwrap();
        assert!(many.too_many() && many.apart.is_empty());
        assert!(many.warning().unwrap().contains("would say something"));
        let with = rank_test(&scores, Some(0)).unwrap();
        assert!(with.warning().unwrap().contains("only each against the control"));
        // ten are few enough, and thirty sets of one order tell the outermost apart
        let ten: Vec<Vec<f64>> = scores.iter().map(|row: &Vec<f64>| row[..10].to_vec()).collect();
        let few = rank_test(&ten, None).unwrap();
        assert!(few.warning().is_none() && !few.apart.is_empty());
    }

    #[test]
    fn too_few_methods_or_sets_and_a_foreign_control_are_refused() {
        assert!(rank_test(&vec![vec![0.1, 0.2]; 5], None).is_err());
        assert!(rank_test(&[vec![0.1, 0.2, 0.3]], None).is_err());
        assert!(rank_test(&vec![vec![0.1, 0.2, 0.3]; 3], Some(3)).is_err());
    }
}
