//! Hidden states by the program: of a run before and after its training, of a model whose work is
//! killed, and what is said where they cannot be had.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use pifi_probe::hub::{ModelName, Repository, Settings, unwatched};
use pifi_probe::runs::representations::{Manifest, Representations};
use serde_json::Value;

use crate::table::{Row, changed, check, judge, typed};
use crate::world::{World, finish, fixture, reviews, words};

/// Of the largest number of a site.
const TOLERANCE: f64 = 1e-5;

/// A matrix of a safetensors file, by its name.
fn weights(path: &std::path::Path, name: &str) -> Vec<f64> {
    let settings = Settings::below(path);
    let repository = Repository::open(&settings, &ModelName::Path(path.to_owned()), None).unwrap();
    let tensor = repository.checkpoint(&mut unwatched).unwrap().tensor(name).unwrap();
    tensor.to_f32().unwrap().into_iter().map(f64::from).collect()
}

/// Rows through a matrix `[outputs, inputs]`.
fn through(rows: &[f64], matrix: &[f64], inputs: usize) -> Vec<f64> {
    let dot = |row: &[f64], weights: &[f64]| row.iter().zip(weights).map(|(a, b)| a * b).sum::<f64>();
    rows.chunks(inputs).flat_map(|row| matrix.chunks(inputs).map(move |weights| dot(row, weights))).collect()
}

/// Root mean square norm with weights, epsilon 1e-5 as the fixture's configuration says.
fn normed(rows: &[f64], weights: &[f64]) -> Vec<f64> {
    let one = |row: &[f64]| {
        let mean = row.iter().map(|x| x * x).sum::<f64>() / row.len() as f64;
        let scale = 1.0 / (mean + 1e-5).sqrt();
        row.iter().zip(weights).map(|(x, w)| x * scale * w).collect::<Vec<f64>>()
    };
    rows.chunks(weights.len()).flat_map(one).collect()
}

