//! Short names of models: one table with synonyms, so that the published names and the longer ones
//! stand for the same repository.

/// What a model is used as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// A large model that layers are taken from.
    Llm,
    /// A small model that a layer is plugged into.
    Slm,
}

/// One repository and the short names it goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alias {
    /// The name shown first; then its synonyms.
    pub names: &'static [&'static str],
    /// Hub id.
    pub repository: &'static str,
    /// What it is mostly used as.
    pub role: Role,
}

const fn llm(names: &'static [&'static str], repository: &'static str) -> Alias {
    Alias { names, repository, role: Role::Llm }
}

const fn slm(names: &'static [&'static str], repository: &'static str) -> Alias {
    Alias { names, repository, role: Role::Slm }
}

/// All aliases, large models first.
pub const ALIASES: &[Alias] = &[
    llm(&["llama2-7b", "llama2", "llama-2-7b"], "meta-llama/Llama-2-7b-hf"),
    llm(&["llama2-13b", "llama-2-13b"], "meta-llama/Llama-2-13b-hf"),
    llm(&["llama3-8b", "llama3", "llama-3-8b"], "meta-llama/Meta-Llama-3-8B"),
    llm(&["llama3-8b-instruct", "llama3-instruct"], "meta-llama/Meta-Llama-3-8B-Instruct"),
    llm(&["llama3.1-8b", "llama3.1", "llama-3.1-8b"], "meta-llama/Meta-Llama-3.1-8B"),
    llm(&["llama3.1-8b-instruct", "llama3.1-instruct"], "meta-llama/Meta-Llama-3.1-8B-Instruct"),
    llm(&["llama3.2-1b", "llama-3.2-1b"], "meta-llama/Llama-3.2-1B"),
    llm(&["llama3.2-3b", "llama-3.2-3b"], "meta-llama/Llama-3.2-3B"),
    llm(&["mistral-7b", "mistral", "mistral0.1", "mistral-7b-v0.1"], "mistralai/Mistral-7B-v0.1"),
    llm(&["mistral-7b-v0.3", "mistral0.3"], "mistralai/Mistral-7B-v0.3"),
    llm(&["mixtral-8x7b", "mixtral"], "mistralai/Mixtral-8x7B-v0.1"),
    llm(&["qwen2-0.5b"], "Qwen/Qwen2-0.5B"),
    llm(&["qwen2-1.5b"], "Qwen/Qwen2-1.5B"),
    llm(&["qwen2-7b", "qwen2"], "Qwen/Qwen2-7B"),
    llm(&["qwen2-72b"], "Qwen/Qwen2-72B"),
    llm(&["qwen2.5-0.5b"], "Qwen/Qwen2.5-0.5B"),
    llm(&["qwen2.5-1.5b"], "Qwen/Qwen2.5-1.5B"),
    llm(&["qwen2.5-3b"], "Qwen/Qwen2.5-3B"),
    llm(&["qwen2.5-7b", "qwen2.5"], "Qwen/Qwen2.5-7B"),
    llm(&["qwen2.5-14b"], "Qwen/Qwen2.5-14B"),
    llm(&["qwen2.5-32b"], "Qwen/Qwen2.5-32B"),
    llm(&["qwen2.5-72b"], "Qwen/Qwen2.5-72B"),
    llm(&["qwen3-0.6b"], "Qwen/Qwen3-0.6B"),
    llm(&["qwen3-1.7b"], "Qwen/Qwen3-1.7B"),
    llm(&["qwen3-4b"], "Qwen/Qwen3-4B"),
    llm(&["qwen3-8b", "qwen3"], "Qwen/Qwen3-8B"),
    llm(&["qwen3-14b"], "Qwen/Qwen3-14B"),
    llm(&["qwen3-32b"], "Qwen/Qwen3-32B"),
    llm(&["gemma-2b"], "google/gemma-2b"),
    llm(&["gemma-7b", "gemma"], "google/gemma-7b"),
    llm(&["gemma2-2b", "gemma-2-2b"], "google/gemma-2-2b"),
    llm(&["gemma2-9b", "gemma2", "gemma-2-9b"], "google/gemma-2-9b"),
    llm(&["gemma2-27b", "gemma-2-27b"], "google/gemma-2-27b"),
    llm(&["gemma3-1b", "gemma-3-1b"], "google/gemma-3-1b-pt"),
    llm(&["phi3-mini", "phi-3-mini", "phi3"], "microsoft/Phi-3-mini-4k-instruct"),
    llm(&["falcon-7b", "falcon"], "tiiuae/falcon-7b"),
    llm(&["falcon-rw-1b"], "tiiuae/falcon-rw-1b"),
    llm(&["olmo2-1b"], "allenai/OLMo-2-0425-1B"),
    llm(&["olmo2-7b", "olmo2"], "allenai/OLMo-2-1124-7B"),
    llm(&["pythia-160m"], "EleutherAI/pythia-160m"),
    llm(&["pythia-1.4b"], "EleutherAI/pythia-1.4b"),
    llm(&["pythia-6.9b"], "EleutherAI/pythia-6.9b"),
    llm(&["gpt2"], "openai-community/gpt2"),
    llm(&["gpt2-medium"], "openai-community/gpt2-medium"),
    llm(&["gpt2-large"], "openai-community/gpt2-large"),
    llm(&["gpt2-xl"], "openai-community/gpt2-xl"),
    llm(&["opt-125m"], "facebook/opt-125m"),
    llm(&["opt-1.3b"], "facebook/opt-1.3b"),
    llm(&["opt-6.7b"], "facebook/opt-6.7b"),
    llm(&["bloom-560m"], "bigscience/bloom-560m"),
    llm(&["bloom-7b1", "bloom-7b"], "bigscience/bloom-7b1"),
    llm(&["kollama", "llama3-8b-ko"], "beomi/Llama-3-Open-Ko-8B"),
    llm(&["gerllama", "llama3-8b-de"], "DiscoResearch/Llama3-German-8B"),
    llm(&["chillama", "llama3-8b-zh"], "hfl/llama-3-chinese-8b"),
    slm(&["bert-base", "bert", "bert-base-uncased"], "google-bert/bert-base-uncased"),
    slm(&["bert-large", "bert-large-uncased"], "google-bert/bert-large-uncased"),
    slm(&["bert-base-cased"], "google-bert/bert-base-cased"),
    slm(&["mbert", "bert-base-multilingual-cased"], "google-bert/bert-base-multilingual-cased"),
    slm(&["kcbert", "kcbert-base"], "beomi/kcbert-base"),
    slm(&["roberta-base", "roberta"], "FacebookAI/roberta-base"),
    slm(&["roberta-large"], "FacebookAI/roberta-large"),
    slm(&["xlm-roberta-base", "xlm-roberta", "xlmr", "xlmr-base"], "FacebookAI/xlm-roberta-base"),
    slm(&["distilbert", "distilbert-base", "distilbert-base-uncased"], "distilbert/distilbert-base-uncased"),
    slm(&["distilroberta", "distilroberta-base"], "distilbert/distilroberta-base"),
    slm(&["electra-base", "electra", "electra-base-discriminator"], "google/electra-base-discriminator"),
    slm(&["electra-small"], "google/electra-small-discriminator"),
    slm(&["albert-base", "albert", "albert-base-v2"], "albert/albert-base-v2"),
    slm(&["mpnet-base", "mpnet"], "microsoft/mpnet-base"),
    slm(&["deberta-base", "deberta"], "microsoft/deberta-base"),
    slm(&["deberta-v3-base", "debertav3", "debertav3-base", "deberta-v3"], "microsoft/deberta-v3-base"),
    slm(&["deberta-v3-small", "debertav3-small"], "microsoft/deberta-v3-small"),
    slm(&["deberta-v3-xsmall", "debertav3-xsmall"], "microsoft/deberta-v3-xsmall"),
    slm(&["modernbert-base", "modernbert", "modern-bert"], "answerdotai/ModernBERT-base"),
    slm(&["minilm", "minilm-l6", "all-minilm-l6-v2"], "sentence-transformers/all-MiniLM-L6-v2"),
    slm(&["smollm2-135m", "smollm", "smollm2"], "HuggingFaceTB/SmolLM2-135M"),
    slm(&["smollm2-360m"], "HuggingFaceTB/SmolLM2-360M"),
    slm(&["smollm2-1.7b"], "HuggingFaceTB/SmolLM2-1.7B"),
    slm(&["t5-base", "t5"], "google-t5/t5-base"),
    slm(&["t5-large"], "google-t5/t5-large"),
    slm(&["bart-base", "bart"], "facebook/bart-base"),
    slm(&["bart-large"], "facebook/bart-large"),
];

