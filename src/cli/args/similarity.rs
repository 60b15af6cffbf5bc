//! `similarity`.

use std::path::PathBuf;

use clap::Args;

#[derive(Args, Clone, Debug)]
pub(crate) struct SimilarityArgs {
    /// Stored hidden states: a model, `model:task`, `model:task:split`, or the first eight letters of a key
    #[arg(value_name = "A")]
    pub(crate) first: String,
    /// Others of the same examples to compare with [default: the first with itself]
    #[arg(value_name = "B")]
    pub(crate) second: Option<String>,
    /// Measures: cka, cka-biased, cka-minibatch, cka-rbf, cca, cca-r2, svcca, pwcca, procrustes,
    /// procrustes-size, procrustes-angle, rsa, rsa-{correlation,cosine,euclid}[-{pearson,kendall}],
    /// knn, knn-jaccard, cosine
    #[arg(long, value_name = "LIST", default_value = "cka,rsa,knn", value_delimiter = ',')]
    pub(crate) measure: Vec<String>,
    /// Places of both sides: `all`, or names and layers such as `embeddings,0,4-8,-1`
    #[arg(long, value_name = "LIST", default_value = "all", allow_hyphen_values = true)]
    pub(crate) sites: String,
    /// Nearest neighbours of `knn` and `knn-jaccard`
    #[arg(long, value_name = "K", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) neighbours: u32,
    /// Width of the Gaussian kernel, in units of the median distance
    #[arg(long, value_name = "T", default_value_t = 0.5)]
    pub(crate) gaussian_width: f64,
    /// Examples of a minibatch of `cka-minibatch`
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(4..))]
    pub(crate) batch: u32,
    /// Random orders where a chance level has no formula; 0 for no chance level there
    #[arg(long, value_name = "B", default_value_t = 20, value_parser = clap::value_parser!(u32).range(..=100_000))]
    pub(crate) permutations: u32,
    /// Principal components that CCA and Procrustes see of wider features
    #[arg(long, value_name = "D", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) components: u32,
    /// Examples, drawn by the seed, for measures other than cka, rsa and knn
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(4..=20_000))]
    pub(crate) examples: u32,
    /// Decides random orders and drawn examples
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    pub(crate) seed: u64,
    /// GiB of features held in memory; what is beyond is read again from disk
    #[arg(long, value_name = "GIB", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) memory: u32,
    /// Name of the folder below `similarity/` [default: from the names of A and B]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Directory of all outputs
    #[arg(long, value_name = "DIR", default_value = "outputs")]
    pub(crate) out: PathBuf,
}
