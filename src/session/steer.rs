//! Steering: generation with features changed, beside the unchanged text.

use serde::{Deserialize, Serialize};

use super::problem::{Problem, Result};
use super::protocol::Event;
use super::steer_effect::effect;
use super::{Out, Session, Stop};
use crate::causal::{self, FeatureEdit, Steering};
use crate::data::Tokenizer;
use crate::eval::Dictionary as _;
use crate::gpu::Gpu;
use crate::harvest::{Site, capture};
use crate::model::{Hooks, Model, Sampling, Tokens};
use crate::report::feature;
use crate::report::web::steer::{self as page, Continuation, Kind, Knob, Outcome};
use crate::sae::Sae;

/// What is done to a feature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Its activation is set to a value at every position.
    #[default]
    Clamp,
    /// Its activation is multiplied by a value.
    Scale,
    /// Its activation is set to 0.
    Ablate,
}

/// A change of one feature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Edit {
    /// The feature.
    pub feature: usize,
    /// What is done to it.
    pub change: Change,
    /// Value for clamping (activation units) or factor for scaling.
    pub value: f64,
}

/// What to generate.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct SteerRequest {
    /// How the text begins.
    pub prompt: String,
    /// What is changed.
    pub edits: Vec<Edit>,
    /// The control: what the edits add goes along a random direction of the same norm instead.
    pub control: bool,
    /// Tokens to add.
    pub tokens: usize,
    /// 0 takes the most probable token.
    pub temperature: f64,
    /// Of the draws, the same for both texts; of the control's direction.
    pub seed: u32,
}

/// Both texts.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct SteerReply {
    /// Both texts, and the change of next-token probabilities.
    pub html: String,
    /// The unsteered continuation.
    pub plain: String,
    /// The steered one.
    pub steered: String,
    /// KL(unsteered || steered) of the next token after the prompt, nats.
    pub kl: f64,
    /// Mean length of the edit over the prompt's positions.
    pub edit: f64,
}

/// The features that are to be changed.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct KnobsRequest {
    /// What is changed.
    pub edits: Vec<Edit>,
    /// One more, held at its largest activation.
    pub add: Option<usize>,
    /// The feature whose value becomes the usual one of its change.
    pub reset: Option<usize>,
}

/// The same with names, labels and ranges.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct KnobsReply {
    /// A row for each.
    pub html: String,
    /// What is changed now.
    pub edits: Vec<Edit>,
}

/// Tokens that are added at most.
const MOST_TOKENS: usize = 256;

/// Tokens of the text in which the largest activation of a feature without a page is looked for.
const LOOKED_AT: usize = 1024;

impl Session {
    /// Generates twice from the same seed: without and with the changes.
    pub(super) async fn steer(
        &mut self,
        request: &SteerRequest,
        out: Out<'_>,
    ) -> Result<SteerReply> {
        let gpu = self.gpu()?.clone();
        let subject = self.subject()?;
        let (model, tokenizer) = (&*subject.model, &*subject.tokenizer);
        let dictionary = self.library.chosen()?;
        let (sae, site) = dictionary.weights()?;
        if request.edits.is_empty() {
            return Err(Problem::input(
                "no feature is changed: add one with the search box",
            ));
        }
        let ids = prompt_ids(model, tokenizer, request)?;
        let edits: Vec<FeatureEdit> = request.edits.iter().map(Edit::of_library).collect();
        let mut steering = Steering::new(&gpu, sae, &edits)?;
        if request.control {
            steering = steering.control(&gpu, u64::from(request.seed)).await?;
        }
        let knobs = self.knobs_of(&request.edits).await?;
        let said: Vec<String> = knobs.iter().map(Knob::said).collect();
        out(&Event::Progress {
            what: "Reading the prompt".into(),
            done: 0.0,
        });
        let effect = effect(&gpu, model, tokenizer, &steering, site, &ids).await?;
        self.stop.check()?;
        let mut outcome = Outcome {
            said: said.join(", "),
            control: request.control,
            prompt: tokenizer.decode(&ids)?,
            effect,
            ..Outcome::default()
        };
        let slot = page::slot(request.control);
        out(&Event::Part {
            slot: slot.into(),
            html: page::outcome(&outcome).into_string(),
        });
        let writing = Writing {
            gpu: &gpu,
            model,
            tokenizer,
            ids: &ids,
            stop: &self.stop,
        };
        let [plain, steered] = writing
            .both(&steering, site, request, &mut outcome, out)
            .await?;
        Ok(SteerReply {
            html: page::outcome(&outcome).into_string(),
            plain,
            steered,
            kl: outcome.effect.next(),
            edit: outcome.effect.lengths[0],
        })
    }

