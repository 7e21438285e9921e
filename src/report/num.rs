//! Numbers as text: three significant digits, units, thin group separators.
//!
//! The digits shown are the digits that mean something; what is not a number is shown as a dash,
//! so that a diverged run still gives a readable report.

const MISSING: &str = "–";
/// Narrow no-break space: groups digits without tearing the number apart at a line end.
const GROUP: char = '\u{202f}';

/// Three significant digits: `0.0123`, `4.57`, `12 300`, `1.23×10⁻⁵`.
pub fn sig(v: f64) -> String {
    digits(v, 3)
}

/// Up to three significant digits, without zeros at the end: for sentences, where nothing is aligned.
pub fn short(v: f64) -> String {
    let text = sig(v);
    if text.contains('.') && !text.contains('×') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// `n` significant digits in plain notation where that is short, in powers of ten elsewhere.
pub fn digits(v: f64, n: i32) -> String {
    if v.is_nan() {
        return MISSING.into();
    }
    if v.is_infinite() {
        return if v > 0.0 {
            "∞".into()
        } else {
            "−∞".into()
        };
    }
    if v == 0.0 {
        return "0".into();
    }
    let exponent = exponent(v, n);
    if !(-4..6).contains(&exponent) {
        return scientific(v, n);
    }
    let decimals = (n - 1 - exponent).max(0);
    let unit = 10f64.powi((exponent - n + 1).max(0));
    let v = if unit > 1.0 {
        (v / unit).round() * unit
    } else {
        v
    };
    group(&fixed(v, decimals))
}

/// Decimal exponent of `v` once it is rounded to `n` significant digits (9.999 counts as 10).
fn exponent(v: f64, n: i32) -> i32 {
    let raw = v.abs().log10().floor() as i32;
    let scaled = v.abs() / 10f64.powi(raw - n + 1);
    if scaled.round() >= 10f64.powi(n) {
        raw + 1
    } else {
        raw
    }
}

fn scientific(v: f64, n: i32) -> String {
    let e = exponent(v, n);
    let mantissa = v / 10f64.powi(e);
    let text = fixed(mantissa, n - 1);
    let text = if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        &text
    };
    format!("{text}×10{}", superscript(e))
}

/// `v` with a fixed number of decimals and a true minus sign.
pub fn fixed(v: f64, decimals: i32) -> String {
    if !v.is_finite() {
        return sig(v);
    }
    let text = format!("{:.*}", decimals.clamp(0, 17) as usize, v.abs());
    let zero = text.bytes().all(|b| b == b'0' || b == b'.');
    if v < 0.0 && !zero {
        format!("−{text}")
    } else {
        text
    }
}

/// An exponent in superscript digits: `⁻⁵`.
pub fn superscript(e: i32) -> String {
    e.to_string()
        .chars()
        .map(|c| match c {
            '-' => '⁻',
            '1' => '¹',
            '2' => '²',
            '3' => '³',
            '0' => '⁰',
            c => char::from_u32(0x2070 + c.to_digit(10).unwrap_or(0)).unwrap_or(c),
        })
        .collect()
}

fn group(text: &str) -> String {
    let (whole, rest) = text
        .split_once('.')
        .map_or((text, None), |(a, b)| (a, Some(b)));
    let count = whole.chars().filter(char::is_ascii_digit).count();
    let mut out = String::new();
    let mut left = count;
    for c in whole.chars() {
        // Four digits read well as they are.
        if c.is_ascii_digit() {
            if left % 3 == 0 && left != count && count > 4 {
                out.push(GROUP);
            }
            left -= 1;
        }
        out.push(c);
    }
    if let Some(rest) = rest {
        out.push('.');
        out.push_str(rest);
    }
    out
}

/// A whole number, all digits, grouped by three.
pub fn int(v: u64) -> String {
    group(&v.to_string())
}

/// A large count in short: `950`, `65.5 k`, `2.05 M`.
pub fn count(v: u64) -> String {
    let (unit, name) = match v {
        0..10_000 => return int(v),
        10_000..1_000_000 => (1e3, "k"),
        1_000_000..1_000_000_000 => (1e6, "M"),
        _ => (1e9, "G"),
    };
    format!("{}\u{a0}{name}", sig(v as f64 / unit))
}

