#!/usr/bin/env python3
"""Write an oracle directory for a model of your own, for `pifi-probe verify DIR`.

The directory holds the checkpoint (linked where the file system allows it) and what the reference
implementation, Hugging Face transformers, computes from it, so that `verify` can recompute every
case and compare. All expected values are computed in float64, also where transformers asks for
float32 (norms, rotary tables, softmax), from the weights as stored, and stored as float32.

Install:   python3 -m venv oracle && oracle/bin/pip install torch transformers safetensors
Decoder:   oracle/bin/python make_oracle.py llm MODEL OUT [--layers 0,15,-1]
Encoder:   oracle/bin/python make_oracle.py slm MODEL OUT [--texts FILE]
Then:      pifi-probe verify OUT

MODEL is a local directory with `config.json` and safetensors, or a Hub id (it is downloaded with
your own login). Written with transformers 5; memory: 8 bytes a parameter, and 4 more for the
comparison with float32 unless `--skip-f32` is given.

`llm` writes `golden.safetensors` (i = layer from 0, H = hidden size):
  in.s1.x, in.s1.g [B1,1,H]        layer input and cotangent of the cases of one token
  in.sN.x, in.sN.g [BN,S,H]        the same for sequences; in.sN.pad_mask [BN,S], 1 = real
  L{i}.s1.y, L{i}.s1.gx            layer output, and d sum(y*g)/dx, at one token
  L{i}.bi.y, L{i}.bi.gx            every token sees every token
  L{i}.causal.y                    every token sees itself and what is before it
  L{i}.bipad.y                     as bi, padded keys hidden from all queries
  L{i}.win.y                       key j visible iff 0 <= q-j < W, for layers with a window W
  in.full.ids, full.hidden.{k}     the whole model: k = 0 embeddings .. L after the final norm
                                   (not for Falcon with ALiBi, whose full model adds it twice)
`slm` writes:
  in.ids, in.mask, in.type_ids     padded on the right (type ids where the tokenizer gives them)
  in.g                             cotangent; loss = sum(last * g * mask)
  hidden.{k}, last                 hidden states and the last one
  grad.PARAM                       gradients of parameters of at most 600 elements, where they are
                                   more than rounding
`golden.json` beside it holds shapes, versions, how far transformers' own float32 is from float64
(max-normalised), and for `slm` the loss and every parameter's gradient norm (null: takes no part).
"""

import argparse
import inspect
import json
import os
import shutil
import sys
from pathlib import Path

os.environ.setdefault("PYTORCH_JIT", "0")  # scripted functions would hide their casts

import torch  # noqa: E402
import transformers  # noqa: E402
from safetensors import safe_open  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402
from torch.overrides import TorchFunctionMode  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

LARGEST_STORED_GRADIENT = 600
NOISE = 1e-6  # of the largest norm; key biases have a gradient of zero, what is left is rounding
TEXTS = ["The first of a few plain sentences.", "Shorter.", "A third one, which is the longest of all of them!"]


class Float64Everywhere(TorchFunctionMode):
    """Turns every request for float32 into one for float64."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is torch.Tensor.float:
            return args[0].double()
        wide = lambda value: torch.float64 if value is torch.float32 else value  # noqa: E731
        args = tuple(wide(value) for value in args)
        return func(*args, **{key: wide(value) for key, value in (kwargs or {}).items()})


class Float32Seen(TorchDispatchMode):
    """Counts operations that still gave float32: each would be a hole in the reference."""

    def __init__(self):
        super().__init__()
        self.seen = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        outputs = out if isinstance(out, (tuple, list)) else [out]
        if any(isinstance(value, torch.Tensor) and value.dtype == torch.float32 for value in outputs):
            self.seen[str(func)] = self.seen.get(str(func), 0) + 1
        return out


def compute(dtype, record):
    """Runs `record(dtype)` in float64 throughout, or as transformers would in float32."""
    if dtype == torch.float32:
        return record(dtype), {}
    torch.set_default_dtype(torch.float64)
    counter = Float32Seen()
    try:
        with Float64Everywhere():
            return record(dtype, counter), counter.seen
    finally:
        torch.set_default_dtype(torch.float32)


def load(folder, dtype):
    """The base model in evaluation mode, with the plain attention that keeps to the mask given."""
    options = {"dtype": dtype, "attn_implementation": "eager", "local_files_only": True}
    model = transformers.AutoModel.from_pretrained(folder, **options)
    if hasattr(model.config, "_experts_implementation"):
        model.config._experts_implementation = "eager"
    return model.eval()


def layers_of(model):
    """Name and modules of the decoder's list of layers."""
    count = model.config.num_hidden_layers
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) == count:
            return name, module
    sys.exit(f"error: no list of {count} layers in {type(model).__name__}")


