//! A label that is understood at a glance, from the tokens a feature fires on and those around them.
//!
//! The forms, the first that fits:
//!
//! - the start of a text;
//! - `“to”`, one word with its spellings, or `“to” after “gave”, “sent”` where it fires on some of them only;
//! - `after “Mr.”`, `before “of”`: many words that have the one before or after them in common;
//! - a kind of word with examples: `names: Emma, Anne`, `words in -ly: quickly, lately`;
//! - the words themselves, `…` where they are far from all.

use std::collections::BTreeMap;

use super::explanation::TokenText;

/// The form of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The start of a text.
    Start,
    /// One word, wherever it stands.
    Word,
    /// One word in a certain company.
    WordAfter,
    /// Whatever follows certain words.
    After,
    /// Whatever comes before certain words.
    Before,
    /// A kind of word.
    Class,
    /// Several words.
    Words,
    /// Many words: these are only the commonest.
    Many,
}

/// A label with its form.
#[derive(Clone, Debug, PartialEq)]
pub struct Named {
    /// In words.
    pub label: String,
    /// Its form.
    pub kind: Kind,
    /// Share of the firings, weighed, that the words in the label stand for.
    pub cover: f64,
    /// The same without the first of these words: 0 for a label that is one word.
    pub beyond_first: f64,
    /// Whether the label names whole words only.
    pub whole: bool,
}

/// A token where it stands in a text.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The token.
    pub token: u32,
    /// The word that it ends or goes on with, up to it.
    pub so_far: &'a str,
    /// Whether the word goes on in the next token.
    pub goes_on: bool,
}

/// Firings with their weights, by the tokens there.
#[derive(Clone, Debug, Default)]
pub struct Weighed {
    total: f64,
    start: f64,
    /// Weight and number.
    on: BTreeMap<u32, (f64, u32)>,
    /// By token before and token.
    pairs: BTreeMap<(u32, u32), f64>,
    after: BTreeMap<u32, f64>,
    faces: Faces,
    faces_before: Faces,
}

impl Weighed {
    /// One more firing, at `here`.
    pub fn add(
        &mut self,
        weight: f64,
        before: Option<Place<'_>>,
        here: Place<'_>,
        after: Option<u32>,
    ) {
        self.total += weight;
        let entry = self.on.entry(here.token).or_default();
        *entry = (entry.0 + weight, entry.1 + 1);
        self.faces.add(weight, here);
        match before {
            Some(before) => {
                *self.pairs.entry((before.token, here.token)).or_default() += weight;
                self.faces_before.add(weight, before);
            }
            None => self.start += weight,
        }
        if let Some(after) = after {
            *self.after.entry(after).or_default() += weight;
        }
    }
}

/// Share of a token's weight from which on it is shown as a part of one word, or as a word that goes on.
const MOSTLY: f64 = 0.6;

/// In which words tokens stand.
#[derive(Clone, Debug, Default)]
struct Faces {
    words: BTreeMap<u32, BTreeMap<String, f64>>,
    goes_on: BTreeMap<u32, f64>,
}

impl Faces {
    fn add(&mut self, weight: f64, place: Place<'_>) {
        let words = self.words.entry(place.token).or_default();
        match words.get_mut(place.so_far) {
            Some(sum) => *sum += weight,
            None => {
                words.insert(place.so_far.to_owned(), weight);
            }
        }
        if place.goes_on {
            *self.goes_on.entry(place.token).or_default() += weight;
        }
    }

    /// How a token stands in a label.
    fn show(&self, token: u32, text: &str) -> String {
        let Some(words) = self.words.get(&token) else {
            return shown(text);
        };
        let total: f64 = words.values().sum();
        let most = words.iter().max_by(|a, b| a.1.total_cmp(b.1));
        let word = most
            .filter(|(_, w)| **w >= MOSTLY * total)
            .map(|(word, _)| word);
        let goes_on = self.goes_on.get(&token).copied().unwrap_or(0.0) >= MOSTLY * total;
        let part = match word {
            Some(word) => shown(&format!(" {}", word.trim_matches(' '))),
            None => shown(text),
        };
        match part.strip_suffix('”').filter(|_| goes_on) {
            Some(open) => format!("{open}…”"),
            None => part,
        }
    }
}

/// A word as a reader sees it: what differs in case or in the space before it is the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Word {
    key: String,
    piece: bool,
}

/// Words by weight, heaviest first, with the token that stands for each.
struct Ranked(Vec<(Word, f64, u32)>);

impl Ranked {
    fn new(weights: impl Iterator<Item = (u32, f64)>, text: TokenText<'_>) -> Ranked {
        let mut words: BTreeMap<Word, (f64, f64, u32)> = BTreeMap::new();
        for (token, weight) in weights {
            let entry = words
                .entry(word(&text(token)))
                .or_insert((0.0, f64::NEG_INFINITY, token));
            entry.0 += weight;
            if weight > entry.1 {
                (entry.1, entry.2) = (weight, token);
            }
        }
        let words = words.into_iter();
        let mut list: Vec<(Word, f64, u32)> =
            words.map(|(w, (sum, _, token))| (w, sum, token)).collect();
        list.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        Ranked(list)
    }

