//! What endpoints are told. All examples are mosaec's own.

use super::super::fragments::Record;

/// The largest number that activations are shown as.
pub(super) const MOST: u32 = 10;

/// A made-up unit for examples: its explanation, and tokens with activations from 0 to 10.
struct Unit {
    about: &'static str,
    tokens: &'static [(&'static str, u32)],
}

const UNITS: [Unit; 3] = [
    Unit {
        about: "words for colours, and for materials known by theirs",
        tokens: &[
            ("The", 0),
            (" kettle", 0),
            (" was", 0),
            (" copper", 6),
            (",", 0),
            (" its", 0),
            (" lid", 0),
            (" a", 0),
            (" pale", 3),
            (" green", 10),
            (".", 0),
        ],
    },
    Unit {
        about: "the second \" as\" in comparisons such as \"as far as\"",
        tokens: &[
            (" walked", 0),
            (" as", 0),
            (" far", 1),
            (" as", 10),
            (" the", 0),
            (" mill", 0),
            (" and", 0),
            (" back", 0),
            (" as", 0),
            (" it", 0),
            (" rained", 0),
        ],
    },
    Unit {
        about: "amounts of money",
        tokens: &[
            ("She", 0),
            (" owed", 2),
            (" him", 0),
            (" forty", 7),
            (" pounds", 10),
            (" and", 0),
            (" paid", 1),
            (" in", 0),
            (" six", 4),
            (" weeks", 0),
            (".", 0),
        ],
    },
];

/// A token on a line of its own.
fn on_a_line(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('\n', "\\n")
        .replace('\t', "\\t")
}

/// Activations as whole numbers from 0 to 10 of the largest over all `records` (Bills et al. 2023).
pub(super) fn levels(records: &[Record]) -> Vec<Vec<u32>> {
    let all = records.iter().flat_map(|r| &r.activations);
    let largest = all.copied().fold(0.0, f32::max);
    let level = |a: &f32| {
        if largest > 0.0 {
            ((10.0 * a.max(0.0) / largest).floor() as u32).min(MOST)
        } else {
            0
        }
    };
    let rows = records.iter();
    rows.map(|r| r.activations.iter().map(level).collect())
        .collect()
}

fn passage(tokens: impl Iterator<Item = (String, u32)>) -> String {
    let rows = tokens.map(|(token, level)| format!("{}\t{level}\n", on_a_line(&token)));
    format!("<start>\n{}<end>\n", rows.collect::<String>())
}

fn own_tokens(unit: &Unit) -> impl Iterator<Item = (String, u32)> {
    unit.tokens
        .iter()
        .map(|(t, level)| ((*t).to_owned(), *level))
}

/// Messages that ask what the unit of `records` is about.
pub(super) fn explain(
    records: &[Record],
    text: &dyn Fn(u32) -> String,
) -> Vec<(&'static str, String)> {
    let task = "You look at single units inside a language model. You are given passages of text, one token on each \
        line with the unit's activation after a tab: 0 for not active, up to 10 for as active as it gets. Say what \
        the unit looks for, in one short phrase: a meaning, a kind of word, or the exact words and what stands before \
        them. Do not list examples one by one, and do not speak of activations. Answer with the phrase alone.";
    let mut messages = vec![("system", task.to_owned())];
    for unit in &UNITS {
        messages.push(("user", passage(own_tokens(unit))));
        messages.push(("assistant", unit.about.to_owned()));
    }
    let levels = levels(records);
    let rows = |keep: &dyn Fn(u32) -> bool| -> String {
        let passages = records.iter().zip(&levels).map(|(record, levels)| {
            let rows = record.tokens.iter().zip(levels).filter(|(_, l)| keep(**l));
            passage(rows.map(|(t, l)| (text(*t), *l)))
        });
        passages.collect::<Vec<_>>().join("\n")
    };
    let mut shown = rows(&|_| true);
    let all: Vec<u32> = levels.concat();
    let active = all.iter().filter(|l| **l > 0).count();
    // Few activations are lost among the zeros: they are shown again without (Bills et al. 2023).
    if active * 5 < all.len() {
        shown.push_str("\nThe same without zeros:\n\n");
        shown.push_str(&rows(&|l| l > 0));
    }
    messages.push(("user", shown));
    messages
}

/// The phrase out of an answer.
pub(super) fn phrase(answer: &str) -> String {
    let line = answer.lines().map(str::trim).find(|l| !l.is_empty());
    let line = line.unwrap_or_default();
    // Quotes around the whole, not those inside.
    let inside = line.strip_prefix('"').and_then(|l| l.strip_suffix('"'));
    let line = inside.filter(|l| !l.contains('"')).unwrap_or(line);
    line.trim_end_matches('.').to_owned()
}

