//! A probe: a small model's encoder, a plug and a head, K members of them over one batch.

use crate::device::Device;
use crate::error::Failure;
use crate::models::Error;
use crate::models::block::{Block, Selection};
use crate::models::build::{self, Target};
use crate::models::encoder::{self, Encoder};
use crate::models::families::{Model, Scope};
use crate::models::head::{self, Head, HeadSpec};
use crate::models::input::{Input, Pass};
use crate::models::parameters::Parameters;
use crate::models::plug::{self, Middle, Plug, PlugMode, PlugSpec};
use crate::models::pooling::Pooling;
use crate::models::weights::Registry;
use crate::nn::parallel::inside;
use crate::nn::{Arena, Buffer, Rows, residual};

/// What a probe is made of.
#[derive(Clone, Debug)]
pub struct ProbeSpec {
    /// The small model; `None` for a probe over features that a frozen encoder computed before.
    pub encoder: Option<Model>,
    /// D.
    pub hidden_size: usize,
    /// From rows to one.
    pub pooling: Pooling,
    /// What stands between encoder and head.
    pub plug: PlugSpec,
    /// Which rows pass the plug.
    pub mode: PlugMode,
    /// What is predicted.
    pub head: HeadSpec,
}

/// The layer between the mappers.
#[derive(Clone, Debug)]
pub enum Layer<'a> {
    /// As PiFi plugs it, with the weights of every member.
    Frozen(Box<Block>),
    /// One that trains with the rest. Its weights are loaded into the arena afterwards, by
    /// [`Parameters::load_layer`].
    Trained {
        /// The LLM.
        model: &'a Model,
        /// Which of its layers, of all members.
        layer: usize,
        /// What of it is read.
        scope: Scope,
    },
}

/// A probe of K members.
#[derive(Clone, Debug)]
pub struct Probe {
    members: usize,
    device: Device,
    parameters: Parameters,
    encoder: Option<Encoder>,
    plug: Option<Plug>,
    head: Head,
    pooling: Pooling,
    mode: PlugMode,
    width: usize,
    state: State,
}

#[derive(Clone, Debug, Default)]
struct State {
    input: Option<Input>,
    pass: Option<Pass>,
    selection: Option<Selection>,
    pooled_rows: Rows,
    encoder: encoder::State,
    features: Buffer,
    pooled: Buffer,
    plugged: Buffer,
    plugged_pooled: Buffer,
    plug: plug::State,
    head: head::State,
    logits: Buffer,
    gradients: [Buffer; 4],
}

impl Probe {
    /// Puts a probe of `members` members together; `layer` is that of all of them where the plug
    /// has one.
    ///
    /// # Errors
    /// When a model's table lacks a tensor that its specification needs.
    ///
    /// # Panics
    /// When `layer` is there without being asked for by the plug, or the other way round.
    pub fn new(spec: &ProbeSpec, members: usize, layer: Option<Layer<'_>>) -> Result<Self, Failure> {
        let mut registry = Registry::default();
        let encoder = match &spec.encoder {
            Some(model) => {
                Some(build::encoder(&mut Target::Trainable(&mut registry, &model.tensors), &model.spec)?)
            }
            None => None,
        };
        let width = spec.hidden_size;
        let middle = match (spec.plug, layer) {
            (PlugSpec::Base, None) => None,
            (PlugSpec::Mappers { width }, None) => Some((width, Middle::Identity)),
            (PlugSpec::Mlp { width }, None) => Some((width, Middle::Gelu)),
            (PlugSpec::Layer { width, mask, honour_window }, Some(layer)) => {
                let block = match layer {
                    Layer::Frozen(block) => block,
                    Layer::Trained { model, layer, scope } => {
                        let mut target = Target::TrainableLayer(&mut registry, &model.tensors);
                        Box::new(build::block(&mut target, layer, &model.spec.blocks[layer], scope, None)?)
                    }
                };
                Some((width, Middle::Layer { block, mask, honour_window }))
            }
            (plug, layer) => panic!("{plug:?} with a layer: {}", layer.is_some()),
        };
        let plug = middle.map(|(wide, middle)| Plug::new(width, wide, middle, &mut registry));
        let head = Head::new(spec.head, width, &mut registry);
        Ok(Self {
            members,
            device: Device::CPU,
            parameters: registry.finish(),
            encoder,
            plug,
            head,
            pooling: spec.pooling,
            mode: spec.mode,
            width,
            state: State::default(),
        })
    }

