//! The field's terms with their definitions, one hover away.

use maud::{Markup, html};

/// What a term means here, in one or two sentences.
pub fn definition(term: &str) -> &'static str {
    match term {
        "arch" => {
            "Architecture of the autoencoder: tied (Cunningham et al. 2023), relu (untied, L1 penalty) or topk."
        }
        "d_sae" => {
            "Number of features of the dictionary, and how many times the width of the activations that is."
        }
        "sparsity" => {
            "k: features kept per token (topk). l1: L1 coefficient with the squared error averaged over the coordinates."
        }
        "L0" => "Mean number of active features per token on held-out text.",
        "EV" => {
            "Explained variance: 1 − FVU, with the variance about the mean of the whole held-out set."
        }
        "FVU" => {
            "Fraction of variance unexplained: squared error of the reconstruction over the variance of the activations about their mean."
        }
        "CE recovered" => {
            "(CE zero − CE SAE) / (CE zero − CE original): share of the language model's loss that the reconstruction keeps, against replacing the activations by zero. 100 % is perfect."
        }
        "KL" => {
            "KL divergence of the model's next-token distribution with the reconstruction from the original, nats per token. 0 is perfect."
        }
        "dead" => "Features that never fired on the evaluation tokens.",
        "bias" => {
            "Relative reconstruction bias E|x̂|² / E[x·x̂]: 1 is unbiased, below 1 the reconstruction is too short (shrinkage)."
        }
        "cosine" => "Mean cosine between an activation and its reconstruction.",
        "density" => "Share of tokens on which the feature fires.",
        "max" => "Largest activation seen.",
        "mean" => "Mean activation over the tokens on which the feature fires.",
        "logit" => {
            "Change of the token's logit per unit of activation: decoder direction times unembedding."
        }
        "CE" => "Mean next-token cross-entropy on held-out text, nats per token.",
        "nats" => "Natural units of information: 1 nat = 1.44 bits.",
        "cosine similarity" => "Cosine between the decoder directions of two features.",
        "logit difference" => {
            "logit(indirect object) − logit(subject) at the last position, mean over prompts. Positive: the model prefers the right name."
        }
        "accuracy" => "Share of prompts with a positive logit difference.",
        "edit" => {
            "Mean over tokens of the Euclidean distance between the original and the patched activation."
        }
        "hook" => "The place in the model whose activations were read, in TransformerLens' names.",
        "MMCS" => {
            "Mean over the first dictionary's features of the largest cosine with any feature of the second. 1: all are found again."
        }
        "matched" => {
            "Mean cosine when every feature is given another partner, so that the sum is largest (Hungarian assignment)."
        }
        "ratio" => "Features of the dictionary over what it is compared with.",
        "score" => {
            "Pearson correlation, over all tokens of the fragments, of the activation that the description predicts with the true one. Mean over features with 95 % interval."
        }
        "detection" => {
            "Balanced accuracy of telling, from the description alone, fragments on which the feature fires from others. A constant answer has 0.5."
        }
        "loss" => {
            "−log p of a token given those before it, in nats; of a text, the mean over its tokens but the first."
        }
        "perplexity" => {
            "e to the loss: the number of equally likely tokens that would be as hard to guess."
        }
        "upper half" => "Firings with an activation above half of the largest.",
        _ => "",
    }
}

/// `shown`, with the definition of `term` on hover.
pub fn abbr(term: &str, shown: &str) -> Markup {
    let definition = definition(term);
    html! {
        @if definition.is_empty() { (shown) } @else { abbr title=(definition) { (shown) } }
    }
}

/// The term itself, with its definition on hover.
pub fn term(term: &str) -> Markup {
    abbr(term, term)
}
