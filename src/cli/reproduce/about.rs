//! Small pieces of every section: settings, verdicts, estimates.

use crate::report::paper::results::{Estimate, Holds, SettingRow, Verdict};

/// A setting of the paper beside this run's.
pub(super) fn row(what: &str, paper: &str, ours: &str) -> SettingRow {
    SettingRow {
        what: what.to_owned(),
        paper: paper.to_owned(),
        ours: ours.to_owned(),
    }
}

pub(super) fn verdict(holds: Holds, sentence: impl Into<String>) -> Verdict {
    Verdict {
        holds,
        sentence: sentence.into(),
    }
}

/// An estimate in words, `0.31 (0.28 to 0.34)`.
pub(super) fn words(e: &Estimate) -> String {
    format!("{:.2} ({:.2} to {:.2})", e.mean, e.lo, e.hi)
}

/// An L1 coefficient, `4.56e-3` or `0`.
pub(super) fn coefficient(alpha: f64) -> String {
    match alpha == 0.0 {
        true => "0".to_owned(),
        false => format!("{alpha:e}"),
    }
}

/// The mean of `values` with its bootstrap interval.
pub(super) fn estimate(values: &[f64], seed: u64) -> Estimate {
    let n = values.len();
    let interval = crate::eval::statistics::bootstrap_mean(values, 2000, seed);
    Estimate {
        mean: values.iter().sum::<f64>() / n.max(1) as f64,
        lo: interval.lo,
        hi: interval.hi,
        n,
    }
}
