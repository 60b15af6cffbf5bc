//! Rows of the table: labelled texts that are not as they should be.

use std::fs;

use crate::table::{Row, changed, check};
use crate::world::{World, reviews};

/// Replaces the training file by another one.
fn train(world: &World, name: &str, content: impl AsRef<[u8]>) {
    world.remove("reviews/train.csv");
    world.write(&format!("reviews/{name}"), content);
}

fn task_file(world: &World, text: &str) {
    world.write("task.toml", text);
}

const FILE: &str = "layers --llm ./llm --slm ./slm --task task.toml";

const ROWS: &[Row] = &[
    changed(
        "no column of texts",
        |world| train(world, "train.csv", "words,label\na,positive\n"),
        "STUDY",
        1,
        &["train.csv` has no column that looks like a text", "`words`", ".toml"],
    ),
    changed(
        "no column of labels",
        |world| train(world, "train.csv", "text,klass\na,positive\n"),
        "STUDY",
        1,
        &["no column that looks like a label", "`klass`"],
    ),
    changed(
        "a column that the task names and the file lacks",
        |world| task_file(world, "text = 'body'\nsource = { files = { train = 'reviews/train.csv' } }\n"),
        FILE,
        1,
        &["no column `body`", "`text`, `label`"],
    ),
    changed(
        "a label that no training row has",
        |world| world.write("reviews/test.csv", reviews(16..20, "positive", "neutral")),
        "STUDY",
        1,
        &["reviews/test.csv`, row 2", "unknown label `neutral`", "`negative`, `positive`"],
    ),
    changed(
        "a label that the task does not name",
        |world| {
            task_file(
                world,
                "labels = ['good', 'bad']\nsource = { files = { train = 'reviews/train.csv' } }\n",
            );
        },
        FILE,
        1,
        &["row 1", "unknown label `positive`", "`good`, `bad`", "`map`"],
    ),
    changed(
        "a label that is empty",
        |world| train(world, "train.csv", "text,label\nfine,\n"),
        "STUDY",
        1,
        &["row 1", "column `label`", "a whole number or a name"],
    ),
    changed(
        "one class",
        |world| {
            for split in ["train", "validation", "test"] {
                world.write(&format!("reviews/{split}.csv"), "text,label\nfine,positive\nbetter,positive\n");
            }
        },
        "STUDY",
        1,
        &["column `label`", "1 different values", "2 to 1000 classes"],
    ),
    changed("an empty file", |world| train(world, "train.csv", ""), "STUDY", 1, &["train.csv` has no rows"]),
    changed(
        "a file with nothing but columns",
        |world| train(world, "train.csv", "text,label\n"),
        "STUDY",
        1,
        &["train.csv` has no rows"],
    ),
    changed(
        "an empty file of a packed format",
        |world| train(world, "train.jsonl.gz", ""),
        "STUDY",
        1,
        &["train.jsonl.gz"],
    ),
    changed(
        "bytes that are no text",
        |world| train(world, "train.csv", b"text,label\nfine,positive\ncaf\xe9,negative\n"),
        "STUDY",
        1,
        &["train.csv`, row 2", "not UTF-8", "iconv"],
    ),
    changed(
        "bytes that are no text, in JSON",
        |world| train(world, "train.jsonl", b"{\"text\":\"caf\xe9\",\"label\":1}\n"),
        "STUDY",
        1,
        &["train.jsonl`, row 1", "not UTF-8"],
    ),
    changed(
        "half a line of JSON",
        |world| train(world, "train.jsonl", "{\"text\": \"fine\", \"label\": 1}\n{\"text\": \"a\""),
        "STUDY",
        1,
        &["train.jsonl` is not valid JSON lines (row 2)", "truncated"],
    ),
    changed(
        "a quote without an end",
        |world| train(world, "train.csv", "text,label\n\"fine,positive\n"),
        "STUDY",
        1,
        &["train.csv`", "quoted field has no end"],
    ),
    changed(
        "a row with too many fields",
        |world| train(world, "train.csv", "text,label\nfine, very,positive\n"),
        "STUDY",
        1,
        &["row 1", "3 fields, expected 2", "double quotes"],
    ),
    changed(
        "parquet that is none",
        |world| train(world, "train.parquet", "PAR1 and so on PAR1"),
        "STUDY",
        1,
        &["train.parquet` is not valid parquet", "truncated"],
    ),
    changed(
        "a folder without a training file",
        |world| world.remove("reviews/train.csv"),
        "STUDY",
        1,
        &["`reviews` holds no training file", "`train.*`"],
    ),
    changed(
        "a file of an unknown kind",
        |world| world.write("reviews.docx", "x"),
        "layers --llm ./llm --slm ./slm --task reviews=reviews.docx",
        1,
        &["`reviews.docx` has no known ending", "`.csv`"],
    ),
    changed(
        "a task file that is none",
        |world| task_file(world, "source = 3\n"),
        FILE,
        2,
        &["task.toml", "line 1"],
    ),
    changed(
        "a task file with an unknown field",
        |world| task_file(world, "txt = 'a'\nsource = { files = { train = 'reviews/train.csv' } }\n"),
        FILE,
        2,
        &["task.toml", "`txt`"],
    ),
    changed(
        "a task file that names a class twice",
        |world| {
            task_file(world, "labels = ['a', 'a']\nsource = { files = { train = 'reviews/train.csv' } }\n");
        },
        FILE,
        2,
        &["names `a` twice"],
    ),
    changed(
        "a task file without its data",
        |world| task_file(world, "source = { files = { train = 'none.csv' } }\n"),
        FILE,
        2,
        &["none.csv"],
    ),
    changed(
        "another domain with other labels",
        |world| {
            for split in ["train", "validation", "test"] {
                world.write(&format!("others/{split}.csv"), reviews(30..38, "great", "negative"));
            }
        },
        "STUDY --task others=others --eval others",
        1,
        &[
            "`others` has the labels `great`, `negative`",
            "those of `reviews`: `negative`, `positive`",
            "--eval",
        ],
    ),
    changed(
        "a study file with an unknown key",
        |world| world.write("study.toml", "llm = './llm'\nlayer = 'all'\n"),
        "layers --config study.toml",
        2,
        &["study.toml", "`layer`", "did you mean `layers`"],
    ),
    changed(
        "a study file with a value that cannot be",
        |world| world.write("study.toml", "llm = './llm'\n[hyper_parameters]\nepochs = 'three'\n"),
        "layers --config study.toml",
        2,
        &["study.toml", "line 3"],
    ),
];

#[test]
fn data_that_cannot_be_is_named_with_its_file_and_row() {
    check(ROWS);
}

/// A test set that stands in the training set as a whole leaves nothing to measure without it.
#[test]
fn a_test_set_that_is_the_training_set_is_measured_and_named() {
    let world = World::new();
    let same = fs::read(world.path("reviews/train.csv")).unwrap();
    world.write("reviews/test.csv", same);
    let ended = world.run("STUDY --epochs 1 --seeds 1 --layers 0");
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let report = fs::read_to_string(world.path("outputs/llm-slm-reviews/report.md")).unwrap();
    assert!(report.contains("16"), "{report}");
    world.assert_whole("outputs", "same texts");
}
