//! Models inside the binary, so that the first command needs no network.

use std::collections::BTreeSet;

/// Repository, file name, content.
type Embedded = (&'static str, &'static str, &'static [u8]);

/// All embedded files: `demo-llm` and `demo-slm`, by `include_bytes!`.
static FILES: &[Embedded] = &[];

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
