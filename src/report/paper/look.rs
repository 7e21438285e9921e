//! How decompositions look in every figure of this report: dictionaries in the accent, their
//! controls as rings of the same hue, PCA in blue as the second series, other baselines in grey.

use super::results::{Role, SiteKind};
use crate::report::charts::canvas::{Ink, Marker};
use crate::report::charts::series::{Series, is_pca};

/// One look per decomposition, named.
pub fn of_roles(items: &[(Role, String)]) -> Vec<Series> {
    let family = |role: Role, name: &str| match role {
        Role::Dictionary => 0,
        Role::Control => 1,
        Role::Baseline if is_pca(name) => 2,
        Role::Baseline => 3,
    };
    const SHAPES: [Marker; 3] = [Marker::Circle, Marker::Square, Marker::Triangle];
    let families: Vec<usize> = items.iter().map(|(r, n)| family(*r, n)).collect();
    items
        .iter()
        .enumerate()
        .map(|(i, (_, name))| {
            let f = families[i];
            let kin = families.iter().filter(|o| **o == f).count();
            let place = families[..i].iter().filter(|o| **o == f).count();
            Series {
                ink: [Ink::Accent, Ink::Accent, Ink::Blue, Ink::Grey][f],
                alpha: if kin > 1 {
                    1.0 - 0.5 * place as f64 / (kin - 1) as f64
                } else {
                    1.0
                },
                marker: match f {
                    1 => Marker::Ring,
                    2 => Marker::Square,
                    _ => SHAPES[place % SHAPES.len()],
                },
                label: name.clone(),
                group: f,
            }
        })
        .collect()
}

/// Series of one kind, told apart by strength and shape: layers, ratios, stages.
pub fn of_kin(names: &[String]) -> Vec<Series> {
    let items: Vec<_> = names
        .iter()
        .map(|n| (Role::Dictionary, n.clone()))
        .collect();
    of_roles(&items)
}

/// The paper's own values, behind this run's.
pub fn paper(label: &str) -> Series {
    Series {
        ink: Ink::Grey,
        alpha: 0.8,
        marker: Marker::Square,
        label: label.to_owned(),
        group: 9,
    }
}

/// A series in the accent without a name.
pub fn plain(label: &str) -> Series {
    Series {
        ink: Ink::Accent,
        alpha: 1.0,
        marker: Marker::Circle,
        label: label.to_owned(),
        group: 0,
    }
}

/// A kind of place in words.
pub fn site(kind: SiteKind) -> &'static str {
    match kind {
        SiteKind::Residual => "residual stream",
        SiteKind::Mlp => "MLP activations",
        SiteKind::MlpOut => "MLP output",
        SiteKind::Attention => "attention output",
    }
}

/// Distinct values in order of appearance.
pub fn distinct<T: PartialEq>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut out = Vec::new();
    for v in values {
        if !out.contains(&v) {
            out.push(v);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_decide_the_hue() {
        let items = [
            (Role::Dictionary, "SAE"),
            (Role::Control, "SAE of a random model"),
            (Role::Baseline, "PCA"),
            (Role::Baseline, "neurons"),
        ];
        let looks = of_roles(&items.map(|(r, n)| (r, n.to_owned())));
        let inks: Vec<_> = looks.iter().map(|l| l.ink).collect();
        assert_eq!(inks, [Ink::Accent, Ink::Accent, Ink::Blue, Ink::Grey]);
        assert_eq!(looks[1].marker, Marker::Ring);
    }
}
