//! A whole language model, all of whose weights train: an encoder, and logits by its own table of
//! words (tied embeddings; Press and Wolf, "Using the Output Embedding to Improve Language Models",
//! 2017). Causal for a decoder; for a bidirectional encoder the logits of hidden tokens.

use crate::device::Device;
use crate::error::Failure;
use crate::models::Error;
use crate::models::build::{self, Target};
use crate::models::encoder::{self, Encoder};
use crate::models::families::Model;
use crate::models::input::{Input, Pass, Tokens};
use crate::models::parameters::Parameters;
use crate::models::spec::NormKind;
use crate::models::weights::Registry;
use crate::nn::linear;
use crate::nn::{Arena, Buffer, Slot};
use crate::seed::Seed;

/// Standard deviation of fresh weights: `initializer_range` of transformers' configurations.
const DEVIATION: f64 = 0.02;

/// A language model of K members.
#[derive(Clone, Debug)]
pub struct LanguageModel {
    members: usize,
    parameters: Parameters,
    encoder: Encoder,
    words: Slot,
    norms_start_at: f32,
    state: State,
}

#[derive(Clone, Debug, Default)]
struct State {
    tokens: Tokens,
    pass: Option<Pass>,
    encoder: encoder::State,
    logits: Buffer,
    gradient: Buffer,
}

impl LanguageModel {
    /// Puts a model of `members` members together.
    ///
    /// # Errors
    /// When the family's table lacks a tensor that its specification needs, or words and hidden
    /// states differ in width, so that the table of words cannot read the hidden states.
    pub fn new(model: &Model, members: usize) -> Result<Self, Failure> {
        let spec = &model.spec;
        let width = spec.output_projection.unwrap_or(spec.hidden_size);
        if spec.embeddings.embedding_size != width {
            return Err(Error::UnsupportedOption {
                family: model.family,
                option: "embedding_size".to_owned(),
                value: spec.embeddings.embedding_size.to_string(),
                expected: format!("the width of the last hidden state, {width}, to tie words and logits"),
            }
            .into());
        }
        let mut registry = Registry::default();
        let encoder = build::encoder(&mut Target::Trainable(&mut registry, &model.tensors), spec)?;
        let words = encoder.embeddings.words.slot().expect("a trainable target makes every weight trainable");
        let plus_one = spec.blocks.first().is_some_and(|block| block.norm.kind == NormKind::RmsNormPlusOne);
        Ok(Self {
            members,
            parameters: registry.finish(),
            encoder,
            words,
            norms_start_at: if plus_one { 0.0 } else { 1.0 },
            state: State::default(),
        })
    }

    /// Everything that trains: its layout and its names in files.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Where it computes.
    pub fn device(&self) -> Device {
        Device::CPU
    }

    /// K.
    pub fn members(&self) -> usize {
        self.members
    }

    /// Zeros for all parameters of all members.
    pub fn arena(&self) -> Arena {
        Arena::zeros(self.device(), self.parameters.layout().clone(), self.members)
    }

    /// First values of a member as transformers draws them: matrices and tables normal with a
    /// standard deviation of 0.02 and the row of padding zero, norms the identity, biases zero.
    pub fn initialise(&self, values: &mut Arena, member: usize, seed: Seed) {
        for entry in self.parameters.layout().entries() {
            let mut param = values.param_mut(entry.slot);
            let numbers = param.cpu(member);
            if entry.shape.len() > 1 {
                let mut stream = seed.derive(&entry.name).stream();
                for value in &mut *numbers {
                    *value = (DEVIATION * stream.normal()) as f32;
                }
            } else {
                numbers.fill(if entry.name.ends_with("bias") { 0.0 } else { self.norms_start_at });
            }
        }
        let words = &self.encoder.embeddings.spec;
        if let Some(padding) = words.padding_id {
            let row = padding as usize * words.embedding_size;
            values.param_mut(self.words).cpu(member)[row..row + words.embedding_size].fill(0.0);
        }
    }

    /// Computes the logits of every row and, to train, keeps what [`Self::backward`] needs.
    ///
    /// # Errors
    /// When the input is not of tokens, an id lies beyond its table, or a text beyond the positions.
    pub fn forward(&mut self, values: &Arena, input: &Input, pass: Pass) -> Result<(), Error> {
        let Input::Tokens(tokens) = input else {
            return Err(Error::WrongInput { wants_tokens: true });
        };
        let state = &mut self.state;
        state.tokens.clone_from(tokens);
        state.pass = Some(pass);
        self.encoder.forward(values, self.members, tokens, None, pass, &mut state.encoder)?;
        let hidden = self.encoder.output(&state.encoder);
        let shape = head(&self.encoder, self.members, tokens);
        let words = values.param(self.words);
        linear::forward(shape, hidden, words, None, &mut state.logits);
        Ok(())
    }