/// The alias that `typed` stands for. Case does not matter, and `_`, `-` and `.` are one letter.
pub fn find(typed: &str) -> Option<&'static Alias> {
    let typed = normalised(typed);
    ALIASES.iter().find(|alias| alias.names.iter().any(|name| normalised(name) == typed))
}

/// All names, for suggestions and completions.
pub fn names() -> impl Iterator<Item = &'static str> {
    ALIASES.iter().flat_map(|alias| alias.names.iter().copied())
}

fn normalised(name: &str) -> String {
    name.to_lowercase().replace(['_', '.'], "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_stands_for_two_repositories() {
        let mut seen = std::collections::BTreeMap::new();
        for alias in ALIASES {
            for name in alias.names {
                assert_eq!(seen.insert(normalised(name), alias.repository), None, "{name}");
            }
        }
        assert!(!seen.contains_key("demo"), "the embedded models are no alias");
    }

    /// The aliases of the published code (argument parser of MLAI-Yonsei/PiFi) and what they name.
    #[test]
    fn the_published_names_are_known() {
        for (name, repository) in [
            ("bert", "google-bert/bert-base-uncased"),
            ("bert_large", "google-bert/bert-large-uncased"),
            ("roberta", "FacebookAI/roberta-base"),
            ("electra", "google/electra-base-discriminator"),
            ("albert", "albert/albert-base-v2"),
            ("deberta", "microsoft/deberta-base"),
            ("debertav3", "microsoft/deberta-v3-base"),
            ("modern_bert", "answerdotai/ModernBERT-base"),
            ("smollm", "HuggingFaceTB/SmolLM2-135M"),
            ("mbert", "google-bert/bert-base-multilingual-cased"),
            ("kcbert", "beomi/kcbert-base"),
            ("t5", "google-t5/t5-base"),
            ("bart", "facebook/bart-base"),
            ("llama2", "meta-llama/Llama-2-7b-hf"),
            ("llama3", "meta-llama/Meta-Llama-3-8B"),
            ("llama3.1", "meta-llama/Meta-Llama-3.1-8B"),
            ("llama3.1_instruct", "meta-llama/Meta-Llama-3.1-8B-Instruct"),
            ("mistral0.1", "mistralai/Mistral-7B-v0.1"),
            ("mistral0.3", "mistralai/Mistral-7B-v0.3"),
            ("qwen2_0.5b", "Qwen/Qwen2-0.5B"),
            ("qwen2_1.5b", "Qwen/Qwen2-1.5B"),
            ("qwen2_7b", "Qwen/Qwen2-7B"),
            ("qwen2_72b", "Qwen/Qwen2-72B"),
            ("gemma2", "google/gemma-2-9b"),
            ("falcon", "tiiuae/falcon-7b"),
            ("kollama", "beomi/Llama-3-Open-Ko-8B"),
            ("gerllama", "DiscoResearch/Llama3-German-8B"),
            ("chillama", "hfl/llama-3-chinese-8b"),
        ] {
            assert_eq!(find(name).map(|alias| alias.repository), Some(repository), "{name}");
        }
    }

    #[test]
    fn spelling_variants_resolve_alike_and_neighbours_stay_apart() {
        for name in ["qwen2-0.5b", "QWEN2_0.5B", "Qwen2-0-5b"] {
            assert_eq!(find(name).unwrap().repository, "Qwen/Qwen2-0.5B");
        }
        assert_eq!(find("qwen2.5-7b").unwrap().repository, "Qwen/Qwen2.5-7B");
        assert_eq!(find("qwen2-57b"), None);
    }
}
