//! Puts blocks and encoders together from their specification, over weights that train or are
//! frozen.

use crate::device::Device;
use crate::error::Failure;
use crate::models::Error;
use crate::models::around::{Around, Relative};
use crate::models::attention::{Attention, Matching};
use crate::models::block::Block;
use crate::models::convolution::Convolution;
use crate::models::embeddings::Embeddings;
use crate::models::encoder::{self, Encoder};
use crate::models::families::Scope;
use crate::models::feed_forward::{FeedForward, Gated};
use crate::models::parameters::Origin;
use crate::models::parts::{Linear, Norm};
use crate::models::spec::{
    self, BlockSpec, ModelSpec, Placement, Position, ProjectionPlace, QkNorm, Residual,
};
use crate::models::tensors::{BlockTensor, ModelTensor, Source, TensorTable};
use crate::models::weights::{Checkpoint, Kind, Registry, Weight, frozen};

/// One member's frozen weights.
#[derive(Clone, Copy)]
pub struct Member<'a> {
    /// Where they are read from.
    pub checkpoint: Checkpoint<'a>,
    /// Its family's table.
    pub table: &'a TensorTable,
    /// Which layer it plugs; `None` where the whole model is built.
    pub layer: Option<usize>,
}

/// Where the weights of a model go to, or come from.
pub enum Target<'a> {
    /// Registered as trainable; values are loaded into the arena afterwards.
    Trainable(&'a mut Registry, &'a TensorTable),
    /// The same for a block of an LLM that trains within a probe of another model.
    TrainableLayer(&'a mut Registry, &'a TensorTable),
    /// Read now, one checkpoint a member.
    Frozen(Device, &'a [Member<'a>]),
}

impl Target<'_> {
    fn block(
        &mut self,
        layer: usize,
        role: BlockTensor,
        shape: &[usize],
        kind: Kind,
    ) -> Result<Option<Weight>, Failure> {
        let pick = |table: &'_ TensorTable, layer: usize| -> Option<Source> {
            table.blocks[layer].iter().find(|(name, _)| *name == role).map(|(_, source)| source.clone())
        };
        self.bind(&format!("{role:?}"), shape, kind, |table, own| pick(table, own.unwrap_or(layer)))
    }

    fn model(&mut self, role: ModelTensor, shape: &[usize], kind: Kind) -> Result<Option<Weight>, Failure> {
        let pick = |table: &TensorTable| {
            table.model.iter().find(|(name, _)| *name == role).map(|(_, source)| source.clone())
        };
        self.bind(&format!("{role:?}"), shape, kind, |table, _| pick(table))
    }

    fn bind(
        &mut self,
        role: &str,
        shape: &[usize],
        kind: Kind,
        pick: impl Fn(&TensorTable, Option<usize>) -> Option<Source>,
    ) -> Result<Option<Weight>, Failure> {
        match self {
            Self::Trainable(registry, table) => {
                let origin = pick(table, None).map(Origin::Encoder);
                Ok(origin.map(|origin| registry.from_checkpoint(role, shape, origin)))
            }
            Self::TrainableLayer(registry, table) => {
                let origin = pick(table, None).map(Origin::Layer);
                Ok(origin.map(|origin| registry.from_checkpoint(role, shape, origin)))
            }
            Self::Frozen(device, members) => {
                let sources: Vec<Option<Source>> =
                    members.iter().map(|member| pick(member.table, member.layer)).collect();
                if sources.iter().all(Option::is_none) {
                    return Ok(None);
                }
                let pairs = members
                    .iter()
                    .zip(&sources)
                    .map(|(member, source)| match source {
                        Some(source) => Ok((member.checkpoint, source)),
                        None => Err(Failure::from(Error::UnequalMembers { role: role.to_owned() })),
                    })
                    .collect::<Result<Vec<_>, _>>()?;
                frozen(*device, &pairs, shape, kind).map(Some)
            }
        }
    }

    fn linear(
        &mut self,
        layer: usize,
        weight: BlockTensor,
        bias: Option<BlockTensor>,
        outputs: usize,
        inputs: usize,
    ) -> Result<Linear, Failure> {
        let found = self.block(layer, weight, &[outputs, inputs], Kind::Matrix)?;
        let weight = found.ok_or_else(|| Error::MissingRole { role: format!("{weight:?}"), layer })?;
        let bias = match bias {
            Some(bias) => self.block(layer, bias, &[outputs], Kind::Plain)?,
            None => None,
        };
        Ok(Linear { weight, bias, inputs, outputs })
    }

    fn norm(
        &mut self,
        layer: usize,
        spec: spec::Norm,
        width: usize,
        weight: BlockTensor,
        bias: Option<BlockTensor>,
    ) -> Result<Norm, Failure> {
        let found = self.block(layer, weight, &[width], Kind::Plain)?;
        let weight = found.ok_or_else(|| Error::MissingRole { role: format!("{weight:?}"), layer })?;
        let bias = match bias {
            Some(bias) => self.block(layer, bias, &[width], Kind::Plain)?,
            None => None,
        };
        Ok(Norm::new(spec, width, weight, bias))
    }

    fn model_norm(
        &mut self,
        spec: Option<spec::Norm>,
        width: usize,
        weight: ModelTensor,
        bias: ModelTensor,
    ) -> Result<Option<Norm>, Failure> {
        let Some(spec) = spec else { return Ok(None) };
        let weight = self.required(weight, &[width], Kind::Plain)?;
        let bias = self.model(bias, &[width], Kind::Plain)?;
        Ok(Some(Norm::new(spec, width, weight, bias)))
    }

    fn required(&mut self, role: ModelTensor, shape: &[usize], kind: Kind) -> Result<Weight, Failure> {
        let found = self.model(role, shape, kind)?;
        Ok(found.ok_or_else(|| Error::MissingRole { role: format!("{role:?}"), layer: 0 })?)
    }
}

