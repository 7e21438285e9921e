//! The toy model: are known features found again, and in which band of the L1 coefficient?

use maud::{Markup, html};

use super::frame::Claim;
use super::results::{ToyMap, ToySection};
use crate::report::charts::canvas::Ink;
use crate::report::charts::grid::{Grid, Shade};
use crate::report::charts::series::coefficient;
use crate::report::figure::{Figure, Table};
use crate::report::num;

/// What is tested.
pub const CLAIM: Claim = Claim {
    id: "toy",
    title: "A toy model with known features",
    source: "section 2 and Sharkey et al. 2022",
    text: "Where the true features are known, a sparse autoencoder with enough features finds them again in a band of L1 coefficients.",
    quoted: false,
};

/// MMCS from which features count as found (notes, section 14).
const FOUND: f64 = 0.95;

/// The figures.
pub fn figures(s: &ToySection) -> Markup {
    html! { @for map in &s.maps { (figure(map)) } }
}

/// All cells as (ratio, alpha, value).
fn cells<'a>(m: &'a ToyMap, value: &'a [Vec<f64>]) -> impl Iterator<Item = (f64, f64, f64)> + 'a {
    value.iter().enumerate().flat_map(move |(r, row)| {
        let at = |v: &[f64], i: usize| v.get(i).copied().unwrap_or(f64::NAN);
        row.iter()
            .enumerate()
            .map(move |(a, v)| (at(&m.ratios, r), at(&m.alphas, a), *v))
    })
}

fn title(m: &ToyMap) -> String {
    let best = cells(m, &m.mmcs)
        .filter(|c| c.2.is_finite())
        .max_by(|a, b| a.2.total_cmp(&b.2));
    let Some((ratio, alpha, v)) = best else {
        return format!("Are {} found again?", name(m));
    };
    let mut band: Vec<f64> = cells(m, &m.mmcs)
        .filter(|c| c.0 >= 1.0 && c.2 > FOUND)
        .map(|c| c.1)
        .collect();
    band.sort_by(f64::total_cmp);
    match (band.first(), band.last()) {
        (Some(lo), Some(hi)) => format!(
            "With at least as many features as the truth, the MMCS passes {FOUND} for some L1 coefficients from {} to {}; its best is {}",
            coefficient(*lo),
            coefficient(*hi),
            num::fixed(v, 2)
        ),
        _ => format!(
            "The MMCS stays below {FOUND}: its best is {} at an L1 coefficient of {} and {} times the true number of features",
            num::fixed(v, 2),
            coefficient(alpha),
            num::short(ratio)
        ),
    }
}

fn name(m: &ToyMap) -> &str {
    if m.name.is_empty() {
        "known features"
    } else {
        &m.name
    }
}

fn figure(m: &ToyMap) -> Markup {
    let largest = |v: &[Vec<f64>]| {
        let finite = v.iter().flatten().copied().filter(|v| v.is_finite());
        finite.fold(0.0, f64::max)
    };
    let loss: Vec<f64> = m.loss.iter().flatten().copied().collect();
    let positive = || loss.iter().copied().filter(|v| *v > 0.0 && v.is_finite());
    let (lo, hi) = positive().fold((f64::INFINITY, 0.0f64), |r, v| (r.0.min(v), r.1.max(v)));
    let mut panels = Vec::new();
    let unit = Shade::Linear(0.0, 1.0);
    let two: fn(f64) -> String = |v| num::fixed(v, 2);
    if !m.mmcs.is_empty() {
        panels.push(grid(
            m,
            &m.mmcs,
            "MMCS of the true features with the dictionary",
            unit,
            two,
        ));
    }
    if !m.mmcs_next.is_empty() {
        panels.push(grid(
            m,
            &m.mmcs_next,
            "MMCS with the next larger dictionary",
            unit,
            two,
        ));
    }
    if !m.dead.is_empty() {
        let shade = Shade::Linear(0.0, largest(&m.dead).max(1.0));
        panels.push(grid(m, &m.dead, "features that never fire", shade, whole));
    }
    if lo < hi {
        let power = (-lo.log10().floor()).clamp(0.0, 12.0) as i32;
        let scaled: Vec<Vec<f64>> = m
            .loss
            .iter()
            .map(|r| r.iter().map(|v| v * 10f64.powi(power)).collect())
            .collect();
        let legend = if power > 0 {
            format!(
                "squared error per coordinate × 10{} (log)",
                num::superscript(power)
            )
        } else {
            "squared error per coordinate (log)".into()
        };
        let unit = 10f64.powi(power);
        let shade = Shade::Log(lo * unit, hi * unit);
        panels.push(grid(m, &scaled, &legend, shade, |v| num::digits(v, 2)));
    }
    let head = [
        ("ratio", "features / true features"),
        ("", "L1 coefficient"),
        ("MMCS", "MMCS"),
        ("MMCS", "MMCS with next size"),
        ("", "never fire"),
        ("", "squared error"),
    ];
    let rows = m.mmcs.iter().enumerate().flat_map(|(r, row)| {
        (0..row.len()).map(move |a| {
            let at = |v: &[Vec<f64>]| v.get(r).and_then(|v| v.get(a)).copied().unwrap_or(f64::NAN);
            vec![
                num::short(m.ratios.get(r).copied().unwrap_or(f64::NAN)),
                coefficient(m.alphas.get(a).copied().unwrap_or(f64::NAN)),
                num::fixed(at(&m.mmcs), 3),
                num::fixed(at(&m.mmcs_next), 3),
                num::sig(at(&m.dead)),
                num::sig(at(&m.loss)),
            ]
        })
    });
    Figure {
        title: title(m),
        subtitle: format!(
            "Autoencoders on {}, by L1 coefficient (in the toy’s convention: mean of the codes over batch and features) and size of the dictionary.",
            if m.name.is_empty() { "data made of known features" } else { &m.name }
        ),
        panels,
        note: None,
        table: Some(Table {
            head: head.map(|(t, s)| (t, s.to_owned())).into(),
            texts: 0,
            rows: rows.collect(),
        }),
    }
    .html()
}

fn whole(v: f64) -> String {
    if v.abs() < 9_999.5 {
        num::fixed(v, 0)
    } else {
        format!("{}k", num::fixed(v / 1e3, 0))
    }
}

fn grid(
    m: &ToyMap,
    value: &[Vec<f64>],
    legend: &str,
    shade: Shade,
    show: fn(f64) -> String,
) -> String {
    let tick = |v: &f64| coefficient(two_digits(*v));
    Grid {
        label: legend,
        rows: m.ratios.iter().map(|v| num::short(*v)).collect(),
        row_title: "features / true features".into(),
        columns: m.alphas.iter().map(tick).collect(),
        column_title: "L1 coefficient (log)".into(),
        column_ink: Ink::Muted,
        value,
        shade,
        show,
        legend: legend.to_owned(),
        room: if m.alphas.len() > 10 {
            (446.0, 34.0)
        } else {
            (446.0, 48.0)
        },
    }
    .svg()
}

/// Two significant digits.
fn two_digits(v: f64) -> f64 {
    format!("{v:.1e}").parse().unwrap_or(v)
}