    /// The first words, no more than `most` and none far below the first, and their share of `total`.
    fn head(&self, most: usize, total: f64) -> (&[(Word, f64, u32)], f64) {
        let first = self.0.first().map_or(0.0, |w| w.1);
        let n = self
            .0
            .iter()
            .take(most)
            .take_while(|w| w.1 >= 0.12 * first)
            .count();
        let head = &self.0[..n];
        (head, head.iter().map(|w| w.1).sum::<f64>() / total)
    }
}

fn word(text: &str) -> Word {
    let piece = text
        .chars()
        .next()
        .is_some_and(|c| c.is_lowercase() || c == '\'' || c == '’');
    let trimmed = text.trim();
    let key = if trimmed.is_empty() { text } else { trimmed };
    Word {
        key: key.to_lowercase(),
        piece: piece && text.chars().count() > 0,
    }
}

/// How a token stands in a label.
fn shown(text: &str) -> String {
    let named = match text.trim_matches(' ') {
        "\n" => "a line break",
        t if !t.is_empty() && t.chars().all(|c| c == '\n') => "a new paragraph",
        "" => "a space",
        "<|endoftext|>" => "the end of a text",
        "," => "a comma",
        ";" => "a semicolon",
        "." => "a full stop",
        ":" => "a colon",
        "?" => "a question mark",
        "!" => "an exclamation mark",
        "-" => "a hyphen",
        "--" | "—" | "---" => "a dash",
        "\"" | "“" | "”" => "a quotation mark",
        "(" => "an opening bracket",
        ")" => "a closing bracket",
        _ => "",
    };
    if !named.is_empty() {
        return named.to_owned();
    }
    let visible: String = text
        .trim()
        .chars()
        .map(|c| if c == '\n' { '↵' } else { c })
        .collect();
    let first = text.chars().next();
    if first.is_some_and(char::is_lowercase) {
        return format!("“…{visible}”");
    }
    format!("“{visible}”")
}

/// Whether all that the classes below are about begins with a space: whole words.
fn whole(text: &str) -> Option<&str> {
    text.strip_prefix(' ').filter(|w| w.chars().count() > 1)
}

/// Kinds of tokens that a feature may be about, with what a reader calls them.
fn class(text: &str, of: usize) -> bool {
    let ends = |ending: &str| {
        whole(text).is_some_and(|w| w.len() > ending.len() + 1 && w.ends_with(ending))
    };
    match of {
        0 => whole(text).is_some_and(|w| w.starts_with(char::is_uppercase)),
        1 => text.trim().starts_with(|c: char| c.is_ascii_digit()),
        2 => ends("ly"),
        3 => ends("ing"),
        4 => ends("ed"),
        5 => text.starts_with(char::is_lowercase),
        6 => text
            .trim()
            .chars()
            .all(|c| c.is_ascii_punctuation() || "“”’—".contains(c)),
        _ => false,
    }
}

/// What a token is that does not begin a word.
const PARTS: &str = "parts of words";

const CLASSES: [&str; 7] = [
    "names and titles",
    "numbers",
    "words in -ly",
    "words in -ing",
    "words in -ed",
    PARTS,
    "punctuation",
];

