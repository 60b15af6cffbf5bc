//! A small sharded checkpoint with the tensor names of a Llama, and settings for tests.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use pifi_probe::hub::tensor::TensorRequest;
use pifi_probe::hub::{ModelName, Patience, Repository, Settings};
use serde_json::json;

use crate::hub_server::HubServer;

pub(crate) const ID: &str = "org/llama";
pub(crate) const LAYERS: usize = 12;
/// Layer that stands partly in the first shard and partly in the second one.
pub(crate) const STRADDLING: usize = 5;
const WIDTH: usize = 64;

/// One tensor of a test file.
pub(crate) struct Tensor {
    pub(crate) name: String,
    pub(crate) dtype: &'static str,
    pub(crate) shape: Vec<usize>,
    pub(crate) bytes: Vec<u8>,
}

/// A bf16 tensor whose bytes differ from those of any other name.
pub(crate) fn tensor(name: &str, shape: &[usize]) -> Tensor {
    let mut state = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let bytes = (0..shape.iter().product::<usize>() * 2)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .collect();
    Tensor { name: name.to_owned(), dtype: "BF16", shape: shape.to_vec(), bytes }
}

/// A safetensors file with tensors in the given order; its header padded to `header` bytes, if
/// that is more than it needs.
pub(crate) fn safetensors(tensors: &[Tensor], header: usize) -> Vec<u8> {
    let mut object = serde_json::Map::new();
    object.insert("__metadata__".to_owned(), json!({"format": "pt"}));
    let mut at = 0;
    for it in tensors {
        let offsets = [at, at + it.bytes.len()];
        at = offsets[1];
        object
            .insert(it.name.clone(), json!({"dtype": it.dtype, "shape": it.shape, "data_offsets": offsets}));
    }
    let mut text = serde_json::Value::Object(object).to_string();
    let missing = header.saturating_sub(text.len());
    text.push_str(&" ".repeat(missing));
    let mut file = (text.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(text.as_bytes());
    for it in tensors {
        file.extend_from_slice(&it.bytes);
    }
    file
}

/// The tensors of one layer, in the order of a checkpoint: by name.
pub(crate) fn layer(layer: usize) -> Vec<Tensor> {
    let shapes: [(&str, &[usize]); 9] = [
        ("input_layernorm.weight", &[WIDTH]),
        ("mlp.down_proj.weight", &[WIDTH, 3 * WIDTH]),
        ("mlp.gate_proj.weight", &[3 * WIDTH, WIDTH]),
        ("mlp.up_proj.weight", &[3 * WIDTH, WIDTH]),
        ("post_attention_layernorm.weight", &[WIDTH]),
        ("self_attn.k_proj.weight", &[WIDTH / 4, WIDTH]),
        ("self_attn.o_proj.weight", &[WIDTH, WIDTH]),
        ("self_attn.q_proj.weight", &[WIDTH, WIDTH]),
        ("self_attn.v_proj.weight", &[WIDTH / 4, WIDTH]),
    ];
    shapes.iter().map(|(name, shape)| tensor(&format!("model.layers.{layer}.{name}"), shape)).collect()
}

/// Requests for a whole layer.
pub(crate) fn requests(index: usize) -> Vec<TensorRequest> {
    layer(index).into_iter().map(|it| TensorRequest { name: it.name, rows: None }).collect()
}

/// Requests for a layer as a single token uses it: without q and k.
pub(crate) fn one_token(index: usize) -> Vec<TensorRequest> {
    let mut all = requests(index);
    all.retain(|it| !it.name.contains("q_proj") && !it.name.contains("k_proj"));
    all
}

/// Bytes of the tensors that requests want whole.
pub(crate) fn bytes(index: usize, requests: &[TensorRequest]) -> u64 {
    let wanted = |it: &Tensor| requests.iter().any(|request| request.name == it.name);
    layer(index).iter().filter(|it| wanted(it)).map(|it| it.bytes.len() as u64).sum()
}

/// Two shards, cut within layer [`STRADDLING`].
pub(crate) fn shards() -> [(String, Vec<Tensor>); 2] {
    let mut first = vec![tensor("model.embed_tokens.weight", &[500, WIDTH])];
    let mut second = Vec::new();
    for index in 0..LAYERS {
        let mut tensors = layer(index);
        match index.cmp(&STRADDLING) {
            std::cmp::Ordering::Less => first.append(&mut tensors),
            std::cmp::Ordering::Greater => second.append(&mut tensors),
            std::cmp::Ordering::Equal => {
                second.extend(tensors.split_off(4));
                first.append(&mut tensors);
            }
        }
    }
    second.push(tensor("model.norm.weight", &[WIDTH]));
    let name = |number| format!("model-0000{number}-of-00002.safetensors");
    [(name(1), first), (name(2), second)]
}

/// All files of the model.
pub(crate) fn files() -> Vec<(String, Vec<u8>)> {
    let shards = shards();
    let mut map = BTreeMap::new();
    let mut files = vec![("config.json".to_owned(), br#"{"model_type":"llama"}"#.to_vec())];
    for (file, tensors) in &shards {
        map.extend(tensors.iter().map(|it| (it.name.clone(), file.clone())));
        files.push((file.clone(), safetensors(tensors, 0)));
    }
    let index = json!({"metadata": {"total_size": 0}, "weight_map": map}).to_string();
    files.push(("model.safetensors.index.json".to_owned(), index.into_bytes()));
    files
}

/// Bytes of a file's header, prefix included.
pub(crate) fn header_bytes(file: &[u8]) -> u64 {
    8 + u64::from_le_bytes(file[..8].try_into().expect("eight bytes"))
}

/// Bytes of the header of each shard.
pub(crate) fn shard_headers() -> [u64; 2] {
    shards().map(|(_, tensors)| header_bytes(&safetensors(&tensors, 0)))
}

/// A server that has the model.
pub(crate) fn server() -> HubServer {
    let server = HubServer::start();
    for (name, content) in files() {
        server.add(ID, &name, content);
    }
    server
}

/// Settings that keep everything below `folder` and lose patience soon.
pub(crate) fn settings(endpoint: &str, folder: &Path) -> Settings {
    let patience = Patience {
        read: Duration::from_secs(5),
        retries: 3,
        first_wait: Duration::from_millis(1),
        longest_wait: Duration::from_secs(2),
        ..Patience::default()
    };
    Settings { endpoint: endpoint.to_owned(), patience, ..Settings::below(folder) }
}

/// The model, opened.
pub(crate) fn open(settings: &Settings) -> Repository {
    Repository::open(settings, &ModelName::parse(ID).expect("a Hub id"), None).expect("the server has it")
}