    /// The features that are to be changed, as rows of the form.
    pub(super) async fn knobs(&mut self, request: &KnobsRequest) -> Result<KnobsReply> {
        let mut edits = request.edits.clone();
        let mut usual = request.reset;
        if let Some(feature) = request.add {
            usual = Some(feature);
            edits.retain(|e| e.feature != feature);
            edits.push(Edit {
                feature,
                ..Edit::default()
            });
        }
        let mut knobs = self.knobs_of(&edits).await?;
        for (edit, knob) in edits.iter_mut().zip(&mut knobs) {
            if Some(edit.feature) == usual || !edit.value.is_finite() {
                knob.value = Knob::usual(knob.kind, knob.max);
                edit.value = knob.value;
            }
        }
        Ok(KnobsReply {
            html: page::knobs(&knobs).into_string(),
            edits,
        })
    }

    /// What is known of the edited features. Those without a page are looked for in the text, if it is there.
    async fn knobs_of(&self, edits: &[Edit]) -> Result<Vec<Knob>> {
        let dictionary = self.library.chosen()?;
        let open = dictionary.open.as_ref();
        let atlas = dictionary.atlas.as_ref();
        let layer = match (open, atlas) {
            (Some((_, site)), _) => site.hook.layer(),
            (None, Some(atlas)) => atlas.dictionary.layer,
            (None, None) => None,
        };
        let features = open.map_or_else(|| atlas.map_or(0, |a| a.eval.d_sae), |(sae, _)| sae.d_sae);
        let mut knobs = Vec::with_capacity(edits.len());
        for edit in edits {
            if edit.feature >= features {
                return Err(Problem::input(format!(
                    "there is no feature {}; {} has {features}",
                    edit.feature, dictionary.name
                )));
            }
            let known = atlas.and_then(|a| a.feature(edit.feature));
            knobs.push(Knob {
                feature: edit.feature,
                name: feature::name(layer, edit.feature),
                label: known.and_then(|f| f.label.clone()),
                max: known.map_or(0.0, |f| f.max),
                kind: edit.change.kind(),
                value: edit.value,
            });
        }
        let unknown: Vec<usize> = (0..knobs.len())
            .filter(|i| atlas.and_then(|a| a.feature(edits[*i].feature)).is_none())
            .collect();
        if let (false, Some((sae, site)), Some((_, text))) =
            (unknown.is_empty(), open, self.text.as_ref())
        {
            let which: Vec<usize> = unknown.iter().map(|i| edits[*i].feature).collect();
            for (i, max) in unknown
                .iter()
                .zip(self.largest(sae, *site, text, &which).await?)
            {
                knobs[*i].max = max;
            }
        }
        Ok(knobs)
    }

    /// The largest activations of features at the beginning of a text.
    async fn largest(
        &self,
        sae: &Sae,
        site: Site,
        text: &str,
        features: &[usize],
    ) -> Result<Vec<f64>> {
        let gpu = self.gpu()?;
        let subject = self.subject()?;
        let (ids, seq) = subject.beginning(text, LOOKED_AT)?;
        if ids.is_empty() {
            return Ok(vec![0.0; features.len()]);
        }
        let tokens = Tokens::new(&ids, seq)?;
        let mut max = vec![0.0f64; features.len()];
        for x in capture(gpu, &subject.model, &tokens, &[site])? {
            let codes = gpu.read(&sae.codes_of(gpu, &x, features)?).await?;
            for row in codes.chunks(features.len()) {
                for (max, code) in max.iter_mut().zip(row) {
                    *max = max.max(f64::from(*code));
                }
            }
        }
        Ok(max)
    }
}

impl Edit {
    fn of_library(&self) -> FeatureEdit {
        let value = self.value as f32;
        FeatureEdit {
            feature: self.feature,
            change: match self.change {
                Change::Clamp => causal::Change::Clamp(value),
                Change::Scale => causal::Change::Scale(value),
                Change::Ablate => causal::Change::Ablate,
            },
        }
    }
}