def windows_of(config, layers):
    """The sliding window of every layer, or None."""
    size = getattr(config, "sliding_window", None)
    if getattr(config, "use_sliding_window", True) is False:
        size = None
    types = getattr(config, "layer_types", None)
    windowed = [kind == "sliding_attention" for kind in types] if types else [True] * layers
    return [size if here else None for here in windowed]


class Stop(Exception):
    """Ends a forward pass early."""


def captured_calls(model, layers, ids):
    """What the model itself passes to each layer for these ids, by parameter name."""
    calls, handles = {}, []
    for index, layer in enumerate(layers):
        def hook(module, args, kwargs, index=index):
            bound = inspect.signature(module.forward).bind(*args, **kwargs)
            calls[index] = bound
        handles.append(layer.register_forward_pre_hook(hook, with_kwargs=True))
    with torch.no_grad():
        model(input_ids=ids, use_cache=False)
    for handle in handles:
        handle.remove()
    return calls


def call(layer, bound, x, mask):
    """The layer on another input under another additive mask [B,1,S,S]."""
    bound = inspect.BoundArguments(bound.signature, dict(bound.arguments))
    bound.arguments["hidden_states"] = x
    bound.arguments["attention_mask"] = mask
    for name in ("past_key_values", "layer_past", "past_key_value"):
        bound.arguments.pop(name, None)
    out = layer(*bound.args, **bound.kwargs)
    return out[0] if isinstance(out, tuple) else out


def additive(visible, dtype):
    """0 where a key is visible, the most negative number elsewhere."""
    return torch.zeros(visible.shape, dtype=dtype).masked_fill(~visible, torch.finfo(dtype).min)


def record_llm(folder, inputs, chosen, whole):
    def record(dtype, counter=None):
        model = load(folder, dtype)
        name, layers = layers_of(model)
        windows = windows_of(model.config, len(layers))
        b1, bn, s = inputs["in.s1.x"].shape[0], *inputs["in.sN.x"].shape[:2]
        x1, g1 = inputs["in.s1.x"].to(dtype), inputs["in.s1.g"].to(dtype)
        xn, gn = inputs["in.sN.x"].to(dtype), inputs["in.sN.g"].to(dtype)
        real = inputs["in.sN.pad_mask"].bool()
        out = {}

        def with_gradient(layer, bound, x, g, mask):
            x = x.clone().requires_grad_(True)
            y = call(layer, bound, x, mask)
            (gx,) = torch.autograd.grad((y * g).sum(), x)
            return y.detach(), gx

        def run():
            ones = torch.ones(b1, 1, dtype=torch.long)
            one = captured_calls(model, layers, ones)
            many = captured_calls(model, layers, inputs["in.full.ids"])
            query, key = torch.arange(s)[:, None], torch.arange(s)[None, :]
            square = lambda visible: visible.expand(bn, 1, s, s)  # noqa: E731
            every = square(torch.ones(s, s, dtype=torch.bool))
            for i in chosen:
                layer = layers[i]
                single = additive(torch.ones(b1, 1, 1, 1, dtype=torch.bool), dtype)
                out[f"L{i}.s1.y"], out[f"L{i}.s1.gx"] = with_gradient(layer, one[i], x1, g1, single)
                out[f"L{i}.bi.y"], out[f"L{i}.bi.gx"] = with_gradient(layer, many[i], xn, gn, additive(every, dtype))
                masks = {"causal": square(key <= query), "bipad": every & real[:, None, None, :]}
                if windows[i]:
                    masks["win"] = square((key <= query) & (query - key < windows[i]))
                with torch.no_grad():
                    for case, visible in masks.items():
                        out[f"L{i}.{case}.y"] = call(layer, many[i], xn, additive(visible, dtype))
            if whole and not getattr(model.config, "alibi", False):
                with torch.no_grad():
                    full = model(input_ids=inputs["in.full.ids"], use_cache=False, output_hidden_states=True)
                out.update({f"full.hidden.{k}": hidden for k, hidden in enumerate(full.hidden_states)})

        if counter is None:
            run()
        else:
            with counter:
                run()
        facts = {"layers": len(layers), "layer_list": name, "window_per_layer": windows}
        return {key: value.detach() for key, value in out.items()}, facts

    return record