    /// Everything that trains: its layout, its first values, its names in files.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The same on a device; its frozen layer and its arenas are there already.
    #[must_use]
    pub fn on(mut self, device: Device) -> Self {
        self.device = device;
        self
    }

    /// Where it computes: the CPU unless [`Probe::on`] said otherwise.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Whether the small model's encoder is part of it, else it reads features.
    pub fn has_encoder(&self) -> bool {
        self.encoder.is_some()
    }

    /// K.
    pub fn members(&self) -> usize {
        self.members
    }

    /// Zeros for all parameters of all members.
    pub fn arena(&self, device: Device) -> Arena {
        Arena::zeros(device, self.parameters.layout().clone(), self.members)
    }

    /// Computes the logits of a batch and keeps what [`Probe::backward`] needs.
    ///
    /// # Errors
    /// When an id lies beyond a table or a text beyond the position table.
    pub fn forward(&mut self, values: &Arena, input: &Input, pass: Pass) -> Result<(), Error> {
        inside(|| self.forward_here(values, input, pass))
    }

    fn forward_here(&mut self, values: &Arena, input: &Input, pass: Pass) -> Result<(), Error> {
        let (members, width) = (self.members, self.width);
        let state = &mut self.state;
        state.input = Some(input.clone());
        state.pass = Some(pass);
        let rows = input.rows();
        let pools = self.head.pools();
        let pooled_mode = pools && (self.mode == PlugMode::Pooled || self.plug.is_none());
        state.selection = if pools { self.pooling.selection(rows) } else { None };
        state.pooled_rows = rows.pooled();

        // 1. The encoder, or its features
        let encoder_selection = state.selection.as_ref().filter(|_| pooled_mode);
        let selected;
        let hidden = match (&self.encoder, input) {
            (Some(encoder), Input::Tokens(tokens)) => {
                let kept = &mut state.encoder;
                encoder.forward(values, members, tokens, encoder_selection, pass, kept)?;
                selected = encoder_selection.is_some() && encoder.selects();
                encoder.output(&state.encoder)
            }
            (None, Input::Features(features)) => {
                residual::repeat(members, &features.numbers, &mut state.features);
                selected = pooled_mode && rows.single();
                &state.features
            }
            (encoder, _) => return Err(Error::WrongInput { wants_tokens: encoder.is_some() }),
        };

        // 2. Pooling and plug, in the order of the mode
        let features = if !pools {
            match &self.plug {
                Some(plug) => {
                    plug.forward(values, members, rows, None, hidden, &mut state.plugged, &mut state.plug);
                    &state.plugged
                }
                None => hidden,
            }
        } else if pooled_mode {
            let pooled = if selected {
                hidden
            } else {
                self.pooling.forward(members, width, rows, hidden, &mut state.pooled);
                &state.pooled
            };
            match &self.plug {
                Some(plug) => {
                    let (rows, to) = (&state.pooled_rows, &mut state.plugged);
                    plug.forward(values, members, rows, None, pooled, to, &mut state.plug);
                    &state.plugged
                }
                None => pooled,
            }
        } else {
            let plug = self.plug.as_ref().expect("without a plug the mode is pooled");
            let selection = state.selection.as_ref();
            plug.forward(values, members, rows, selection, hidden, &mut state.plugged, &mut state.plug);
            if selection.is_some() && plug.selects() {
                &state.plugged
            } else {
                self.pooling.forward(members, width, rows, &state.plugged, &mut state.plugged_pooled);
                &state.plugged_pooled
            }
        };

        // 3. The head
        let rows = if pools { &state.pooled_rows } else { rows };
        self.head.forward(values, members, rows, pass, features, &mut state.logits, &mut state.head);
        Ok(())
    }

    /// Logits of the latest forward: `[K, B, C]`, or `[K, R, 2]` of a span head.
    pub fn logits(&self) -> &Buffer {
        &self.state.logits
    }

    /// Features of the latest forward before the plug, one row an example, where the encoder or
    /// pooling gave them: `[K, B, D]` in pooled mode, `[K, R, D]` in sequence mode.
    pub fn encoded(&self) -> &Buffer {
        let state = &self.state;
        let hidden = self.encoder.as_ref().map_or(&state.features, |encoder| encoder.output(&state.encoder));
        let pooled_mode = self.head.pools() && (self.mode == PlugMode::Pooled || self.plug.is_none());
        if pooled_mode && hidden.len() != self.members * state.pooled_rows.len() * self.width {
            &state.pooled
        } else {
            hidden
        }
    }

