//! The trained dictionaries: training curves, density, sparsity against fidelity.

use maud::{Markup, html};

use super::charts::pareto::{self, Fidelity};
use super::charts::training::{self, Quantity, progress};
use super::charts::{density, series};
use super::figure::{Figure, Table};
use super::results::{RunReport, SaeReport};
use super::{findings, num, terms};

fn on(r: &RunReport) -> String {
    match (r.hook.is_empty(), r.model.name.is_empty()) {
        (false, false) => format!("{} of {}", r.hook, r.model.name),
        (false, true) => r.hook.clone(),
        (true, false) => r.model.name.clone(),
        (true, true) => "the activations".into(),
    }
}

/// Training curves; `None` when nothing was logged.
pub fn training(r: &RunReport) -> Option<Markup> {
    let saes: Vec<SaeReport> = r
        .saes
        .iter()
        .filter(|s| !s.curve.is_empty())
        .cloned()
        .collect();
    if saes.is_empty() {
        return None;
    }
    let ends = |of: fn(&[super::results::CurvePoint]) -> Option<&super::results::CurvePoint>| {
        findings::span(
            saes.iter().filter_map(|s| of(&s.curve)).map(|p| p.fvu),
            num::sig,
        )
    };
    let title = match (ends(|c| c.first()), ends(|c| c.last())) {
        (Some(first), Some(last)) => format!(
            "The share of variance left unexplained is {first} at the first logged step and {last} at the last"
        ),
        _ => "Training curves".into(),
    };
    let varies = |q: Quantity| {
        saes.iter()
            .flat_map(|s| &s.curve)
            .any(|p| q.of(p).is_finite() && q.of(p) != 0.0)
    };
    let panels = [Quantity::Fvu, Quantity::L0, Quantity::Loss, Quantity::Dead].into_iter();
    let panels = panels
        .filter(|q| varies(*q))
        .map(|q| training::chart(&saes, q))
        .collect();
    let head = [
        ("", "SAE"),
        ("", "activations seen"),
        ("FVU", "FVU"),
        ("L0", "L0"),
        ("", "loss"),
        ("dead", "dead"),
        ("", "learning rate"),
    ];
    let figure = Figure {
        title,
        subtitle: format!(
            "On the training batches of {}; at the right end, each dictionary by its setting.",
            on(r)
        ),
        panels,
        note: Some(html! {
            @if saes.iter().any(|s| s.eval.arch != saes[0].eval.arch) {
                "Losses of different architectures are not in the same units; compare them by "
                (terms::abbr("FVU", "FVU")) ". "
            }
            "A batch is small: the held-out numbers are in the summary."
        }),
        table: Some(Table {
            head: head.map(|(t, s)| (t, s.to_owned())).into(),
            texts: 1,
            rows: saes.iter().flat_map(table_rows).collect(),
        }),
    };
    Some(figure.html())
}

/// About ten rows per dictionary: enough to redraw the curve.
fn table_rows(s: &SaeReport) -> Vec<Vec<String>> {
    let every = s.curve.len().div_ceil(10).max(1);
    let last = s.curve.len().saturating_sub(1);
    let kept = s
        .curve
        .iter()
        .enumerate()
        .filter(|(i, _)| i.is_multiple_of(every) || *i == last);
    kept.map(|(_, p)| {
        vec![
            s.name.clone(),
            num::int(progress(p) as u64),
            num::sig(p.fvu),
            num::sig(p.l0),
            num::sig(p.loss),
            num::int(u64::from(p.dead)),
            num::sig(p.lr),
        ]
    })
    .collect()
}