def record_slm(folder, inputs):
    def record(dtype, counter=None):
        model = load(folder, dtype)
        mask = inputs["in.mask"]
        fed = {"input_ids": inputs["in.ids"], "attention_mask": mask}
        if "in.type_ids" in inputs:
            fed["token_type_ids"] = inputs["in.type_ids"]
        if "use_cache" in inspect.signature(model.forward).parameters:
            fed["use_cache"] = False

        def run():
            result = model(**fed, output_hidden_states=True)
            last = result.last_hidden_state
            loss = (last * inputs["in.g"].to(dtype) * mask[..., None].to(dtype)).sum()
            loss.backward()
            return result, last, loss

        if counter is None:
            result, last, loss = run()
        else:
            with counter:
                result, last, loss = run()
        out = {f"hidden.{k}": hidden for k, hidden in enumerate(result.hidden_states)}
        out["last"] = last
        gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
        norms = {name: None if grad is None else grad.norm().item() for name, grad in gradients.items()}
        least = NOISE * max(norm for norm in norms.values() if norm is not None)
        for name, gradient in gradients.items():
            if norms[name] is not None and norms[name] > least and gradient.numel() <= LARGEST_STORED_GRADIENT:
                out[f"grad.{name}"] = gradient
        facts = {"layers": len(result.hidden_states) - 1, "loss": loss.item(), "grad_norms": norms}
        return {key: value.detach() for key, value in out.items()}, facts

    return record


def llm_inputs(config, args):
    hidden, vocabulary = config.hidden_size, config.vocab_size
    b1, bn, s = args.rows, args.sequences, args.length
    pad_mask = torch.ones(bn, s, dtype=torch.long)
    pad_mask[-1, -min(3, s - 1):] = 0
    normal = lambda *shape: torch.randn(*shape)  # noqa: E731
    return {
        "in.s1.x": normal(b1, 1, hidden),
        "in.s1.g": normal(b1, 1, hidden),
        "in.sN.x": normal(bn, s, hidden),
        "in.sN.g": normal(bn, s, hidden),
        "in.sN.pad_mask": pad_mask,
        "in.full.ids": torch.randint(0, vocabulary, (bn, s)),
    }


def slm_inputs(folder, config, args):
    texts = args.texts.read_text(encoding="utf-8").splitlines() if args.texts else TEXTS
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "right"
    coded = tokenizer(texts, padding=True, truncation=True, max_length=args.max_length, return_tensors="pt")
    inputs = {"in.ids": coded["input_ids"], "in.mask": coded["attention_mask"]}
    if "token_type_ids" in coded:
        inputs["in.type_ids"] = coded["token_type_ids"]
    inputs["in.g"] = torch.randn(*coded["input_ids"].shape, config.hidden_size)
    return inputs, texts


def place(source, target):
    """Links a file, or copies it where links are not possible."""
    target.unlink(missing_ok=True)
    try:
        os.link(os.path.realpath(source), target)
    except OSError:
        shutil.copyfile(source, target)


def local_folder(model):
    if Path(model).is_dir():
        return Path(model)
    from huggingface_hub import snapshot_download

    wanted = ["*.json", "*.safetensors", "*.model", "*.txt"]
    return Path(snapshot_download(model, allow_patterns=wanted))


def relative_difference(a, b):
    scale = b.abs().max().item()
    return (a.double() - b).abs().max().item() / scale if scale > 0 else 0.0


def tensors_on_disk(folder):
    names = []
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as opened:
            names.extend(opened.keys())
    return sorted(names)