impl Change {
    fn kind(self) -> Kind {
        match self {
            Change::Clamp => Kind::Clamp,
            Change::Scale => Kind::Scale,
            Change::Ablate => Kind::Ablate,
        }
    }
}

/// The prompt's tokens, if the text fits.
fn prompt_ids(model: &Model, tokenizer: &Tokenizer, request: &SteerRequest) -> Result<Vec<u32>> {
    let ids = tokenizer.encode(&request.prompt)?;
    if ids.is_empty() {
        return Err(Problem::input(
            "the prompt is empty: write how the text begins",
        ));
    }
    if !(1..=MOST_TOKENS).contains(&request.tokens) {
        return Err(Problem::input(format!(
            "{} tokens cannot be added: ask for 1 to {MOST_TOKENS}",
            request.tokens
        )));
    }
    let context = model.config().max_positions;
    if ids.len() + request.tokens > context {
        return Err(Problem::input(format!(
            "the prompt has {} tokens and {} more are asked for, but the model reads {context}: shorten either",
            ids.len(),
            request.tokens
        )));
    }
    Ok(ids)
}

/// Both texts as they are written.
struct Writing<'a> {
    gpu: &'a Gpu,
    model: &'a Model,
    tokenizer: &'a Tokenizer,
    ids: &'a [u32],
    stop: &'a Stop,
}

impl Writing<'_> {
    /// A token of each in turn. Gives both continuations; `outcome` has them cut where they part.
    async fn both(
        &self,
        steering: &Steering<'_>,
        site: Site,
        request: &SteerRequest,
        outcome: &mut Outcome,
        out: Out<'_>,
    ) -> Result<[String; 2]> {
        let sampling = Sampling {
            temperature: request.temperature as f32,
            top_k: None,
            seed: u64::from(request.seed),
            max_new: request.tokens,
            stop: self.tokenizer.end_token(),
        };
        let (gpu, slot) = (self.gpu, page::slot(request.control));
        let mut plain = self.model.generation(gpu, self.ids, &sampling)?;
        let mut steered = self.model.generation(gpu, self.ids, &sampling)?;
        let (mut nothing, mut steer) = (Hooks::new(), steering.hooks(site));
        for done in 0..request.tokens {
            let one = plain.next(gpu, &mut nothing).await?;
            self.stop.check()?;
            let other = steered.next(gpu, &mut steer).await?;
            self.stop.check()?;
            if one.is_none() && other.is_none() {
                break;
            }
            [outcome.plain, outcome.steered] = self.parted([plain.tokens(), steered.tokens()])?;
            for (name, text) in [("plain", &outcome.plain), ("steered", &outcome.steered)] {
                out(&Event::Part {
                    slot: format!("{slot}-{name}"),
                    html: page::text(&outcome.prompt, text).into_string(),
                });
            }
            out(&Event::Progress {
                what: format!("Writing token {} of {}", done + 1, request.tokens),
                done: (done + 1) as f64 / request.tokens as f64,
            });
        }
        Ok([self.text(plain.tokens())?, self.text(steered.tokens())?])
    }

    /// Both cut where they part.
    fn parted(&self, texts: [&[u32]; 2]) -> Result<[Continuation; 2]> {
        let [a, b] = texts;
        let same = a.iter().zip(b).take_while(|(a, b)| a == b).count();
        let cut = |ids: &[u32]| -> Result<Continuation> {
            let shared = self.text(&ids[..same])?;
            let first = ids.get(same);
            let upto = self.text(&ids[..ids.len().min(same + 1)])?;
            let all = self.text(ids)?;
            // Characters can be spread over tokens: then what is before and behind does not tell them apart.
            let token = upto.strip_prefix(shared.as_str()).map(str::to_owned);
            Ok(Continuation {
                rest: all.strip_prefix(upto.as_str()).unwrap_or("").to_owned(),
                first: first.map(|id| token.unwrap_or_else(|| self.tokenizer.token_text(*id))),
                shared,
            })
        };
        Ok([cut(a)?, cut(b)?])
    }

    /// What new tokens say behind the prompt.
    fn text(&self, new: &[u32]) -> Result<String> {
        let before = self.tokenizer.decode(self.ids)?;
        let all = self.tokenizer.decode(&[self.ids, new].concat())?;
        match all.strip_prefix(before.as_str()) {
            Some(new) => Ok(new.to_owned()),
            None => Ok(self.tokenizer.decode(new)?),
        }
    }
}