/// A prompt in which every activation of `tokens` is unknown, with the characters before each "unknown" of theirs.
pub(super) fn all_at_once(about: &str, tokens: &[String]) -> (String, Vec<usize>) {
    let mut prompt = "Units of a network, each with what it looks for and its activation on every token of a \
        passage, from 0 (most tokens) to 10. Activations that were not written down are unknown.\n\n"
        .to_owned();
    for (i, unit) in UNITS.iter().enumerate() {
        prompt.push_str(&format!(
            "Unit {}\nLooks for: {}\n<start>\n",
            i + 1,
            unit.about
        ));
        for (j, (token, level)) in unit.tokens.iter().enumerate() {
            // Known from the middle on, so that both forms are seen.
            let level = if j < unit.tokens.len() / 3 {
                "unknown".to_owned()
            } else {
                level.to_string()
            };
            prompt.push_str(&format!("{token}\t{level}\n"));
        }
        prompt.push_str("<end>\n\n");
    }
    prompt.push_str(&format!(
        "Unit {}\nLooks for: {about}\n<start>\n",
        UNITS.len() + 1
    ));
    let mut length = prompt.chars().count();
    let mut places = Vec::with_capacity(tokens.len());
    for token in tokens {
        let token = on_a_line(token);
        length += token.chars().count() + 1;
        places.push(length);
        prompt.push_str(&format!("{token}\tunknown\n"));
        length += "unknown\n".len();
    }
    prompt.push_str("<end>\n");
    (prompt, places)
}

/// Messages that ask for one number from 0 to 10 for each of `tokens`.
pub(super) fn simulate(about: &str, tokens: &[String]) -> Vec<(&'static str, String)> {
    let task = "A unit inside a language model is described by what it looks for. You are given the tokens of a \
        passage, numbered. Guess how active the unit is on each: 0 where it is not active, which is most tokens, up \
        to 10. Answer with JSON alone: {\"activations\": [one whole number for each token, in order]}.";
    let question = |about: &str, tokens: &mut dyn Iterator<Item = String>| {
        let rows: Vec<String> = tokens
            .enumerate()
            .map(|(i, t)| format!("{}: {}", i + 1, serde_json::Value::from(t)))
            .collect();
        let n = rows.len();
        format!(
            "It looks for: {about}\n\n{}\n\n{n} numbers, please.",
            rows.join("\n")
        )
    };
    let mut messages = vec![("system", task.to_owned())];
    for unit in &UNITS {
        let mut tokens = unit.tokens.iter().map(|(t, _)| (*t).to_owned());
        let levels: Vec<u32> = unit.tokens.iter().map(|(_, l)| *l).collect();
        messages.push(("user", question(unit.about, &mut tokens)));
        messages.push(("assistant", format!("{{\"activations\": {levels:?}}}")));
    }
    messages.push(("user", question(about, &mut tokens.iter().cloned())));
    messages
}

/// Messages that ask about passages: whether the unit fires (`marked` false), or whether the marks « » are right.
pub(super) fn judge(about: &str, passages: &[String], marked: bool) -> Vec<(&'static str, String)> {
    let question = if marked {
        "In each passage some tokens are marked «like this». Do the marks stand on tokens on which the unit is active?"
    } else {
        "Is the unit active on at least one token of the passage?"
    };
    let task = format!(
        "A unit inside a language model is described by what it looks for. {question} Answer with JSON alone: \
        {{\"answers\": [1 for yes or 0 for no, for each passage, in order]}}."
    );
    let rows: Vec<String> = passages
        .iter()
        .enumerate()
        .map(|(i, p)| format!("{}: {}", i + 1, serde_json::Value::from(p.as_str())))
        .collect();
    let n = rows.len();
    let asked = format!(
        "It looks for: {about}\n\n{}\n\n{n} answers, please.",
        rows.join("\n")
    );
    vec![("system", task), ("user", asked)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_the_published_ones() {
        let record = |a: &[f32]| Record {
            tokens: vec![0; a.len()],
            activations: a.to_vec(),
        };
        let found = levels(&[record(&[0.0, 0.99, 1.0]), record(&[-3.0, 10.0, 9.99])]);
        assert_eq!(found, [vec![0, 0, 1], vec![0, 10, 9]]);
        assert_eq!(levels(&[record(&[-1.0, 0.0])]), [vec![0, 0]]);
    }

    #[test]
    fn few_activations_are_shown_twice() {
        let record = |n: usize| Record {
            tokens: (0..10).collect(),
            activations: (0..10).map(|i| if i < n { 1.0 } else { 0.0 }).collect(),
        };
        let text = |id: u32| format!(" t{id}\n");
        let last = |n| explain(&[record(n)], &text).pop().unwrap().1;
        assert!(last(1).contains("without zeros:\n\n<start>\n t0\\n\t10\n<end>"));
        assert!(!last(2).contains("without zeros"));
    }

    #[test]
    fn places_of_unknowns() {
        let tokens = ["é".to_owned(), "\n".to_owned(), " b".to_owned()];
        let (prompt, places) = all_at_once("ä", &tokens);
        let chars: Vec<char> = prompt.chars().collect();
        for place in places {
            let there: String = chars[place..place + 8].iter().collect();
            assert_eq!(there, "unknown\n");
        }
    }

    #[test]
    fn phrases() {
        assert_eq!(phrase("\n \"a kind of word.\" \nmore"), "a kind of word");
        assert_eq!(
            phrase("the \" as\" in \"as far as\""),
            "the \" as\" in \"as far as\""
        );
        assert_eq!(phrase(""), "");
    }
}
