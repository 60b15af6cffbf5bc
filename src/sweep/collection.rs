//! An analysis as data: several studies that answer one question together, declared as one table of
//! what they have in common and one `[[study]]` of differences each. `[demo]` holds what every study
//! becomes so that the question can be tried offline in seconds.
//!
//! ```toml
//! slm = "bert-base"
//! eval = ["cr", "mr"]
//!
//! [[study]]
//! name = "small"
//! llm = "qwen2-0.5b"
//!
//! [[study]]
//! name = "transfer"
//! llm = "llama3.1-8b"
//! train_on = ["imdb", "cr"]
//!
//! [demo]
//! llm = "demo"
//! slm = "demo"
//! ```

use std::path::Path;

use toml::{Table, Value};

use super::screen::Screen;
use super::{Error, Study};

/// What becomes of a study.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// A sweep over layers, after a screen that leaves so many of them.
    Layers {
        /// The screen.
        screen: Screen,
        /// Layers that it leaves.
        keep: usize,
    },
    /// One study for each of these tasks, tested on all of them.
    Transfer {
        /// The tasks.
        train_on: Vec<String>,
    },
}

/// One study of an analysis.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// Its name within the analysis; empty where there is one study only.
    pub name: String,
    /// What becomes of it.
    pub kind: Kind,
    /// The study.
    pub study: Study,
}

/// The studies of an analysis, in their order.
#[derive(Clone, Debug, PartialEq)]
pub struct Collection {
    /// At least one.
    pub members: Vec<Member>,
}

/// Keys of a study here that a plain study does not have.
const NAME: &str = "name";
const TRAIN_ON: &str = "train_on";
const SCREEN: &str = "screen";
const KEEP: &str = "keep";
/// Tables of the whole.
const STUDY: &str = "study";
const DEMO: &str = "demo";

impl Collection {
    /// Reads an analysis; with `demo` as it is tried offline. Both variants are checked either way.
    /// Studies that the demo makes equal stand in it once.
    ///
    /// # Errors
    /// [`Error::StudyFile`] for what is no TOML, unknown keys, values of the wrong kind, names that
    /// are missing or there twice, a demo that was asked for and is not declared.
    pub fn from_toml(text: &str, path: &Path, demo: bool) -> Result<Self, Error> {
        let mut base: Table =
            toml::from_str(text).map_err(|error| refuse(path, error.to_string().trim_end()))?;
        let variants = match base.remove(STUDY) {
            None => vec![Table::new()],
            Some(Value::Array(studies)) if !studies.is_empty() => studies
                .into_iter()
                .map(|study| match study {
                    Value::Table(study) => Ok(study),
                    other => {
                        Err(refuse(path, &format!("`study` holds {}, expected tables", other.type_str())))
                    }
                })
                .collect::<Result<_, _>>()?,
            Some(_) => return Err(refuse(path, "`study` is expected as tables: `[[study]]`")),
        };
        let for_all = demo_of(&mut base, path)?;
        let several = variants.len() > 1;
        let (mut plain, mut tried): (Vec<Member>, Vec<Member>) = (Vec::new(), Vec::new());
        for mut own in variants {
            let for_one = demo_of(&mut own, path)?;
            let merged = merge(base.clone(), own);
            let with_demo = merge(
                merge(merged.clone(), for_all.clone().unwrap_or_default()),
                for_one.unwrap_or_default(),
            );
            let member = member(merged, path, several)?;
            if plain.iter().any(|known| known.name == member.name) {
                return Err(refuse(path, &format!("two studies are named `{}`, expected one", member.name)));
            }
            plain.push(member);
            let member = self::member(with_demo, path, several)?;
            if !tried.iter().any(|known| known.study == member.study && known.kind == member.kind) {
                tried.push(member);
            }
        }
        match (demo, for_all) {
            (true, None) => Err(refuse(path, "it declares no `[demo]`")),
            (true, Some(_)) => Ok(Self { members: tried }),
            (false, _) => Ok(Self { members: plain }),
        }
    }

    /// The study of an analysis that is a single sweep without a screen.
    pub fn single(self) -> Option<Study> {
        let mut members = self.members;
        let one = members.pop()?;
        let plain = matches!(one.kind, Kind::Layers { screen: Screen::None, .. });
        (members.is_empty() && plain).then_some(one.study)
    }
}

fn refuse(path: &Path, message: &str) -> Error {
    Error::StudyFile { path: path.to_owned(), meant: None, message: message.to_owned() }
}

fn demo_of(table: &mut Table, path: &Path) -> Result<Option<Table>, Error> {
    match table.remove(DEMO) {
        None => Ok(None),
        Some(Value::Table(demo)) => Ok(Some(demo)),
        Some(_) => Err(refuse(path, "`demo` is expected as a table: `[demo]`")),
    }
}

