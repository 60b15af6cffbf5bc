//! Hidden states computed one layer at a time are those that transformers reports, whatever the
//! split into batches (tests/oracle/make_oracle.py made the references).

use std::path::{Path, PathBuf};

use pifi_probe::data::encode::EncodedSplit;
use pifi_probe::device::Device;
use pifi_probe::error::Failure;
use pifi_probe::hub::alias::Role;
use pifi_probe::hub::tensor::{RawTensor, TensorSource};
use pifi_probe::hub::{self, Checkpoint, ModelName, Repository, Settings, unwatched};
use pifi_probe::models::families;
use pifi_probe::models::pooling::Pooling;
use pifi_probe::models::weights;
use pifi_probe::represent::{Error, Walk};
use pifi_probe::runs::representations::{Manifest, Representations};
use pifi_probe::sweep::represent::{Event, Request, Texts, compute};

#[path = "common/tape.rs"]
mod tape;

use tape::Memory;

/// Relative to the largest number of the reference: that of whole models in `verify`.
const TOLERANCE: f32 = 1e-5;

fn checkpoint(path: &Path) -> Checkpoint {
    let repository = Repository::open(&Settings::below(path), &ModelName::Path(path.to_owned()), None);
    repository.expect("opens").checkpoint(&mut unwatched).expect("is whole")
}

fn integers(raw: &RawTensor) -> Vec<u32> {
    raw.bytes.as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b) as u32).collect()
}

struct Case {
    name: String,
    model: families::Model,
    names: families::Names,
    tensors: Checkpoint,
    golden: Checkpoint,
    hidden: &'static str,
    texts: EncodedSplit,
    /// Rows of the references that are real tokens.
    real: Vec<usize>,
}

impl Case {
    fn open(folder: &Path, ids: &str, hidden: &'static str) -> Option<Self> {
        let config = std::fs::read(folder.join("config.json")).expect("reads");
        let model = families::read(&hub::config::parse(&config, "config.json").expect("parses")).ok()?;
        let (tensors, golden) = (checkpoint(folder), checkpoint(&folder.join("golden.safetensors")));
        let raw = golden.tensor(ids).ok()?;
        let [examples, length] = raw.shape[..] else { panic!("{:?}", raw.shape) };
        let ids = integers(&raw);
        let all = |name: &str, otherwise: u32| {
            golden.tensor(name).map_or_else(|_| vec![otherwise; ids.len()], |raw| integers(&raw))
        };
        let (mask, types) = match hidden {
            "hidden" => (all("in.mask", 1), all("in.type_ids", 0)),
            _ => (vec![1; ids.len()], vec![0; ids.len()]),
        };
        let real: Vec<usize> = (0..ids.len()).filter(|row| mask[*row] != 0).collect();
        let texts = EncodedSplit {
            ids: real.iter().map(|row| ids[*row]).collect(),
            type_ids: real.iter().map(|row| types[*row]).collect(),
            offsets: (0..=examples).map(|n| real.iter().filter(|row| **row < n * length).count()).collect(),
            labels: vec![0; examples],
            example_ids: (0..examples as u64).collect(),
            ..EncodedSplit::default()
        };
        let names = model.names(&tensors.names().into_iter().collect()).expect("has all tensors");
        let name = folder.file_name().expect("has a name").to_string_lossy().into_owned();
        Some(Self { name, model, names, tensors, golden, hidden, texts, real })
    }

    /// All sites, the embeddings first.
    fn walk(&self, pooling: Option<Pooling>, batch: usize) -> Vec<Vec<f32>> {
        let weights = weights::Checkpoint { tensors: &self.tensors, names: &self.names, transform: None };
        let mut walk =
            Walk::new(&self.model, weights, &self.texts, pooling, batch, Device::CPU).expect("begins");
        let mut tape = Memory::default();
        walk.embed(weights, &mut tape).expect("embeds");
        assert_eq!(tape.texts, self.texts.len());
        let mut sites = vec![tape.turn()];
        for layer in 0..self.model.spec.blocks.len() {
            walk.layer(layer, weights, &mut tape).expect("passes the layer");
            assert_eq!(tape.read, tape.before.len());
            sites.push(tape.turn());
        }
        assert!(tape.before.is_empty(), "nothing waits after the last layer");
        sites
    }

