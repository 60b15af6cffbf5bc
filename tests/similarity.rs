//! `similarity` from stored hidden states to tables and figures, through the program itself.

use std::path::Path;
use std::process::{Command, Output};

use pifi_probe::runs::parquet;
use pifi_probe::runs::representations::{Manifest, Representations, Site, SourceOf};
use pifi_probe::seed::Seed;

const N: usize = 60;

/// Stores a model of an embedding and `layers` layers, each nearer to what all models share.
fn store(out: &Path, key: &str, model: &str, layers: usize, width: usize, ids: u64) {
    let mut shared = Seed(1).stream();
    let shared: Vec<f64> = (0..N * 4).map(|_| shared.normal()).collect();
    let mut stream = Seed(width as u64).stream();
    let numbers: Vec<Vec<f32>> = (0..=layers)
        .map(|layer| {
            let mix: Vec<f64> = (0..4 * width).map(|_| stream.normal()).collect();
            let noise = 3.0 / (layer + 1) as f64;
            let mut values = Vec::with_capacity(N * width);
            for row in 0..N {
                for column in 0..width {
                    let signal: f64 = (0..4).map(|i| shared[row * 4 + i] * mix[i * width + column]).sum();
                    values.push((signal + noise * stream.normal() + 1.0) as f32);
                }
            }
            values
        })
        .collect();
    let site = |at: usize| Site {
        name: if at == 0 { "embeddings".into() } else { format!("layer {}", at - 1) },
        layer: at.checked_sub(1),
        width,
        file: String::new(),
        sha256: String::new(),
    };
    let manifest = Manifest {
        schema_version: 1,
        key: key.into(),
        source: SourceOf::Llm,
        model: model.into(),
        revision: "0".into(),
        task: "sst2".into(),
        data_hash: "d".into(),
        whole_hash: None,
        split: "validation".into(),
        pool: "mean".into(),
        max_length: 32,
        limit: None,
        n: N,
        sites: (0..=layers).map(site).collect(),
        example_ids: (ids..ids + N as u64).collect(),
        labels: (0..N as u32).map(|row| row % 2).collect(),
        label_names: vec!["negative".into(), "positive".into()],
    };
    Representations::at(out).put(&manifest, &numbers).expect("hidden states are stored");
}

fn program(out: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pifi-probe"));
    command.arg("similarity").args(words).arg("--out").arg(out);
    command.output().expect("the program runs")
}

#[test]
fn layers_of_one_model_and_of_two_are_compared_and_other_examples_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path();
    store(out, "aaaaaaaa01", "demo/large", 4, 24, 0);
    store(out, "bbbbbbbb02", "demo/small", 2, 12, 0);
    store(out, "cccccccc03", "demo/other", 2, 12, 7);

    let one = program(out, &["demo/large", "--name", "one"]);
    let text = String::from_utf8_lossy(&one.stdout);
    assert!(one.status.success(), "{}", String::from_utf8_lossy(&one.stderr));
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(text.contains("cka: linear CKA, debiased, higher is closer, 25 pairs"), "{text}");
    let table = parquet::read(&out.join("similarity/one/similarity.parquet"), "similarity").expect("a table");
    assert_eq!(table.height(), 3 * 25);
    let values = table.column("value").and_then(|column| column.f64()).expect("numbers").clone();
    // a layer equals itself, and the last two layers are closer than the first and the last
    assert!((values.get(0).unwrap() - 1.0).abs() < 1e-6);
    assert!(values.get(4 * 5 + 3).unwrap() > values.get(4).unwrap());

    let measures = "cka,svcca,procrustes,knn-jaccard,rsa-euclid,cosine";
    let words = ["demo/large", "demo/small", "--measure", measures, "--sites", "0,-1", "--components", "8"];
    let two = program(out, &[&words[..], &["--json"]].concat());
    assert!(two.status.success(), "{}", String::from_utf8_lossy(&two.stderr));
    let document: serde_json::Value = serde_json::from_slice(&two.stdout).expect("a document");
    let grids = document["grids"].as_array().expect("grids");
    assert_eq!(grids.len(), 6);
    assert!(grids[..5].iter().all(|grid| grid["values"].as_array().is_some_and(|values| values.len() == 4)));
    assert!(grids[..5].iter().all(|grid| grid["values"][3]["value"].is_f64()), "{grids:#?}");
    assert_eq!(grids[1]["settings"], "leading 8 components");
    let reason = grids[5]["values"][0]["reason"].as_str().expect("a reason");
    assert!(reason.contains("24 and 12 channels"), "{reason}");
    assert_eq!(document["first"]["sites"][1]["depth"], 1.0);

    let refused = program(out, &["demo/large", "demo/other"]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2));
    assert!(said.contains("not of the same examples: as many, but other examples"), "{said}");
    for (words, expected) in [
        (["demo/large", "--measure", "ckaa"], "did you mean `cka`?"),
        (["demo/large", "--sites", "9"], "has no place `9`"),
        (["demo/large", "--name", "../x"], "`--name` is `../x`"),
        (["demo/large", "--gaussian-width", "0"], "a number above zero"),
    ] {
        let wrong = program(out, &words);
        assert_eq!(wrong.status.code(), Some(2), "{words:?}");
        assert!(String::from_utf8_lossy(&wrong.stderr).contains(expected), "{words:?} {wrong:?}");
    }
}
