//! Transfer loss and ratio over a matrix of errors `E[s, t]` = 1 - `A[s, t]`.

use super::NotAvailable;

/// Errors `E[s][t]` of one condition; `None` where a field has no value. Square: domain t of the
/// columns is domain t of the rows.
pub type Errors = [Vec<Option<f64>>];

/// Mean over s ≠ t of `E[s, t] - E[t, t]`: the error that training elsewhere costs, and over how many
/// pairs.
///
/// # Errors
/// [`NotAvailable::NoRun`] where no pair has both errors.
pub fn transfer_loss(errors: &Errors) -> Result<(f64, usize), NotAvailable> {
    mean(pairs(errors).map(|(away, home)| Ok(away - home)))
}

/// Mean over s ≠ t of `E[s, t] / E[t, t]` (Glorot et al. 2011), and over how many pairs.
///
/// # Errors
/// [`NotAvailable::NoRun`] where no pair has both errors; [`NotAvailable::NoErrorAtHome`] where an
/// `E[t, t]` is zero: leaving the pair out would flatter, infinity would say nothing.
pub fn transfer_ratio(errors: &Errors) -> Result<(f64, usize), NotAvailable> {
    mean(
        pairs(errors)
            .map(|(away, home)| if home > 0.0 { Ok(away / home) } else { Err(NotAvailable::NoErrorAtHome) }),
    )
}

/// (`E[s, t]`, `E[t, t]`) of every pair s ≠ t that has both.
fn pairs(errors: &Errors) -> impl Iterator<Item = (f64, f64)> {
    errors.iter().enumerate().flat_map(move |(s, row)| {
        row.iter().enumerate().filter(move |(t, _)| *t != s).filter_map(move |(t, away)| {
            let home = errors.get(t)?.get(t).copied().flatten()?;
            away.map(|away| (away, home))
        })
    })
}

fn mean(values: impl Iterator<Item = Result<f64, NotAvailable>>) -> Result<(f64, usize), NotAvailable> {
    let (mut sum, mut n) = (0.0, 0_usize);
    for value in values {
        sum += value?;
        n += 1;
    }
    if n == 0 { Err(NotAvailable::NoRun) } else { Ok((sum / n as f64, n)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fixture E of reference/analyses.md section 2.
    pub(crate) const E: [[f64; 3]; 3] = [[0.08, 0.20, 0.15], [0.12, 0.10, 0.18], [0.14, 0.22, 0.09]];

    fn errors() -> Vec<Vec<Option<f64>>> {
        E.iter().map(|row| row.iter().copied().map(Some).collect()).collect()
    }

    /// reference/analyses.md section 5: Q 1.852777778, loss .078333333; the mean source drop is the
    /// same over a full square matrix.
    #[test]
    fn loss_and_ratio_of_the_fixture_are_the_known_ones() {
        let (ratio, pairs) = transfer_ratio(&errors()).unwrap();
        assert!((ratio - 1.852_777_778).abs() < 1e-8 && pairs == 6, "{ratio}");
        assert!((transfer_loss(&errors()).unwrap().0 - 0.078_333_333).abs() < 1e-8);
    }

    #[test]
    fn a_missing_field_leaves_its_pairs_out_and_no_error_at_home_is_refused() {
        let mut errors = errors();
        errors[0][1] = None;
        assert_eq!(transfer_loss(&errors).unwrap().1, 5);
        errors[2][2] = None;
        assert_eq!(transfer_loss(&errors).unwrap().1, 3);
        errors[0][0] = Some(0.0);
        assert_eq!(transfer_ratio(&errors), Err(NotAvailable::NoErrorAtHome));
        assert_eq!(transfer_loss(&[vec![Some(0.1)]]), Err(NotAvailable::NoRun));
    }
}
