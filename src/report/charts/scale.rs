//! From values to positions along an axis, and the ticks a reader expects there.

use super::super::num;

/// How an axis runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Equal steps are equal differences.
    Linear,
    /// Equal steps are equal ratios.
    Log,
}

/// A range of values and how it is laid out. Always finite and never empty.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Smallest value.
    pub lo: f64,
    /// Largest value.
    pub hi: f64,
    /// Linear or logarithmic.
    pub kind: Kind,
}

fn range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values
        .filter(|v| v.is_finite())
        .fold(None, |r: Option<(f64, f64)>, v| {
            Some(r.map_or((v, v), |(a, b)| (a.min(v), b.max(v))))
        })
}

impl Scale {
    /// A linear axis over the finite values.
    pub fn linear(values: impl Iterator<Item = f64>) -> Self {
        let (lo, hi) = range(values).unwrap_or((0.0, 1.0));
        let (lo, hi) = (lo.clamp(-1e300, 1e300), hi.clamp(-1e300, 1e300));
        let pad = if hi > lo {
            0.0
        } else {
            (lo.abs() * 0.1).max(1e-9)
        };
        let pad = if lo == 0.0 && hi == 0.0 { 1.0 } else { pad };
        Self {
            lo: lo - pad,
            hi: hi + pad,
            kind: Kind::Linear,
        }
    }

    /// A logarithmic axis over the positive finite values.
    pub fn log(values: impl Iterator<Item = f64>) -> Self {
        let (lo, hi) = range(values.filter(|v| *v > 0.0)).unwrap_or((0.1, 1.0));
        let (lo, hi) = (lo.max(1e-300), hi.min(1e300));
        let grow = if hi / lo > 1.05 { 1.0 } else { 1.5 };
        Self {
            lo: lo / grow,
            hi: hi * grow,
            kind: Kind::Log,
        }
    }

    /// Logarithmic where all values are positive and span more than a factor of `ratio`.
    pub fn auto(values: impl Iterator<Item = f64> + Clone, ratio: f64) -> Self {
        match range(values.clone()) {
            Some((lo, hi)) if lo > 0.0 && hi / lo > ratio => Self::log(values),
            _ => Self::linear(values),
        }
    }

    /// Widened to `v`.
    #[must_use]
    pub fn including(mut self, v: f64) -> Self {
        if v.is_finite() && (self.kind == Kind::Linear || v > 0.0) {
            self.lo = self.lo.min(v);
            self.hi = self.hi.max(v);
        }
        self
    }

    /// Widened by `share` of its length at both ends, so that marks do not sit on the frame.
    #[must_use]
    pub fn padded(mut self, share: f64) -> Self {
        match self.kind {
            Kind::Linear => {
                let pad = (self.hi - self.lo) * share;
                self.lo -= pad;
                self.hi += pad;
            }
            Kind::Log => {
                let pad = (self.hi / self.lo).powf(share);
                self.lo /= pad;
                self.hi *= pad;
            }
        }
        self
    }

    /// Position of `v` as a share of the axis; `None` where it has none.
    pub fn at(&self, v: f64) -> Option<f64> {
        let t = match self.kind {
            Kind::Linear => (v - self.lo) / (self.hi - self.lo),
            Kind::Log if v > 0.0 => (v / self.lo).ln() / (self.hi / self.lo).ln(),
            Kind::Log => return None,
        };
        t.is_finite().then_some(t)
    }

    /// `title`, marked where the axis is logarithmic.
    pub fn title(&self, title: &str) -> String {
        match self.kind {
            Kind::Linear => title.to_owned(),
            Kind::Log => format!("{title} (log)"),
        }
    }

    /// About `want` ticks with their labels, lowest first.
    pub fn ticks(&self, want: usize) -> Vec<(f64, String)> {
        match self.kind {
            Kind::Log if self.hi / self.lo >= 3.0 => self.log_ticks(want),
            _ => self.linear_ticks(want),
        }
    }

