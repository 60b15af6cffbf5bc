//! A folder with a small LLM, a small model and labelled reviews, and the program run inside it.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A line that starts with this word is a whole study; what follows it is appended.
pub(crate) const STUDY: &str = "layers --llm ./llm --slm ./slm --task reviews=reviews --yes";

/// No run of the program may take longer.
const PATIENCE: Duration = Duration::from_secs(180);

/// A folder to run the program in.
pub(crate) struct World {
    folder: tempfile::TempDir,
    variables: Vec<(&'static str, String)>,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// A file of the fixtures.
pub(crate) fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/oracle").join(path)
}

impl World {
    pub(crate) fn new() -> Self {
        let world = Self { folder: tempfile::tempdir().unwrap(), variables: Vec::new() };
        for file in ["config.json", "model.safetensors"] {
            world.write(&format!("llm/{file}"), fs::read(fixture("llm/llama2").join(file)).unwrap());
            world.write(&format!("slm/{file}"), fs::read(fixture("slm/bert").join(file)).unwrap());
        }
        for file in ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"] {
            world.write(&format!("slm/{file}"), fs::read(fixture("slm/bert").join(file)).unwrap());
        }
        for (at, split) in ["train", "validation", "test"].into_iter().enumerate() {
            world.write(&format!("reviews/{split}.csv"), reviews(at * 8..at * 8 + 8, "positive", "negative"));
        }
        world
    }

    /// Lets the program see an environment variable.
    pub(crate) fn set(&mut self, name: &'static str, value: &str) {
        self.variables.retain(|(other, _)| *other != name);
        self.variables.push((name, value.to_owned()));
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub(crate) fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
    }

    /// Cuts a file to its first bytes.
    pub(crate) fn cut(&self, name: &str, bytes: usize) {
        let mut content = fs::read(self.path(name)).unwrap();
        content.truncate(bytes);
        self.write(name, content);
    }

    /// Sets a field of a model's configuration; `None` removes it.
    pub(crate) fn configure(&self, model: &str, field: &str, value: Option<Value>) {
        let name = format!("{model}/config.json");
        let mut config: Value = serde_json::from_slice(&fs::read(self.path(&name)).unwrap()).unwrap();
        let fields = config.as_object_mut().unwrap();
        match value {
            Some(value) => fields.insert(field.to_owned(), value),
            None => fields.remove(field),
        };
        self.write(&name, config.to_string());
    }

    /// The program with an environment of its own: no home, no token, no network.
    pub(crate) fn program(&self) -> Command {
        self.prepared(Command::new(env!("CARGO_BIN_EXE_pifi-probe")))
    }

    /// Any command with that environment.
    pub(crate) fn prepared(&self, mut command: Command) -> Command {
        command
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.path("home"))
            .env("HF_HOME", self.path("hf"))
            .env("PIFI_PROBE_CACHE", self.path("cache"))
            .env("HF_ENDPOINT", "http://127.0.0.1:9")
            .env("HF_HUB_OFFLINE", "1")
            .envs(self.variables.iter().map(|(name, value)| (*name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs a line to its end.
    pub(crate) fn run(&self, line: &str) -> Ended {
        let mut program = self.program();
        program.args(words(line));
        finish(program.spawn().unwrap())
    }

    /// Files below a folder of this world, by their paths in it.
    pub(crate) fn files(&self, folder: &str) -> Vec<String> {
        let root = self.path(folder);
        let mut found = Vec::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            let Ok(entries) = fs::read_dir(&folder) else { continue };
            for path in entries.map(|entry| entry.unwrap().path()) {
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.push(path.strip_prefix(&root).unwrap().display().to_string());
                }
            }
        }
        found.sort();
        found
    }

    /// Fails if anything half written stands below a directory of outputs.
    pub(crate) fn assert_whole(&self, out: &str, about: &str) {
        let files = self.files(out);
        for file in &files {
            let name = file.rsplit('/').next().unwrap();
            let temporary =
                name.starts_with(".partial") || has_ending(name, "tmp") || name.starts_with(".probe");
            assert!(!temporary && !file.contains(".staged/"), "{about}: `{file}` is left in {files:?}");
            if let Some((folder, "history.parquet" | "predictions.parquet")) = file.rsplit_once('/') {
                assert!(files.contains(&format!("{folder}/run.json")), "{about}: {folder} is half a run");
            }
            if has_ending(name, "json") {
                let content = fs::read(self.path(out).join(file)).unwrap();
                assert!(
                    serde_json::from_slice::<Value>(&content).is_ok(),
                    "{about}: `{file}` is half a file"
                );
            }
        }
    }
}

/// A line's words; `STUDY` stands for the words of a whole study.
pub(crate) fn words(line: &str) -> Vec<String> {
    let line = line.replacen("STUDY", STUDY, 1);
    // a word in quotes may be empty
    line.split(' ').filter(|word| !word.is_empty()).map(|word| word.replace('"', "")).collect()
}

pub(crate) fn has_ending(file: &str, ending: &str) -> bool {
    Path::new(file).extension().is_some_and(|found| found == ending)
}

/// Waits for the end of a program, and ends it if it takes too long.
pub(crate) fn finish(mut child: Child) -> Ended {
    let reader = |mut pipe: Box<dyn Read + Send>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = pipe.read_to_end(&mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        })
    };
    let out = reader(Box::new(child.stdout.take().unwrap()));
    let err = reader(Box::new(child.stderr.take().unwrap()));
    let since = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break Some(status);
        }
        if since.elapsed() > PATIENCE {
            child.kill().unwrap();
            child.wait().unwrap();
            break None;
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let (out, err) = (out.join().unwrap(), err.join().unwrap());
    let status = status.unwrap_or_else(|| panic!("no end in {PATIENCE:?}:\n{out}\n{err}"));
    Ended { code: status.code(), out, err }
}

/// Rows of a csv file, half of them with each label; no two ranges share a sentence.
pub(crate) fn reviews(numbers: std::ops::Range<usize>, good: &str, bad: &str) -> String {
    let rows = numbers.map(|n| {
        let (a, b) = (n * 7 + 1, n * 11 + 5);
        format!("w{n} the movie w{a} was good and w{b} fun,{good}\nq{n} a plot q{a} bad q{b} dull,{bad}\n")
    });
    std::iter::once("text,label\n".to_owned()).chain(rows).collect()
}