    /// The real rows of a reference, where there is one.
    fn reference(&self, site: usize) -> Option<Vec<f32>> {
        let raw = self.golden.tensor(&format!("{}.{site}", self.hidden)).ok()?;
        let width = *raw.shape.last()?;
        let numbers = raw.to_f32()?;
        Some(self.real.iter().flat_map(|row| numbers[row * width..][..width].to_vec()).collect())
    }
}

fn error(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
    found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / largest
}

fn folders(part: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/oracle").join(part);
    let entries = std::fs::read_dir(root).expect("lists").flatten().map(|entry| entry.path());
    let mut folders: Vec<_> = entries.filter(|path| path.join("golden.safetensors").is_file()).collect();
    folders.sort();
    folders
}

/// Compares all references; gives how many there were.
fn matches(case: &Case) -> usize {
    let mut compared = 0;
    for batch in [1, 2, 64] {
        let sites = case.walk(None, batch);
        for (site, found) in sites.iter().enumerate() {
            let Some(expected) = case.reference(site) else { continue };
            // where a final norm follows, the last site stands behind it
            let last = site + 1 == sites.len() && case.hidden == "hidden";
            let expected = if last { case.last().unwrap_or(expected) } else { expected };
            let error = error(found, &expected);
            assert!(error <= TOLERANCE, "{} site {site}, batches of {batch}: {error:.1e}", case.name);
            compared += 1;
        }
    }
    compared
}

impl Case {
    fn last(&self) -> Option<Vec<f32>> {
        let raw = self.golden.tensor("last").ok()?;
        let width = *raw.shape.last()?;
        let numbers = raw.to_f32()?;
        Some(self.real.iter().flat_map(|row| numbers[row * width..][..width].to_vec()).collect())
    }
}

#[test]
fn layer_by_layer_an_llm_gives_the_hidden_states_of_transformers() {
    let cases: Vec<_> =
        folders("llm").iter().filter_map(|it| Case::open(it, "in.full.ids", "full.hidden")).collect();
    assert!(!cases.is_empty());
    let compared: usize = cases.iter().map(matches).sum();
    assert!(compared >= cases.len() * 3 * 3, "{compared}");
}

#[test]
fn layer_by_layer_a_small_model_gives_the_hidden_states_of_transformers() {
    let cases: Vec<_> = folders("slm").iter().filter_map(|it| Case::open(it, "in.ids", "hidden")).collect();
    assert!(cases.len() >= 10, "{}", cases.len());
    let compared: usize = cases.iter().map(matches).sum();
    assert!(compared >= cases.len() * 3 * 3, "{compared}");
}

#[test]
fn pooled_rows_are_the_first_the_last_and_the_mean_of_a_texts_tokens() {
    let folders = folders("slm");
    let folder = folders.iter().find(|folder| folder.ends_with("bert")).expect("is there");
    let case = Case::open(folder, "in.ids", "hidden").expect("is supported");
    let all = case.walk(None, 3);
    for batch in [1, 3] {
        let pooled = [Pooling::Cls, Pooling::Last, Pooling::Mean].map(|it| case.walk(Some(it), batch));
        for (site, tokens) in all.iter().enumerate() {
            let width = tokens.len() / case.texts.ids.len();
            for text in 0..case.texts.len() {
                let rows = case.texts.offsets[text]..case.texts.offsets[text + 1];
                let row = |at: usize| tokens[at * width..][..width].to_vec();
                let mut mean = vec![0.0; width];
                for at in rows.clone() {
                    mean.iter_mut().zip(row(at)).for_each(|(sum, x)| *sum += x / rows.len() as f32);
                }
                for (pooled, expected) in pooled.iter().zip([row(rows.start), row(rows.end - 1), mean]) {
                    let found = &pooled[site][text * width..][..width];
                    assert!(error(found, &expected) < 1e-5, "site {site} text {text}");
                }
            }
        }
    }
}

