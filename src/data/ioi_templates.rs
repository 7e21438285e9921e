//! Wordings, names, places and objects of the indirect object task.
//!
//! A template is a sentence with `[A]` (the indirect object, IO), `[B]` (the subject, S), `[PLACE]` and `[OBJECT]`, in
//! the form of Wang et al. (2022): `When [B] and [A] went to the [PLACE], [B] gave a [OBJECT] to [A]`. Each is used in
//! both orders, BABA as written and ABBA with the first two names exchanged, so that a model cannot be right by
//! repeating the name at a fixed place. Every name has a space before it, so it is the same token wherever it stands.

use serde::Serialize;

use super::error::{DataError, Result};

/// mosaec's own wordings. The first six are close to sentences that inkling-4l was trained on, the others are not.
const TEMPLATES: [&str; 14] = [
    "When [B] and [A] went to the [PLACE], [B] gave a [OBJECT] to [A]",
    "Then, [B] and [A] went to the [PLACE]. [B] gave a [OBJECT] to [A]",
    "After [B] and [A] went to the [PLACE], [B] handed a [OBJECT] to [A]",
    "While [B] and [A] were at the [PLACE], [B] passed a [OBJECT] to [A]",
    "Friends [B] and [A] found a [OBJECT] at the [PLACE]. [B] gave it to [A]",
    "Yesterday [B] and [A] had a long talk at the [PLACE]. In the end [B] sent a [OBJECT] to [A]",
    "One morning [B] and [A] walked together to the [PLACE], where [B] lent a [OBJECT] to [A]",
    "When [B] and [A] came back from the [PLACE], [B] brought a [OBJECT] to [A]",
    "As soon as [B] and [A] had left the [PLACE], [B] threw a [OBJECT] to [A]",
    "In the evening [B] and [A] sat near the [PLACE], and [B] carried a [OBJECT] to [A]",
    "Because [B] and [A] were late for the [PLACE], [B] returned the [OBJECT] to [A]",
    "At the [PLACE], [B] and [A] looked for a [OBJECT]. At last [B] showed it to [A]",
    "The old [PLACE] that [B] and [A] liked was closed, so [B] sold a [OBJECT] to [A]",
    "Last week [B] and [A] bought a [OBJECT] in the [PLACE], and then [B] offered it to [A]",
];

/// Women and men, common enough to be single tokens in most vocabularies; the tokenizer decides.
const NAMES: &str = "\
    Mary Anna Emma Alice Jane Lucy Kate Sarah Grace Helen Rose Clara Ruth Laura Julia Martha Ellen Edith Nora Amy Maria \
    Diana Elizabeth Anne Margaret Catherine Susan Sophie Fanny Harriet Eleanor Charlotte Emily Rachel Rebecca Linda \
    Lisa Jennifer Jessica Michelle Nancy Karen Victoria Barbara \
    John Tom James Peter David Henry George Robert Paul Frank Mark Simon Jack William Charles Edward Arthur Philip \
    Martin Walter Daniel Adam Thomas Richard Michael Stephen Joseph Samuel Andrew Matthew Benjamin Francis Louis Albert \
    Patrick Kevin Brian Steven Eric Ryan Jason Scott Alex Max";

const PLACES: &str = "\
    store garden school park market station church library kitchen house hospital theatre river village shop hotel \
    museum farm bridge harbour";

/// All begin with a consonant: the templates say "a".
const OBJECTS: &str = "\
    ring book drink letter flower key basket pen coat watch map ball knife picture hat stone cup bottle ticket newspaper";

/// The order of the two names in the first clause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum NameOrder {
    /// The indirect object is named first: `Mary and John ... John gave ... to` (Mary).
    Abba,
    /// The subject is named first: `John and Mary ... John gave ... to` (Mary).
    Baba,
}

/// What prompts of the indirect object task are made from.
#[derive(Clone, Debug)]
pub struct IoiTemplates {
    pub(super) name: String,
    /// In BABA order, checked by [`checked`].
    pub(super) templates: Vec<String>,
    pub(super) names: Vec<String>,
    pub(super) places: Vec<String>,
    pub(super) objects: Vec<String>,
}

impl IoiTemplates {
    /// mosaec's own: 14 wordings in two orders, 88 names, 20 places, 20 objects.
    pub fn built_in() -> Self {
        let words = |list: &str| list.split_whitespace().map(str::to_owned).collect();
        Self {
            name: "built in".to_owned(),
            templates: TEMPLATES.map(str::to_owned).into(),
            names: words(NAMES),
            places: words(PLACES),
            objects: words(OBJECTS),
        }
    }

    /// Reads a file in the form of [`from_json`](Self::from_json).
    ///
    /// # Errors
    /// [`DataError::Read`], and those of [`from_json`](Self::from_json).
    #[cfg(not(target_arch = "wasm32"))]
    pub fn from_file(path: impl AsRef<std::path::Path>) -> Result<Self> {
        let name = path.as_ref().display().to_string();
        let json = std::fs::read(path).map_err(|source| DataError::Read {
            path: name.clone(),
            source,
        })?;
        let json = String::from_utf8(json).map_err(|e| DataError::InvalidUtf8 {
            name: name.clone(),
            offset: e.utf8_error().valid_up_to(),
        })?;
        Self::from_json(&name, &json)
    }

