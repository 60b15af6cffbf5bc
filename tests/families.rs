//! Every family against the reference checkpoints: both dialects of a configuration give one
//! model, whose names and shapes are those on disk; and configurations that lie are refused.

#![expect(clippy::unwrap_used, reason = "a test may")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use pifi_probe::hub::tensor::TensorRequest;
use pifi_probe::models::Error;
use pifi_probe::models::families::{Model, Scope, read, supported};
use pifi_probe::models::spec::{
    DropoutSites, Placement, Position, ProjectionPlace, QkNorm, Residual, Window,
};
use pifi_probe::models::tensors::BlockTensor;
use serde_json::{Value, json};

/// Fixtures of encoder-decoder families, which come later.
const LATER: [&str; 3] = ["t5", "flan_t5", "bart"];

fn fixtures(kind: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/oracle").join(kind);
    let mut found: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.join("config.json").exists());
    found.retain(|path| !LATER.contains(&path.file_name().unwrap().to_str().unwrap()));
    found.sort();
    found
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/oracle").join(name)
}

fn config(folder: &Path, file: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(folder.join(file)).unwrap()).unwrap()
}

fn model(folder: &Path) -> Model {
    read(&config(folder, "config.json")).unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
}

/// Name to shape, from the headers of all shards.
fn headers(folder: &Path) -> BTreeMap<String, Vec<usize>> {
    let mut shapes = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if !(name.starts_with("model") && name.ends_with(".safetensors")) {
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
        for (name, entry) in header.as_object().unwrap() {
            if name != "__metadata__" {
                shapes.insert(name.clone(), serde_json::from_value(entry["shape"].clone()).unwrap());
            }
        }
    }
    shapes
}

fn on_disk(folder: &Path) -> BTreeSet<String> {
    headers(folder).into_keys().collect()
}

#[test]
fn both_dialects_give_one_model() {
    for folder in fixtures("llm").into_iter().chain(fixtures("slm")) {
        let plain = model(&folder);
        for dialect in ["config.legacy.json", "config.v5.json"] {
            if folder.join(dialect).exists() {
                let other = read(&config(&folder, dialect)).unwrap();
                assert_eq!(other.spec, plain.spec, "{} {dialect}", folder.display());
                assert_eq!(other.tensors, plain.tensors, "{} {dialect}", folder.display());
            }
        }
    }
}

#[test]
fn every_fixture_has_its_layers_names_and_shapes() {
    let all: Vec<_> = fixtures("llm").into_iter().chain(fixtures("slm")).collect();
    assert_eq!(all.len(), 32 + 13);
    for folder in &all {
        let model = model(folder);
        let golden = config(folder, "golden.json");
        assert_eq!(json!(model.spec.blocks.len()), golden["layers"], "{}", folder.display());
        let shapes = headers(folder);
        let names = model.names(&shapes.keys().cloned().collect()).unwrap();
        assert_eq!(names.unexpected, Vec::<String>::new(), "{}", folder.display());
        let layers: Vec<_> = (0..model.spec.blocks.len()).collect();
        // every name must be known to the lookup, or a shape would pass unseen
        let shape_of = |name: &str| Some(shapes[name].clone());
        model.check_shapes(&names, &layers, true, &shape_of).unwrap();
    }
    let seen: BTreeSet<_> = all.iter().map(|folder| model(folder).family).collect();
    let known: BTreeSet<_> = supported().iter().map(|(name, _)| *name).collect();
    assert_eq!(seen, known, "a family without a fixture");
}

#[test]
fn an_encoders_names_are_those_of_the_parameters_that_train() {
    for folder in fixtures("slm") {
        let model = model(&folder);
        let blocks = model.tensors.blocks.iter().flatten().map(|(_, source)| source.name.clone());
        let outside = model.tensors.model.iter().map(|(_, source)| source.name.clone());
        let named: BTreeSet<_> = blocks.chain(outside).collect();
        let golden = config(&folder, "golden.json");
        let norms = golden["grad_norms"].as_object().unwrap().iter();
        let trained: BTreeSet<_> =
            norms.filter(|(_, norm)| !norm.is_null()).map(|(name, _)| name.clone()).collect();
        assert_eq!(named, trained, "{}", folder.display());
    }
}

