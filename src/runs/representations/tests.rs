//! Written and read back, and lies told apart.

use std::fs;
use std::path::Path;

use super::*;
use crate::error::Diagnose;

fn site(name: &str, layer: Option<usize>, width: usize) -> Site {
    Site { name: name.into(), layer, width, file: String::new(), sha256: String::new() }
}

fn manifest(key: &str, model: &str) -> Manifest {
    Manifest {
        schema_version: SCHEMA_VERSION,
        key: key.into(),
        source: SourceOf::Llm,
        model: model.into(),
        revision: "abc".into(),
        task: "sst2".into(),
        data_hash: "def".into(),
        whole_hash: None,
        split: "test".into(),
        pool: "mean".into(),
        max_length: 100,
        limit: Some(3),
        n: 3,
        sites: vec![site("embeddings", None, 2), site("layer 0", Some(0), 4)],
        example_ids: vec![5, 6, 9],
        labels: vec![0, 1, 1],
        label_names: vec!["negative".into(), "positive".into()],
    }
}

fn numbers() -> Vec<Vec<f32>> {
    vec![(0..6).map(|x| x as f32).collect(), (0..12).map(|x| -0.5 * x as f32).collect()]
}

fn stored() -> (tempfile::TempDir, Representations, Manifest) {
    let out = tempfile::tempdir().expect("a temporary folder");
    let store = Representations::at(out.path());
    let written = store.put(&manifest("0123456789abcdef", "tiny"), &numbers()).expect("writes");
    (out, store, written)
}

#[test]
fn what_is_written_is_listed_found_and_read_back() {
    let (_out, store, written) = stored();
    assert_eq!(store.list().expect("lists"), std::slice::from_ref(&written));
    for typed in ["01234567", "0123456789abcdef", "tiny", "tiny:sst2", "tiny:sst2:test"] {
        assert_eq!(store.find(typed).expect(typed), written);
    }
    let opened = store.open(&written);
    for (at, expected) in numbers().into_iter().enumerate() {
        assert_eq!(opened.read(at).expect("reads"), expected);
    }
    assert!(matches!(opened.read(2), Err(Error::Site { site: 2, count: 2, .. })));
    assert_eq!(written.bytes(), 18 * 4);
    // a second writing replaces the first
    store.put(&written, &numbers()).expect("writes");
    assert_eq!(store.list().expect("lists").len(), 1);
    assert_eq!(fs::read_dir(store.folder().join(".staged")).expect("lists").count(), 0);
}

#[test]
fn a_name_that_is_unknown_or_stands_for_several_says_what_there_is() {
    let (_out, store, written) = stored();
    let unknown = store.find("tiny:sst2:tst").expect_err("unknown");
    assert_eq!(unknown.hint().expect("hints"), "did you mean `tiny:sst2:test`?");
    assert!(matches!(store.find("0123"), Err(Error::Unknown { .. })), "four letters are no key");
    let other = Manifest { pool: "last".into(), key: "fedcba98".into(), ..written };
    store.put(&other, &numbers()).expect("writes");
    let several = store.find("tiny").expect_err("ambiguous").to_string();
    let expected = "`tiny` stands for 2 representations: 01234567 (tiny:sst2:test, mean pooled), \
                    fedcba98 (tiny:sst2:test, last pooled)";
    assert_eq!(several, expected);
    let nowhere = Representations::at(Path::new("/nowhere"));
    assert_eq!(nowhere.list().expect("an absent folder holds nothing"), []);
    assert!(nowhere.find("tiny").expect_err("unknown").hint().expect("hints").contains("represent"));
}

#[test]
fn a_file_changed_or_cut_anywhere_is_refused() {
    let (_out, store, written) = stored();
    let path = store.folder().join(&written.key).join("layer-000.safetensors");
    let whole = fs::read(&path).expect("reads");
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        fs::write(&path, changed).expect("writes");
        assert!(store.open(&written).read(0).is_err(), "byte {at}");
        fs::write(&path, &whole[..at]).expect("writes");
        assert!(store.open(&written).read(0).is_err(), "cut at {at}");
    }
    fs::write(&path, &whole).expect("writes");
    assert!(store.open(&written).read(0).is_ok());
}

#[test]
fn numbers_that_are_not_finite_are_refused_by_row() {
    let (_out, store, written) = stored();
    let mut rows = numbers();
    rows[1][9] = f32::NAN;
    let written = store.put(&written, &rows).expect("writes");
    let refused = store.open(&written).read(1).expect_err("refused").to_string();
    assert!(refused.ends_with("row 2 holds NaN, expected finite numbers"), "{refused}");
}

