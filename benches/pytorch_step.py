"""What a PyTorch user would run: steps of the published training loop, timed, as a directory that
`pifi-probe verify --times` recomputes with the same weights, order and hyper-parameters.

    python3 benches/pytorch_step.py OUT --slm DIR --llm DIR --layer N --texts FILE.jsonl --max-len 100

Needs torch, transformers, safetensors and tokenizers. `OUT` gets `curve.json` (losses, norms, seconds a
step), `init.safetensors`, `golden.safetensors` and the two text files; the models stay where they are.
Dropout is off on both sides, so that the losses can be compared; everything else is as published.
"""

import argparse
import json
import os
import random
import resource
import time

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM


class Probe(torch.nn.Module):
    def __init__(self, slm, llm, layer, classes):
        super().__init__()
        self.slm = slm
        width, wide = slm.config.hidden_size, llm.config.hidden_size
        self.l_in = torch.nn.Linear(width, wide, bias=False)
        self.l_out = torch.nn.Linear(wide, width, bias=False)
        self.layer, self.rotary = llm.model.layers[layer], llm.model.rotary_emb
        self.classifier = torch.nn.Sequential(
            torch.nn.Linear(width, width), torch.nn.Dropout(0.0), torch.nn.GELU(), torch.nn.Linear(width, classes)
        )
        self.layer.requires_grad_(False)

    def forward(self, ids, mask):
        x = self.slm(input_ids=ids, attention_mask=mask).last_hidden_state[:, 0]
        x = self.l_in(x[:, None])
        position = torch.zeros(1, 1, dtype=torch.long, device=x.device)
        x = self.layer(x, position_embeddings=self.rotary(x, position), position_ids=position)
        x = x[0] if isinstance(x, tuple) else x
        return self.classifier(self.l_out(x[:, 0]))


def norm(parameters):
    return float(torch.sqrt(sum((p.grad.double() ** 2).sum() for p in parameters if p.grad is not None)))


