//! What stands before the first step: a layer from its file to a block that can compute, and texts to
//! tokens. `cargo bench --bench inputs -- LLM SLM TEXTS.jsonl`, two directories with a model each (for
//! example the random ones that `benches/compare_steps.py` leaves in its WORK) and lines with a `text`.
//! Beside the layer stand what its bytes take to be copied in memory and from the page cache.

#![expect(clippy::print_stdout, reason = "a table on the terminal is all that a bench is for")]

use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

use pifi_probe::data::Example;
use pifi_probe::device::Device;
use pifi_probe::hub::{ModelName, Settings, unwatched};
use pifi_probe::models::build::{self, Member, Target};
use pifi_probe::models::families::Scope;
use pifi_probe::sweep::inputs::Opened;

/// Texts of GLUE's SST-2: those of the file are taken again and again until there are as many.
const TEXTS: usize = 67_349;
const ROUNDS: usize = 7;

fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn open(folder: &str) -> Result<Opened, String> {
    let path = Path::new(folder).to_owned();
    Opened::new(&Settings::below(&path), &ModelName::Path(path), None).map_err(told)
}

/// Seconds of each round, sorted: the first stands for the machine at rest.
fn timed(mut work: impl FnMut()) -> [f64; ROUNDS] {
    let mut seconds = [0.0; ROUNDS];
    for second in &mut seconds {
        let begun = Instant::now();
        work();
        *second = begun.elapsed().as_secs_f64();
    }
    seconds.sort_by(f64::total_cmp);
    seconds
}

fn show(what: &str, bytes: f64, seconds: &[f64]) {
    let [least, median] = [seconds[0], seconds[seconds.len() / 2]];
    println!(
        "{what:<44} {:>7.1} ms median, {:>7.1} at best, {:.2} GB/s",
        median * 1e3,
        least * 1e3,
        bytes / least * 1e-9
    );
}

fn layer(folder: &str) -> Result<(), String> {
    let llm = open(folder)?;
    let bundle = llm.layer(0, Scope::OneToken, &mut unwatched).map_err(told)?;
    let path = Path::new(folder).join("model.safetensors");
    let bytes = bundle.bytes();
    println!("one layer for one token: {:.0} MiB as stored", bytes as f64 / f64::from(1 << 20));
    let spec = &llm.model.spec.blocks[0];
    let ready = timed(|| {
        let member =
            Member { checkpoint: llm.weights(&bundle, None), table: &llm.model.tensors, layer: Some(0) };
        let members = [member];
        let mut target = Target::Frozen(Device::CPU, &members);
        black_box(build::block(&mut target, 0, spec, Scope::OneToken, None).expect("the layer is whole"));
    });
    show("from its file to ready", bytes as f64, &ready);
    let file = File::open(&path).map_err(told)?;
    let length = bytes.min(file.metadata().map_err(told)?.len()) as usize;
    let read = timed(|| {
        let mut fresh = vec![0; length];
        file.read_exact_at(&mut fresh, 0).expect("the file is as long as it was");
        black_box(fresh);
    });
    show("as many bytes read from the page cache", bytes as f64, &read);
    let from = vec![1_u8; length];
    let copied = timed(|| drop(black_box(black_box(&from).clone())));
    show("as many bytes copied in memory", bytes as f64, &copied);
    println!(
        "ready at {:.0} % of the reading, {:.0} % of the copying",
        100.0 * read[0] / ready[0],
        100.0 * copied[0] / ready[0]
    );
    Ok(())
}

fn tokens(folder: &str, texts: &str) -> Result<(), String> {
    let encoder = open(folder)?.tokenizer(100).map_err(told)?;
    let lines = std::fs::read_to_string(texts).map_err(told)?;
    let mut examples = Vec::new();
    for line in lines.lines() {
        let fields: serde_json::Value = serde_json::from_str(line).map_err(told)?;
        let text = fields["text"].as_str().ok_or("a line without a `text`")?.to_owned();
        examples.push(Example { id: examples.len() as u64, text, pair: None, label: 0 });
    }
    let examples: Vec<Example> = examples.into_iter().cycle().take(TEXTS).collect();
    let bytes: usize = examples.iter().map(|example| example.text.len()).sum();
    let mut count = 0;
    let seconds = timed(|| count = encoder.encode_split(&examples).expect("texts of a data set").ids.len());
    println!("{TEXTS} texts, {count} tokens, {} threads", rayon::current_num_threads());
    show("to tokens", bytes as f64, &seconds);
    Ok(())
}

fn main() -> Result<(), String> {
    // cargo adds `--bench`
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let [llm, slm, texts] = &words[..] else {
        return Err("usage: cargo bench --bench inputs -- LLM SLM TEXTS.jsonl".into());
    };
    layer(llm)?;
    tokens(slm, texts)
}
