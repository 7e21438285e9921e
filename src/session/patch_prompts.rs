//! The prompts of a patching experiment: drawn, or a visitor's own, which must be of one length and have answers
//! of one token each.

use serde::{Deserialize, Serialize};

use super::Out;
use super::problem::{Problem, Result};
use super::protocol::Event;
use crate::causal::{Pair, Slots, Version};
use crate::data::{IoiSet, Tokenizer};
use crate::model::ModelConfig;
use crate::report::web::patch::{PromptPair, checked};

/// Two prompts and their answers, as they were typed.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Own {
    /// The prompt whose answer is looked for.
    pub clean: String,
    /// The prompt it is compared with.
    pub corrupted: String,
    /// What the clean prompt should be followed by: one token.
    pub answer: String,
    /// What the corrupted prompt should be followed by: one token.
    pub wrong: String,
}

/// What is run.
pub(super) struct Experiment {
    pub(super) pairs: Vec<Pair>,
    /// For patching by features: the same, or the task's other counterfactual.
    pub(super) by_features: Vec<Pair>,
    pub(super) slots: Slots,
    pub(super) shown: Vec<PromptPair>,
}

/// Pairs of the task at most, and tokens of own prompts: each is a column of the map.
const MOST_PAIRS: usize = 64;
const MOST_TOKENS: usize = 48;

/// Other answers that are offered.
const OFFERED: usize = 5;

impl Experiment {
    /// Pairs of the indirect-object task.
    pub(super) fn task(tokenizer: &Tokenizer, prompts: usize, seed: u64) -> Result<Self> {
        if !(1..=MOST_PAIRS).contains(&prompts) {
            return Err(Problem::input(format!(
                "{prompts} pairs cannot be patched: ask for 1 to {MOST_PAIRS}"
            )));
        }
        let set = IoiSet::generate(tokenizer, prompts, seed, None)?;
        let pairs = Pair::of_set(&set, Version::Corrupted);
        let shown = set.prompts.iter().map(|p| PromptPair {
            clean: texts(tokenizer, &p.tokens),
            corrupted: texts(tokenizer, &p.corrupted_tokens),
            answer: tokenizer.token_text(p.io),
            wrong: tokenizer.token_text(p.s),
            differences: None,
        });
        Ok(Self {
            by_features: Pair::of_set(&set, Version::Target),
            slots: Slots::of_set(&set),
            shown: shown.collect(),
            pairs,
        })
    }
}

/// What was made of own prompts.
struct Look {
    shown: PromptPair,
    pair: Result<Pair>,
}

impl Own {
    /// To be run. Where it cannot be, the tokens are shown all the same.
    pub(super) fn experiment(
        &self,
        tokenizer: &Tokenizer,
        config: &ModelConfig,
        out: Out<'_>,
    ) -> Result<Experiment> {
        let Look { shown, pair } = self.look(tokenizer, config)?;
        let pair = pair.inspect_err(|problem| {
            out(&Event::Part {
                slot: "patch-tokens".to_owned(),
                html: checked(&shown, Some(&problem.message)).into_string(),
            });
        })?;
        let both = shown.clean.iter().zip(&shown.corrupted);
        let name = |(a, b): (&String, &String)| match a == b {
            true => a.clone(),
            false => format!("{a}/{b}"),
        };
        Ok(Experiment {
            slots: Slots::every(both.map(name).collect()),
            pairs: vec![pair.clone()],
            by_features: vec![pair],
            shown: vec![shown],
        })
    }

    /// The tokens, and what is in the way, as HTML.
    pub(super) fn checked(&self, tokenizer: &Tokenizer, config: &ModelConfig) -> Result<String> {
        let Look { shown, pair } = self.look(tokenizer, config)?;
        let problem = pair.err().map(|p| p.message);
        Ok(checked(&shown, problem.as_deref()).into_string())
    }

    fn look(&self, tokenizer: &Tokenizer, config: &ModelConfig) -> Result<Look> {
        // A space at the end would be a token of its own, and the answer would have to come without its space.
        let (clean, corrupted) = (self.clean.trim_end(), self.corrupted.trim_end());
        let ids = [tokenizer.encode(clean)?, tokenizer.encode(corrupted)?];
        let mut shown = PromptPair {
            clean: texts(tokenizer, &ids[0]),
            corrupted: texts(tokenizer, &ids[1]),
            ..PromptPair::default()
        };
        let answer = one_token(tokenizer, clean, &ids[0], &self.answer);
        let wrong = one_token(tokenizer, corrupted, &ids[1], &self.wrong);
        for (text, id) in [(&mut shown.answer, &answer), (&mut shown.wrong, &wrong)] {
            if let Ok(id) = id {
                *text = tokenizer.token_text(*id);
            }
        }
        let most = MOST_TOKENS.min(config.max_positions);
        let [a, b] = &ids;
        let problem = if a.is_empty() || b.is_empty() {
            Some("write both prompts".to_owned())
        } else if a.len() != b.len() {
            Some(format!(
                "the prompts have {} and {} tokens, and are patched position by position: word them so that both have the same number",
                a.len(),
                b.len()
            ))
        } else if a == b {
            Some("both prompts are the same: change at least one word".to_owned())
        } else if a.len() > most {
            Some(format!(
                "the prompts have {} tokens; {most} can be shown side by side: shorten them",
                a.len()
            ))
        } else if answer.is_ok() && answer == wrong {
            Some("both answers are the same".to_owned())
        } else {
            None
        };
        let pair = match problem {
            Some(problem) => Err(Problem::input(problem)),
            None => answer.and_then(|answer| {
                let [a, b] = ids;
                Ok(Pair::new(a, b, answer, wrong?)?)
            }),
        };
        Ok(Look { shown, pair })
    }
}

