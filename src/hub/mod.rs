//! Names become bytes: repositories, ranges, layer bundles, configurations, tokenizers. Builds no
//! model.

pub mod tensor;