    /// A JSON object with the lists `NAMES`, `PLACES`, `OBJECTS` and `BABA_TEMPLATES`, as the constants of Wang et
    /// al.'s `ioi_dataset.py`; `name` is for messages. The ABBA wordings are made from the BABA ones, as theirs are.
    ///
    /// Other keys are not read: `ABC_TEMPLATES` has three names and no repeated subject, and the `LONG`, `LATE` and
    /// `EARLY` lists reword the same fifteen sentences for other experiments.
    ///
    /// # Errors
    /// [`DataError::Templates`] for JSON that is no such object, [`DataError::Template`] for a wording that cannot be
    /// used.
    pub fn from_json(name: &str, json: &str) -> Result<Self> {
        let fail = |reason: String| DataError::Templates {
            name: name.to_owned(),
            reason,
        };
        let json: serde_json::Value =
            serde_json::from_str(json).map_err(|e| fail(e.to_string()))?;
        let list = |key: &str| -> Result<Vec<String>> {
            let items = json.get(key).ok_or_else(|| fail(format!("no key {key}")))?;
            let mut items: Vec<String> =
                serde_json::from_value(items.clone()).map_err(|e| fail(format!("{key}: {e}")))?;
            // A name that is listed twice would be drawn twice as often, and against itself.
            let mut seen = std::collections::HashSet::new();
            items.retain(|item| !item.trim().is_empty() && seen.insert(item.clone()));
            if items.is_empty() {
                Err(fail(format!("{key} is empty")))
            } else {
                Ok(items)
            }
        };
        let templates = list("BABA_TEMPLATES")?
            .into_iter()
            .map(|template| checked(name, template))
            .collect::<Result<_>>()?;
        Ok(Self {
            name: name.to_owned(),
            templates,
            names: list("NAMES")?,
            places: list("PLACES")?,
            objects: list("OBJECTS")?,
        })
    }

    /// The file's name, or "built in".
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The wordings, in BABA order; `IoiPrompt::template` counts these.
    pub fn templates(&self) -> &[String] {
        &self.templates
    }

    /// All names listed; the tokenizer may know only some of them as single tokens.
    pub fn names(&self) -> &[String] {
        &self.names
    }
}

/// Checks that a wording has the names S, IO, S, IO (or IO, S, S, IO, which is then turned round), each after a space,
/// and ends with the IO. Gives it in BABA order.
fn checked(file: &str, template: String) -> Result<String> {
    let fail = |reason: &str| {
        Err(DataError::Template {
            file_name: file.to_owned(),
            template: template.clone(),
            reason: reason.to_owned(),
        })
    };
    let mut order = String::new();
    for (at, _) in template.match_indices('[') {
        let rest = &template[at..];
        let name = ["[A]", "[B]"]
            .into_iter()
            .find(|name| rest.starts_with(name));
        match name {
            Some(name) if template[..at].ends_with(' ') => order.push_str(&name[1..2]),
            Some(_) => return fail("every name needs a word and a space before it"),
            None if rest.starts_with("[PLACE]") || rest.starts_with("[OBJECT]") => {}
            None => return fail("only [A], [B], [PLACE] and [OBJECT] can be filled in"),
        }
    }
    if !template.ends_with(" [A]") {
        return fail("it must end with [A], the name to be predicted");
    }
    match order.as_str() {
        "BABA" => Ok(template),
        "ABBA" => Ok(exchanged(&template)),
        _ => fail("the names must be [B] [A] [B] [A] or [A] [B] [B] [A]"),
    }
}

/// The wording with the first `[A]` and the first `[B]` exchanged: BABA becomes ABBA and back.
pub(super) fn exchanged(template: &str) -> String {
    // Through a placeholder that no template can hold, as both are three bytes long.
    template
        .replacen("[A]", "[\0]", 1)
        .replacen("[B]", "[A]", 1)
        .replacen("[\0]", "[B]", 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_lists_are_sound() {
        let t = IoiTemplates::built_in();
        for template in t.templates() {
            assert_eq!(&checked("built in", template.clone()).unwrap(), template);
            assert_eq!(&exchanged(&exchanged(template)), template);
        }
        assert_eq!(
            exchanged(TEMPLATES[0]),
            "When [A] and [B] went to the [PLACE], [B] gave a [OBJECT] to [A]"
        );
        assert_eq!(
            (t.names.len(), t.places.len(), t.objects.len()),
            (88, 20, 20)
        );
        for list in [&t.names, &t.places, &t.objects] {
            let distinct: std::collections::HashSet<_> = list.iter().collect();
            assert_eq!(distinct.len(), list.len());
        }
        assert!(
            t.objects
                .iter()
                .all(|o| !o.starts_with(['a', 'e', 'i', 'o', 'u']))
        );
    }

    #[test]
    fn files_are_checked() {
        let json = |template: &str| {
            format!(
                r#"{{"NAMES":["Al","Al","Bo"],"PLACES":["x"],"OBJECTS":["y"],"BABA_TEMPLATES":["{template}"]}}"#
            )
        };
        let abba = IoiTemplates::from_json("f", &json("So [A] and [B] met, [B] saw [A]")).unwrap();
        assert_eq!(abba.templates(), ["So [B] and [A] met, [B] saw [A]"]);
        assert_eq!(abba.names(), ["Al", "Bo"]);
        for bad in [
            "[B] and [A] met, [B] saw [A]",
            "So [B] and [A] met, [B] saw [A].",
            "So [B], [A] and [C] met, [B] saw [A]",
            "So [B] and [A] met, and saw [A]",
        ] {
            let result = IoiTemplates::from_json("f", &json(bad));
            assert!(matches!(result, Err(DataError::Template { .. })), "{bad}");
        }
        for bad in ["", "[]", r#"{"NAMES":["Al"]}"#, r#"{"BABA_TEMPLATES":[3]}"#] {
            let result = IoiTemplates::from_json("f", bad);
            assert!(matches!(result, Err(DataError::Templates { .. })), "{bad}");
        }
    }
}
