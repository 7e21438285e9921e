//! Tokens as text: white space made visible, activations as shading, peaks in one column.
//!
//! Markup is short on purpose, since a report holds some hundred thousand tokens: `<i>` is a mark
//! for white space, `<b>` an active token, `<u>` the peak. The value stands in `data-a`; the style
//! sheet shows it on hover and on focus and leaves it readable for a screen reader.

use std::fmt::Write as _;

use maud::{Markup, PreEscaped, html};

use super::num;
use super::results::Example;

/// What to show in place of a character that has no visible form of its own.
fn mark(c: char) -> Option<String> {
    Some(match c {
        ' ' | '\u{2581}' => "·".into(),
        '\n' => "↵".into(),
        '\t' => "⇥".into(),
        '\r' => "␍".into(),
        '\u{fffd}' => "�".into(),
        '\0'..='\u{1f}' => char::from_u32(0x2400 + c as u32)?.to_string(),
        // Invisible, joining and direction-changing characters would deceive the reader.
        '\u{7f}'..='\u{a0}'
        | '\u{ad}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{2069}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}' => format!("U+{:04X}", c as u32),
        _ => return None,
    })
}

/// A token as plain text with its white space visible: for charts, titles and searching.
pub fn plain(token: &str) -> String {
    if token.is_empty() {
        return "∅".into();
    }
    token
        .chars()
        .map(|c| mark(c).unwrap_or_else(|| c.into()))
        .collect()
}

/// A description in quotation marks; one that quotes tokens itself stands as it is.
pub fn quoted(label: &str) -> String {
    if label.is_empty() {
        "–".into()
    } else if label.contains(['"', '“']) {
        label.to_owned()
    } else {
        format!("“{label}”")
    }
}

/// How the mark of a space is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Space {
    /// As an element, grey without a script.
    Element,
    /// As a bare dot that the script greys: in examples nearly half of all elements would be spaces.
    Bare,
}

fn push_visible(out: &mut String, text: &str, space: Space) {
    let mut marks = String::new();
    for c in text.chars() {
        if let Some(m) = mark(c).filter(|_| space == Space::Element || c != ' ') {
            marks.push_str(&m);
            continue;
        }
        flush(out, &mut marks);
        match c {
            ' ' => out.push('·'),
            // A dot that is in the text must not pass for a space.
            '·' => out.push_str("<em>·</em>"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    flush(out, &mut marks);
}

fn flush(out: &mut String, marks: &mut String) {
    if !marks.is_empty() {
        write!(out, "<i>{marks}</i>").ok();
        marks.clear();
    }
}

/// A token with its white space visible, without an element around it.
pub fn visible(text: &str) -> Markup {
    let mut out = String::new();
    let text = if text.is_empty() { "∅" } else { text };
    push_visible(&mut out, text, Space::Element);
    PreEscaped(out)
}

/// A token in the monospaced face, unshaded.
pub fn token(text: &str) -> Markup {
    html! { span.tok { (visible(text)) } }
}

/// A token shaded by `value` out of `max`.
pub fn shaded(text: &str, value: f64, max: f64) -> Markup {
    let mut out = String::new();
    push_shaded(&mut out, text, value, max, false, Space::Element);
    html! { span.tok { (PreEscaped(out)) } }
}

/// The share of `max` that `value` is, as the opacity of the shading.
pub(super) fn opacity(value: f64, max: f64) -> f64 {
    let share = value / max;
    if share.is_finite() {
        share.clamp(0.0, 1.0)
    } else {
        0.0
    }
}

/// `rest` is how spaces are written where the token is not active.
fn push_shaded(out: &mut String, text: &str, value: f64, max: f64, peak: bool, rest: Space) {
    let share = (opacity(value, max) * 100.0).round();
    let active = value.is_finite() && value != 0.0;
    let tag = match (peak, active) {
        (true, _) => 'u',
        (false, true) => 'b',
        (false, false) => return push_visible(out, text, rest),
    };
    let alpha = if share >= 100.0 {
        "1".to_owned()
    } else {
        format!(".{share:02.0}")
    };
    let focus = if peak { " tabindex=0" } else { "" };
    write!(
        out,
        "<{tag} style=\"--a:{alpha}\" data-a=\"{}\"{focus}>",
        num::digits(value, 4)
    )
    .ok();
    push_visible(out, text, Space::Element);
    write!(out, "</{tag}>").ok();
}

/// One example: its maximum, the text before the peak set to the right, the peak and what follows
/// set to the left, so that the peaks of a list stand in one column. `max` is the feature's.
pub fn example_row(example: &Example, max: f64) -> Markup {
    let peak = example.peak.min(example.tokens.len().saturating_sub(1));
    let value = |i: usize| f64::from(example.activations.get(i).copied().unwrap_or(0.0));
    let (mut left, mut right) = (String::new(), String::new());
    for (i, token) in example.tokens.iter().enumerate() {
        let side = if i < peak { &mut left } else { &mut right };
        push_shaded(side, token, value(i), max, i == peak, Space::Bare);
    }
    html! {
        li {
            data { (num::sig(value(peak))) }
            // The inner span of the left side is what overflows to the left when there is no room.
            span { span { (PreEscaped(left)) } }
            span { (PreEscaped(right)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_and_controls_are_visible_and_markup_is_escaped() {
        assert_eq!(plain(" a\n\t\u{0}\u{202e}"), "·a↵⇥␀U+202E");
        let html = token(" <script>\"&'\n\n").into_string();
        assert_eq!(
            html,
            "<span class=\"tok\"><i>·</i>&lt;script&gt;&quot;&amp;'<i>↵↵</i></span>"
        );
        assert!(token("\u{fffd}").into_string().contains("<i>\u{fffd}</i>"));
    }

    #[test]
    fn a_dot_in_the_text_is_told_from_a_space() {
        assert_eq!(
            token("a·").into_string(),
            "<span class=\"tok\">a<em>·</em></span>"
        );
        let row = example_row(
            &Example {
                tokens: vec![" a".into(), "·".into()],
                activations: vec![],
                peak: 0,
            },
            1.0,
        );
        assert!(row.into_string().contains("<em>·</em>"));
    }

    #[test]
    fn the_peak_is_marked_and_out_of_range_data_is_survived() {
        let example = Example {
            tokens: vec!["a".into(), " b".into(), "c".into()],
            activations: vec![0.0, 2.0, f32::NAN],
            peak: 1,
        };
        let row = example_row(&example, 4.0).into_string();
        assert!(
            row.contains("<u style=\"--a:.50\" data-a=\"2.000\" tabindex=0><i>·</i>b</u>c"),
            "{row}"
        );
        let broken = Example {
            peak: 9,
            activations: vec![f32::INFINITY],
            tokens: vec!["x".into()],
        };
        assert!(example_row(&broken, 0.0).into_string().contains("--a:.00"));
        example_row(&Example::default(), f64::NAN);
    }
}
