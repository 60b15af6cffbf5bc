//! One table a model family: from `config.json` and tensor names to the block's specification.
