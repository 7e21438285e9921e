//! Stretches of text in which a feature fires: the strongest, and a sample from each interval of its
//! range, so that nobody judges a feature by its best moments alone (Bricken et al. 2023 show intervals
//! of the maximum activation in the same way).

use super::activations::Firing;
use super::feature::DescribeOptions;
use crate::data::{Contexts, Tokenizer};
use crate::report::results::{Example, ExampleGroup};

/// The peak of one context.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Peak {
    context: usize,
    position: usize,
    value: f32,
}

/// The strongest firing of every context in which there is one (the first of equals), strongest first
/// (ties by context). `firings` are in token order.
fn peaks(firings: &[Firing], context: usize) -> Vec<Peak> {
    let mut peaks: Vec<Peak> = Vec::new();
    for firing in firings {
        let at = firing.at as usize;
        let found = Peak {
            context: at / context,
            position: at % context,
            value: firing.value,
        };
        match peaks.last_mut() {
            Some(last) if last.context == found.context => {
                if found.value > last.value {
                    *last = found;
                }
            }
            _ => peaks.push(found),
        }
    }
    peaks.sort_by(|a, b| b.value.total_cmp(&a.value));
    peaks
}

/// Where the window around `position` begins and ends: two thirds of it before the peak, moved to lie
/// inside the context.
fn window(position: usize, context: usize, width: usize) -> (usize, usize) {
    let end = (position.saturating_sub(2 * width / 3) + width.max(1)).min(context);
    // Even a window of one token holds the peak.
    (
        end.saturating_sub(width.max(1)).min(position),
        end.max(position + 1),
    )
}

/// Chooses and cuts out examples; remembers what was shown, so that no text appears twice.
struct Cutter<'a> {
    firings: &'a [Firing],
    contexts: &'a Contexts,
    tokenizer: &'a Tokenizer,
    width: usize,
    shown: Vec<&'a [u32]>,
}

impl Cutter<'_> {
    /// The example around `peak`, unless the same words were shown before.
    fn cut(&mut self, peak: &Peak) -> Option<Example> {
        let seq = self.contexts.context();
        let (begin, end) = window(peak.position, seq, self.width);
        let ids = &self.contexts.get(peak.context)[begin..end];
        if self.shown.contains(&ids) {
            return None;
        }
        self.shown.push(ids);
        let first = (peak.context * seq + begin) as u32;
        let mut activations = vec![0.0; ids.len()];
        let from = self.firings.partition_point(|f| f.at < first);
        for firing in &self.firings[from..] {
            match activations.get_mut((firing.at - first) as usize) {
                Some(a) => *a = firing.value,
                None => break,
            }
        }
        Some(Example {
            tokens: ids
                .iter()
                .map(|id| self.tokenizer.token_text(*id))
                .collect(),
            activations,
            peak: peak.position - begin,
        })
    }

    fn group(&mut self, name: String, peaks: impl Iterator<Item = Peak>, n: usize) -> ExampleGroup {
        let examples = peaks.filter_map(|p| self.cut(&p)).take(n).collect();
        ExampleGroup { name, examples }
    }
}

/// Groups of examples, strongest first: `top`, then intervals of the feature's range such as `75-100 %`
/// (of the maximum), each an even sample of the contexts whose peak lies in it. Groups without examples
/// are left out.
pub(super) fn groups(
    firings: &[Firing],
    contexts: &Contexts,
    tokenizer: &Tokenizer,
    options: &DescribeOptions,
) -> Vec<ExampleGroup> {
    let peaks = peaks(firings, contexts.context());
    let Some(max) = peaks.first().map(|p| p.value) else {
        return Vec::new();
    };
    let mut cutter = Cutter {
        firings,
        contexts,
        tokenizer,
        width: options.window,
        shown: Vec::new(),
    };
    let top = peaks.iter().copied();
    let mut groups = vec![cutter.group("top".to_owned(), top, options.top)];
    let n = options.intervals;
    for g in (0..n).rev() {
        let edge = |i: usize| f64::from(max) * i as f64 / n as f64;
        let inside: Vec<Peak> = peaks
            .iter()
            .copied()
            .filter(|p| f64::from(p.value) > edge(g) && f64::from(p.value) <= edge(g + 1))
            .collect();
        let name = format!("{}-{} %", 100 * g / n, 100 * (g + 1) / n);
        let order = spread(inside.len(), options.per_interval);
        let sample = order.into_iter().map(|i| inside[i]);
        groups.push(cutter.group(name, sample, options.per_interval));
    }
    groups.retain(|g| !g.examples.is_empty());
    groups
}

/// `0..len` with `n` evenly spaced ones first: what is taken if none of them was shown before.
fn spread(len: usize, n: usize) -> Vec<usize> {
    let n = n.min(len);
    let mut order: Vec<usize> = (0..n).map(|i| (2 * i + 1) * len / (2 * n)).collect();
    let rest: Vec<usize> = (0..len)
        .filter(|i| order.binary_search(i).is_err())
        .collect();
    order.extend(rest);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_lie_inside_and_hold_the_peak() {
        assert_eq!(window(50, 128, 24), (34, 58));
        assert_eq!(window(3, 128, 24), (0, 24));
        assert_eq!(window(127, 128, 24), (104, 128));
        assert_eq!(window(5, 10, 24), (0, 10));
        for position in 0..9 {
            for width in 0..12 {
                let (begin, end) = window(position, 9, width);
                assert!(begin <= position && position < end && end <= 9);
            }
        }
    }

    #[test]
    fn one_peak_a_context() {
        let at = |at, value| Firing { at, value };
        let firings = [
            at(1, 2.0),
            at(3, 5.0),
            at(7, 5.0),
            at(8, 1.0),
            at(9, 9.0),
            at(11, 9.0),
        ];
        let found = peaks(&firings, 4);
        let short: Vec<_> = found.iter().map(|p| (p.context, p.position)).collect();
        assert_eq!(short, [(2, 1), (0, 3), (1, 3)]);
    }

    #[test]
    fn spread_is_even_and_whole() {
        assert_eq!(spread(10, 2)[..2], [2, 7]);
        assert_eq!(spread(3, 5), [0, 1, 2]);
        let mut all = spread(17, 5);
        all.sort_unstable();
        assert_eq!(all, (0..17).collect::<Vec<_>>());
    }
}
