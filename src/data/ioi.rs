//! Prompts of the indirect object task (IOI): `When Mary and John went to the store, John gave a drink to` -> ` Mary`.
//!
//! Each prompt comes in three versions of equal length, so that activations can be patched position by position:
//!
//! | version | IO, S1, S2 | used for |
//! |---|---|---|
//! | clean (`tokens`) | n1, n2, n2 | the base run |
//! | `target_tokens` | **n3**, n2, n2 | the counterfactual of feature patching: another indirect object (paper, section 4) |
//! | `corrupted_tokens` | n1, n2, **n1** | the classical corruption: the repeated name is the other one, the answer flips to n2 |
//!
//! Either differs from the clean one at exactly one token. The last word of the sentence, the indirect object, is cut
//! off: it is what a model should say next.

use super::error::{DataError, Result};
use super::ioi_prompt::{Draft, IoiPrompt};
use super::ioi_templates::IoiTemplates;
use super::rng::CounterRng;
use super::tokenizer::Tokenizer;

/// Keeps the prompts of a seed apart from its other random numbers.
const IOI_DOMAIN: u64 = 0x696F_6921;

/// Draws for one prompt before giving up on aligned versions.
const MAX_TRIES: u64 = 200;

/// Prompts of one length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LengthGroup {
    /// Tokens of each.
    pub n_tokens: usize,
    /// Their indices in [`IoiSet::prompts`], ascending.
    pub prompts: Vec<usize>,
}

/// A set of prompts.
#[derive(Clone, Debug)]
pub struct IoiSet {
    /// The prompts, in the order they were drawn.
    pub prompts: Vec<IoiPrompt>,
    /// Names that are single tokens of the tokenizer, from which the prompts draw.
    pub usable_names: Vec<String>,
    /// Names that the templates list.
    pub listed_names: usize,
}

