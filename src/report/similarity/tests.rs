//! What the files of a comparison say, on values made by hand.

use super::*;
use crate::analysis::similarity::{Chance, Direction, Undefined};
use crate::runs::parquet;

/// `rows` places of one model against `columns` of another; one pair has no value.
fn comparison(rows: usize, columns: usize) -> Comparison {
    let source = |name: &str, count: usize, width: usize| Source {
        name: name.to_owned(),
        origin: Origin { model: name.to_owned(), revision: "main".into(), ..Origin::default() },
        sites: (0..count)
            .map(|at| Site {
                name: if at == 0 { "embeddings".to_owned() } else { format!("layer {}", at - 1) },
                depth: at.checked_sub(1).map(|layer| layer as f64 / (count - 2).max(1) as f64),
                width,
            })
            .collect(),
    };
    let cka = Measure::named("cka").unwrap();
    let value = |at: usize| {
        let (row, column) = ((at / columns) as f64 / rows as f64, (at % columns) as f64 / columns as f64);
        let value = 1.02 - (row - column).abs() * 1.1;
        Value::new(value, Some(Chance::exact(0.0, Some(0.0021))), 872, [4096, 768], Direction::HigherIsCloser)
    };
    let mut values: Vec<_> = (0..rows * columns).map(|at| Ok(value(at))).collect();
    values[1] = Err(Undefined::NoVariance.to_string());
    let grid = Grid { measure: cka, settings: String::new(), values };
    Comparison {
        first: source("meta-llama/Llama-3.1-8B", rows, 4096),
        second: source("bert, \"base\"", columns, 768),
        examples: "sst2, validation, mean pooled".to_owned(),
        grids: vec![grid],
    }
}

#[test]
fn a_comparison_becomes_two_tables_and_two_figures_a_measure() {
    let folder = tempfile::tempdir().unwrap();
    let files = write(folder.path(), &comparison(5, 4)).unwrap();
    let names: Vec<_> = files.iter().map(|path| path.file_name().unwrap().to_string_lossy()).collect();
    assert_eq!(names, ["similarity.csv", "similarity.parquet", "similarity.json", "cka.svg", "cka.png"]);
    let text = std::fs::read_to_string(&files[0]).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 21);
    assert!(lines[0].starts_with("measure,settings,source_a,source_b,layer_a,layer_b,depth_a,depth_b,value"));
    assert!(lines[2].ends_with("higher is closer,the features do not vary between examples"), "{}", lines[2]);
    assert!(lines[1].contains("\"bert, \"\"base\"\"\""));
    let frame = parquet::read(&files[1], "similarity").unwrap();
    assert_eq!((frame.height(), frame.width()), (20, 20));
    assert_eq!(frame.column("value").unwrap().f64().unwrap().null_count(), 1);
    assert_eq!(frame.column("n").unwrap().u64().unwrap().get(0), Some(872));
    let svg = std::fs::read_to_string(&files[3]).unwrap();
    for part in ["debiased", "higher is closer", "by chance 0.000", "n = 872", "4096", "do not vary"] {
        assert!(svg.contains(part), "{part}");
    }
}

#[test]
fn figures_of_any_size_keep_their_texts_on_the_paper() {
    for (rows, columns) in [(1, 2), (13, 13), (34, 13), (3, 90), (81, 81)] {
        let comparison = comparison(rows, columns);
        let canvas = heatmap::figure(&comparison, &comparison.grids[0]);
        for shape in &canvas.shapes {
            if let super::super::plots::canvas::Shape::Text(label) = shape {
                let (left, top, right, bottom) = label.bounds();
                let on_paper = left >= 0.0 && top >= 0.0 && right <= canvas.width && bottom <= canvas.height;
                assert!(on_paper, "{rows} {columns} {label:?}");
            }
        }
    }
}

#[test]
fn a_comparison_reads_back_and_hostile_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let written = comparison(5, 4);
    write(folder.path(), &written).unwrap();
    let text = std::fs::read_to_string(folder.path().join("similarity.json")).unwrap();
    assert_eq!(parse(&text).unwrap(), written);
    for (from, to, says) in [
        ("\"schema_version\":1", "\"schema_version\":9", "schema 9"),
        ("\"measure\":\"cka\"", "\"measure\":\"<script>\"", "unknown measure `<script>`"),
        ("\"values\":[{", "\"values\":[{},{", "21 values for 20 pairs"),
        ("\"reason\":", "\"value\":1.0,\"reason\":", "without value and reason"),
        ("\"grids\"", "\"grid\"", "grid"),
    ] {
        let wrong = parse(&text.replacen(from, to, 1)).unwrap_err();
        assert!(wrong.contains(says), "{wrong}");
    }
}
