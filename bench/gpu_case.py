"""Writes what bench/gpu.sh times: a small model and an LLM of real shapes with random weights, and
sentences with labels.

    python3 bench/gpu_case.py OUT --tokenizer FILE [--tiny] [--all-layers]

BERT-base, and four layers of Llama-3-8B's shape in bfloat16 (1.8 GB); with `--all-layers` another model of
all 32 (14 GB), whose layers are alike. `--tokenizer` is a tokenizer.json
of the BERT kind, with any vocabulary below 30522. `--tiny` writes models of the same kind that a stand-in
for a GPU can run. Needs Python with numpy.
"""

import argparse
import json
import os
import random
import re
import shutil
import struct

import numpy


def write(path, tensors, alike=False):
    """A safetensors file of (name, shape, dtype) with normal numbers of deviation 0.02; norms are ones. The
    layers of a model are `alike` where it would take minutes to make each its own."""
    header, at = {}, 0
    for name, shape, dtype in tensors:
        size = int(numpy.prod(shape)) * (2 if dtype == "BF16" else 4)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    generator = numpy.random.default_rng(0)
    # one stretch of random numbers serves all tensors, from a place of each one's own
    stretch = generator.standard_normal(1 << 22, dtype=numpy.float32) * 0.02
    made = {}
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for name, shape, dtype in tensors:
            count = int(numpy.prod(shape))
            kind = re.sub(r"\blayers\.\d+\.", "layers.", name) if alike else name
            if kind in made:
                out.write(made[kind])
                continue
            if "norm" in name.lower() and name.endswith("weight"):
                numbers = numpy.ones(count, dtype=numpy.float32)
            else:
                numbers = numpy.resize(numpy.roll(stretch, -int(generator.integers(1 << 22))), count)
            if dtype == "BF16":
                numbers = (numbers.view(numpy.uint32) >> 16).astype(numpy.uint16)
            if alike:
                made[kind] = numpy.ascontiguousarray(numbers).data
            out.write(numbers.tobytes())


def bert(folder, layers, width, heads, inner, vocabulary):
    os.makedirs(folder, exist_ok=True)
    config = {
        "model_type": "bert", "hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads,
        "intermediate_size": inner, "vocab_size": vocabulary, "max_position_embeddings": 512, "type_vocab_size": 2,
        "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1,
        "layer_norm_eps": 1e-12, "pad_token_id": 0, "position_embedding_type": "absolute",
    }
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as out:
        json.dump(config, out)
    tensors = [
        ("embeddings.word_embeddings.weight", [vocabulary, width], "F32"),
        ("embeddings.position_embeddings.weight", [512, width], "F32"),
        ("embeddings.token_type_embeddings.weight", [2, width], "F32"),
        ("embeddings.LayerNorm.weight", [width], "F32"),
        ("embeddings.LayerNorm.bias", [width], "F32"),
    ]
    for layer in range(layers):
        maps = [
            ("attention.self.query", width, width), ("attention.self.key", width, width),
            ("attention.self.value", width, width), ("attention.output.dense", width, width),
            ("intermediate.dense", inner, width), ("output.dense", width, inner),
        ]
        for name, outputs, inputs in maps:
            tensors.append((f"encoder.layer.{layer}.{name}.weight", [outputs, inputs], "F32"))
            tensors.append((f"encoder.layer.{layer}.{name}.bias", [outputs], "F32"))
        for name in ["attention.output.LayerNorm", "output.LayerNorm"]:
            tensors.append((f"encoder.layer.{layer}.{name}.weight", [width], "F32"))
            tensors.append((f"encoder.layer.{layer}.{name}.bias", [width], "F32"))
    write(os.path.join(folder, "model.safetensors"), tensors)


def llama(folder, layers, width, heads, kv_heads, inner):
    os.makedirs(folder, exist_ok=True)
    config = {
        "model_type": "llama", "hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads,
        "num_key_value_heads": kv_heads, "intermediate_size": inner, "vocab_size": 512, "hidden_act": "silu",
        "rms_norm_eps": 1e-5, "rope_theta": 500000.0, "max_position_embeddings": 8192, "attention_bias": False,
        "mlp_bias": False, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
    }
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as out:
        json.dump(config, out)
    narrow = width // heads * kv_heads
    tensors = [("model.embed_tokens.weight", [512, width], "BF16"), ("model.norm.weight", [width], "BF16"),
               ("lm_head.weight", [512, width], "BF16")]
    for layer in range(layers):
        maps = [
            ("self_attn.q_proj", width, width), ("self_attn.k_proj", narrow, width),
            ("self_attn.v_proj", narrow, width), ("self_attn.o_proj", width, width),
            ("mlp.gate_proj", inner, width), ("mlp.up_proj", inner, width), ("mlp.down_proj", width, inner),
        ]
        for name, outputs, inputs in maps:
            tensors.append((f"model.layers.{layer}.{name}.weight", [outputs, inputs], "BF16"))
        for name in ["input_layernorm", "post_attention_layernorm"]:
            tensors.append((f"model.layers.{layer}.{name}.weight", [width], "BF16"))
    write(os.path.join(folder, "model.safetensors"), tensors, alike=layers > 4)


def texts(path, count):
    """Sentences of 8 to 24 words, labelled by the more frequent of two sets of words; as a table, and as
    JSON lines for the peer."""
    words = random.Random(0)
    sets = [["good", "fine", "warm", "new", "bright"], ["bad", "poor", "cold", "old", "dull"]]
    with open(f"{path}.csv", "w", encoding="utf-8") as out, open(f"{path}.jsonl", "w", encoding="utf-8") as lines:
        out.write("text,label\n")
        for number in range(count):
            label = words.randrange(2)
            chosen = [words.choice(sets[label if words.random() < 0.8 else 1 - label]) for _ in range(words.randint(8, 24))]
            text = f"{' '.join(chosen)} {number}"
            out.write(f"{text},{label}\n")
            lines.write(json.dumps({"text": text, "label": label}) + "\n")


def main():
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("out")
    flags.add_argument("--tokenizer", required=True)
    flags.add_argument("--tiny", action="store_true")
    flags.add_argument("--all-layers", action="store_true")
    a = flags.parse_args()
    slm, llm = os.path.join(a.out, "bert"), os.path.join(a.out, "llama")
    if not os.path.isfile(os.path.join(a.out, "texts.jsonl")):
        if a.tiny:
            bert(slm, 2, 64, 4, 96, 30522)
            llama(llm, 4, 64, 4, 2, 96)
        else:
            bert(slm, 12, 768, 12, 3072, 30522)
            llama(llm, 4, 4096, 32, 8, 14336)
        shutil.copy(a.tokenizer, os.path.join(slm, "tokenizer.json"))
        # of which four fifths train: as many as the sentences of SST-2
        texts(os.path.join(a.out, "texts"), 8650)
    every = os.path.join(a.out, "llama32")
    if a.all_layers and not os.path.isfile(os.path.join(every, "model.safetensors")):
        llama(every, *((8, 64, 4, 2, 96) if a.tiny else (32, 4096, 32, 8, 14336)))


if __name__ == "__main__":
    main()