/// Builds block `layer`; [`Scope::OneToken`] leaves out what one row an example never reads.
///
/// # Errors
/// When a tensor is missing, has another shape or is no float.
pub fn block(
    target: &mut Target<'_>,
    layer: usize,
    spec: &BlockSpec,
    scope: Scope,
    relative_bias: Option<&Weight>,
) -> Result<Block, Failure> {
    use BlockTensor as T;
    let width = spec.hidden_size;
    let norm = spec.norm;
    let before = matches!(spec.placement, Placement::Pre | Placement::PrePost);
    let after = spec.placement != Placement::Pre;

    let attention_norm = if before && spec.attention_norm {
        Some(target.norm(layer, norm, width, T::AttentionNormWeight, Some(T::AttentionNormBias))?)
    } else {
        None
    };
    let attention = attention(target, layer, spec, scope, relative_bias)?;
    let attention_output_norm = if after {
        let (weight, bias) = (T::AttentionOutputNormWeight, T::AttentionOutputNormBias);
        Some(target.norm(layer, norm, width, weight, Some(bias))?)
    } else {
        None
    };
    let feed_forward_norm = if before && spec.residual != Residual::Parallel {
        Some(target.norm(layer, norm, width, T::FeedForwardNormWeight, Some(T::FeedForwardNormBias))?)
    } else {
        None
    };
    let feed_forward = feed_forward(target, layer, spec)?;
    let feed_forward_output_norm = if after {
        let (weight, bias) = (T::FeedForwardOutputNormWeight, T::FeedForwardOutputNormBias);
        Some(target.norm(layer, norm, width, weight, Some(bias))?)
    } else {
        None
    };
    Ok(Block {
        spec: spec.clone(),
        attention_norm,
        attention,
        attention_output_norm,
        feed_forward_norm,
        feed_forward,
        feed_forward_output_norm,
    })
}