/// The label for `found`; `occurrences` of tokens in the text that it was counted on.
pub fn name(
    found: &Weighed,
    occurrences: &dyn Fn(u32) -> u32,
    text: TokenText<'_>,
) -> Option<Named> {
    let total = found.total;
    if total <= 0.0 {
        return None;
    }
    let list = |faces: &Faces, words: &[(Word, f64, u32)]| -> String {
        let words: Vec<String> = words.iter().map(|w| faces.show(w.2, &text(w.2))).collect();
        words.join(", ")
    };
    let named = |label: String, kind: Kind, cover: f64, first: f64| {
        // Inside the quotes an ellipsis stands for the rest of a word; a single letter is hardly one.
        let parts = ["“…", "…”", PARTS].iter().any(|p| label.contains(p));
        let letters = label.split('“').skip(1).filter_map(|w| w.split('”').next());
        let letter = |w: &str| w.chars().count() == 1 && !["a", "A", "I"].contains(&w);
        Some(Named {
            whole: !parts && !letters.into_iter().any(letter),
            label,
            kind,
            cover,
            beyond_first: (cover - first).max(0.0),
        })
    };
    let start = found.start / total;
    if start >= 0.6 {
        return named("the start of a text".to_owned(), Kind::Start, start, start);
    }
    let words = Ranked::new(found.on.iter().map(|(t, (w, _))| (*t, *w)), text);
    let before = Ranked::new(found.pairs.iter().map(|((b, _), w)| (*b, *w)), text);
    let (own, own_cover) = words.head(4, total);
    let share = |w: &Ranked| w.0.first().map_or(0.0, |w| w.1 / total);
    let first = share(&words);
    if let Some(word_) = words.0.first().filter(|_| first >= 0.7) {
        let same: Vec<u32> = found
            .on
            .keys()
            .copied()
            .filter(|t| word(&text(*t)) == word_.0)
            .collect();
        let fired: u32 = same.iter().map(|t| found.on[t].1).sum();
        let there: u32 = same.iter().map(|t| occurrences(*t)).sum();
        let pairs = found.pairs.iter().filter(|((_, t), _)| same.contains(t));
        let near = Ranked::new(pairs.map(|((b, _), w)| (*b, *w)), text);
        let (company, company_cover) = near.head(3, word_.1);
        let itself = list(&found.faces, std::slice::from_ref(word_));
        if 2 * fired < there && company_cover >= 0.3 {
            let label = format!("{itself} after {}", list(&found.faces_before, company));
            let cover = first * company_cover;
            return named(label, Kind::WordAfter, cover, 0.0);
        }
        return named(itself, Kind::Word, first, first);
    }
    let (previous, previous_cover) = before.head(3, total);
    let after_words = || format!("after {}", list(&found.faces_before, previous));
    if first < 0.5 && previous_cover >= 0.6 && previous_cover > own_cover {
        return named(after_words(), Kind::After, previous_cover, 0.0);
    }
    if own_cover >= 0.6 {
        return named(list(&found.faces, own), Kind::Words, own_cover, first);
    }
    let after = Ranked::new(found.after.iter().map(|(t, w)| (*t, *w)), text);
    let (next, next_cover) = after.head(2, total);
    if next_cover >= 0.6 {
        let label = format!("before {}", list(&Faces::default(), next));
        return named(label, Kind::Before, next_cover, 0.0);
    }
    for (i, what) in CLASSES.iter().enumerate().rev() {
        let inside = found.on.iter().filter(|(t, _)| class(&text(**t), i));
        let inside: f64 = inside.map(|(_, w)| w.0).sum();
        if inside >= 0.7 * total {
            let few = &own[..own.len().min(3)];
            let label = format!("{what}: {} …", list(&found.faces, few));
            return named(label, Kind::Class, inside / total, first);
        }
    }
    if previous_cover >= 0.45 && previous_cover > own_cover {
        return named(after_words(), Kind::After, previous_cover, 0.0);
    }
    let (own, own_cover) = words.head(5, total);
    let label = format!("{} …", list(&found.faces, own));
    named(label, Kind::Many, own_cover, first)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VOCABULARY: [&str; 14] = [
        " to", " gave", " sent", "To", " Mr", ".", " quickly", " surely", " lately", " nearly",
        " oddly", "ing", " reg", "bourn",
    ];

    fn text(id: u32) -> String {
        VOCABULARY[id as usize].to_owned()
    }

    fn label(firings: &[(Option<u32>, u32)], occurrences: u32) -> (String, Kind) {
        let mut found = Weighed::default();
        for (before, token) in firings {
            let whole: Vec<String> = (0..14).map(text).collect();
            let place = |token: u32| Place {
                token,
                so_far: match token {
                    13 => "Longbourn",
                    token => &whole[token as usize],
                },
                goes_on: token == 12,
            };
            found.add(1.0, before.map(place), place(*token), None);
        }
        let named = name(&found, &|_| occurrences, &text).unwrap();
        (named.label, named.kind)
    }

    #[test]
    fn every_form() {
        assert_eq!(
            label(&[(Some(1), 0), (Some(2), 3)], 1),
            ("“to”".to_owned(), Kind::Word),
            "spellings are one word"
        );
        assert_eq!(
            label(&[(Some(1), 0), (Some(1), 0), (Some(2), 0)], 10),
            ("“to” after “gave”, “sent”".to_owned(), Kind::WordAfter)
        );
        let all = [
            (Some(4), 5),
            (Some(4), 6),
            (Some(4), 0),
            (Some(4), 2),
            (Some(4), 9),
        ];
        assert_eq!(label(&all, 10), ("after “Mr”".to_owned(), Kind::After));
        assert_eq!(
            label(&[(Some(0), 5), (Some(1), 12), (Some(1), 13)], 10),
            ("a full stop, “Longbourn”, “reg…”".to_owned(), Kind::Words),
            "parts of words with what is known of the word"
        );
        // What stands before them has nothing in common.
        let adverbs = (0..40).map(|i| (Some(i % 13), 6 + i % 5));
        let mut spread: Vec<_> = adverbs.collect();
        let others = [0, 4, 11, 2].into_iter().cycle().take(16);
        spread.extend((0..13).cycle().map(Some).zip(others));
        assert_eq!(
            label(&spread, 100),
            (
                "words in -ly: “lately”, “nearly”, “oddly” …".to_owned(),
                Kind::Class
            )
        );
        assert_eq!(label(&[(None, 0), (None, 4)], 9).1, Kind::Start);
        assert!(name(&Weighed::default(), &|_| 1, &text).is_none());
    }
}
