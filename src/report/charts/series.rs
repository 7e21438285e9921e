//! How a series looks: hue and shape by kind, strength by its place among its kin, and a name.

use super::super::num;
use super::super::results::{PatchCurve, SaeEval, SaeReport};
use super::canvas::{Ink, Marker};

/// The look and the name of one series.
#[derive(Clone, Debug)]
pub struct Series {
    /// Hue.
    pub ink: Ink,
    /// Opacity; the strongest is the sparsest or the first.
    pub alpha: f64,
    /// Shape of its points.
    pub marker: Marker,
    /// Direct label.
    pub label: String,
    /// Series of one group are joined in a Pareto chart.
    pub group: usize,
}

const HUES: [(Ink, Marker); 3] = [
    (Ink::Accent, Marker::Circle),
    (Ink::Blue, Marker::Square),
    (Ink::Grey, Marker::Triangle),
];

/// The sparsity setting in words: `k=16` or `l1=0.001`.
pub fn sparsity(e: &SaeEval) -> String {
    match (e.k, e.l1) {
        (Some(k), _) => format!("k={k}"),
        (None, Some(l1)) => format!("l1={}", coefficient(l1)),
        (None, None) => String::new(),
    }
}

/// A coefficient as one types it: `8.6e-4`, `0.01`.
pub fn coefficient(v: f64) -> String {
    if !v.is_finite() {
        return num::sig(v);
    }
    if v == 0.0 || (0.01..1000.0).contains(&v) {
        let rounded: f64 = format!("{v:.2e}").parse().unwrap_or(v);
        format!("{rounded}")
    } else {
        format!("{v:.2e}").replace(".00e", "e").replace("0e", "e")
    }
}

/// One look per dictionary. Hue follows the architecture, opacity the order within it.
pub fn of_saes(saes: &[SaeReport]) -> Vec<Series> {
    let mut archs: Vec<&str> = Vec::new();
    let mut groups: Vec<(&str, usize)> = Vec::new();
    for s in saes {
        if !archs.contains(&s.eval.arch.as_str()) {
            archs.push(&s.eval.arch);
        }
        if !groups.contains(&(s.eval.arch.as_str(), s.eval.d_sae)) {
            groups.push((&s.eval.arch, s.eval.d_sae));
        }
    }
    let several_sizes = saes.iter().any(|s| s.eval.d_sae != saes[0].eval.d_sae);
    saes.iter()
        .enumerate()
        .map(|(i, s)| {
            let e = &s.eval;
            let hue = archs.iter().position(|a| *a == e.arch).unwrap_or(0);
            let kin = saes.iter().filter(|o| o.eval.arch == e.arch).count();
            let place = saes[..i].iter().filter(|o| o.eval.arch == e.arch).count();
            let (ink, marker) = HUES[hue.min(HUES.len() - 1)];
            let mut label = format!("{} {}", e.arch, sparsity(e)).trim().to_owned();
            if label.is_empty() {
                label.clone_from(&s.name);
            }
            if several_sizes {
                label.push_str(&format!(" · {}", num::int(e.d_sae as u64)));
            }
            Series {
                ink,
                alpha: if kin > 1 {
                    1.0 - 0.55 * place as f64 / (kin - 1) as f64
                } else {
                    1.0
                },
                marker,
                label,
                group: groups
                    .iter()
                    .position(|g| *g == (e.arch.as_str(), e.d_sae))
                    .unwrap_or(0),
            }
        })
        .collect()
}

/// Whether a patching curve is a principal-component baseline.
pub fn is_pca(name: &str) -> bool {
    name.to_ascii_lowercase().contains("pca")
}

/// Whether a patching curve patches dictionary features.
pub fn is_sae(name: &str) -> bool {
    name.to_ascii_lowercase().contains("sae")
}

/// One look per patching curve: dictionaries in the accent, PCA in blue, other baselines in grey.
pub fn of_patching(curves: &[PatchCurve]) -> Vec<Series> {
    let hue = |name: &str| match () {
        () if is_pca(name) => 1,
        () if is_sae(name) => 0,
        () => 2,
    };
    curves
        .iter()
        .enumerate()
        .map(|(i, c)| {
            let h = hue(&c.name);
            let kin = curves.iter().filter(|o| hue(&o.name) == h).count();
            let place = curves[..i].iter().filter(|o| hue(&o.name) == h).count();
            let (ink, marker) = HUES[h];
            let alpha = if kin > 1 {
                1.0 - 0.55 * place as f64 / (kin - 1) as f64
            } else {
                1.0
            };
            Series {
                ink,
                alpha,
                marker,
                label: c.name.clone(),
                group: h,
            }
        })
        .collect()
}
