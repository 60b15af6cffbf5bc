//! `demo-models`: pre-trains the two models that the program carries, as ordinary checkpoints.

use serde_json::json;

use super::super::args::DemoModelsArgs;
use super::super::{Context, signals, text};
use crate::error::Failure;
use crate::seed::Seed;
use crate::sweep::demo::{self, Recipe};

/// Steps between two lines of progress.
const EVERY: u64 = 100;

/// Makes both models and tells how well they learnt.
///
/// # Errors
/// A directory that cannot be written, training that diverges, an interrupt.
pub(crate) fn run(args: &DemoModelsArgs, context: &Context) -> Result<(), Failure> {
    let recipe = Recipe {
        seed: Seed(args.seed),
        texts: args.texts,
        batch_size: args.batch_size,
        slm_steps: args.slm_steps,
        llm_steps: args.llm_steps,
    };
    let stop = signals::listen();
    let output = &context.output;
    let made = demo::build(&args.out, &recipe, &mut |model, step| {
        stop.check()?;
        if step.step % EVERY == 0 || step.step == step.total_steps {
            output.say(&format!(
                "{model}: step {} of {}, loss {:.4}, {:.0} tokens/s",
                step.step,
                step.total_steps,
                step.losses[0],
                step.tokens_per_second().unwrap_or(0.0),
            ));
        }
        Ok(())
    })?;
    for model in made {
        let folder = args.out.join(model.repository);
        if output.json {
            output.event(&json!({
                "event": "model",
                "folder": folder,
                "parameters": model.parameters,
                "first_loss": model.first_loss,
                "loss": model.loss,
            }))?;
            continue;
        }
        output.line(&format!(
            "{}: {}, loss {:.4} at first, {:.4} at last",
            folder.display(),
            text::plural(model.parameters, "parameter"),
            model.first_loss,
            model.loss,
        ))?;
    }
    Ok(())
}