#[test]
fn one_token_asks_for_neither_queries_nor_keys() {
    let request = |name: &str, rows| TensorRequest { name: name.to_owned(), rows };
    let asked = |name: &str, scope| {
        let folder = fixture(name);
        let model = model(&folder);
        let names = model.names(&on_disk(&folder)).unwrap();
        model.layer_requests(&names, 1, scope).unwrap()
    };
    // separate projections: q and k are not there
    let names: Vec<_> = asked("llm/qwen3", Scope::OneToken).into_iter().map(|asked| asked.name).collect();
    assert!(names.contains(&"model.layers.1.self_attn.v_proj.weight".to_owned()));
    assert!(!names.iter().any(|name| name.contains("q_") || name.contains("k_")), "{names:?}");
    // all q, one k, one v: the last run of 6 heads of 8
    let fused = "transformer.h.1.self_attention.query_key_value.weight";
    assert!(asked("llm/falcon7b", Scope::OneToken).contains(&request(fused, Some((40, 48)))));
    assert!(asked("llm/falcon7b", Scope::Sequence).contains(&request(fused, None)));
    // v rows in several runs, or columns: the whole tensor
    assert!(asked("llm/falcon40b", Scope::OneToken).contains(&request(fused, None)));
    assert!(asked("llm/gpt2", Scope::OneToken).contains(&request("h.1.attn.c_attn.weight", None)));
    // gate and up rows fill their tensor
    let phi3 = asked("llm/phi3", Scope::OneToken);
    assert!(phi3.contains(&request("model.layers.1.self_attn.qkv_proj.weight", Some((64, 96)))));
    assert!(phi3.contains(&request("model.layers.1.mlp.gate_up_proj.weight", None)));
    // sorted, each name once
    let names: Vec<_> = phi3.iter().map(|asked| asked.name.clone()).collect();
    assert_eq!(names, names.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>());
}

#[test]
fn old_spellings_and_missing_prefixes_are_resolved() {
    let folder = fixture("slm/bert");
    let model = model(&folder);
    let names = model.names(&on_disk(&folder)).unwrap();
    assert_eq!(names.prefix(), "bert.");
    let norm = model.tensors.model.iter().find(|(_, source)| source.name == "embeddings.LayerNorm.weight");
    assert_eq!(names.on_disk(&norm.unwrap().1), "bert.embeddings.LayerNorm.gamma");
    let bare: BTreeSet<_> =
        on_disk(&folder).iter().filter_map(|name| name.strip_prefix("bert.").map(str::to_owned)).collect();
    assert_eq!(model.names(&bare).unwrap().prefix(), "");
}

#[test]
fn a_checkpoint_of_another_model_is_refused_with_what_is_missing() {
    let falcon = model(&fixture("llm/falcon7b"));
    let names = on_disk(&fixture("llm/falcon40b"));
    let error = falcon.names(&names).unwrap_err();
    // two of the six a layer, in three layers; three stand outside
    assert!(error.to_string().contains("6 of the 21 tensors"), "{error}");
    assert!(error.to_string().contains("`transformer.h.0.input_layernorm.bias`"), "{error}");
    // bundles hold some layers only
    let one: BTreeSet<_> =
        on_disk(&fixture("llm/falcon7b")).into_iter().filter(|name| name.contains(".2.")).collect();
    assert!(falcon.layer_names(&one, &[2], Scope::Sequence).is_ok());
    assert!(matches!(falcon.layer_names(&one, &[1], Scope::Sequence), Err(Error::MissingTensors { .. })));
    assert!(matches!(falcon.layer_names(&one, &[3], Scope::Sequence), Err(Error::NoSuchLayer { .. })));
}

#[test]
fn a_header_that_contradicts_the_configuration_is_refused() {
    let folder = fixture("llm/phi3");
    let model = model(&folder);
    let mut shapes = headers(&folder);
    let names = model.names(&shapes.keys().cloned().collect()).unwrap();
    let fused = "model.layers.1.self_attn.qkv_proj.weight";
    shapes.insert(fused.to_owned(), vec![80, 32]);
    let error = model.check_shapes(&names, &[1], false, &|name| shapes.get(name).cloned()).unwrap_err();
    let (found, expected) = (vec![80, 32], vec![96, 32]);
    assert_eq!(error, Error::TensorShape { tensor: fused.to_owned(), found, expected });
}

#[test]
fn a_layer_that_carries_more_than_its_family_knows_says_so() {
    let folder = fixture("llm/llama2");
    let mut names = on_disk(&folder);
    names.insert("model.layers.0.self_attn.q_proj.bias".to_owned());
    names.insert("model.layers.10.mlp.up_proj.weight".to_owned());
    let unexpected = model(&folder).names(&names).unwrap().unexpected;
    assert_eq!(unexpected, ["model.layers.0.self_attn.q_proj.bias", "model.layers.10.mlp.up_proj.weight"]);
}

