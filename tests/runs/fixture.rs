//! A small study, its runs, and workers that are shell scripts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU8;
use std::time::Duration;

use pifi_probe::runs::record::{Cost, EpochScores, Evaluation, Metrics, RunRecord, RunResult, Status};
use pifi_probe::runs::store::FinishedRun;
use pifi_probe::runs::{Overlap, Store, TaskPredictions};
use pifi_probe::sweep::plan::Ending;
use pifi_probe::sweep::{
    Cell, Engine, Inputs, ModelAt, Options, Plan, Pooling, Seeds, Study, SweepEvent, SweepOutcome, TaskAt,
    WorkerCommand,
};

pub(crate) fn model(name: &str, layers: usize) -> ModelAt {
    ModelAt {
        name: name.into(),
        repository: Some(format!("org/{name}")),
        revision: "0".repeat(40),
        path: None,
        model_type: "llama".into(),
        layers,
        hidden_size: 64,
    }
}

pub(crate) fn task(name: &str) -> TaskAt {
    TaskAt {
        name: name.into(),
        definition: serde_json::json!({"text": "sentence"}),
        data_hash: "d".repeat(64),
        files: BTreeMap::new(),
        labels: vec!["bad".into(), "good".into()],
        examples: [80, 10, 10],
    }
}

pub(crate) fn inputs(layers: &[usize]) -> Inputs {
    Inputs {
        llm: model("llm", 8),
        slm: model("slm", 2),
        task: task("home"),
        eval: vec![task("b"), task("a")],
        layers: layers.to_vec(),
        pooling: Pooling::Cls,
        device: "cpu".into(),
        threads: 2,
        cache: None,
        host: BTreeMap::new(),
    }
}

pub(crate) fn study() -> Study {
    Study { llm: "llm".into(), seeds: Seeds::Count(2), ..Study::default() }
}

pub(crate) fn plan(study: Study, layers: &[usize]) -> Plan {
    Plan::build(&study.check().expect("valid"), inputs(layers)).expect("plans")
}

/// The record of a run that went well.
pub(crate) fn record(plan: &Plan, cell: &Cell) -> RunRecord {
    let metrics = Metrics { n: 2, loss: 0.5, accuracy: 0.5, macro_f1: 0.25, mcc: 0.0 };
    let evaluation = Evaluation {
        task: "home".into(),
        split: "test".into(),
        home: true,
        metrics,
        overlap_exact: 0,
        overlap_near: 1,
        without_overlap: None,
        batch_means: None,
    };
    let result = RunResult {
        best_epoch: 1,
        steps: 3,
        trainable_parameters: 10,
        validation: vec![EpochScores { epoch: 1, step: 3, validation: metrics }],
        evaluations: vec![evaluation],
        notes: Vec::new(),
    };
    plan.record(
        cell,
        Ending {
            status: Status::Done,
            result: Some(result),
            cost: Cost { seconds: 1.0, ..Cost::default() },
            started: "2026-01-01T00:00:00.000Z".into(),
            finished: "2026-01-01T00:00:01.000Z".into(),
            stack: 1,
        },
    )
}

pub(crate) fn predictions() -> TaskPredictions {
    TaskPredictions {
        task: "home".into(),
        split: "test".into(),
        classes: 2,
        example_ids: vec![1, 2],
        gold: vec![0, 1],
        predicted: vec![0, 0],
        logits: vec![0.5, -0.5, 0.25, -0.25],
        overlap: vec![Overlap::None, Overlap::Near],
    }
}

pub(crate) fn publish(store: &Store, plan: &Plan, cell: &Cell) -> bool {
    let record = record(plan, cell);
    let claim = store.claim(&cell.id).expect("locks").expect("is free");
    let run = FinishedRun { record: &record, history: &[], predictions: &[predictions()], model: None };
    store.publish(&claim, &run).expect("publishes")
}

/// An output directory, a plan, and runs that a worker script can copy into place.
pub(crate) struct Bench {
    folder: tempfile::TempDir,
    pub(crate) plan: Plan,
    pub(crate) store: Store,
    pub(crate) options: Options,
    pub(crate) stop: AtomicU8,
    pub(crate) events: Vec<SweepEvent>,
}

impl Bench {
    pub(crate) fn new(study: Study, layers: &[usize]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let plan = plan(study, layers);
        plan.write(&folder.path().join("plan.json")).expect("writes");
        let ready = Store::open(&folder.path().join("ready")).expect("opens");
        for cell in &plan.cells {
            assert!(publish(&ready, &plan, cell));
        }
        let store = Store::open(&folder.path().join("outputs")).expect("opens");
        let mut options = Options::of(&plan);
        options.stop_grace = Duration::from_secs(20);
        Self { folder, plan, store, options, stop: AtomicU8::new(0), events: Vec::new() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A worker that runs `body` for every cell, in `$cell`. `publish` puts its run into place and
    /// says so; `$folder/log` gets a line for every cell that was started.
    pub(crate) fn worker(&self, body: &str) -> WorkerCommand {
        let folder = self.path().display();
        let script = format!(
            r#"folder='{folder}'
publish() {{
    cp -r "$folder/ready/runs/$cell" "$folder/outputs/runs/.staged/$cell.$$" &&
        mv "$folder/outputs/runs/.staged/$cell.$$" "$folder/outputs/runs/$cell"
    echo '{{"event":"done","cell":"'$cell'","summary":{{"validation":null,"test":null,"best_epoch":1,"seconds":1.0}}}}'
}}
failed() {{
    echo '{{"event":"failed","cell":"'$cell'","kind":"'$1'","reason":"'$2'"}}'
}}
[ "$1" = worker ] && [ "$2" = --plan ] && [ "$4" = --cells ] || exit 99
for cell in $(echo "$5" | tr , ' '); do
    echo "$cell" >> "$folder/log"
    {body}
done
"#
        );
        let path = self.path().join(format!("worker.{}.sh", body.len()));
        std::fs::write(&path, script).expect("writes");
        WorkerCommand {
            program: PathBuf::from("/bin/sh"),
            leading: vec![path.into_os_string()],
            plan: self.path().join("plan.json"),
        }
    }

    pub(crate) fn run(&mut self, body: &str) -> SweepOutcome {
        let worker = self.worker(body);
        let mut events = Vec::new();
        let engine = Engine {
            plan: &self.plan,
            store: &self.store,
            worker,
            options: self.options.clone(),
            provider: None,
            journal: None,
            stop: &self.stop,
        };
        let outcome = engine.run(&mut |event| {
            events.push(event.clone());
            std::ops::ControlFlow::Continue(())
        });
        self.events = events;
        outcome.expect("the store can be written")
    }

    /// Cells in the order in which workers were given them.
    pub(crate) fn log(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.path().join("log")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

/// A study of `base` and two layers under one seed: three cells.
pub(crate) fn small() -> Study {
    use pifi_probe::runs::Control;
    Study { seeds: Seeds::Count(1), controls: vec![Control::Base], ..study() }
}