impl IoiSet {
    /// Draws `n` prompts: for each a wording, an order, three distinct names, a place and an object, until the three
    /// versions align. Prompt `i` depends on `seed` and `i` alone, so a smaller set is the front of a larger one.
    /// `None` takes [`IoiTemplates::built_in`].
    ///
    /// # Errors
    /// [`DataError::TooFewNames`] if the tokenizer knows fewer than three of the names as single tokens,
    /// [`DataError::Unaligned`] if no draw gives aligned versions, [`DataError::Encode`].
    pub fn generate(
        tokenizer: &Tokenizer,
        n: usize,
        seed: u64,
        templates: Option<&IoiTemplates>,
    ) -> Result<Self> {
        let built_in;
        let templates = match templates {
            Some(templates) => templates,
            None => {
                built_in = IoiTemplates::built_in();
                &built_in
            }
        };
        let names: Vec<(&str, u32)> = templates
            .names
            .iter()
            .filter_map(|name| Some((name.as_str(), tokenizer.single_in_text(name)?)))
            .collect();
        let usable_names: Vec<String> = names.iter().map(|(name, _)| (*name).to_owned()).collect();
        if names.len() < 3 {
            return Err(DataError::TooFewNames {
                usable: names.len(),
                of: templates.names.len(),
                tokenizer: tokenizer.name().to_owned(),
                found: if names.is_empty() {
                    "none".to_owned()
                } else {
                    usable_names.join(", ")
                },
            });
        }
        let prompts = (0..n)
            .map(|i| {
                let mut draws = CounterRng::new(seed ^ IOI_DOMAIN, i as u64).draws();
                let mut template = 0;
                for _ in 0..MAX_TRIES {
                    let draft = Draft::draw(&mut draws, templates, &names);
                    if let Some(prompt) = draft.tokenized(tokenizer, templates)? {
                        return Ok(prompt);
                    }
                    template = draft.template;
                }
                Err(DataError::Unaligned {
                    template: templates.templates[template].clone(),
                    tokenizer: tokenizer.name().to_owned(),
                    tries: MAX_TRIES,
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            prompts,
            usable_names,
            listed_names: templates.names.len(),
        })
    }

    /// The prompts grouped by length, shortest first: a group is a batch that needs no padding.
    pub fn batches_by_length(&self) -> Vec<LengthGroup> {
        let mut groups = std::collections::BTreeMap::<usize, Vec<usize>>::new();
        for (i, prompt) in self.prompts.iter().enumerate() {
            groups.entry(prompt.n_tokens()).or_default().push(i);
        }
        groups
            .into_iter()
            .map(|(n_tokens, prompts)| LengthGroup { n_tokens, prompts })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::embedded;
    use super::super::ioi_prompt::IoiPositions;
    use super::super::ioi_templates::NameOrder;
    use super::*;

    fn shared(path: &str) -> Option<std::path::PathBuf> {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../shared")
            .join(path);
        if !file.exists() {
            eprintln!("skipped: {} is absent", file.display());
            return None;
        }
        Some(file)
    }

    fn inkling() -> Tokenizer {
        Tokenizer::from_bytes(embedded::MODEL_NAME, embedded::MODEL_TOKENIZER).unwrap()
    }

    fn differing(a: &[u32], b: &[u32]) -> Vec<usize> {
        assert_eq!(a.len(), b.len());
        (0..a.len()).filter(|&i| a[i] != b[i]).collect()
    }

    fn check(set: &IoiSet, tokenizer: &Tokenizer) {
        for p in &set.prompts {
            let IoiPositions { io, s1, s2, end } = p.positions;
            assert_eq!(differing(&p.tokens, &p.target_tokens), [io]);
            assert_eq!(differing(&p.tokens, &p.corrupted_tokens), [s2]);
            assert_eq!((p.tokens[io], p.tokens[s1], p.tokens[s2]), (p.io, p.s, p.s));
            assert_eq!(
                (p.target_tokens[io], p.corrupted_tokens[s2]),
                (p.target_io, p.io)
            );
            assert!(io.max(s1) < s2 && s2 < end && end + 1 == p.n_tokens());
            assert_eq!(io < s1, p.order == NameOrder::Abba);
            assert_eq!(tokenizer.decode(&p.tokens).unwrap(), p.text);
            assert_eq!(tokenizer.token_text(p.io), format!(" {}", p.names[0]));
            assert!(
                !p.text.contains('[') && p.text.ends_with(" to"),
                "{}",
                p.text
            );
        }
    }

    #[test]
    fn versions_differ_at_one_token() {
        let t = inkling();
        let set = IoiSet::generate(&t, 300, 0, None).unwrap();
        check(&set, &t);
        eprintln!(
            "{} of {} names; {}",
            set.usable_names.len(),
            set.listed_names,
            set.prompts[0].text
        );
        assert!(set.usable_names.len() >= 40);
        let wordings: std::collections::HashSet<_> =
            set.prompts.iter().map(|p| (p.template, p.order)).collect();
        assert_eq!(wordings.len(), 28, "every wording in both orders");
        assert_eq!(
            IoiSet::generate(&t, 5, 0, None).unwrap().prompts,
            set.prompts[..5]
        );
        assert_ne!(
            IoiSet::generate(&t, 5, 1, None).unwrap().prompts,
            set.prompts[..5]
        );
        let groups = set.batches_by_length();
        assert!(groups.is_sorted_by_key(|g| g.n_tokens));
        assert_eq!(groups.iter().map(|g| g.prompts.len()).sum::<usize>(), 300);
        assert!(groups.iter().all(|g| {
            g.prompts
                .iter()
                .all(|&i| set.prompts[i].n_tokens() == g.n_tokens)
        }));
    }

    #[test]
    fn the_published_templates_work() {
        let Some(file) = shared("data/ioi-wang-et-al.json") else {
            return;
        };
        let templates = IoiTemplates::from_file(file).unwrap();
        assert_eq!(
            (templates.templates().len(), templates.names().len()),
            (15, 99)
        );
        for tokenizer in ["tokenizers/gpt2.json", "tokenizers/gpt-neox-20b.json"] {
            let Some(file) = shared(tokenizer) else {
                return;
            };
            let t = Tokenizer::from_bytes(tokenizer, &std::fs::read(file).unwrap()).unwrap();
            let set = IoiSet::generate(&t, 100, 3, Some(&templates)).unwrap();
            eprintln!("{tokenizer}: {} of 99 names", set.usable_names.len());
            check(&set, &t);
            check(&IoiSet::generate(&t, 100, 3, None).unwrap(), &t);
        }
    }

    #[test]
    fn too_few_names_are_an_error() {
        let json = r#"{"NAMES":["Mary","John","Xyzzyqua"],"PLACES":["store"],"OBJECTS":["ring"],
            "BABA_TEMPLATES":["So [B] and [A] met, and [B] spoke to [A]"]}"#;
        let templates = IoiTemplates::from_json("mine.json", json).unwrap();
        let error = IoiSet::generate(&inkling(), 1, 0, Some(&templates)).unwrap_err();
        assert!(
            matches!(
                error,
                DataError::TooFewNames {
                    usable: 2,
                    of: 3,
                    ..
                }
            ),
            "{error}"
        );
        assert!(error.to_string().contains("Mary, John"), "{error}");
    }
}
