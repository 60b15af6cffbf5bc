//! The report of the made study.

use super::*;
use crate::analysis::transfer::synthetic;

fn context() -> ReportContext {
    ReportContext {
        title: "Does it carry over?".into(),
        command: "pifi-probe transfer".into(),
        ..ReportContext::default()
    }
}

#[test]
fn all_files_are_written_and_the_answer_is_the_first_sentence() {
    let answer = synthetic::study().answer().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let files = write_transfer(folder.path(), &answer, &context(), &Distances::default()).unwrap();
    assert_eq!(files.len(), 9);
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let sentence = transfer_sentence(&answer, false);
    assert!(
        sentence.starts_with("The gain of layer 1 of a-llm in a-slm carries over: +8.0 points"),
        "{sentence}"
    );
    assert!(sentence.contains("mean of 4 pairs") && sentence.contains("+12.0 at home"), "{sentence}");
    let page = read("transfer.md");
    assert!(page.lines().nth(2).unwrap().starts_with("The gain of layer 1"), "{page}");
    assert!(page.contains("Selection protocol: validation in the training domains"));
    assert!(page.contains("10 also stand in the training set of films"));
    let table = read("transfer.csv");
    // four conditions, two domains trained on, three tested on
    assert_eq!(table.lines().count(), 1 + 4 * 2 * 3);
    assert!(table.lines().all(|line| line.matches(',').count() == 30), "{table}");
    // ten shared texts that both had right: the gain without them, with its interval
    assert!(page.contains("Without shared texts") && page.contains("62.4% of 390; +8.2 \\["), "{page}");
    assert!(page.contains("Friedman χ²(3) = 18.000, p = 0.0004"), "{page}");
    assert!(page.contains("critical difference at 5%: 1.91 ranks: layer 1 (chosen) is ahead of"), "{page}");
    let ranks = read("ranks.csv");
    assert_eq!(ranks.lines().count(), 1 + 4);
    assert!(ranks.lines().all(|line| line.matches(',').count() == 13), "{ranks}");
    assert!(read("transfer.tex").contains("(+8.0$^*$)"));
    assert!(read("transfer.html").contains("<svg role=\"img\""));
    // a field tells its values at the pointer
    assert!(read("transfer.html").contains("trained on films, tested on "));
    assert!(
        std::fs::read_dir(folder.path())
            .unwrap()
            .flatten()
            .all(|it| !it.file_name().to_string_lossy().starts_with('.'))
    );
}

#[test]
fn the_sentence_says_what_is_not_shown_and_what_is_not_known() {
    let mut study = synthetic::study();
    for run in &mut study.runs {
        if run.condition == Condition::Layer(1) {
            let base = run.tests.iter_mut().enumerate().filter(|(tested, _)| *tested != run.trained);
            for (_, outcome) in base {
                let outcome = outcome.as_mut().unwrap();
                let right = 220 + run.seed as usize;
                outcome.scores = (0..outcome.ids.len()).map(|at| f64::from(u8::from(at < right))).collect();
            }
        }
    }
    let sentence = transfer_sentence(&study.answer().unwrap(), false);
    assert!(
        sentence.starts_with("That the gain of layer 1 of a-llm in a-slm carries over is not shown"),
        "{sentence}"
    );
    study.runs.retain(|run| !run.condition.is_base());
    let unknown = transfer_sentence(&study.answer().unwrap(), true);
    assert!(
        unknown.starts_with("On synthetic data") && unknown.contains("is unknown: no run without a plug"),
        "{unknown}"
    );
    study.runs.retain(|run| run.condition.layer().is_none());
    assert!(study.answer().is_err());
}

#[test]
fn names_of_domains_cannot_break_any_page() {
    let mut study = synthetic::study();
    study.domains[2].name = "a_b & <script>|$".into();
    let answer = study.answer().unwrap();
    let folder = tempfile::tempdir().unwrap();
    write_transfer(folder.path(), &answer, &context(), &Distances::default()).unwrap();
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    // the page has a script of its own, so the name is looked for with what stands around it
    assert!(read("transfer.html").contains("a_b &amp; &lt;script&gt;|$"));
    assert!(!read("transfer.html").contains("<script>|$") && !read("transfer.md").contains("<script>"));
    assert!(read("transfer.tex").contains("a\\_b \\& <script>|\\$"));
}

/// More conditions than a critical difference is of use for.
#[test]
fn many_conditions_are_compared_with_no_plug_alone() {
    let mut study = synthetic::study();
    study.layers = 12;
    let more: Vec<_> =
        study.runs.iter().filter(|run| run.condition == Condition::Layer(0)).cloned().collect();
    for layer in 3..12 {
        study.runs.extend(
            more.iter().map(|run| crate::analysis::transfer::Run {
                condition: Condition::Layer(layer),
                ..run.clone()
            }),
        );
    }
    let answer = study.answer().unwrap();
    let folder = tempfile::tempdir().unwrap();
    write_transfer(folder.path(), &answer, &context(), &Distances::default()).unwrap();
    let page = std::fs::read_to_string(folder.path().join("transfer.md")).unwrap();
    assert!(page.contains("Warning: 13 are ranked over 6 data sets"), "{page}");
    assert!(page.contains("Mean ranks against that of no plug"), "{page}");
    assert!(!page.contains("is ahead of"), "{page}");
}

#[test]
fn distances_are_drawn_beside_their_table() {
    let answer = synthetic::study().answer().unwrap();
    let features =
        |shift: f64| ndarray::Array2::from_shape_fn((40, 2), |(row, at)| (row * (at + 3) % 7) as f64 + shift);
    let domains = [(0, features(0.0)), (1, features(0.5)), (2, features(9.0))];
    let place = |layer: usize| {
        let seed = crate::seed::Seed(1);
        crate::analysis::transfer::place_distances(&format!("layer {layer}"), Some(layer), &domains, seed)
    };
    let model = ModelDistances {
        model: "a-llm".into(),
        llm: true,
        basis: "mean over tokens".into(),
        places: (0..3).map(place).collect(),
    };
    let distances = Distances { models: vec![model], ..Distances::default() };
    let folder = tempfile::tempdir().unwrap();
    let files = write_transfer(folder.path(), &answer, &context(), &distances).unwrap();
    let names: Vec<_> = files.iter().filter_map(|file| file.file_name()?.to_str()).collect();
    for name in ["distances.svg", "distances.png", "distances.csv"] {
        assert!(names.contains(&name), "{names:?}");
    }
    let page = std::fs::read_to_string(folder.path().join("transfer.html")).unwrap();
    assert!(page.contains("Also as distances.svg and distances.png.") && page.contains("films – hotels"));
}