fn request(role: Role) -> Request {
    let (task, split, limit) = ("demo".into(), "test", Some(40));
    let texts = Texts { task, split, split_seed: 0, limit, max_length: 64, batch: 16 };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/oracle/slm");
    let model = root.join(if role == Role::Llm { "smollm2" } else { "bert" }).display().to_string();
    Request { role, model, texts, pool: Some(Pooling::Mean), layers: "all".into(), device: Device::CPU }
}

/// Computes below `out` until `until` says stop; gives the steps that were done before.
fn run(
    request: &Request,
    out: &Path,
    mut until: impl FnMut(&Event<'_>) -> bool,
) -> (usize, Result<Manifest, Failure>) {
    let mut before = 0;
    let represented =
        compute(request, &Settings::below(out), &Representations::at(out), &mut unwatched, &mut |event| {
            if let Event::Planned { resumed, .. } = event {
                before = resumed;
            }
            if until(&event) { Err(Error::NoTexts.into()) } else { Ok(()) }
        });
    (before, represented.map(|represented| represented.manifest))
}

fn numbers(out: &Path, manifest: &Manifest) -> Vec<Vec<f32>> {
    let opened = Representations::at(out).open(manifest);
    (0..manifest.sites.len()).map(|site| opened.read(site).expect("reads")).collect()
}

#[test]
fn work_that_was_broken_off_goes_on_with_its_layer_and_ends_the_same() {
    for role in [Role::Llm, Role::Slm] {
        let folders = [(); 2].map(|()| tempfile::tempdir().expect("a temporary folder"));
        let [whole, broken] = [folders[0].path(), folders[1].path()];
        let request = request(role);
        let (_, expected) = run(&request, whole, |_| false);
        let expected = expected.expect("computes");
        assert_eq!(expected.n, 40);
        assert!(expected.sites.len() >= 3 && expected.sites[0].name == "embeddings");

        // in the middle of the first layer, then right after it
        let (_, stopped) = run(&request, broken, |event| matches!(event, Event::Texts { step: 1, done: 32 }));
        assert!(stopped.is_err());
        assert_eq!(Representations::at(broken).list().expect("lists"), []);
        let (before, stopped) = run(&request, broken, |event| matches!(event, Event::Passed { step: 1 }));
        assert!(stopped.is_err());
        assert_eq!(before, 1);
        let (before, found) = run(&request, broken, |_| false);
        assert_eq!(before, 2);
        let found = found.expect("computes");
        assert_eq!(found, expected);
        assert_eq!(numbers(broken, &found), numbers(whole, &expected));

        // the same command again computes nothing
        let (_, again) = run(&request, broken, |_| true);
        assert_eq!(again.expect("finds"), expected);
    }
}

#[test]
fn damaged_work_is_done_anew() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let request = request(Role::Llm);
    let (_, stopped) = run(&request, folder.path(), |event| matches!(event, Event::Passed { step: 1 }));
    assert!(stopped.is_err());
    let work = folder.path().join("representations/.work");
    let key = std::fs::read_dir(work).expect("lists").next().expect("one").expect("an entry").path();
    let waiting = key.join("activations.1");
    let mut bytes = std::fs::read(&waiting).expect("reads");
    bytes[100] ^= 1;
    std::fs::write(&waiting, bytes).expect("writes");
    let (before, found) = run(&request, folder.path(), |_| false);
    assert_eq!(before, 0);
    numbers(folder.path(), &found.expect("computes"));
}

#[test]
fn some_layers_are_rows_of_all_layers() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let all = run(&request(Role::Llm), folder.path(), |_| false).1.expect("computes");
    let one = Request { layers: "1".into(), ..request(Role::Llm) };
    let one = run(&one, folder.path(), |_| false).1.expect("computes");
    assert_ne!(one.key, all.key);
    let names: Vec<_> = one.sites.iter().map(|site| site.name.as_str()).collect();
    assert_eq!(names, ["embeddings", "layer 1"]);
    let (all, one) = (numbers(folder.path(), &all), numbers(folder.path(), &one));
    assert_eq!((&one[0], &one[1]), (&all[0], &all[2]));
}
