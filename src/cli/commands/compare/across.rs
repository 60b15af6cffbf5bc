//! Conditions over several data sets as tables: the sets, the tests, and the mean ranks.

use super::tables::{grid, p_value};
use crate::analysis::compare::AcrossSets;
use crate::analysis::statistics::rank_test::RankTest;
use crate::runs::render::Grid;

/// The tables with their titles; of ranks without a value the sets alone.
pub(super) fn tables(across: &AcrossSets) -> Vec<(String, Grid)> {
    let count = across.blocks.len();
    let mut tables = Vec::new();
    match &across.ranks {
        Ok(ranks) => {
            let title = format!("ranks over {count} data sets: does any condition differ from another?");
            tables.push((title, tests(ranks)));
            tables.push(("mean ranks, 1 is the best".to_owned(), mean_ranks(across, ranks)));
            tables.push(("the data sets".to_owned(), blocks(across)));
        }
        Err(reason) => {
            tables.push((format!("no ranks over {count} data sets: {reason}"), blocks(across)));
        }
    }
    tables
}

fn tests(ranks: &RankTest) -> Grid {
    let columns = [("test", false), ("statistic", true), ("degrees of freedom", true), ("p", true)];
    let friedman = &ranks.friedman;
    let freedom = friedman.mean_ranks.len() - 1;
    let mut rows = vec![vec![
        "Friedman χ²".to_owned(),
        format!("{:.4}", friedman.chi_squared),
        freedom.to_string(),
        p_value(friedman.p),
    ]];
    let (f, p) = match &friedman.iman_davenport {
        Ok(it) => (format!("{:.4}", it.f), p_value(it.p)),
        // every set ranks them alike
        Err(_) => ("infinite".to_owned(), "-".to_owned()),
    };
    let both = format!("{freedom}, {}", freedom * (friedman.sets - 1));
    rows.push(vec!["Iman-Davenport F".to_owned(), f, both, p]);
    if let Ok(critical) = &ranks.critical {
        let name = if critical.too_many { "Nemenyi CD, 5% (too wide)" } else { "Nemenyi CD, 5%" };
        rows.push(vec![name.to_owned(), format!("{:.4}", critical.ranks), "-".to_owned(), "-".to_owned()]);
    }
    grid(&columns, rows)
}

/// By mean rank, so that what cannot be told apart stands together.
fn mean_ranks(across: &AcrossSets, ranks: &RankTest) -> Grid {
    let mut columns = vec![("condition".to_owned(), false), ("mean rank".to_owned(), true)];
    if let Some(control) = &ranks.control {
        columns.push((format!("minus {}", across.methods[control.control]), true));
        columns.push(("p".to_owned(), true));
        columns.push(("p Holm".to_owned(), true));
    }
    if !ranks.too_many() {
        columns.push(("better by more than CD than".to_owned(), false));
    }
    let means = &ranks.friedman.mean_ranks;
    let mut order: Vec<usize> = (0..means.len()).collect();
    order.sort_by(|a, b| means[*a].total_cmp(&means[*b]));
    let row = |&method: &usize| {
        let mut cells = vec![across.methods[method].clone(), format!("{:.3}", means[method])];
        if let Some(control) = &ranks.control {
            match control.others.iter().find(|other| other.method == method) {
                Some(it) => cells.extend([format!("{:+.3}", it.ranks), p_value(it.p), p_value(it.p_holm)]),
                None => cells.extend(["-", "-", "-"].map(str::to_owned)),
            }
        }
        if !ranks.too_many() {
            let worse = ranks.apart.iter().filter(|(better, _)| *better == method);
            let names: Vec<&str> = worse.map(|(_, worse)| across.methods[*worse].as_str()).collect();
            cells.push(if names.is_empty() { "none".to_owned() } else { names.join(", ") });
        }
        cells
    };
    Grid { columns, rows: order.iter().map(row).collect() }
}

fn blocks(across: &AcrossSets) -> Grid {
    let columns = [("trained on", false), ("tested on", false), ("examples", true), ("seeds", true)];
    let rows = across.blocks.iter().map(|block| {
        let counts = [block.examples, block.seeds.len()].map(|count| count.to_string());
        [block.trained.clone(), block.tested.clone()].into_iter().chain(counts).collect()
    });
    grid(&columns, rows.collect())
}