def main():
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("out")
    flags.add_argument("--slm", required=True)
    flags.add_argument("--llm", required=True)
    flags.add_argument("--layer", type=int, default=0)
    flags.add_argument("--texts", required=True, help="JSON lines with `text` and `label`")
    flags.add_argument("--max-len", type=int, default=100)
    flags.add_argument("--batch", type=int, default=32)
    flags.add_argument("--steps", type=int, default=4)
    flags.add_argument("--threads", type=int, default=2)
    flags.add_argument("--shuffle", action="store_true", help="draw the texts at random, as training does")
    flags.add_argument(
        "--pad", choices=["max", "longest"], default="max",
        help="to --max-len, as published, or to the longest text of a batch; the latter is for times only",
    )
    flags.add_argument("--compile", action="store_true", help="torch.compile the probe")
    flags.add_argument("--bf16", action="store_true", help="under bfloat16 autocast")
    flags.add_argument("--device", default="cpu", help="cpu or cuda")
    a = flags.parse_args()
    synchronize = torch.cuda.synchronize if a.device.startswith("cuda") else lambda: None
    torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    os.makedirs(a.out, exist_ok=True)

    rows = []
    with open(a.texts, encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            rows.append((" ".join(row["text"].split()), int(row["label"])))
    if a.shuffle:
        random.Random(0).shuffle(rows)
    rows = rows[: a.batch * a.steps]
    tokenizer = Tokenizer.from_file(os.path.join(a.slm, "tokenizer.json"))
    tokenizer.enable_truncation(a.max_len)
    tokenizer.enable_padding(length=a.max_len)
    encoded = tokenizer.encode_batch([text for text, _ in rows])
    ids = torch.tensor([one.ids for one in encoded])
    mask = torch.tensor([one.attention_mask for one in encoded])
    labels = torch.tensor([label for _, label in rows])
    classes = int(labels.max()) + 1

    config = AutoConfig.from_pretrained(a.slm)
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.0
    slm = AutoModel.from_pretrained(a.slm, config=config, dtype=torch.float32)
    llm = AutoModelForCausalLM.from_pretrained(a.llm, dtype=torch.float32)
    probe = Probe(slm, llm, a.layer, classes).train()
    del llm
    start = {n: p.detach().clone() for n, p in probe.named_parameters() if not n.startswith(("slm.", "layer."))}
    save_file(start, os.path.join(a.out, "init.safetensors"))
    probe.to(a.device)
    ids, mask, labels = ids.to(a.device), mask.to(a.device), labels.to(a.device)
    trainable = [p for p in probe.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(trainable, lr=5e-5)
    loss_of = torch.nn.CrossEntropyLoss(label_smoothing=0.05)
    run = torch.compile(probe) if a.compile else probe
    kinds = {
        "total": trainable,
        "slm": [p for n, p in probe.named_parameters() if n.startswith("slm.")],
        "head": list(probe.classifier.parameters()),
        "l_in": list(probe.l_in.parameters()),
        "l_out": list(probe.l_out.parameters()),
    }
    curve = {"loss": [], **{f"grad_norm_{kind}": [] for kind in kinds}}
    seconds, cpu, golden = [], [], {}
    for step in range(a.steps):
        at = slice(step * a.batch, (step + 1) * a.batch)
        longest = int(mask[at].sum(1).max()) if a.pad == "longest" else a.max_len
        synchronize()
        begun, begun_cpu = time.perf_counter(), time.process_time()
        with torch.autocast(torch.device(a.device).type, dtype=torch.bfloat16, enabled=a.bf16):
            logits = run(ids[at, :longest], mask[at, :longest])
            loss = loss_of(logits.float(), labels[at])
        optimizer.zero_grad()
        loss.backward()
        synchronize()
        middle = time.perf_counter(), time.process_time()
        # the norms of parts are for the comparison, and not part of the step
        for kind, parameters in kinds.items():
            curve[f"grad_norm_{kind}"].append(norm(parameters))
        synchronize()
        resumed = time.perf_counter(), time.process_time()
        torch.nn.utils.clip_grad_norm_(trainable, 5.0)
        optimizer.step()
        synchronize()
        seconds.append(time.perf_counter() - begun - (resumed[0] - middle[0]))
        cpu.append(time.process_time() - begun_cpu - (resumed[1] - middle[1]))
        curve["loss"].append(loss.item())
        if step == 0:
            golden["logits0"] = logits.detach().float().cpu().contiguous()
        print(f"step {step}: loss {curve['loss'][-1]:.6f}, {seconds[-1]:.3f} s, {cpu[-1]:.3f} CPU s", flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    with torch.no_grad():
        golden["eval_logits"] = probe(ids[: a.batch], mask[: a.batch]).cpu().contiguous()
    for split, until in [("train", len(rows)), ("eval", a.batch)]:
        golden[f"{split}.ids"], golden[f"{split}.mask"] = ids[:until].cpu().clone(), mask[:until].cpu().clone()
        with open(os.path.join(a.out, f"{split}.tsv"), "w", encoding="utf-8") as file:
            file.write("text\tlabel\n")
            file.writelines(f"{text}\t{label}\n" for text, label in rows[:until])
    save_file(golden, os.path.join(a.out, "golden.safetensors"))
    spec = {
        "slm": os.path.abspath(a.slm), "llm": os.path.abspath(a.llm), "resolved_layer": a.layer,
        "method": "pifi", "pool": "cls", "head": "classifier", "train": "train.tsv", "eval": "eval.tsv",
        "batch": a.batch, "classes": classes, "max_len": a.max_len, "steps": a.steps, "lr": 5e-5,
        "optimizer": "adam", "weight_decay": 0.0, "smoothing": 0.05, "clip": 5.0,
        "adam": {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8},
    }
    if a.pad == "longest":
        print(f"peak memory {peak / 2**30:.2f} GiB")
        return
    measured = {"seconds": seconds, "cpu_seconds": cpu, "peak_memory_bytes": peak, "threads": a.threads}
    with open(os.path.join(a.out, "curve.json"), "w", encoding="utf-8") as file:
        json.dump({"spec": spec, "f64": curve, "measured": measured}, file, indent=1)
    print(f"peak memory {peak / 2**30:.2f} GiB")


if __name__ == "__main__":
    main()