/// The second table's values over the first's; tables within are merged, all else is replaced.
fn merge(mut base: Table, over: Table) -> Table {
    for (key, value) in over {
        match (base.remove(&key), value) {
            (Some(Value::Table(inner)), Value::Table(over)) => {
                base.insert(key, Value::Table(merge(inner, over)));
            }
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
    base
}

fn member(mut table: Table, path: &Path, several: bool) -> Result<Member, Error> {
    let wrong = |key: &str, expected: &str| refuse(path, &format!("`{key}` is expected as {expected}"));
    let name = match table.remove(NAME) {
        None if several => return Err(refuse(path, "a `[[study]]` of several has no `name`")),
        None => String::new(),
        Some(Value::String(name)) if is_name(&name) => name,
        Some(_) => return Err(wrong(NAME, "letters, digits, `-`, `_` and `.`")),
    };
    let train_on = match table.remove(TRAIN_ON) {
        None => None,
        Some(Value::Array(tasks)) => {
            let tasks = tasks.into_iter().map(|task| task.as_str().map(str::to_owned));
            Some(tasks.collect::<Option<Vec<_>>>().ok_or_else(|| wrong(TRAIN_ON, "a list of tasks"))?)
        }
        Some(_) => return Err(wrong(TRAIN_ON, "a list of tasks")),
    };
    let screen = match table.remove(SCREEN) {
        None => Screen::None,
        Some(Value::String(word)) => {
            word.parse::<Screen>().map_err(|error| refuse(path, &error.to_string()))?
        }
        Some(_) => return Err(wrong(SCREEN, "a word")),
    };
    let keep = match table.remove(KEEP) {
        None => 4,
        Some(Value::Integer(keep)) if keep > 0 => keep as usize,
        Some(_) => return Err(wrong(KEEP, "a number of layers, at least 1")),
    };
    let kind = match train_on {
        Some(tasks) if tasks.is_empty() => return Err(wrong(TRAIN_ON, "at least one task")),
        Some(_) if screen != Screen::None => {
            return Err(refuse(path, "`screen` is expected without `train_on`: screens are of one task"));
        }
        Some(train_on) => Kind::Transfer { train_on },
        None => Kind::Layers { screen, keep },
    };
    let text = toml::to_string(&table).map_err(|error| refuse(path, &error.to_string()))?;
    Ok(Member { name, kind, study: Study::from_toml(&text, path)? })
}

fn is_name(name: &str) -> bool {
    let letters = name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    letters && !name.is_empty() && !name.starts_with('.') && name.len() <= 80
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRID: &str = "slm = 'bert-base'\nseeds = 5\n[hyper_parameters]\nepochs = 3\nclip = 1.0\n\
                        [[study]]\nname = 'a'\nllm = 'gpt2'\n\
                        [[study]]\nname = 'b'\nllm = 'qwen2-0.5b'\nhyper_parameters = { epochs = 2 }\n\
                        [[study]]\nname = 'c'\nllm = 'gpt2'\ntrain_on = ['imdb', 'cr']\n\
                        [demo]\nllm = 'demo'\nslm = 'demo'\nhyper_parameters = { epochs = 1 }\n";

    fn read(text: &str, demo: bool) -> Result<Collection, Error> {
        Collection::from_toml(text, Path::new("study.toml"), demo)
    }

    #[test]
    fn studies_differ_from_the_common_table_by_what_they_name() {
        let grid = read(GRID, false).unwrap();
        let names: Vec<&str> = grid.members.iter().map(|member| member.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        let hyper = &grid.members[1].study.hyper_parameters;
        assert_eq!((hyper.epochs, hyper.clip), (2, 1.0));
        assert_eq!(grid.members[2].kind, Kind::Transfer { train_on: vec!["imdb".into(), "cr".into()] });
        assert!(grid.clone().single().is_none());
    }

    #[test]
    fn the_demo_overrides_every_study_and_equal_ones_stand_once() {
        let demo = read(GRID, true).unwrap();
        let names: Vec<&str> = demo.members.iter().map(|member| member.name.as_str()).collect();
        assert_eq!(names, ["a", "c"]);
        assert_eq!(demo.members[0].study.llm, "demo");
        assert_eq!(demo.members[0].study.hyper_parameters.epochs, 1);
        let own = GRID.replace("llm = 'qwen2-0.5b'\n", "llm = 'qwen2-0.5b'\ndemo = { seeds = 1 }\n");
        assert_eq!(read(&own, true).unwrap().members.len(), 3);
    }

    #[test]
    fn a_plain_study_is_an_analysis_of_one() {
        let one = read("llm = 'gpt2'\n[demo]\nllm = 'demo'\n", false).unwrap();
        assert_eq!(one.members[0].name, "");
        assert_eq!(one.single().unwrap().llm, "gpt2");
        assert!(read("llm = 'gpt2'\nscreen = 'plug'\nkeep = 2\n", false).unwrap().single().is_none());
    }

    #[test]
    fn unknown_keys_and_contradictions_are_refused_in_both_variants() {
        let refused = |text: &str| read(text, false).unwrap_err().to_string();
        assert!(refused("llm = 'gpt2'\nlayer = '3'\n").contains("unknown field `layer`"));
        assert!(refused("llm = 'gpt2'\n[demo]\nlmm = 'demo'\n").contains("unknown field `lmm`"));
        assert!(refused("[[study]]\nllm = 'a'\n[[study]]\nllm = 'b'\n").contains("has no `name`"));
        let twice = "[[study]]\nname = 'x'\nllm = 'a'\n[[study]]\nname = 'x'\nllm = 'b'\n";
        assert!(refused(twice).contains("two studies are named `x`"));
        assert!(refused("llm = 'a'\ntrain_on = []\n").contains("at least one task"));
        assert!(
            refused("llm = 'a'\ntrain_on = ['cr']\nscreen = 'plug'\n").contains("screens are of one task")
        );
        assert!(refused("llm = 'a'\nscreen = 'plgu'\n").contains("unknown screen `plgu`"));
        assert!(refused("llm = 'a'\nname = '../x'\n").contains("`name`"));
        assert!(refused("study = 3\n").contains("`[[study]]`"));
        assert!(read("llm = 'a'\n", true).unwrap_err().to_string().contains("declares no `[demo]`"));
    }
}