/// Sparsity against fidelity; `None` for fewer than two dictionaries.
pub fn pareto(r: &RunReport) -> Option<Markup> {
    let measured = r
        .saes
        .iter()
        .filter(|s| s.eval.l0.is_finite() && Fidelity::Fvu.of(s).is_some())
        .count();
    if measured < 2 {
        return None;
    }
    let with_loss = r
        .saes
        .iter()
        .filter(|s| Fidelity::CeRecovered.of(s).is_some())
        .count()
        > 1;
    let mut panels = vec![pareto::chart(&r.saes, Fidelity::Fvu)];
    if with_loss {
        panels.push(pareto::chart(&r.saes, Fidelity::CeRecovered));
    }
    let front = pareto::front(&r.saes, Fidelity::Fvu);
    let ends = front
        .first()
        .zip(front.last())
        .map(|(&a, &b)| (&r.saes[a].eval, &r.saes[b].eval));
    let title = match ends {
        Some((a, b)) if front.len() > 1 => format!(
            "From {} to {} active features per token, the front goes from {} to {} of variance unexplained",
            num::short(a.l0),
            num::short(b.l0),
            num::short_percent(a.fvu),
            num::short_percent(b.fvu),
        ),
        Some((a, _)) => format!(
            "One dictionary is both the sparsest and the most faithful: {} with L0 {} and FVU {}",
            format!("{} {}", a.arch, series::sparsity(a)).trim(),
            num::short(a.l0),
            num::short(a.fvu),
        ),
        None => "Sparsity against fidelity".into(),
    };
    let head = [
        ("", "SAE"),
        ("", "setting"),
        ("L0", "L0"),
        ("FVU", "FVU"),
        ("CE recovered", "CE recovered"),
        ("KL", "KL, nats"),
        ("cosine", "cosine"),
    ];
    let rows = r.saes.iter().map(|s| {
        let loss = |f: fn(&super::results::LossEffect) -> f64| {
            s.eval
                .loss
                .as_ref()
                .map_or_else(|| "–".into(), |l| num::sig(f(l)))
        };
        vec![
            s.name.clone(),
            format!("{} {}", s.eval.arch, series::sparsity(&s.eval)),
            num::sig(s.eval.l0),
            num::sig(s.eval.fvu),
            loss(|l| l.ce_recovered),
            loss(|l| l.kl),
            num::sig(s.eval.cosine),
        ]
    });
    let figure = Figure {
        title,
        subtitle: format!(
            "One point per dictionary on {}, held-out text. Grey band: no other dictionary is both sparser and more faithful.",
            on(r)
        ),
        panels,
        note: architectures(&r.saes, &front),
        table: Some(Table {
            head: head.map(|(t, s)| (t, s.to_owned())).into(),
            texts: 2,
            rows: rows.collect(),
        }),
    };
    Some(figure.html())
}

/// Which architectures make up the front, and how much each shrinks.
fn architectures(saes: &[SaeReport], front: &[usize]) -> Option<Markup> {
    let mut archs: Vec<&str> = Vec::new();
    for s in saes {
        if !archs.contains(&s.eval.arch.as_str()) {
            archs.push(&s.eval.arch);
        }
    }
    let of = |arch: &str| {
        saes.iter()
            .enumerate()
            .filter(|(_, s)| s.eval.arch == arch)
            .map(|(i, _)| i)
            .collect::<Vec<_>>()
    };
    let members = archs.iter().map(|arch| {
        let kin = of(arch);
        format!(
            "{} of {} {arch}",
            kin.iter().filter(|i| front.contains(i)).count(),
            kin.len()
        )
    });
    let bias = archs.iter().filter_map(|arch| {
        let middle = findings::median(
            of(arch)
                .into_iter()
                .map(|i| saes[i].eval.relative_reconstruction_bias),
        )?;
        Some(format!("{} for {arch}", num::sig(middle)))
    });
    let (members, bias): (Vec<_>, Vec<_>) = (members.collect(), bias.collect());
    (archs.len() > 1).then(|| {
        html! {
            "On the front of " (terms::abbr("FVU", "FVU")) " against " (terms::abbr("L0", "L0")) " lie " (members.join(", ")) "."
            " The paper’s dictionaries are the tied ones. An L1 penalty is known to make activations too small: the median "
            (terms::abbr("bias", "reconstruction bias")) " is " (bias.join(", ")) "; below 1 is shrinkage."
        }
    })
}

