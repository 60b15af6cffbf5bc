//! Whether a classifier of one task can be tested on another at all: two classes are not the same
//! because there are two of them.

use serde::Serialize;

/// How the classes of two tasks differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
pub enum LabelMismatch {
    /// Different numbers of classes.
    #[error("{trained} classes against {tested}")]
    Count {
        /// Classes of the task trained on.
        trained: usize,
        /// Classes of the task tested on.
        tested: usize,
    },
    /// The same names in another order.
    #[error("the same classes in another order ({} against {})", trained.join(", "), tested.join(", "))]
    Order {
        /// Of the task trained on.
        trained: Vec<String>,
        /// Of the task tested on.
        tested: Vec<String>,
    },
    /// Different names.
    #[error("other classes ({} against {})", trained.join(", "), tested.join(", "))]
    Names {
        /// Of the task trained on.
        trained: Vec<String>,
        /// Of the task tested on.
        tested: Vec<String>,
    },
}

/// Checks that two tasks have the same classes by name and order.
///
/// # Errors
/// [`LabelMismatch`] with the difference.
pub fn same_label_space(trained: &[String], tested: &[String]) -> Result<(), LabelMismatch> {
    if trained == tested {
        return Ok(());
    }
    if trained.len() != tested.len() {
        return Err(LabelMismatch::Count { trained: trained.len(), tested: tested.len() });
    }
    let sorted = |labels: &[String]| {
        let mut labels = labels.to_vec();
        labels.sort_unstable();
        labels
    };
    let (same, trained, tested) = (sorted(trained) == sorted(tested), trained.to_vec(), tested.to_vec());
    Err(if same {
        LabelMismatch::Order { trained, tested }
    } else {
        LabelMismatch::Names { trained, tested }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_classes_are_not_the_same_because_there_are_two_of_them() {
        let labels = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let sentiment = labels(&["negative", "positive"]);
        assert_eq!(same_label_space(&sentiment, &sentiment), Ok(()));
        let cola = same_label_space(&labels(&["unacceptable", "acceptable"]), &sentiment).unwrap_err();
        assert!(cola.to_string().contains("other classes (unacceptable, acceptable against"), "{cola}");
        let turned = same_label_space(&labels(&["positive", "negative"]), &sentiment).unwrap_err();
        assert!(matches!(turned, LabelMismatch::Order { .. }));
        let three = same_label_space(&labels(&["a", "b", "c"]), &sentiment).unwrap_err();
        assert_eq!(three, LabelMismatch::Count { trained: 3, tested: 2 });
    }
}