#[test]
fn a_manifest_that_lies_is_refused_and_does_not_hide_the_others() {
    let (_out, store, written) = stored();
    store.put(&Manifest { key: "fedcba98".into(), ..written.clone() }, &numbers()).expect("writes");
    let path = store.folder().join(&written.key).join("manifest.json");
    let whole: serde_json::Value = serde_json::from_slice(&fs::read(&path).expect("reads")).expect("JSON");
    let lies: [(&str, serde_json::Value, &str); 9] = [
        ("schema_version", 2.into(), "schema version 2"),
        ("key", "fedcba98".into(), "expected `0123456789abcdef`"),
        ("key", "../../etc".into(), "lower-case hexadecimal"),
        ("n", 4.into(), "3 example ids and 3 labels for 4 examples"),
        ("labels", serde_json::json!([0, 1, 2]), "label 2, but there are 2 classes"),
        ("sites", serde_json::json!([]), "lists no site"),
        ("n", (-1).into(), "invalid value"),
        ("pool", serde_json::Value::Null, "invalid type"),
        ("example_ids", serde_json::json!([1]), "1 example ids"),
    ];
    for (field, value, reason) in lies {
        let mut lie = whole.clone();
        lie[field] = value;
        fs::write(&path, lie.to_string()).expect("writes");
        let refused = store.find("01234567").expect_err("refused").to_string();
        assert!(refused.contains(reason), "{field}: {refused}");
        assert_eq!(store.list().expect("lists").len(), 1);
    }
    let sites: [(&str, serde_json::Value); 4] = [
        ("file", "../secret".into()),
        ("width", 0.into()),
        ("width", serde_json::json!(1u64 << 60)),
        ("sha256", "00".into()),
    ];
    for (field, value) in sites {
        let mut lie = whole.clone();
        lie["sites"][0][field] = value;
        fs::write(&path, lie.to_string()).expect("writes");
        let refused = store.read(&written.key).expect_err("refused").to_string();
        assert!(refused.contains("site `embeddings`"), "{refused}");
    }
    for broken in ["", "[]", "{", "null"] {
        fs::write(&path, broken).expect("writes");
        assert!(store.read(&written.key).is_err());
    }
}

#[test]
fn rows_must_fit_and_all_must_come() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut file = SiteFile::create(folder.path(), 0, 2, 3).expect("creates");
    file.push(&[1.0; 3]).expect("fits");
    assert!(file.push(&[1.0; 4]).is_err());
    assert!(file.finish().is_err());
    assert!(!folder.path().join("layer-000.safetensors").exists());
}

/// Begins work on a key, or goes on with it, with one site of width 2 for three texts.
fn together(store: &Representations, key: &str) -> Together {
    let mut files = store.work(key).expect("is free").together(3).expect("begins");
    if files.texts() == 0 {
        files.begin(vec![site("pooled", None, 2)]).expect("begins");
    }
    files
}

#[test]
fn a_model_passed_as_a_whole_goes_on_behind_what_was_counted() {
    let (out, key) = (tempfile::tempdir().expect("a temporary folder"), "00112233445566aa");
    let store = Representations::at(out.path());
    let mut files = together(&store, key);
    files.push(0, &[1.0, 2.0]).expect("writes");
    files.passed(1).expect("is counted");
    // rows that were written and not counted are written again
    files.push(0, &[9.0, 9.0, 9.0, 9.0]).expect("writes");
    drop(files);
    let mut files = together(&store, key);
    assert_eq!(files.texts(), 1);
    files.push(0, &[3.0, 4.0, 5.0, 6.0]).expect("writes");
    files.passed(2).expect("is counted");
    drop(files);
    // all had passed: nothing is left but to publish
    let files = together(&store, key);
    assert_eq!(files.texts(), 3);
    let one = Manifest { sites: Vec::new(), ..manifest(key, "run-0011-before") };
    let written = files.publish(one).expect("is whole");
    assert_eq!(store.open(&written).read(0).expect("reads"), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    // the same as without any break
    let other = "00112233445566bb";
    let mut files = together(&store, other);
    files.push(0, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).expect("writes");
    let one = Manifest { sites: Vec::new(), ..manifest(other, "run-0011-before") };
    assert_eq!(files.publish(one).expect("is whole").sites, written.sites);
}

#[test]
fn parts_that_changed_or_are_of_another_number_of_texts_begin_anew() {
    let (out, key) = (tempfile::tempdir().expect("a temporary folder"), "00112233445566aa");
    let store = Representations::at(out.path());
    let begun = || {
        let mut files = together(&store, key);
        files.push(0, &[1.0, 2.0]).expect("writes");
        files.passed(1).expect("is counted");
    };
    let part = store.folder().join(".work").join(key).join("layer-000.safetensors.partial");
    let texts = |n: usize| store.work(key).expect("is free").together(n).expect("begins").texts();
    begun();
    assert_eq!(texts(3), 1);
    let mut bytes = fs::read(&part).expect("reads");
    *bytes.last_mut().expect("has bytes") ^= 1;
    fs::write(&part, bytes).expect("writes");
    assert_eq!(texts(3), 0);
    begun();
    fs::remove_file(&part).expect("removes");
    assert_eq!(texts(3), 0);
    begun();
    assert_eq!(texts(4), 0);
}
