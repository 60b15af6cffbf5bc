//! Rows of the table: what is typed is wrong.

use crate::table::{Row, check, typed};

const ROWS: &[Row] = &[
    typed("nothing is typed", "layers", 2, &["no LLM is named", "`--llm MODEL`", "--llm demo"]),
    typed("an unknown command", "layer", 2, &["'layer'", "'layers'"]),
    typed("an unknown flag", "STUDY --epoch 3", 2, &["'--epoch'", "'--epochs'"]),
    // models
    typed(
        "an unknown alias",
        "layers --llm lama3-8b",
        2,
        &["unknown model `lama3-8b`", "did you mean `llama3-8b`"],
    ),
    typed(
        "a directory that is not there",
        "layers --llm ./none --slm ./slm",
        2,
        &["`./none`", "model's directory"],
    ),
    typed("a small model that is not there", "layers --llm ./llm --slm ./none", 2, &["`./none`"]),
    typed(
        "a repository that was never fetched",
        "layers --llm org/none --slm ./slm",
        5,
        &["`org/none`", "HF_HUB_OFFLINE=1"],
    ),
    typed("an unknown model to inspect", "inspect bert-bse", 2, &["`bert-bse`", "did you mean `bert-base`"]),
    // tasks
    typed(
        "an unknown task",
        "layers --llm ./llm --slm ./slm --task imbdb",
        2,
        &["unknown task `imbdb`", "did you mean `imdb`"],
    ),
    typed(
        "a task's path that is not there",
        "layers --llm ./llm --slm ./slm --task mine=none.csv",
        2,
        &["`none.csv`", "current folder"],
    ),
    typed(
        "a task without a name",
        "layers --llm ./llm --slm ./slm --task =x",
        2,
        &["malformed task `=x`", "`name=path`"],
    ),
    typed(
        "a second task that nothing uses",
        "STUDY --task more=reviews",
        2,
        &["task `more` is given and not used", "--eval more"],
    ),
    typed(
        "a second task that defines none",
        "STUDY --task cr",
        2,
        &["`cr` is expected as `name=path`", "--eval"],
    ),
    typed("an unknown task to evaluate on", "STUDY --eval imbdb", 2, &["unknown task `imbdb`"]),
    typed(
        "a task of the Hub without a network",
        "STUDY --eval cr",
        5,
        &["task `cr`", "SetFit/SentEval-CR", "hf download"],
    ),
    typed("a task that is evaluated twice", "STUDY --eval cr,cr", 2, &["`eval` is `cr`", "every task once"]),
    // layers
    typed(
        "a layer out of range",
        "STUDY --layers 3",
        2,
        &["layer 3 does not exist in `./llm`", "3 layers (0..=2)"],
    ),
    typed(
        "a negative layer beyond the count",
        "STUDY --layers -4",
        2,
        &["layer -4 does not exist", "(0..=2)"],
    ),
    typed("an empty range", "STUDY --layers 2-1", 2, &["`2-1`", "a range that goes upwards"]),
    typed("no layer", "STUDY --layers \"\"", 2, &["`layers` is ``", "`all`, indices, ranges"]),
    typed("a comma alone", "STUDY --layers ,", 2, &["no list of layers", "such as `8` or `-1`"]),
    typed("a layer that is no number", "STUDY --layers a-b", 2, &["`a-b` is no list of layers"]),
    typed(
        "a layer beyond all numbers",
        "STUDY --layers 99999999999999999999",
        2,
        &["`99999999999999999999`"],
    ),
    typed("every 0th layer", "STUDY --layers every:0", 2, &["`every:0`", "N of at least 1"]),
    typed(
        "a layer to train on that is not there",
        "train --llm ./llm --slm ./slm --task r=reviews --layer 8",
        2,
        &["layer 8 does not exist"],
    ),
    typed(
        "neither layer nor control",
        "train --llm ./llm --slm ./slm --task r=reviews",
        2,
        &["--layer <N>|--control <CONTROL>"],
    ),
    typed(
        "a layer to fetch that is not there",
        "fetch ./llm --layers 8",
        2,
        &["layer 8 does not exist in `./llm`"],
    ),
    // numbers
    typed("epochs that are no number", "STUDY --epochs many", 2, &["'many'", "--epochs", "a whole number"]),
    typed("negative epochs", "STUDY --epochs -3", 2, &["'-3'", "--epochs", "a whole number"]),
    typed("no epochs", "STUDY --epochs 0", 2, &["`hyper_parameters.epochs` is `0`", "at least 1"]),
    typed("epochs beyond all numbers", "STUDY --epochs 99999999999", 2, &["99999999999", "expected at most"]),
    typed("no batch", "STUDY --batch-size 0", 2, &["batch_size` is `0`", "at least 1"]),
    typed("a text of two tokens", "STUDY --max-length 2", 2, &["max_length` is `2`", "at least 3"]),
    typed("a learning rate that is no number", "STUDY --lr fast", 2, &["'fast'", "a number such as"]),
    typed("a learning rate of NaN", "STUDY --lr nan", 2, &["learning_rate` is `NaN`", "above 0"]),
    typed("a negative learning rate", "STUDY --lr -1", 2, &["learning_rate` is `-1`", "above 0"]),
    typed("a dropout of 1", "STUDY --head-dropout 1", 2, &["head_dropout` is `1`", "below 1"]),
    typed("several values at once", "STUDY --clip -1 --warmup 2", 2, &["clip` is `-1`", "warmup` is `2`"]),
    typed("seeds that are no numbers", "STUDY --seeds few", 2, &["'few'", "`42,1004`"]),
    typed("negative seeds", "STUDY --seeds -3", 2, &["'-3'", "how many seeds"]),
    typed("no seeds", "STUDY --seeds 0", 2, &["`seeds` is `0`", "1 to 1000 seeds"]),
    typed("a seed twice", "STUDY --seeds 1,1", 2, &["`seeds` is `1,1`", "each once"]),
    typed("no workers", "STUDY --jobs 0", 2, &["`--jobs` is `0`", "at least 1"]),
    typed("no stack", "STUDY --stack 0", 2, &["`stack` is `0`"]),
    typed("no threads", "STUDY --threads 0", 2, &["'0'", "1..=1024"]),
    typed("no training examples", "STUDY --limit-train 0", 2, &["max_train_examples` is `0`"]),
    // times and words
    typed("a time without a unit that is known", "STUDY --time-limit 3x", 2, &["`3x` is no time", "`3h55m`"]),
    typed("no time", "STUDY --time-limit 0s", 2, &["`0s` is no time"]),
    typed(
        "an unknown control",
        "STUDY --controls base,mapper",
        2,
        &["unknown control `mapper`", "did you mean `mappers`"],
    ),
    typed("an unknown plug", "STUDY --plug polled", 2, &["'polled'", "pooled, sequence"]),
    typed("an unknown pooling", "STUDY --pooling max", 2, &["'max'", "cls, mean, mean_pad, last"]),
    typed("a mask without effect", "STUDY --mask causal", 2, &["`mask` is `causal`", "--plug sequence"]),
    typed(
        "a screen that keeps nothing",
        "STUDY --screen score --keep 0",
        2,
        &["`keep` is `0`", "at least 1"],
    ),
    typed("scores of an LLM that reads no text", "STUDY --screen score", 1, &["tokenizer.json", "llm"]),
    typed(
        "a screen of sequences",
        "STUDY --plug sequence --train plug",
        2,
        &["`train` is `plug`", "--plug pooled"],
    ),
    typed("an unknown defect", "STUDY --as-published masks", 2, &["`masks`", "`mask`", "`all`"]),
    typed(
        "a defect of T5",
        "STUDY --as-published rescale",
        2,
        &["`as_published` is `rescale`", "encoder-decoder"],
    ),
    typed(
        "a defect of generation",
        "STUDY --as-published metrics,loss-padding",
        2,
        &["`as_published` is `loss-padding`", "encoder-decoder"],
    ),
    typed("a defect of spans", "STUDY --as-published span-padding", 2, &["`span-padding`", "mark a span"]),
    typed(
        "a defect of sequences",
        "STUDY --as-published mask",
        2,
        &["`as_published` is `mask`", "--plug sequence"],
    ),
    // places
    typed("a GPU that is not there", "STUDY --device cuda:0", 1, &["`cuda:0` was asked for", "--device cpu"]),
    typed("a GPU's precision on a CPU", "STUDY --device cpu --precision tf32", 1, &["no tf32", "only a GPU"]),
    typed("an unknown precision", "STUDY --precision half", 2, &["'half'", "bf16"]),
    typed("a word for a stack", "STUDY --stack many", 2, &["such as `8`, or `auto`"]),
    typed("an unknown device", "STUDY --device gpu", 2, &["`device` is `gpu`", "`cuda:N`"]),
    typed("a study outside the outputs", "STUDY --study ../x", 2, &["`../x` cannot name a study"]),
    typed("a study file that is not there", "layers --config none.toml", 2, &["`none.toml`"]),
    typed("no study to report on", "report none", 2, &["`none` is no study", "plan.json"]),
    typed("an unknown run", "runs show zz", 2, &["no run `zz`", "runs list"]),
    typed("no oracle", "verify none", 2, &["`none`"]),
    typed("nothing to remove", "cache rm", 2, &["nothing to remove is named"]),
];

#[test]
fn what_is_typed_wrong_is_told_with_the_value_the_expectation_and_a_hint() {
    check(ROWS);
}
