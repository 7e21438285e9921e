//! The baselines that a trained dictionary is compared with (Cunningham et al. 2023, section 3 and appendix G), each a
//! [`super::Dictionary`], each as published and, where its signs are arbitrary, also with signs that the data choose.
//!
//! Published codes of PCA and ICA are signed, but only positive activations are explained and scored, so that of each
//! component one tail counts and chance decides which. [`Baseline::PcaOriented`] and [`Baseline::IcaOriented`] turn each
//! component so that its heavier tail, by the skewness of the fitting data, is the positive one.

#[cfg(not(target_arch = "wasm32"))]
mod fit;
#[cfg(not(target_arch = "wasm32"))]
mod ica;
mod linear;
#[cfg(not(target_arch = "wasm32"))]
mod nmf;

#[cfg(not(target_arch = "wasm32"))]
pub use fit::{BaselineOptions, fit_baselines};
#[cfg(not(target_arch = "wasm32"))]
pub use ica::{Ica, IcaOptions};
pub use linear::{LinearDictionary, Rule};
#[cfg(not(target_arch = "wasm32"))]
pub use nmf::{Nmf, NmfOptions};

use serde::{Deserialize, Serialize};

/// Which baseline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Baseline {
    /// ReLU of the coordinates: the default basis.
    Neurons,
    /// Directions from N(0, 1), ReLU.
    Random,
    /// Signed, the mean left in.
    Pca,
    /// About the mean, the heavier tail positive, ReLU.
    PcaOriented,
    /// `[V; -V]` about the mean, ReLU.
    PcaBothTails,
    /// `[V; -V]`, the mean left in, the k highest, ReLU.
    PcaTopK,
    /// Signed.
    Ica,
    /// The heavier tail positive, ReLU.
    IcaOriented,
    /// As [`Baseline::PcaTopK`] with ICA's components of standardised activations, applied to raw ones.
    IcaTopK,
    /// Non-negative matrix factorisation of the shifted activations.
    Nmf,
}

impl Baseline {
    /// All of them.
    pub const ALL: [Baseline; 10] = [
        Baseline::Neurons,
        Baseline::Random,
        Baseline::Pca,
        Baseline::PcaOriented,
        Baseline::PcaBothTails,
        Baseline::PcaTopK,
        Baseline::Ica,
        Baseline::IcaOriented,
        Baseline::IcaTopK,
        Baseline::Nmf,
    ];
}