/// Density histograms; `None` when no dictionary has one.
pub fn density(r: &RunReport) -> Option<Markup> {
    let with: Vec<&SaeReport> = r
        .saes
        .iter()
        .filter(|s| s.eval.density.counts.iter().any(|c| *c > 0) || s.eval.density.never > 0)
        .collect();
    if with.is_empty() {
        return None;
    }
    let range = density::common_range(with.iter().map(|s| &s.eval.density));
    let looks = series::of_saes(&r.saes);
    let look = |s: &SaeReport| {
        r.saes
            .iter()
            .position(|o| o.name == s.name)
            .and_then(|i| looks.get(i))
            .map_or_else(|| s.name.clone(), |l| l.label.clone())
    };
    let panels = with
        .iter()
        .map(|s| density::chart(&s.eval.density, &look(s), range))
        .collect();
    let never = with.iter().map(|s| f64::from(s.eval.density.never));
    let typical = findings::span(
        with.iter()
            .filter_map(|s| median_density(s))
            .map(|d| 1.0 / d),
        |n| num::short(n.round()),
    );
    let dead = findings::span(never, |n| num::int(n as u64)).unwrap_or_default();
    let title = match typical {
        Some(n) => format!("The middle feature fires on 1 in {n} tokens; {dead} never fired"),
        None => format!("How often do features fire? {dead} never fired"),
    };
    let head = ["SAE", "density from", "to", "features"].map(|s| ("", s.to_owned()));
    let rows = with.iter().flat_map(|s| {
        let h = &s.eval.density;
        let bins = h.edges.windows(2).zip(&h.counts).filter(|(_, c)| **c > 0);
        let never = vec![
            s.name.clone(),
            "never".into(),
            String::new(),
            num::int(u64::from(h.never)),
        ];
        std::iter::once(never).chain(bins.map(|(e, c)| {
            vec![
                s.name.clone(),
                num::sig(10f64.powf(e[0])),
                num::sig(10f64.powf(e[1])),
                num::int(u64::from(*c)),
            ]
        }))
    });
    let figure = Figure {
        title,
        subtitle: match r
            .text
            .eval_tokens
            .max(with.iter().map(|s| s.eval.tokens).max().unwrap_or(0))
        {
            0 => format!(
                "Features by the share of held-out tokens on which they fire, {}.",
                on(r)
            ),
            n => format!(
                "Features by the share of {} held-out tokens on which they fire, {}.",
                num::count(n),
                on(r)
            ),
        },
        panels,
        note: Some(html! {
            @match findings::span(with.iter().map(|s| dense(s)), num::short).as_deref() {
                None => {}
                Some("0") => "No feature fires on more than a tenth of the tokens. ",
                Some(n) => {
                    (n) " features " @if with.len() > 1 { "per dictionary " }
                    "fire on more than a tenth of the tokens (right of 10⁻¹). "
                }
            }
            "A feature that never fired here may still fire on more text."
        }),
        table: Some(Table {
            head: head.into(),
            texts: 1,
            rows: rows.collect(),
        }),
    };
    Some(figure.html())
}

/// The density that half of the features that fired stay below, to the middle of a bin.
fn median_density(s: &SaeReport) -> Option<f64> {
    let h = &s.eval.density;
    let total: u64 = h.counts.iter().map(|&c| u64::from(c)).sum();
    let mut below = 0;
    h.edges.windows(2).zip(&h.counts).find_map(|(e, &c)| {
        below += u64::from(c);
        (total > 0 && below * 2 >= total)
            .then(|| 10f64.powf((e[0] + e[1]) / 2.0))
            .filter(|d| d.is_finite() && *d > 0.0)
    })
}

/// Features that fire on more than a tenth of the tokens.
fn dense(s: &SaeReport) -> f64 {
    let h = &s.eval.density;
    h.edges
        .iter()
        .zip(&h.counts)
        .filter(|(from, _)| **from >= -1.0 - 1e-9)
        .map(|(_, &c)| f64::from(c))
        .sum()
}
