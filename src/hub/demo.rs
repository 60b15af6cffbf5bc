//! Models inside the binary, so that the first command needs no network.

use std::collections::BTreeSet;

/// Repository, file name, content.
type Embedded = (&'static str, &'static str, &'static [u8]);

macro_rules! embedded {
    ($($repository:literal: $($name:literal),+;)+) => {
        &[$($(($repository, $name, include_bytes!(concat!("demo_models/", $repository, "/", $name)))),+),+]
    };
}

/// All embedded files. `pifi-probe demo-models src/hub/demo_models` makes them anew.
static FILES: &[Embedded] = embedded! {
    "demo-llm": "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json";
    "demo-slm": "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json";
};

/// An embedded file.
pub fn file(repository: &str, name: &str) -> Option<&'static [u8]> {
    FILES.iter().find(|(of, file, _)| *of == repository && *file == name).map(|(_, _, bytes)| *bytes)
}

/// All files of an embedded repository by name; none if there is no such repository.
pub fn files(repository: &str) -> Vec<(&'static str, &'static [u8])> {
    let mut found: Vec<_> =
        FILES.iter().filter(|(of, ..)| *of == repository).map(|(_, name, bytes)| (*name, *bytes)).collect();
    found.sort_unstable();
    found
}

/// Names of the embedded repositories.
pub fn repositories() -> BTreeSet<&'static str> {
    FILES.iter().map(|(repository, ..)| *repository).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The room that the demo may take up in the program.
    const MOST_BYTES: usize = 12 * 1024 * 1024;

    #[test]
    fn the_demo_is_there_and_small() {
        assert_eq!(repositories(), BTreeSet::from(["demo-llm", "demo-slm"]));
        let bytes: usize = FILES.iter().map(|(.., bytes)| bytes.len()).sum();
        assert!(bytes < MOST_BYTES, "{bytes}");
    }

    #[test]
    fn every_embedded_repository_has_a_configuration_and_weights() {
        for repository in repositories() {
            for name in ["config.json", "model.safetensors"] {
                assert!(file(repository, name).is_some(), "{repository}/{name}");
            }
            assert!(files(repository).windows(2).all(|pair| pair[0].0 != pair[1].0), "{repository}");
        }
        assert_eq!(file("no-such", "config.json"), None);
    }
}