    /// Logits of the latest forward, `[K, R, V]`.
    pub fn logits(&self) -> &Buffer {
        &self.state.logits
    }

    /// Adds the gradients of the latest forward to those of all parameters; the table of words
    /// receives them from both its uses.
    ///
    /// # Shapes
    /// - dlogits: `[K, R, V]`
    pub fn backward(&mut self, values: &Arena, dlogits: &Buffer, gradients: &mut Arena) {
        let State { tokens, pass, encoder: kept, gradient, .. } = &mut self.state;
        let pass = pass.expect("forward runs before backward");
        let shape = head(&self.encoder, self.members, tokens);
        let hidden = self.encoder.output(kept);
        linear::backward_weight(shape, hidden, dlogits, gradients.param_mut(self.words));
        let words = values.param(self.words);
        linear::backward_input(shape, dlogits, words, gradient, false);
        self.encoder.backward(values, self.members, tokens, None, pass, kept, gradient, gradients);
    }
}

/// The map from hidden states to logits.
fn head(encoder: &Encoder, members: usize, tokens: &Tokens) -> linear::Shape {
    let words = &encoder.embeddings.spec;
    linear::Shape {
        members,
        rows: tokens.rows.len(),
        inputs: words.embedding_size,
        outputs: words.vocab_size,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::models::families;
    use crate::nn::cross_entropy::{self, IGNORE};
    use crate::nn::{DropoutKey, Rows};

    const VOCABULARY: usize = 11;

    fn llama() -> Value {
        json!({
            "model_type": "llama", "vocab_size": VOCABULARY, "hidden_size": 8, "intermediate_size": 12,
            "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
            "max_position_embeddings": 16, "pad_token_id": 0
        })
    }

    fn bert() -> Value {
        json!({
            "model_type": "bert", "vocab_size": VOCABULARY, "hidden_size": 8, "intermediate_size": 12,
            "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 16,
            "type_vocab_size": 2, "pad_token_id": 0
        })
    }

    fn built(config: &Value, members: usize) -> LanguageModel {
        LanguageModel::new(&families::read(config).unwrap(), members).unwrap()
    }

    /// Texts of 4 and 3 tokens.
    fn input() -> Input {
        let ids = vec![2, 5, 7, 3, 2, 9, 5];
        Input::Tokens(Tokens { type_ids: vec![0; ids.len()], ids, rows: Rows::packed(&[4, 3]) })
    }

    const TARGETS: [u32; 7] = [5, 7, 3, IGNORE, 9, 5, IGNORE];
    const TRAIN: Pass = Pass::Train(DropoutKey { seed: Seed(1), step: 1, site: 0 });

    fn loss(model: &mut LanguageModel, values: &Arena, dlogits: &mut Buffer) -> Vec<f64> {
        model.forward(values, &input(), TRAIN).unwrap();
        let mut losses = vec![0.0; model.members()];
        let logits = model.logits().clone();
        cross_entropy::forward_backward(
            model.members(),
            TARGETS.len(),
            VOCABULARY,
            &logits,
            &TARGETS,
            0.0,
            &mut losses,
            dlogits,
        );
        losses
    }

    /// Larger weights than those at the start, so that no derivative is lost in f32's rounding.
    fn lively(model: &LanguageModel) -> Arena {
        let mut values = model.arena();
        for member in 0..model.members() {
            let mut stream = Seed(7 + member as u64).stream();
            values.member_mut(member).iter_mut().for_each(|value| *value = 0.4 * stream.normal() as f32);
        }
        values
    }

    /// Central differences at a step of 1e-2: in f32 their error is some 1e-5 by rounding, and the
    /// cubic term is as small.
    #[test]
    fn gradients_equal_differences_of_the_loss_the_shared_table_included() {
        for config in [llama(), bert()] {
            let mut model = built(&config, 1);
            let mut values = lively(&model);
            let mut gradients = model.arena();
            let mut dlogits = Buffer::default();
            loss(&mut model, &values, &mut dlogits);
            model.backward(&values, &dlogits, &mut gradients);
            for entry in model.parameters().layout().clone().entries() {
                let slot = entry.slot;
                // some elements of each parameter; all rows of the table of words that are in use
                let picked = (slot.offset..slot.offset + slot.len).step_by(1 + slot.len / 40);
                for place in picked {
                    let at = values.member(0)[place];
                    let mut shifted = |by: f32| {
                        values.member_mut(0)[place] = at + by;
                        let loss = loss(&mut model, &values, &mut Buffer::default())[0];
                        values.member_mut(0)[place] = at;
                        loss
                    };
                    let step = 1e-2;
                    let expected = (shifted(step) - shifted(-step)) / (2.0 * f64::from(step));
                    let found = f64::from(gradients.member(0)[place]);
                    let tolerance = 2e-3 * (1.0 + expected.abs());
                    assert!((found - expected).abs() < tolerance, "{} {found} {expected}", entry.name);
                }
            }
        }
    }

    #[test]
    fn a_decoder_tells_a_token_without_seeing_it_and_an_encoder_sees_both_sides() {
        for (config, causal) in [(llama(), true), (bert(), false)] {
            let mut model = built(&config, 1);
            let values = lively(&model);
            let Input::Tokens(mut tokens) = input() else { unreachable!() };
            model.forward(&values, &Input::Tokens(tokens.clone()), Pass::Evaluate).unwrap();
            let before = model.logits().to_vec();
            tokens.ids[3] = 6;
            model.forward(&values, &Input::Tokens(tokens), Pass::Evaluate).unwrap();
            let after = model.logits().to_vec();
            let row = |numbers: &[f32], row: usize| numbers[row * VOCABULARY..][..VOCABULARY].to_vec();
            assert_ne!(row(&before, 3), row(&after, 3));
            assert_eq!(row(&before, 2) == row(&after, 2), causal);
            assert_eq!(row(&before, 4), row(&after, 4), "the other text");
        }
    }

    #[test]
    fn fresh_values_are_those_of_transformers_and_follow_from_the_seed() {
        let model = built(&bert(), 2);
        let mut values = model.arena();
        model.initialise(&mut values, 0, Seed(3));
        model.initialise(&mut values, 1, Seed(3));
        assert_eq!(values.member(0), values.member(1));
        model.initialise(&mut values, 1, Seed(4));
        assert_ne!(values.member(0), values.member(1));
        for entry in model.parameters().layout().clone().entries() {
            let numbers = values.param(entry.slot).cpu(0);
            if entry.name.ends_with("LayerNorm.weight") {
                assert!(numbers.iter().all(|&value| value == 1.0), "{}", entry.name);
            } else if entry.name.ends_with("bias") {
                assert!(numbers.iter().all(|&value| value == 0.0), "{}", entry.name);
            } else {
                // at least 16 draws; a deviation of 0.02 to within five standard errors of it
                let drawn = if entry.name.contains("word") { &numbers[8..] } else { numbers };
                let square = drawn.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / drawn.len() as f64;
                let within = 5.0 * (2.0 / drawn.len() as f64).sqrt();
                assert!((square / 0.0004 - 1.0).abs() < within, "{} {square}", entry.name);
            }
        }
        let padding = &values.member(0)[model.words.offset..][..8];
        assert_eq!(padding, [0.0; 8]);
    }

    #[test]
    fn members_do_not_mix() {
        let mut both = built(&llama(), 2);
        let values = lively(&both);
        let (mut dlogits, mut gradients) = (Buffer::default(), both.arena());
        let losses = loss(&mut both, &values, &mut dlogits);
        both.backward(&values, &dlogits, &mut gradients);
        for (member, expected) in losses.iter().enumerate() {
            let mut one = built(&llama(), 1);
            let (mut own, mut own_gradients) = (one.arena(), one.arena());
            own.member_mut(0).copy_from_slice(values.member(member));
            assert_eq!(loss(&mut one, &own, &mut dlogits), [*expected]);
            one.backward(&own, &dlogits, &mut own_gradients);
            assert_eq!(own_gradients.member(0), gradients.member(member));
        }
    }

    #[test]
    fn a_table_of_another_width_cannot_be_tied() {
        let mut albert = bert();
        albert["model_type"] = json!("albert");
        albert["embedding_size"] = json!(4);
        let refused = LanguageModel::new(&families::read(&albert).unwrap(), 1).unwrap_err().to_string();
        assert!(refused.contains("`embedding_size`") && refused.contains('8'), "{refused}");
    }
}
