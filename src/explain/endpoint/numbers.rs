//! Lists of small whole numbers in answers, and what a model expected each to be.

use super::completions::{AnsweredToken, ChatAnswer};

/// Numbers that a model gave.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Numbers {
    /// As they were written.
    pub written: Vec<u32>,
    /// Expected values where log-probabilities allow, else the numbers themselves.
    pub values: Vec<f64>,
}

/// The mean over those of `top` that are exactly one of 0 to `most`, weighted by their probabilities; `None` if none
/// is. Blanks, brackets and commas that a token drags along do not count.
pub(super) fn expected_value(top: &[(String, f64)], most: u32) -> Option<f64> {
    let (mut sum, mut weight) = (0.0, 0.0);
    for (text, logprob) in top {
        let digits = text.trim_matches(|c: char| c.is_whitespace() || "[],".contains(c));
        // "07" and "+7" are not how anybody is asked to write 7.
        if let Some(k) = (0..=most).find(|k| k.to_string() == digits) {
            let p = logprob.exp();
            sum += f64::from(k) * p;
            weight += p;
        }
    }
    (weight > 0.0).then(|| sum / weight)
}

/// The last list in square brackets of `answer`, if it has `n` whole numbers from 0 to `most` and nothing else.
pub(super) fn read_numbers(answer: &ChatAnswer, n: usize, most: u32) -> Option<Numbers> {
    let open = answer.text.rfind('[')?;
    let close = open + answer.text[open..].find(']')?;
    let mut written = Vec::new();
    let mut starts = Vec::new();
    let mut at = open + 1;
    for part in answer.text[open + 1..close].split(',') {
        let number = part.trim();
        let value: u32 = number.parse().ok().filter(|v| *v <= most)?;
        written.push(value);
        starts.push((at + part.len() - part.trim_start().len(), number.len()));
        at += part.len() + 1;
    }
    if written.len() != n {
        return None;
    }
    let mut values: Vec<f64> = written.iter().copied().map(f64::from).collect();
    if let Some(tokens) = answer.tokens.as_ref().filter(|t| together(t, &answer.text)) {
        for (value, (start, length)) in values.iter_mut().zip(&starts) {
            if let Some(better) = at_number(tokens, *start, *length, most) {
                *value = better;
            }
        }
    }
    Some(Numbers { written, values })
}

fn together(tokens: &[AnsweredToken], text: &str) -> bool {
    let mut rest = text;
    tokens
        .iter()
        .all(|t| match rest.strip_prefix(t.text.as_str()) {
            Some(later) => {
                rest = later;
                true
            }
            // Endings that are no text, such as an end-of-turn token.
            None => rest.is_empty(),
        })
}

/// The expected value of the number of `length` bytes at `start`, if one token holds it whole.
fn at_number(tokens: &[AnsweredToken], start: usize, length: usize, most: u32) -> Option<f64> {
    let mut at = 0;
    for token in tokens {
        let end = at + token.text.len();
        if start < end {
            return (at <= start && start + length <= end)
                .then(|| expected_value(&token.top, most))
                .flatten();
        }
        at = end;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str) -> ChatAnswer {
        ChatAnswer {
            text: text.to_owned(),
            tokens: None,
        }
    }

    #[test]
    fn expected_values_are_renormalised() {
        let top = |list: &[(&str, f64)]| -> Vec<(String, f64)> {
            list.iter()
                .map(|(t, p)| ((*t).to_owned(), p.ln()))
                .collect()
        };
        let found = expected_value(&top(&[("0", 0.5), (" 10", 0.25), ("unknown", 0.2)]), 10);
        assert!((found.unwrap() - 10.0 / 3.0).abs() < 1e-12);
        // No number, one that is too large, and odd spellings.
        assert_eq!(
            expected_value(&top(&[("11", 0.5), ("-1", 0.2), ("07", 0.1)]), 10),
            None
        );
    }

    #[test]
    fn lists_are_read_or_refused() {
        let read = |text: &str, n| read_numbers(&answer(text), n, 10).map(|n| n.values);
        assert_eq!(
            read("{\"activations\": [0, 10,3]}", 3),
            Some(vec![0.0, 10.0, 3.0])
        );
        assert_eq!(read("I think [x]. So: [1]", 1), Some(vec![1.0]));
        for bad in [
            "[1, 2]",
            "[1, 2, 11]",
            "[1, 2, x]",
            "[1, 2, 3",
            "1, 2, 3",
            "[]",
            "",
            "[1, 2.5, 3]",
        ] {
            assert_eq!(read(bad, 3), None, "{bad}");
        }
    }

    #[test]
    fn numbers_become_expected_values() {
        let token = |text: &str, top: &[(&str, f64)]| AnsweredToken {
            text: text.to_owned(),
            top: top.iter().map(|(t, p)| ((*t).to_owned(), p.ln())).collect(),
        };
        let mut found = answer("[3, 10]");
        found.tokens = Some(vec![
            token("[", &[("[", 1.0)]),
            token("3", &[("3", 0.5), ("5", 0.5)]),
            token(", ", &[]),
            token("1", &[("1", 1.0)]),
            token("0", &[("0", 1.0)]),
            token("]", &[]),
            token("<end>", &[]),
        ]);
        let numbers = read_numbers(&found, 2, 10).unwrap();
        // The 10 stands in two tokens: it is taken as it is.
        assert_eq!(numbers.values, [4.0, 10.0]);
        assert_eq!(numbers.written, [3, 10]);
    }
}