def chosen_layers(text, count):
    if text == "all":
        return list(range(count))
    picked = sorted({int(part) + count if int(part) < 0 else int(part) for part in text.split(",")})
    if picked[0] < 0 or picked[-1] >= count:
        sys.exit(f"error: --layers {text} reaches beyond the {count} layers of the model")
    return picked


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["llm", "slm"], help="decoder whose layers are plugged, or encoder")
    parser.add_argument("model", help="local directory or Hub id")
    parser.add_argument("out", type=Path, help="directory to write")
    parser.add_argument("--seed", type=int, default=11, help="of the random inputs (default 11)")
    parser.add_argument("--inputs", type=Path, help="take in.* from this golden.safetensors")
    parser.add_argument("--skip-f32", action="store_true", help="do not run transformers' own float32")
    parser.add_argument("--layers", default="all", help="llm: `all` or a list such as 0,15,-1")
    parser.add_argument("--skip-full", action="store_true", help="llm: leave out full.*")
    parser.add_argument("--rows", type=int, default=3, help="llm: rows of one token (default 3)")
    parser.add_argument("--sequences", type=int, default=2, help="llm: sequences (default 2)")
    parser.add_argument("--length", type=int, default=7, help="llm: tokens a sequence, at least 2 (default 7)")
    parser.add_argument("--texts", type=Path, help="slm: a file with one text a line")
    parser.add_argument("--max-length", type=int, default=32, help="slm: tokens kept of a text (default 32)")
    return parser.parse_args()


def main():
    args = arguments()
    torch.manual_seed(args.seed)
    source = local_folder(args.model)
    if not list(source.glob("*.safetensors")):
        sys.exit(f"error: no safetensors in {source}: write them with `save_pretrained` first")
    config = transformers.AutoConfig.from_pretrained(source, local_files_only=True)
    if getattr(config, "is_encoder_decoder", False):
        sys.exit("error: encoder-decoder models are not supported")

    texts = None
    if args.inputs:
        given = load_file(args.inputs)
        inputs = {key: value for key, value in given.items() if key.startswith("in.")}
    elif args.kind == "llm":
        inputs = llm_inputs(config, args)
    else:
        inputs, texts = slm_inputs(source, config, args)

    if args.kind == "llm":
        picked = chosen_layers(args.layers, config.num_hidden_layers)
        record = record_llm(source, inputs, picked, not args.skip_full)
    else:
        record = record_slm(source, inputs)
    (golden, facts), leaks = compute(torch.float64, record)
    facts["f32_tensors_seen_in_f64_run"] = leaks
    if not args.skip_f32:
        (narrow, narrow_facts), _ = compute(torch.float32, record)
        both = sorted(golden.keys() & narrow.keys())
        facts["f32_vs_f64_max_reldiff"] = {key: relative_difference(narrow[key], golden[key]) for key in both}
        if "loss" in narrow_facts:
            facts["loss_f32"] = narrow_facts["loss"]

    args.out.mkdir(parents=True, exist_ok=True)
    for file in sorted(source.iterdir()):
        kept = file.suffix in {".json", ".safetensors", ".model", ".txt"}
        if kept and not file.name.startswith("golden") and file.resolve() != (args.out / file.name).resolve():
            place(file, args.out / file.name)
    stored = {key: value.to(torch.float32).contiguous() for key, value in golden.items()}
    stored |= {key: value.contiguous() for key, value in inputs.items()}
    save_file(stored, args.out / "golden.safetensors")
    facts |= {
        "name": args.out.name,
        "family": config.model_type,
        "model_type": config.model_type,
        "seed": args.seed,
        "shapes": {key: list(value.shape) for key, value in sorted(stored.items())},
        "tensors_on_disk": tensors_on_disk(source),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }
    if texts:
        facts["texts"] = texts
    (args.out / "golden.json").write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    if leaks:
        print(f"warning: float32 in the float64 run, the reference may be imprecise: {leaks}", file=sys.stderr)
    print(f"wrote {len(golden)} expected tensors to {args.out}; check them with `pifi-probe verify {args.out}`")


if __name__ == "__main__":
    main()
