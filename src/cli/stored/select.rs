//! Which places are meant: `all`, names, layers, ranges of layers, layers counted from the end.

use super::Error;
use crate::runs::representations::Manifest;

/// The places that `typed` stands for, by number, in the manifest's order, each once.
pub(super) fn sites(manifest: &Manifest, typed: &str) -> Result<Vec<usize>, Error> {
    let all = &manifest.sites;
    if typed == "all" {
        return Ok((0..all.len()).collect());
    }
    let unknown = |part: &str| Error::NoSite {
        name: manifest.name(),
        typed: part.to_owned(),
        available: all.iter().map(|site| site.name.clone()).collect(),
    };
    let layers = all.iter().filter_map(|site| site.layer).max().map_or(0, |last| last as i64 + 1);
    let place = |layer: i64| {
        let layer = if layer < 0 { layer + layers } else { layer };
        all.iter().position(|site| site.layer.is_some_and(|known| known as i64 == layer))
    };
    let mut chosen = Vec::new();
    for part in typed.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let range =
            part.split_once('-').and_then(|(low, high)| Some((low.parse().ok()?, high.parse().ok()?)));
        if let Some(at) = all.iter().position(|site| site.name == part) {
            chosen.push(at);
        } else if let Ok(layer) = part.parse::<i64>() {
            chosen.push(place(layer).ok_or_else(|| unknown(part))?);
        } else if let Some((low, high)) = range
            && (0..=high).contains(&low)
            && high < layers
        {
            for layer in low..=high {
                chosen.push(place(layer).ok_or_else(|| unknown(&format!("{layer}")))?);
            }
        } else {
            return Err(unknown(part));
        }
    }
    if chosen.is_empty() {
        return Err(unknown(typed));
    }
    chosen.sort_unstable();
    chosen.dedup();
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::representations::{Site, SourceOf};

    fn manifest() -> Manifest {
        let site = |name: &str, layer| Site {
            name: name.to_owned(),
            layer,
            width: 4,
            file: String::new(),
            sha256: String::new(),
        };
        let mut sites = vec![site("embeddings", None)];
        sites.extend((0..6).map(|layer| site(&format!("layer {layer}"), Some(layer))));
        Manifest {
            schema_version: 1,
            key: String::new(),
            source: SourceOf::Llm,
            model: "demo".into(),
            revision: String::new(),
            task: "sst2".into(),
            data_hash: String::new(),
            whole_hash: None,
            split: "test".into(),
            pool: "mean".into(),
            max_length: 8,
            limit: None,
            n: 1,
            sites,
            example_ids: vec![0],
            labels: vec![0],
            label_names: vec!["a".into()],
        }
    }

    #[test]
    fn places_are_named_counted_and_given_as_ranges() {
        let manifest = manifest();
        let found = |typed: &str| sites(&manifest, typed).ok();
        assert_eq!(found("all"), Some((0..7).collect()));
        assert_eq!(found("embeddings, 0,2-4,-1"), Some(vec![0, 1, 3, 4, 5, 6]));
        assert_eq!(found("layer 3,3"), Some(vec![4]));
        for wrong in ["6", "-7", "4-2", "2-9", "0-9223372036854775807", "head", "", ","] {
            assert_eq!(found(wrong), None, "{wrong}");
        }
    }
}