#[test]
fn specifications_say_what_the_families_are() {
    let spec = |name: &str| model(&fixture(name)).spec;
    let windows =
        |name: &str| spec(name).blocks.iter().map(|block| block.attention.window).collect::<Vec<_>>();
    let past = Some(Window::Past(4));
    assert_eq!(windows("llm/mistral"), [past; 3]);
    assert_eq!(windows("llm/qwen2"), [None; 3]);
    assert_eq!(windows("llm/qwen2_5"), [None, past, past]);
    assert_eq!(windows("llm/gemma2"), [past, None, past]);
    assert_eq!(windows("llm/gemma3"), [past, past, None]);
    let around = Some(Window::Around(3));
    assert_eq!(windows("slm/modernbert"), [None, around, around, None]);

    let gemma2 = spec("llm/gemma2");
    assert_eq!(gemma2.blocks[0].placement, Placement::PrePost);
    assert_eq!(gemma2.blocks[0].attention.soft_cap, Some(3.0));
    assert_eq!(gemma2.blocks[0].attention.scale, (1.0 / 6.0_f64.sqrt()) as f32);
    assert_eq!(gemma2.embeddings.scale, Some(32.0_f64.sqrt() as f32));
    let base = |block: usize| match &spec("llm/gemma3").blocks[block].position {
        Position::Rotary(rotary) => rotary.inverse_frequencies[1].recip(),
        other => panic!("{other:?}"),
    };
    // the second of six pairs: base^(2/12), on global layers times the factor of 8
    assert!((base(0) - 10_000.0_f64.powf(1.0 / 6.0)).abs() < 1e-12);
    assert!((base(2) - 8.0 * 1e6_f64.powf(1.0 / 6.0)).abs() < 1e-9);

    let residual = |name: &str| spec(name).blocks[0].residual;
    assert_eq!(residual("llm/falcon7b"), Residual::Parallel);
    assert_eq!(residual("llm/falcon11b"), Residual::Parallel);
    assert_eq!(residual("llm/falcon40b"), Residual::ParallelTwoNorms);
    assert_eq!(residual("llm/falcon_rw"), Residual::Sequential);
    assert_eq!(residual("llm/gpt_neox"), Residual::ParallelTwoNorms);
    assert_eq!(residual("llm/gpt_neox_seq"), Residual::Sequential);
    assert!(matches!(spec("llm/olmo2").blocks[0].attention.qk_norm, QkNorm::Whole(_)));
    assert!(matches!(spec("llm/qwen3").blocks[0].attention.qk_norm, QkNorm::PerHead(_)));
    let Position::Rotary(longrope) = spec("llm/phi3_longrope_long").blocks[0].position.clone() else {
        panic!()
    };
    assert_eq!(longrope.rotary_dim, 6);
    // sqrt(1 + ln(64 / 4) / ln 4) = sqrt 3
    assert!((longrope.attention_factor - 3.0_f64.sqrt()).abs() < 1e-15);
    assert_eq!(longrope.long.unwrap().original_max_position_embeddings, 4);

    let opt = spec("llm/opt_postln");
    assert_eq!(
        (opt.blocks[0].placement, opt.final_norm, opt.output_projection),
        (Placement::Post, None, Some(16))
    );
    assert_eq!(opt.embeddings.projection.unwrap().place, ProjectionPlace::Words);
    assert!(model(&fixture("llm/opt")).notes[0].contains("`dropout`"));
    assert!(spec("slm/albert").shared_blocks);
    let distilbert = spec("slm/distilbert");
    assert_eq!(distilbert.dropout_sites, DropoutSites { attention: false, ..DropoutSites::ALL });
    assert_eq!((distilbert.hidden_dropout, distilbert.blocks[0].attention.dropout), (0.1, 0.1));
    // three terms of width 8
    assert_eq!(spec("slm/deberta_v3").blocks[0].attention.scale, (1.0 / 24.0_f64.sqrt()) as f32);
    assert_eq!(spec("slm/deberta_v2").convolution.unwrap().kernel_size, 3);
    assert!(!spec("slm/modernbert").blocks[0].attention_norm);
}

#[test]
fn gpt2_is_transposed_and_neox_interleaved() {
    let source = |name: &str, role: BlockTensor| {
        let block = model(&fixture(name)).tensors.blocks.swap_remove(0);
        block.into_iter().find(|(found, _)| *found == role).unwrap().1
    };
    let value = source("llm/gpt2", BlockTensor::ValueWeight);
    let columns = 64..96;
    assert_eq!((value.transpose, value.rows), (true, Some(vec![columns])));
    assert!(!source("llm/gpt2", BlockTensor::ValueBias).transpose);
    let key = source("llm/gpt_neox", BlockTensor::KeyWeight);
    assert_eq!(key.rows, Some(vec![16..32, 64..80]));
}

