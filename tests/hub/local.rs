//! Directories, single files, exported layers and embedded models: no request, whatever happens.

use pifi_probe::hub::{Bundle, ModelName, Repository, Settings, bundle, config, unwatched};

use crate::fetch::assert_is_layer;
use crate::model::{LAYERS, bytes, files, layer, one_token, open, requests, safetensors, server, settings};

/// Settings whose network nobody answers, and which are not offline: a request would fail.
fn nobody(folder: &std::path::Path) -> Settings {
    settings("http://127.0.0.1:9", folder)
}

fn local(settings: &Settings, path: &std::path::Path) -> Repository {
    Repository::open(settings, &ModelName::parse(path.to_str().unwrap()).unwrap(), None).unwrap()
}

#[test]
fn a_directory_is_read_without_any_request_and_without_a_copy() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    std::fs::create_dir(&model).unwrap();
    for (name, content) in files() {
        std::fs::write(model.join(name), content).unwrap();
    }
    let settings = nobody(folder.path());
    let repository = local(&settings, &model);
    assert!(repository.is_local());
    assert_eq!(repository.commit(), None);
    assert_eq!(config::read(&repository).unwrap()["model_type"], "llama");
    assert_eq!(repository.tensor_index().unwrap().tensors.len(), LAYERS * 9 + 2);
    assert_eq!(repository.read_optional("tokenizer.json").unwrap(), None);
    for index in [1, 5, 10] {
        let bundle = bundle::fetch(&repository, &requests(index), index, "sequence", &mut unwatched).unwrap();
        assert_is_layer(&bundle, index, &requests(index));
        assert_eq!(bundle.path(), None);
        assert_eq!(bundle.transfer().from_cache, bytes(index, &requests(index)));
        assert_eq!(bundle.evict().unwrap(), 0, "nothing of the user's is removed");
    }
    assert_eq!(
        repository.checkpoint(&mut unwatched).unwrap().tensor_names(),
        repository.tensor_names().unwrap()
    );
    assert!(!settings.bundles.exists() && !settings.cache.exists());
    assert!(model.join("model-00001-of-00002.safetensors").is_file());
}

#[test]
fn a_single_file_is_a_model_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("some-name.safetensors");
    std::fs::write(&path, safetensors(&layer(3), 0)).unwrap();
    let repository = local(&nobody(folder.path()), &path);
    let bundle = bundle::fetch(&repository, &requests(3), 3, "sequence", &mut unwatched).unwrap();
    assert_is_layer(&bundle, 3, &requests(3));
}

#[test]
fn exported_layers_are_read_offline_as_the_model_they_come_from() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let repository = open(&settings(&server.endpoint, &folder.path().join("connected")));
    let out = folder.path().join("out");
    for index in [1, 10] {
        let bundle =
            bundle::fetch(&repository, &one_token(index), index, "one-token", &mut unwatched).unwrap();
        bundle::export(&bundle, &repository, &out).unwrap();
    }
    let rows = pifi_probe::hub::tensor::TensorRequest {
        name: "model.layers.2.self_attn.q_proj.weight".to_owned(),
        rows: Some((8, 16)),
    };
    let part = bundle::fetch(&repository, std::slice::from_ref(&rows), 2, "rows", &mut unwatched).unwrap();
    bundle::export(&part, &repository, &out).unwrap();
    // moved to a machine without a network
    let moved = folder.path().join("moved");
    std::fs::rename(&out, &moved).unwrap();
    let offline = local(&nobody(&folder.path().join("offline")), &moved);
    assert_eq!(offline.identity(), repository.identity());
    assert_eq!((offline.id(), offline.commit()), (repository.id(), repository.commit()));
    assert_eq!(offline.read_file("config.json").unwrap(), repository.read_file("config.json").unwrap());
    for index in [1, 10] {
        let bundle = bundle::fetch(&offline, &one_token(index), index, "one-token", &mut unwatched).unwrap();
        assert_is_layer(&bundle, index, &one_token(index));
        let error = bundle::fetch(&offline, &requests(index), index, "sequence", &mut unwatched).unwrap_err();
        assert!(error.to_string().contains("no tensor `model.layers"), "{error}");
    }
    let again = bundle::fetch(&offline, std::slice::from_ref(&rows), 2, "rows", &mut unwatched).unwrap();
    assert_eq!(again.tensor(&rows.name).unwrap(), part.tensor(&rows.name).unwrap());
    let all = Bundle::open_dir(&moved).unwrap();
    assert_eq!(all.tensors().count(), 2 * one_token(1).len() + 1);
    assert_eq!(Bundle::verify_dir(&moved).unwrap(), all.bytes());
    // an export that was damaged on the way is found
    let file = moved.join("L10.one-token.safetensors");
    let mut content = std::fs::read(&file).unwrap();
    *content.last_mut().unwrap() ^= 1;
    std::fs::write(&file, content).unwrap();
    assert!(Bundle::verify_dir(&moved).is_err());
}

#[test]
fn layers_of_two_models_do_not_share_an_export() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let out = folder.path().join("out");
    let settings = settings(&server.endpoint, folder.path());
    let repository = open(&settings);
    let bundle = bundle::fetch(&repository, &requests(1), 1, "sequence", &mut unwatched).unwrap();
    bundle::export(&bundle, &repository, &out).unwrap();
    let path = folder.path().join("other.safetensors");
    std::fs::write(&path, safetensors(&layer(3), 0)).unwrap();
    let other = local(&settings, &path);
    let bundle = bundle::fetch(&other, &requests(3), 3, "sequence", &mut unwatched).unwrap();
    let error = bundle::export(&bundle, &other, &out).unwrap_err().to_string();
    assert!(error.contains("holds layers of `org/llama@"), "{error}");
}

#[test]
fn an_embedded_model_is_read_from_memory() {
    let weights: &'static [u8] = Box::leak(safetensors(&layer(0), 0).into_boxed_slice());
    let configuration: &'static [u8] = br#"{"model_type":"llama"}"#;
    let files = vec![("config.json", configuration), ("model.safetensors", weights)];
    let repository = Repository::from_memory("demo-llm", files);
    assert!(repository.is_local());
    assert_eq!(config::read(&repository).unwrap()["model_type"], "llama");
    let bundle = bundle::fetch(&repository, &requests(0), 0, "sequence", &mut unwatched).unwrap();
    assert_is_layer(&bundle, 0, &requests(0));
    assert!(repository.identity().starts_with("embedded:demo-llm:"));
    let folder = tempfile::tempdir().unwrap();
    let missing = ModelName::Embedded("demo-no-such".to_owned());
    assert!(Repository::open(&nobody(folder.path()), &missing, None).is_err());
}

#[test]
fn a_directory_without_a_model_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let repository = local(&nobody(folder.path()), folder.path());
    let error = repository.tensor_names().unwrap_err().to_string();
    assert!(error.contains("holds no .safetensors"), "{error}");
    let error = config::read(&repository).unwrap_err().to_string();
    assert!(error.contains("no file `config.json`"), "{error}");
}

#[test]
fn a_repository_and_its_bundles_can_be_used_from_several_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Repository>();
    shared::<Bundle>();
}