fn attention(
    target: &mut Target<'_>,
    layer: usize,
    spec: &BlockSpec,
    scope: Scope,
    relative_bias: Option<&Weight>,
) -> Result<Attention, Failure> {
    use BlockTensor as T;
    let width = spec.hidden_size;
    let sizes = &spec.attention;
    let queries = sizes.num_heads * sizes.head_dim;
    let keys = sizes.num_kv_heads * sizes.head_dim;
    let matching = if scope == Scope::OneToken {
        None
    } else {
        let query = target.linear(layer, T::QueryWeight, Some(T::QueryBias), queries, width)?;
        let key = target.linear(layer, T::KeyWeight, Some(T::KeyBias), keys, width)?;
        let (query_norm, key_norm) = match sizes.qk_norm {
            QkNorm::None => (None, None),
            QkNorm::PerHead(norm) => (
                Some(target.norm(layer, norm, sizes.head_dim, T::QueryNormWeight, None)?),
                Some(target.norm(layer, norm, sizes.head_dim, T::KeyNormWeight, None)?),
            ),
            QkNorm::Whole(norm) => (
                Some(target.norm(layer, norm, queries, T::QueryNormWeight, None)?),
                Some(target.norm(layer, norm, keys, T::KeyNormWeight, None)?),
            ),
        };
        let (mut position_key, mut position_query) = (None, None);
        if let Position::Disentangled(positions) = &spec.position
            && !positions.share_projections
        {
            if positions.content_to_position {
                position_key = Some(target.linear(layer, T::PositionKeyWeight, None, keys, width)?);
            }
            if positions.position_to_content {
                let (weight, bias) = (T::PositionQueryWeight, T::PositionQueryBias);
                position_query = Some(target.linear(layer, weight, Some(bias), queries, width)?);
            }
        }
        let relative_bias = match spec.position {
            Position::RelativeBias(_) => relative_bias.cloned(),
            _ => None,
        };
        Some(Matching { query, key, query_norm, key_norm, relative_bias, position_key, position_query })
    };
    Ok(Attention {
        spec: sizes.clone(),
        position: spec.position.clone(),
        hidden_size: width,
        matching,
        value: target.linear(layer, T::ValueWeight, Some(T::ValueBias), keys, width)?,
        output: target.linear(layer, T::OutputWeight, Some(T::OutputBias), width, queries)?,
    })
}

fn feed_forward(target: &mut Target<'_>, layer: usize, spec: &BlockSpec) -> Result<FeedForward, Failure> {
    use BlockTensor as T;
    let (width, inner) = (spec.hidden_size, spec.intermediate_size);
    Ok(match spec.feed_forward {
        spec::FeedForward::Plain(activation) => FeedForward::Plain {
            up: target.linear(layer, T::UpWeight, Some(T::UpBias), inner, width)?,
            down: target.linear(layer, T::DownWeight, Some(T::DownBias), width, inner)?,
            activation,
        },
        spec::FeedForward::Gated(activation) => FeedForward::Gated(Gated {
            gate: target.linear(layer, T::GateWeight, Some(T::GateBias), inner, width)?,
            up: target.linear(layer, T::UpWeight, Some(T::UpBias), inner, width)?,
            down: target.linear(layer, T::DownWeight, Some(T::DownBias), width, inner)?,
            activation,
        }),
        spec::FeedForward::Mixture { experts, top_k, activation } => FeedForward::Mixture {
            router: target.linear(layer, T::RouterWeight, None, experts, width)?,
            experts: (0..experts)
                .map(|expert| {
                    Ok(Gated {
                        gate: target.linear(layer, T::ExpertGateWeight(expert), None, inner, width)?,
                        up: target.linear(layer, T::ExpertUpWeight(expert), None, inner, width)?,
                        down: target.linear(layer, T::ExpertDownWeight(expert), None, width, inner)?,
                        activation,
                    })
                })
                .collect::<Result<_, Failure>>()?,
            top_k,
        },
    })
}

/// Builds a whole model.
///
/// # Errors
/// As [`block`].
pub fn encoder(target: &mut Target<'_>, spec: &ModelSpec) -> Result<Encoder, Failure> {
    let embeddings = embeddings(target, spec)?;
    let mut around = shared(target, spec)?;
    let bias = around.relative_bias.as_ref();
    let distinct = if spec.shared_blocks { 1.min(spec.blocks.len()) } else { spec.blocks.len() };
    let blocks = (0..distinct)
        .map(|layer| block(target, layer, &spec.blocks[layer], Scope::Sequence, bias))
        .collect::<Result<_, Failure>>()?;
    last(target, &mut around)?;
    Ok(Encoder { embeddings, blocks, around })
}