#[test]
fn options_that_change_numbers_are_refused_by_name() {
    for (name, option, value) in [
        ("llm/llama2", "hidden_act", json!("quick_gelu")),
        ("llm/llama2", "quantization_config", json!({"bits": 4})),
        ("llm/mistral", "layer_types", json!(["full_attention"])),
        ("llm/mixtral", "router_jitter_noise", json!(0.1)),
        ("llm/gemma", "hidden_act", json!("silu")),
        ("llm/gemma3", "use_bidirectional_attention", json!(true)),
        ("llm/falcon40b", "parallel_attn", json!(false)),
        ("llm/falcon11b", "num_ln_in_parallel_attn", json!(3)),
        ("llm/gpt2", "add_cross_attention", json!(true)),
        ("llm/opt", "layer_norm_elementwise_affine", json!(false)),
        ("llm/bloom", "apply_residual_connection_post_layernorm", json!(true)),
        ("slm/bert", "position_embedding_type", json!("relative_key")),
        ("slm/roberta", "is_decoder", json!(true)),
        ("slm/distilbert", "sinusoidal_pos_embds", json!(true)),
        ("slm/albert", "num_hidden_groups", json!(2)),
        ("slm/mpnet", "relative_attention_num_buckets", json!(64)),
        ("slm/modernbert", "mlp_dropout", json!(0.1)),
        ("slm/deberta", "talking_head", json!(true)),
        ("slm/deberta", "relative_attention", json!(false)),
        ("slm/deberta", "pos_att_type", json!("p2p")),
        ("slm/deberta_v2", "share_att_key", json!(false)),
        ("slm/deberta_v2", "conv_act", json!("tanh")),
        ("slm/deberta_v2", "norm_rel_ebd", json!("batch_norm")),
    ] {
        let mut config = config(&fixture(name), "config.json");
        config[option] = value;
        let error = read(&config).unwrap_err();
        assert!(
            matches!(&error, Error::UnsupportedOption { option: found, .. } if found == option),
            "{name}: {error}"
        );
    }
}

#[test]
fn a_configuration_spoilt_in_any_field_never_panics() {
    let spoilt = [
        json!(null),
        json!(0),
        json!(-1),
        json!(1),
        json!(3),
        json!(1e300),
        json!(u64::MAX),
        json!(0.1),
        json!(true),
        json!("x"),
        json!([]),
        json!({}),
    ];
    for folder in fixtures("llm").into_iter().chain(fixtures("slm")) {
        for dialect in ["config.json", "config.v5.json"] {
            let whole = config(&folder, dialect);
            let keys: Vec<_> = whole.as_object().unwrap().keys().cloned().collect();
            for key in keys {
                let mut without = whole.clone();
                without.as_object_mut().unwrap().remove(&key);
                let outcomes = spoilt.iter().map(|value| {
                    let mut config = whole.clone();
                    config[&key] = value.clone();
                    read(&config)
                });
                for model in outcomes.chain([read(&without)]).flatten() {
                    // what is accepted is consistent: shapes can be computed for every tensor
                    let names = model.names(&BTreeSet::new());
                    assert!(matches!(names, Err(Error::MissingTensors { .. })));
                    let asked: Vec<_> = model.tensors.blocks.iter().zip(&model.spec.blocks).collect();
                    assert_eq!(asked.len(), model.spec.blocks.len());
                    for (tensors, block) in asked {
                        assert!(tensors.iter().all(|(role, _)| !role.shape(block).contains(&0)));
                    }
                }
            }
        }
    }
}

#[test]
fn sizes_that_nobody_has_are_refused_by_field() {
    for (name, field, value) in [
        ("llm/llama2", "num_hidden_layers", json!(1001)),
        ("llm/llama2", "hidden_size", json!(u64::MAX)),
        ("llm/llama2", "num_attention_heads", json!(5)),
        ("llm/llama3", "num_key_value_heads", json!(3)),
        ("llm/llama3", "rms_norm_eps", json!(-1e-5)),
        ("llm/llama3", "pad_token_id", json!(128)),
        ("llm/gpt_neox", "rotary_pct", json!(0.2)),
        ("llm/mixtral", "num_experts_per_tok", json!(5)),
        ("llm/mixtral", "num_local_experts", json!(1_000_000)),
        ("llm/gemma2", "query_pre_attn_scalar", json!(0)),
        ("llm/gpt2", "n_embd", json!(0)),
        ("llm/falcon40b", "hidden_size", json!(0)),
        ("slm/roberta", "max_position_embeddings", json!(2)),
        ("slm/bert", "hidden_dropout_prob", json!(1.0)),
        ("slm/bert", "vocab_size", json!(0)),
    ] {
        let mut config = config(&fixture(name), "config.json");
        config[field] = value;
        let error = read(&config).unwrap_err();
        assert!(matches!(&error, Error::BadField { field: found, .. } if found == field), "{name}: {error}");
    }
}