    fn linear_ticks(&self, want: usize) -> Vec<(f64, String)> {
        let raw = (self.hi - self.lo) / want.max(1) as f64;
        if !raw.is_finite() || raw <= 0.0 {
            return Vec::new();
        }
        let unit = 10f64.powf(raw.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .map(|m| m * unit)
            .into_iter()
            .find(|s| *s >= raw * 0.999);
        let step = step.unwrap_or(unit * 10.0);
        let first = (self.lo / step - 1e-9).ceil();
        (0..50)
            .map(|i| (first + f64::from(i)) * step)
            .take_while(|v| *v <= self.hi + step * 1e-9)
            .map(|v| (v, linear_label(v, step, self.lo.abs().max(self.hi.abs()))))
            .collect()
    }

    fn log_ticks(&self, want: usize) -> Vec<(f64, String)> {
        let (a, b) = (self.lo.log10(), self.hi.log10());
        let decades = b - a;
        let multiples: &[f64] = match decades {
            d if d < 1.2 => &[1.0, 2.0, 3.0, 5.0],
            d if d < 2.2 => &[1.0, 3.0],
            _ => &[1.0],
        };
        let every = (decades / want.max(1) as f64).ceil().max(1.0) as i32;
        (a.floor() as i32..=b.ceil() as i32)
            .filter(|e| e % every == 0)
            .flat_map(|e| multiples.iter().map(move |m| m * 10f64.powi(e)))
            .filter(|v| *v >= self.lo * 0.999 && *v <= self.hi * 1.001)
            .map(|v| (v, log_label(v, self.lo < 0.9e-3 || self.hi > 1.1e4)))
            .collect()
    }
}

/// All labels of an axis share the unit of its `largest` value.
fn linear_label(v: f64, step: f64, largest: f64) -> String {
    if v.abs() < step * 1e-6 {
        return "0".into();
    }
    if !(1e-4..1e10).contains(&largest) {
        return num::digits(v, 2);
    }
    let (unit, suffix) = match largest {
        b if b >= 1e6 => (1e6, "\u{a0}M"),
        b if b >= 1e4 => (1e3, "\u{a0}k"),
        _ => (1.0, ""),
    };
    let decimals = -(step / unit * 1.0001).log10().floor().clamp(-9.0, 9.0);
    format!("{}{suffix}", num::fixed(v / unit, decimals.max(0.0) as i32))
}

/// All labels of an axis are powers, or none is.
fn log_label(v: f64, powers: bool) -> String {
    let e = (v * 1.0001).log10().floor() as i32;
    let mantissa = v / 10f64.powi(e);
    if !powers {
        num::fixed(v, (-e).max(0))
    } else if (mantissa - 1.0).abs() > 1e-6 {
        format!("{mantissa:.0}×10{}", num::superscript(e))
    } else if e == 0 {
        "1".into()
    } else {
        format!("10{}", num::superscript(e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_survive_anything() {
        for values in [
            vec![],
            vec![f64::NAN],
            vec![0.0],
            vec![3.0],
            vec![f64::INFINITY, 1.0],
            vec![-1.0],
        ] {
            for s in [
                Scale::linear(values.iter().copied()),
                Scale::log(values.iter().copied()),
                Scale::auto(values.iter().copied(), 10.0),
            ] {
                assert!(
                    s.lo < s.hi && s.lo.is_finite() && s.hi.is_finite(),
                    "{values:?} {s:?}"
                );
                assert!(s.at(f64::NAN).is_none());
                assert!(s.ticks(5).len() < 60);
            }
        }
    }

    #[test]
    fn ticks_are_round() {
        let labels = |s: Scale| s.ticks(4).into_iter().map(|t| t.1).collect::<Vec<_>>();
        assert_eq!(
            labels(Scale::linear([0.0, 0.4].into_iter())),
            ["0", "0.1", "0.2", "0.3", "0.4"]
        );
        assert_eq!(
            labels(Scale::linear([0.0, 2e6].into_iter())),
            ["0", "0.5\u{a0}M", "1.0\u{a0}M", "1.5\u{a0}M", "2.0\u{a0}M"]
        );
        assert_eq!(
            labels(Scale::log([1e-5, 1.0].into_iter())),
            ["10⁻⁴", "10⁻²", "1"]
        );
        assert_eq!(
            labels(Scale::log([1.0, 100.0].into_iter())),
            ["1", "3", "10", "30", "100"]
        );
    }
}