fn texts(tokenizer: &Tokenizer, ids: &[u32]) -> Vec<String> {
    ids.iter().map(|id| tokenizer.token_text(*id)).collect()
}

/// The token that an answer is behind its prompt, with a space before it or, where that is none, without.
fn one_token(tokenizer: &Tokenizer, prompt: &str, ids: &[u32], word: &str) -> Result<u32> {
    if word.trim().is_empty() {
        return Err(Problem::input("write both answers, a word each"));
    }
    let spaced = if word.starts_with(char::is_whitespace) {
        word.to_owned()
    } else {
        format!(" {word}")
    };
    let mut first: Option<Vec<u32>> = None;
    for answer in [spaced.as_str(), word] {
        let all = tokenizer.encode(&format!("{prompt}{answer}"))?;
        match all.strip_prefix(ids) {
            Some([id]) => return Ok(*id),
            Some(more) => {
                first.get_or_insert_with(|| more.to_vec());
            }
            None => {}
        }
    }
    let found = match first {
        Some(ids) => {
            let parts = texts(tokenizer, &ids);
            let parts: Vec<&str> = parts.iter().map(|t| t.trim()).collect();
            format!("{} tokens ({})", ids.len(), parts.join(" + "))
        }
        None => "no token of its own".to_owned(),
    };
    let near = near(tokenizer, word.trim());
    let offer = if near.is_empty() {
        "Choose a shorter, commoner word".to_owned()
    } else {
        format!("Near words that are one token: {}", near.join(", "))
    };
    Err(Problem::input(format!(
        "“{}” is {found} after this prompt, and one is needed. {offer}",
        word.trim()
    )))
}

/// Words of the vocabulary that begin like `word`, those with most letters in common first.
fn near(tokenizer: &Tokenizer, word: &str) -> Vec<String> {
    let wanted: Vec<char> = word.to_lowercase().chars().collect();
    let mut found: Vec<(usize, usize, String)> = Vec::new();
    for id in 0..tokenizer.vocab_size() as u32 {
        let text = tokenizer.token_text(id);
        let Some(text) = text.strip_prefix(' ') else {
            continue;
        };
        if text.chars().count() < 2 || !text.chars().all(char::is_alphabetic) {
            continue;
        }
        let letters = text.chars().flat_map(char::to_lowercase);
        let same = letters.zip(&wanted).take_while(|(a, b)| a == *b).count();
        if same >= 2 {
            let off = text.chars().count().abs_diff(wanted.len());
            found.push((same, off, text.to_owned()));
        }
    }
    found.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
    found.into_iter().take(OFFERED).map(|f| f.2).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::embedded;

    fn own(clean: &str, corrupted: &str, answer: &str, wrong: &str) -> Look {
        let t = Tokenizer::from_bytes(embedded::MODEL_NAME, embedded::MODEL_TOKENIZER).unwrap();
        let config = ModelConfig::from_json(embedded::MODEL_CONFIG).unwrap();
        let own = Own {
            clean: clean.into(),
            corrupted: corrupted.into(),
            answer: answer.into(),
            wrong: wrong.into(),
        };
        own.look(&t, &config).unwrap()
    }

    #[test]
    fn a_pair_that_fits() {
        let look = own(
            "John and Mary met, and Mary spoke to ",
            "John and Mary met, and John spoke to",
            "John",
            " Mary",
        );
        let pair = look.pair.unwrap();
        assert_eq!(pair.n_tokens(), look.shown.clean.len());
        assert_eq!(look.shown.answer, " John");
        assert_eq!(look.shown.wrong, " Mary");
        assert_eq!(look.shown.clean[pair.first_change()], " Mary");
    }

    #[test]
    fn what_is_in_the_way_is_said() {
        let said = |look: Look| look.pair.unwrap_err().message;
        let lengths = said(own("John met", "John met Mary", "a", "the"));
        assert!(lengths.contains("2 and 3 tokens"), "{lengths}");
        let long = said(own("John met", "Mary met", "Johnsonianism", "the"));
        assert!(
            long.contains("Johnsonianism") && long.contains("tokens (") && long.contains("John"),
            "{long}"
        );
        assert!(said(own("John met", "John met", "a", "the")).contains("same"));
        assert!(said(own("John met", "Mary met", "the", "the")).contains("both answers"));
        assert!(said(own("", "", "a", "the")).contains("write both prompts"));
        assert!(said(own("John met", "Mary met", "", "the")).contains("write both answers"));
        let many = "a ".repeat(60);
        let other = format!("the {}", "a ".repeat(59));
        assert!(said(own(&many, &other, "the", "and")).contains("shorten"));
    }
}