    /// What the latest forward gave on the way from encoder to head, one row an example: what the
    /// plug was given, after `L_in`, after what stands between the mappers, after `L_out`. Name,
    /// width and `[K, B, width]`; rows of tokens are pooled as the probe pools.
    pub fn sites(&self) -> Vec<(&'static str, usize, Buffer)> {
        let state = &self.state;
        let Some(input) = &state.input else { return Vec::new() };
        let rows = input.rows();
        let pooled = |width: usize, x: &Buffer| {
            if x.len() == self.members * rows.examples() * width {
                return x.clone();
            }
            let mut one = Buffer::default();
            self.pooling.forward(self.members, width, rows, x, &mut one);
            one
        };
        let mut sites = vec![("pooled", self.width, pooled(self.width, self.encoded()))];
        if let Some(plug) = &self.plug {
            let wide = plug.l_in.outputs;
            sites.push(("l_in", wide, pooled(wide, &state.plug.wide)));
            match &plug.middle {
                Middle::Identity => {}
                Middle::Gelu => sites.push(("gelu", wide, pooled(wide, &state.plug.through))),
                Middle::Layer { .. } => sites.push(("layer", wide, pooled(wide, &state.plug.through))),
            }
            sites.push(("l_out", self.width, pooled(self.width, &state.plugged)));
        }
        sites
    }

    /// Adds the gradients of the latest forward to those of everything that trains.
    pub fn backward(&mut self, values: &Arena, dlogits: &Buffer, gradients: &mut Arena) {
        inside(|| self.backward_here(values, dlogits, gradients));
    }

    fn backward_here(&mut self, values: &Arena, dlogits: &Buffer, gradients: &mut Arena) {
        let (members, width) = (self.members, self.width);
        let state = &mut self.state;
        let pass = state.pass.expect("forward runs before backward");
        let input = state.input.as_ref().expect("forward runs before backward");
        let rows = input.rows();
        let pools = self.head.pools();
        let pooled_mode = pools && (self.mode == PlugMode::Pooled || self.plug.is_none());
        let encoder_selection = state.selection.as_ref().filter(|_| pooled_mode);
        let selected = match &self.encoder {
            Some(encoder) => encoder_selection.is_some() && encoder.selects(),
            None => pooled_mode && rows.single(),
        };
        let hidden = self.encoder.as_ref().map_or(&state.features, |encoder| encoder.output(&state.encoder));
        let pooled = if selected || !pooled_mode { hidden } else { &state.pooled };
        let [a, b, c, d] = &mut state.gradients;
        let wanted = self.encoder.is_some();

        // 3. The head: `a` is the gradient of its input
        let plug_selects = self.plug.as_ref().is_some_and(Plug::selects) && state.selection.is_some();
        let features = if !pools || pooled_mode {
            if self.plug.is_some() { &state.plugged } else { pooled }
        } else if plug_selects {
            &state.plugged
        } else {
            &state.plugged_pooled
        };
        let head_rows = if pools { &state.pooled_rows } else { rows };
        self.head.backward(
            values,
            members,
            head_rows,
            pass,
            features,
            &mut state.head,
            dlogits,
            gradients,
            a,
        );

        // 2. Plug and pooling: `b` becomes the gradient of what the plug was given
        let mut before_plug = &*a;
        if let Some(plug) = &self.plug {
            let (plug_rows, selection, from) = if pools && pooled_mode {
                (&state.pooled_rows, None, pooled)
            } else {
                (rows, state.selection.as_ref(), hidden)
            };
            let dy = if pools && !pooled_mode && !plug_selects {
                self.pooling.backward(members, width, rows, a, d);
                &*d
            } else {
                &*a
            };
            let dx = wanted.then_some(&mut *b);
            plug.backward(values, members, plug_rows, selection, from, &mut state.plug, dy, gradients, dx);
            before_plug = &*b;
        }

        // 1. The encoder
        let (Some(encoder), Input::Tokens(tokens)) = (&self.encoder, input) else { return };
        let dhidden = if pooled_mode && !selected {
            self.pooling.backward(members, width, rows, before_plug, c);
            &*c
        } else {
            before_plug
        };
        let kept = &mut state.encoder;
        encoder.backward(values, members, tokens, encoder_selection, pass, kept, dhidden, gradients);
    }
}