fn plus(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

/// Layer 2 of the fixture for one token, of which softmax leaves the value alone: written down once
/// more, from the weights that the model came with.
fn frozen_layer(rows: &[f64]) -> Vec<f64> {
    let path = fixture("llm/llama2").join("model.safetensors");
    let of = |name: &str| weights(&path, &format!("model.layers.2.{name}.weight"));
    let values = through(&normed(rows, &of("input_layernorm")), &of("self_attn.v_proj"), 32);
    let rows = plus(rows, &through(&values, &of("self_attn.o_proj"), 32));
    let normed = normed(&rows, &of("post_attention_layernorm"));
    let gate = through(&normed, &of("mlp.gate_proj"), 32);
    let up = through(&normed, &of("mlp.up_proj"), 32);
    let inner: Vec<f64> = gate.iter().zip(up).map(|(g, u)| g / (1.0 + (-g).exp()) * u).collect();
    plus(&rows, &through(&inner, &of("mlp.down_proj"), 48))
}

fn assert_near(found: &[f64], expected: &[f64], about: &str) {
    assert_eq!(found.len(), expected.len(), "{about}");
    let largest = expected.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
    let error = found.iter().zip(expected).fold(0.0_f64, |most, (a, b)| most.max((a - b).abs()));
    assert!(error <= TOLERANCE * largest, "{about}: {error} of {largest}");
}

/// Runs `represent` and reads what it stored: the manifest, and each site's numbers by name.
fn represent(world: &World, line: &str) -> (Manifest, BTreeMap<String, Vec<f64>>) {
    let ended = world.run(&format!("represent {line} --json"));
    assert_eq!(ended.code, Some(0), "{line}\n{}", ended.err);
    let last: Value = serde_json::from_str(ended.out.lines().last().unwrap()).unwrap();
    let store = Representations::at(&world.path("outputs"));
    let manifest = store.read(last["key"].as_str().unwrap()).unwrap();
    let opened = store.open(&manifest);
    let numbers = |at: usize| opened.read(at).unwrap().into_iter().map(f64::from).collect();
    let sites = manifest.sites.iter().enumerate().map(|(at, site)| (site.name.clone(), numbers(at)));
    (manifest.clone(), sites.collect())
}

/// The runs of a study by condition.
fn runs(world: &World) -> BTreeMap<String, String> {
    let records = world.files("outputs/runs").into_iter();
    let ids = records.filter_map(|file| file.strip_suffix("/run.json").map(str::to_owned));
    ids.map(|id| {
        let text = fs::read(world.path("outputs/runs").join(&id).join("run.json")).unwrap();
        let record: Value = serde_json::from_slice(&text).unwrap();
        (record["condition"].to_string(), id)
    })
    .collect()
}

#[test]
fn a_run_gives_what_its_plug_is_given_and_what_it_makes_of_it_before_and_after_training() {
    for (flags, trains_encoder) in [("", true), ("--train plug --pooling mean", false)] {
        let world = World::new();
        let study = format!(
            "STUDY --layers 2 --seeds 1 --controls base,mlp --save all --epochs 3 --batch-size 4 --lr 0.01 {flags}"
        );
        let ended = world.run(&study);
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        let runs = runs(&world);
        let of = |word: &str| runs.iter().find(|(name, _)| name.contains(word)).unwrap().1.clone();
        let id = of("layer");
        let task = "--task reviews=reviews --batch-size 3";
        let (after, trained) = represent(&world, &format!("--run {id} {task}"));
        let (before, first) = represent(&world, &format!("--run {id} --before {task}"));
        assert_ne!(after.key, before.key);
        let names: Vec<&str> = after.sites.iter().map(|site| site.name.as_str()).collect();
        assert_eq!(names, ["pooled", "l_in", "layer", "l_out"]);
        assert_eq!(after.sites[2].layer, Some(2));
        assert_eq!((after.n, after.labels.len()), (16, 16));

        // what is stored after training follows from the kept weights
        let model = world.path("outputs/runs").join(&id).join("model.safetensors");
        let width = after.sites[0].width;
        let (l_in, l_out) = (weights(&model, "l_in.weight"), weights(&model, "l_out.weight"));
        assert_near(&trained["l_in"], &through(&trained["pooled"], &l_in, width), "l_in");
        assert_near(&trained["l_out"], &through(&trained["layer"], &l_out, 32), "l_out");
        // the frozen layer is the model's own, before as after
        for sites in [&first, &trained] {
            assert_near(&sites["layer"], &frozen_layer(&sites["l_in"]), "layer");
        }
        // what trains has moved, what is frozen has not
        assert_eq!(first["pooled"] != trained["pooled"], trains_encoder);
        for site in ["l_in", "layer", "l_out"] {
            assert_ne!(first[site], trained[site], "{site}");
        }
        // the size of a batch is no part of the result
        let (_, whole) = represent(&world, &format!("--run {} {task}", of("mlp")));
        assert_eq!(whole.keys().collect::<Vec<_>>(), ["gelu", "l_in", "l_out", "pooled"]);
        let (_, base) = represent(&world, &format!("--run {} --before {task}", of("base")));
        assert_eq!(base.keys().collect::<Vec<_>>(), ["pooled"]);
        assert_near(&base["pooled"], &first["pooled"], "the small model's own vector");
        // a limit takes some of the examples
        let (few, rows) = represent(&world, &format!("--run {id} {task} --limit 5"));
        let at = after.example_ids.iter().position(|id| *id == few.example_ids[4]).unwrap();
        assert_near(&rows["l_in"][4 * 32..], &trained["l_in"][at * 32..][..32], "the last of five");
        world.assert_whole("outputs", flags);

        // hidden states of one run after and before are compared site by site
        let ended = world.run(&format!("similarity {} {} --measure cka", after.key, before.key));
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        assert!(ended.out.contains("16 pairs") && ended.out.contains("n = 16"), "{}", ended.out);
    }
}

#[test]
fn a_run_that_kept_no_weights_is_represented_before_training_only() {
    let world = World::new();
    let ended = world.run("STUDY --layers 2 --seeds 1 --controls none --epochs 1");
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let id = runs(&world).into_values().next().unwrap();
    let ended = world.run(&format!("represent --run {id} --task reviews=reviews"));
    assert_eq!(judge(&ended, 1, &["kept no weights", "--save best"]), [""; 0], "{}", ended.err);
    represent(&world, &format!("--run {id} --before --task reviews=reviews"));
}

/// Everything that a representation consists of.
fn stored(world: &World, out: &str) -> BTreeMap<String, Vec<u8>> {
    let root = format!("{out}/representations");
    let files = world.files(&root).into_iter().filter(|file| !file.starts_with('.'));
    files.map(|file| (file.clone(), fs::read(world.path(&root).join(&file)).unwrap())).collect()
}

#[test]
fn work_that_was_killed_goes_on_to_the_bytes_of_undisturbed_work() {
    let world = World::new();
    for split in ["train", "validation"] {
        world.write(&format!("many/{split}.csv"), reviews(0..4, "positive", "negative"));
    }
    world.write("many/test.csv", reviews(10..1500, "positive", "negative"));
    let line = "represent --slm ./slm --task many=many --pool mean --batch-size 4 --out";
    let ended = world.run(&format!("{line} whole"));
    assert_eq!(ended.code, Some(0), "{}", ended.err);

    let mut child = world.program().args(words(&format!("{line} outputs"))).spawn().unwrap();
    let since = Instant::now();
    while !world.files("outputs/representations/.work").iter().any(|file| file.ends_with("/progress.json")) {
        assert!(since.elapsed() < Duration::from_secs(120), "no step ends");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    finish(child);
    assert!(stored(&world, "outputs").is_empty(), "it was over before it was killed");
    let again = world.run(&format!("{line} outputs"));
    assert_eq!(again.code, Some(0), "{}", again.err);
    assert!(again.err.contains("done by an earlier command"), "{}", again.err);
    assert!(stored(&world, "outputs") == stored(&world, "whole"), "the resumed states differ");
    let left = world.files("outputs/representations/.work");
    assert!(left.is_empty(), "{left:?}");
}

/// Starts a line and kills it when the texts that passed are written down, the `at`-th time that is seen.
fn killed_midway(world: &World, line: &str, at: usize) {
    let mut child = world.program().args(words(line)).spawn().unwrap();
    let since = Instant::now();
    let root = "outputs/representations/.work";
    let passed = || {
        let file = world.files(root).into_iter().find(|file| file.ends_with("/progress.json"))?;
        let text = fs::read(world.path(root).join(file)).ok()?;
        serde_json::from_slice::<Value>(&text).ok()?["parts"]["texts"].as_u64()
    };
    while passed().is_none_or(|texts| (texts as usize) < at) {
        assert!(since.elapsed() < Duration::from_secs(120), "no batch passes");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    finish(child);
    assert!(stored(world, "outputs").is_empty(), "it was over before it was killed");
}

#[test]
fn a_run_whose_work_was_killed_goes_on_behind_the_last_batch_to_the_same_bytes() {
    let world = World::new();
    for split in ["train", "validation"] {
        world.write(&format!("many/{split}.csv"), reviews(0..4, "positive", "negative"));
    }
    world.write("many/test.csv", reviews(10..1510, "positive", "negative"));
    let ended = world.run("STUDY --layers 2 --seeds 1 --controls none --epochs 1");
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let id = runs(&world).into_values().next().unwrap();
    let line = format!("represent --run {id} --before --task many=many --batch-size 4 --json");
    let ended = world.run(&line);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let whole = stored(&world, "outputs");
    assert_eq!(whole.len(), 5, "four sites and a manifest: {:?}", whole.keys());
    let forget = || fs::remove_dir_all(world.path("outputs/representations")).unwrap();
    let again = || {
        let ended = world.run(&line);
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        assert!(stored(&world, "outputs") == whole, "the resumed states differ");
        let left = world.files("outputs/representations/.work");
        assert!(left.is_empty(), "{left:?}");
        let planned: Value = serde_json::from_str(ended.out.lines().next().unwrap()).unwrap();
        assert_eq!(planned["event"], "planned");
        planned["resumed_examples"].as_u64().unwrap()
    };

    // killed twice on the way: what had passed does not pass again
    forget();
    killed_midway(&world, &line, 40);
    killed_midway(&world, &line, 200);
    let resumed = again();
    assert!((200..1_500).contains(&resumed) && resumed % 4 == 0, "{resumed}");

    // a part that is not the one that was written is not believed
    forget();
    killed_midway(&world, &line, 40);
    let files = world.files("outputs/representations/.work");
    let part = files.iter().find(|file| file.ends_with("layer-001.safetensors.partial")).unwrap();
    let path = world.path("outputs/representations/.work").join(part);
    let mut bytes = fs::read(&path).unwrap();
    bytes[200] ^= 1;
    fs::write(&path, bytes).unwrap();
    assert_eq!(again(), 0);
}

fn empty_split(world: &World) {
    world.write("reviews/test.csv", "text,label\n");
}

const ROWS: &[Row] = &[
    typed(
        "an LLM without a tokenizer",
        "represent --llm ./llm --task r=reviews",
        1,
        &["`tokenizer.json`", "copy the missing file"],
    ),
    changed(
        "a split without rows",
        empty_split,
        "represent --slm ./slm --task r=reviews",
        1,
        &["test.csv` has no rows"],
    ),
    typed("no examples", "represent --slm ./slm --task r=reviews --limit 0", 2, &["'--limit <N>'"]),
    typed("two sources", "represent --slm ./slm --llm demo", 2, &["cannot be used with"]),
    typed("no source", "represent --task r=reviews", 2, &["--llm", "--run"]),
    typed("an unknown run", "represent --run 3fa8", 2, &["no run `3fa8`", "runs list"]),
    typed("before of a model", "represent --slm ./slm --before", 2, &["cannot be used with", "--before"]),
    typed(
        "a layer that there is not",
        "represent --slm ./slm --task r=reviews --layers 7",
        2,
        &["7", "`./slm`"],
    ),
    typed(
        "a model that was never fetched",
        "represent --llm org/none --task r=reviews",
        5,
        &["`org/none`", "HF_HUB_OFFLINE=1", "the same command with `--limit 1`"],
    ),
];

#[test]
fn what_cannot_be_represented_is_said_with_its_remedy() {
    check(ROWS);
}