/// A share as per cent, with more digits where it is nearly everything.
pub fn percent(share: f64) -> String {
    let v = share * 100.0;
    let text = if v > 99.9 && v < 100.0 {
        digits(v, 4)
    } else {
        sig(v)
    };
    if text == MISSING {
        text
    } else {
        format!("{text}\u{a0}%")
    }
}

/// A share as per cent in a sentence: `9 %` where [`percent`] gives `9.00 %`.
pub fn short_percent(share: f64) -> String {
    let text = short(share * 100.0);
    if text == MISSING {
        text
    } else {
        format!("{text}\u{a0}%")
    }
}

/// `v ± se`, both to the second digit of the error.
pub fn plus_minus(v: f64, se: f64) -> String {
    if !v.is_finite() || !se.is_finite() || se <= 0.0 {
        return sig(v);
    }
    let decimals = (1 - se.log10().floor() as i32).clamp(0, 6);
    format!("{} ± {}", fixed(v, decimals), fixed(se, decimals))
}

/// A duration: `850 ms`, `12.3 s`, `4 min 10 s`, `2 h 05 min`.
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return MISSING.into();
    }
    if seconds < 1.0 {
        return format!("{}\u{a0}ms", sig(seconds * 1e3));
    }
    if seconds < 99.95 {
        return format!("{}\u{a0}s", sig(seconds));
    }
    let whole = seconds.round() as u64;
    if whole < 3600 {
        format!("{} min {} s", whole / 60, whole % 60)
    } else {
        format!("{} h {:02} min", whole / 3600, whole % 3600 / 60)
    }
}

/// `1 in 81` for a share; empty where that says nothing.
pub fn one_in(share: f64) -> String {
    if share.is_finite() && share > 0.0 && share <= 0.5 {
        let n = (1.0 / share).round();
        format!("1 in {}", if n < 1000.0 { int(n as u64) } else { sig(n) })
    } else {
        String::new()
    }
}

/// Wilson's 95 % interval of a share seen in `n` trials: right also near 0 and 1.
pub fn wilson(share: f64, n: usize) -> Option<(f64, f64)> {
    if n == 0 || !(0.0..=1.0).contains(&share) {
        return None;
    }
    let (n, z) = (n as f64, 1.96f64);
    let centre = (share + z * z / (2.0 * n)) / (1.0 + z * z / n);
    let half = z / (1.0 + z * z / n) * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    Some(((centre - half).max(0.0), (centre + half).min(1.0)))
}

/// `noun` with its number in words where small: `one dictionary`, `12 dictionaries`.
pub fn plural(n: usize, one: &str, many: &str) -> String {
    const WORDS: [&str; 11] = [
        "no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    ];
    let number = WORDS
        .get(n)
        .map_or_else(|| int(n as u64), ToString::to_string);
    format!("{number} {}", if n == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_significant_digits() {
        assert_eq!(sig(0.012345), "0.0123");
        assert_eq!(sig(4.5678), "4.57");
        assert_eq!(sig(0.9999), "1.00");
        assert_eq!(sig(12345.0), "12\u{202f}300");
        assert_eq!(sig(-1.5), "−1.50");
        assert_eq!(sig(0.00001234), "1.23×10⁻⁵");
        assert_eq!(sig(1e-3), "0.00100");
        assert_eq!(sig(f64::NAN), "–");
        assert_eq!(sig(f64::NEG_INFINITY), "−∞");
        assert_eq!(sig(0.0), "0");
    }

    #[test]
    fn counts_shares_and_times() {
        assert_eq!(count(2_048_000), "2.05\u{a0}M");
        assert_eq!(percent(0.99987), "99.99\u{a0}%");
        assert_eq!(percent(f64::NAN), "–");
        assert_eq!(plus_minus(2.71428, 0.012), "2.714 ± 0.012");
        assert_eq!(duration(250.0), "4 min 10 s");
        assert_eq!(one_in(0.0123), "1 in 81");
        assert_eq!(wilson(0.5, 0), None);
    }
}