/// Builds what stands before the blocks.
///
/// # Errors
/// As [`block`].
pub fn embeddings(target: &mut Target<'_>, spec: &ModelSpec) -> Result<Embeddings, Failure> {
    use ModelTensor as T;
    let e = &spec.embeddings;
    let (inner, width) = (e.embedding_size, spec.hidden_size);
    let projects_words = e.projection.is_some_and(|projection| projection.place == ProjectionPlace::Words);
    let summed = if projects_words { width } else { inner };
    let drop_here = |here: bool| if here { spec.hidden_dropout } else { 0.0 };
    Ok(Embeddings {
        words: target.required(T::WordEmbeddings, &[e.vocab_size, inner], Kind::Plain)?,
        positions: match e.positions {
            Some(table) => {
                Some(target.required(T::PositionEmbeddings, &[table.rows, summed], Kind::Plain)?)
            }
            None => None,
        },
        token_types: match e.token_types {
            Some(types) => Some(target.required(T::TokenTypeEmbeddings, &[types, summed], Kind::Plain)?),
            None => None,
        },
        norm: target.model_norm(e.norm, summed, T::EmbeddingNormWeight, T::EmbeddingNormBias)?,
        projection: match e.projection {
            Some(projection) => Some(Linear {
                weight: target.required(T::EmbeddingProjectionWeight, &[width, inner], Kind::Matrix)?,
                bias: match projection.bias {
                    true => Some(target.required(T::EmbeddingProjectionBias, &[width], Kind::Plain)?),
                    false => None,
                },
                inputs: inner,
                outputs: width,
            }),
            None => None,
        },
        spec: e.clone(),
        dropout: drop_here(spec.dropout_sites.embeddings),
    })
}

/// Builds what stands around the blocks.
///
/// # Errors
/// As [`block`].
pub fn around(target: &mut Target<'_>, spec: &ModelSpec) -> Result<Around, Failure> {
    let mut around = shared(target, spec)?;
    last(target, &mut around)?;
    Ok(around)
}

/// What the blocks share.
fn shared(target: &mut Target<'_>, spec: &ModelSpec) -> Result<Around, Failure> {
    use ModelTensor as T;
    let width = spec.hidden_size;
    let relative = match (spec.relative, encoder::distances(spec)) {
        (Some(table), Some(distances)) => Some(Relative {
            table: target.required(T::RelativeEmbeddings, &[table.rows, width], Kind::Plain)?,
            norm: target.model_norm(table.norm, width, T::RelativeNormWeight, T::RelativeNormBias)?,
            distances,
            width,
        }),
        _ => None,
    };
    let relative_bias = match spec.blocks.first().map(|block| (&block.position, &block.attention)) {
        Some((Position::RelativeBias(buckets), attention)) => {
            let shape = [buckets.num_buckets, attention.num_heads];
            Some(target.required(T::RelativeBias, &shape, Kind::Plain)?)
        }
        _ => None,
    };
    let convolution = match spec.convolution {
        Some(options) => {
            let shape = [width, width / options.groups, options.kernel_size];
            Some(Convolution::new(
                options,
                width,
                target.required(T::ConvolutionWeight, &shape, Kind::Plain)?,
                target.required(T::ConvolutionBias, &[width], Kind::Plain)?,
                Norm::new(
                    options.norm,
                    width,
                    target.required(T::ConvolutionNormWeight, &[width], Kind::Plain)?,
                    target.model(T::ConvolutionNormBias, &[width], Kind::Plain)?,
                ),
            ))
        }
        None => None,
    };
    Ok(Around {
        spec: spec.clone(),
        final_norm: None,
        output_projection: None,
        relative,
        relative_bias,
        convolution,
    })
}

/// Adds what follows the blocks: trainable parameters stand in this order.
fn last(target: &mut Target<'_>, around: &mut Around) -> Result<(), Failure> {
    use ModelTensor as T;
    let width = around.spec.hidden_size;
    around.final_norm =
        target.model_norm(around.spec.final_norm, width, T::FinalNormWeight, T::FinalNormBias)?;
    around.output_projection = match around.spec.output_projection {
        Some(outputs) => Some(Linear {
            weight: target.required(T::OutputProjectionWeight, &[outputs, width], Kind::Matrix)?,
            bias: None,
            inputs: width,
            outputs,
        }),
        None => None,
    };
    Ok(())
}
