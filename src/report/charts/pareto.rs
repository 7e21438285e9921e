//! Sparsity against fidelity over the trained dictionaries.

use super::super::num;
use super::super::results::SaeReport;
use super::canvas::{Anchor, Ink, draw};
use super::frame::{Frame, SMALL};
use super::labels::Clutter;
use super::scale::Scale;
use super::series::{of_saes, sparsity};
use super::training::text_ink;

/// The vertical axis of a Pareto chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fidelity {
    /// Share of variance not explained: lower is better.
    Fvu,
    /// Share of the language model's loss recovered: higher is better.
    CeRecovered,
}

impl Fidelity {
    /// The value of one dictionary, where it was measured.
    pub fn of(self, sae: &SaeReport) -> Option<f64> {
        let v = match self {
            Self::Fvu => sae.eval.fvu,
            Self::CeRecovered => sae.eval.loss.as_ref()?.ce_recovered,
        };
        v.is_finite().then_some(v)
    }

    fn title(self) -> &'static str {
        match self {
            Self::Fvu => "variance not explained (FVU), lower is better",
            Self::CeRecovered => "CE recovered, higher is better",
        }
    }

    /// Whether `a` is a better value than `b`.
    pub fn better(self, a: f64, b: f64) -> bool {
        match self {
            Self::Fvu => a < b,
            Self::CeRecovered => a > b,
        }
    }
}

/// Indices of the dictionaries that no other beats in both sparsity and fidelity, sparsest first.
pub fn front(saes: &[SaeReport], fidelity: Fidelity) -> Vec<usize> {
    let mut order: Vec<(f64, f64, usize)> = saes
        .iter()
        .enumerate()
        .filter_map(|(i, s)| Some((s.eval.l0, fidelity.of(s)?, i)))
        .filter(|p| p.0.is_finite())
        .collect();
    order.sort_by(|a, b| {
        let by_fidelity = if fidelity.better(a.1, b.1) {
            std::cmp::Ordering::Less
        } else {
            std::cmp::Ordering::Greater
        };
        a.0.total_cmp(&b.0).then(if a.1 == b.1 {
            std::cmp::Ordering::Equal
        } else {
            by_fidelity
        })
    });
    let mut best: Option<f64> = None;
    order.retain(|p| {
        let keep = best.is_none_or(|b| fidelity.better(p.1, b));
        if keep {
            best = Some(p.1);
        }
        keep
    });
    order.into_iter().map(|p| p.2).collect()
}

const SIZE: (f64, f64) = (440.0, 320.0);

/// The chart: a point per dictionary, kin joined, the front dashed behind.
pub fn chart(saes: &[SaeReport], fidelity: Fidelity) -> String {
    let l0 = || saes.iter().map(|s| s.eval.l0);
    let values = || saes.iter().filter_map(|s| fidelity.of(s));
    let y = match fidelity {
        Fidelity::Fvu => Scale::auto(values(), 4.0),
        Fidelity::CeRecovered => Scale::linear(values()),
    };
    let frame = Frame {
        left: 52.0,
        right: SIZE.0 - 66.0,
        top: 34.0,
        bottom: SIZE.1 - 42.0,
        x: Scale::auto(l0(), 4.0).padded(0.06),
        y: y.padded(0.08),
    };
    let label = format!("L0 against {}", fidelity.title());
    draw(SIZE.0, SIZE.1, &label, |c| {
        frame.axes(c, "active features per token (L0)", fidelity.title());
        let looks = of_saes(saes);
        let at = |i: usize| frame.at(saes[i].eval.l0, fidelity.of(&saes[i]).unwrap_or(f64::NAN));
        c.path(
            &front(saes, fidelity)
                .into_iter()
                .map(at)
                .collect::<Vec<_>>(),
            Ink::Base,
            1.0,
            5.0,
        );
        let points: Vec<_> = (0..saes.len()).map(at).collect();
        let mut clutter = Clutter::default();
        points
            .iter()
            .filter(|p| p.0.is_finite() && p.1.is_finite())
            .for_each(|&p| clutter.mark(p, 4.0));
        let groups = looks.iter().map(|l| l.group).max().map_or(0, |g| g + 1);
        for group in 0..groups {
            let mut members: Vec<usize> = (0..saes.len())
                .filter(|&i| looks[i].group == group)
                .collect();
            members.retain(|&i| points[i].0.is_finite() && points[i].1.is_finite());
            members.sort_by(|&a, &b| saes[a].eval.l0.total_cmp(&saes[b].eval.l0));
            let Some(&last) = members.last() else {
                continue;
            };
            let line: Vec<_> = members.iter().map(|&i| points[i]).collect();
            c.path(&line, looks[last].ink, 0.6, 1.2);
            clutter.line(&line);
            let name = kin_name(saes, last);
            let (x, y) = (points[last].0 + 9.0, points[last].1);
            c.text(
                (x, y),
                &name,
                SMALL,
                text_ink(looks[last].ink),
                Anchor::Start,
            );
            let width = 6.0 * name.chars().count() as f64;
            clutter.text((x + width / 2.0, y), width);
        }
        for (i, look) in looks.iter().enumerate() {
            c.marker(points[i], look.marker, 4.0, look.ink, 1.0);
            let setting = sparsity(&saes[i].eval);
            if let Some((at, anchor)) =
                clutter.place(points[i], 5.6 * setting.chars().count() as f64)
            {
                c.text(at, &setting, 10.0, Ink::Muted, anchor);
            }
        }
    })
}

/// The name that dictionaries joined by a line have in common.
fn kin_name(saes: &[SaeReport], i: usize) -> String {
    let e = &saes[i].eval;
    if saes.iter().any(|s| s.eval.d_sae != e.d_sae) {
        format!("{} · {}", e.arch, num::int(e.d_sae as u64))
    } else {
        e.arch.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::results::SaeEval;
    use super::*;

    #[test]
    fn the_front_keeps_what_nothing_beats() {
        let sae = |l0, fvu| SaeReport {
            eval: SaeEval {
                l0,
                fvu,
                ..Default::default()
            },
            ..Default::default()
        };
        let saes = [
            sae(32.0, 0.2),
            sae(8.0, 0.4),
            sae(16.0, 0.5),
            sae(8.0, 0.45),
            sae(f64::NAN, 0.0),
            sae(4.0, f64::NAN),
        ];
        assert_eq!(front(&saes, Fidelity::Fvu), [1, 0]);
        assert!(front(&saes, Fidelity::CeRecovered).is_empty());
    }
}
