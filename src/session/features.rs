//! The list of features, their pages, and one feature on a text of one's own.

use serde::{Deserialize, Serialize};

use super::problem::{Problem, Result};
use super::{Files, Out, Session};
use crate::eval::codes::rows_of;
use crate::explain::{ablate, activations};
use crate::report::atlas::Atlas;
use crate::report::reading::Reading;
use crate::report::results::FeatureReport;
use crate::report::scores::FeatureScore;
use crate::report::web::features as page;

/// Next tokens that are shown with what an ablation does to them.
const VOTES: usize = 6;

/// What the list is sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum SortBy {
    /// Those worth showing first, then by score.
    #[default]
    Interest,
    /// Label, alphabetically.
    Label,
    /// Share of tokens on which it fires.
    Density,
    /// How well its label predicts its activations.
    Score,
    /// Index.
    Index,
    /// Activation on the text of the request.
    Activation,
}

/// Which part of the list.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct ListRequest {
    /// Words to find in labels and tokens, or an index.
    pub query: String,
    /// Order.
    pub sort: SortBy,
    /// The other way round.
    pub reverse: bool,
    /// First row.
    pub from: usize,
    /// Rows.
    pub count: usize,
    /// The text for [`SortBy::Activation`].
    pub text: String,
}

/// A part of the list.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct ListReply {
    /// The rows.
    pub html: String,
    /// Rows that match, in all.
    pub found: usize,
    /// Their indices, in this part.
    pub features: Vec<usize>,
}

/// Which feature.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct FeatureRequest {
    /// Its index.
    pub feature: usize,
}

/// A feature.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct FeatureReply {
    /// Its page.
    pub html: String,
    /// Its name, `2/731`.
    pub name: String,
    /// Its label.
    pub label: Option<String>,
    /// Its largest activation.
    pub max: f64,
}

/// One feature on one text.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct TestRequest {
    /// The feature.
    pub feature: usize,
    /// The text.
    pub text: String,
    /// Whether what the text loses without the feature is shown too.
    #[serde(default)]
    pub ablate: bool,
}

/// What is saved of a feature.
#[derive(Serialize)]
struct Saved<'a> {
    model: &'a str,
    hook: &'a str,
    dictionary: &'a str,
    index: usize,
    /// Row of W_enc and entry of b_enc, W_dec's row.
    #[serde(skip_serializing_if = "Option::is_none")]
    vectors: Option<Vectors>,
    page: &'a FeatureReport,
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<&'a FeatureScore>,
}

#[derive(Serialize)]
struct Vectors {
    encoder: Vec<f32>,
    encoder_bias: f32,
    decoder: Vec<f32>,
}

impl Session {
    /// A part of the list of the dictionary in use.
    pub(super) async fn list(&mut self, request: &ListRequest, out: Out<'_>) -> Result<ListReply> {
        self.known(out).await?;
        let read = match request.sort {
            SortBy::Activation => Some(self.reading(&request.text).await?),
            _ => None,
        };
        let atlas = self.pages()?;
        let order = order(atlas, request, read.as_ref().map(|r| &r.reading));
        let part: Vec<&(usize, Option<f64>)> = order
            .iter()
            .skip(request.from)
            .take(request.count)
            .collect();
        let rows: Vec<page::Row> = part
            .iter()
            .filter_map(|(index, activation)| {
                Some(page::Row {
                    feature: atlas.feature(*index)?,
                    score: atlas.score(*index),
                    activation: *activation,
                })
            })
            .collect();
        Ok(ListReply {
            html: page::rows(&rows, self.names()).into_string(),
            found: order.len(),
            features: part.iter().map(|(index, _)| *index).collect(),
        })
    }

    /// The page of a feature of the dictionary in use.
    pub(super) async fn feature(
        &mut self,
        request: &FeatureRequest,
        out: Out<'_>,
    ) -> Result<FeatureReply> {
        let index = request.feature;
        self.known(out).await?;
        self.exists(index)?;
        self.complete(index).await?;
        let atlas = self.pages()?;
        let silent = FeatureReport {
            index,
            ..FeatureReport::default()
        };
        let feature = atlas.feature(index).unwrap_or(&silent);
        Ok(FeatureReply {
            html: page::page(feature, atlas).into_string(),
            name: self.names().name(index),
            label: feature.label.clone(),
            max: feature.max,
        })
    }

    /// All that is known of a feature as one file.
    pub(super) async fn export(&mut self, request: &FeatureRequest, out: Out<'_>) -> Result<Files> {
        let index = request.feature;
        self.known(out).await?;
        self.exists(index)?;
        self.complete(index).await?;
        let dictionary = self.library.chosen()?;
        let vectors = match &dictionary.open {
            Some((sae, _)) => {
                let gpu = self.gpu()?;
                let row = |table| -> Result<_> { Ok(rows_of(gpu, table, index, 1)?) };
                let bias = sae.b_enc.reshape(&[sae.d_sae, 1]).map_err(Problem::from)?;
                Some(Vectors {
                    encoder: gpu.read(&row(&sae.w_enc)?).await?,
                    encoder_bias: gpu
                        .read(&row(&bias)?)
                        .await?
                        .first()
                        .copied()
                        .unwrap_or(0.0),
                    decoder: gpu.read(&row(&sae.w_dec)?).await?,
                })
            }
            None => None,
        };
        let atlas = self.pages()?;
        let silent = FeatureReport {
            index,
            ..FeatureReport::default()
        };
        let saved = Saved {
            model: &atlas.model.name,
            hook: &atlas.hook,
            dictionary: &dictionary.name,
            index,
            vectors,
            page: atlas.feature(index).unwrap_or(&silent),
            score: atlas.score(index),
        };
        let json = serde_json::to_vec_pretty(&saved)
            .map_err(|e| Problem::internal(format!("a feature as JSON: {e}")))?;
        Ok(vec![(format!("feature-{index}.json"), json)])
    }

    /// A feature on a text.
    pub(super) async fn test(&mut self, request: &TestRequest) -> Result<String> {
        let index = request.feature;
        self.exists(index)?;
        let (gpu, subject) = (self.gpu()?, self.subject()?);
        let (sae, site) = self.library.chosen()?.weights()?;
        let (ids, cut) = self.tokens(&request.text)?;
        let texts: Vec<String> = ids
            .iter()
            .map(|id| subject.tokenizer.token_text(*id))
            .collect();
        let (model, tokenizer) = (&subject.model, &subject.tokenizer);
        let ablation = match request.ablate && !ids.is_empty() {
            true => Some(ablate(gpu, model, tokenizer, site, sae, &ids, index, VOTES).await?),
            false => None,
        };
        let values = match &ablation {
            Some(ablation) => ablation.values.clone(),
            None => activations(gpu, model, site, sae, &ids, index).await?,
        };
        let ablated = ablation.map(|a| page::Ablated {
            losses: a.losses,
            next: a.votes,
            at: a.at,
        });
        let tested = page::Tested {
            tokens: &texts,
            values: &values,
            max: self.names().max(index).unwrap_or(0.0),
            cut,
            ablated: ablated.as_ref(),
        };
        Ok(page::tested(&tested).into_string())
    }

    /// What is known of the dictionary in use.
    fn pages(&self) -> Result<&Atlas> {
        let atlas = self.library.chosen()?.atlas.as_ref();
        atlas.ok_or_else(|| Problem::internal("nothing is known of the dictionary's features"))
    }

    fn exists(&self, index: usize) -> Result<()> {
        let dictionary = self.library.chosen()?;
        let features = dictionary
            .open
            .as_ref()
            .map(|(sae, _)| sae.d_sae)
            .or(dictionary.atlas.as_ref().map(|a| a.eval.d_sae))
            .unwrap_or(0);
        if index < features {
            return Ok(());
        }
        Err(Problem::input(format!(
            "{} has no feature {index}: its {features} features are 0 to {}",
            dictionary.name,
            features.saturating_sub(1)
        )))
    }
}

/// The features that a request asks for, in its order, with their activations where it asks for these.
fn order(
    atlas: &Atlas,
    request: &ListRequest,
    reading: Option<&Reading>,
) -> Vec<(usize, Option<f64>)> {
    let words: Vec<String> = request
        .query
        .split_whitespace()
        .map(str::to_lowercase)
        .collect();
    let mut found: Vec<&FeatureReport> = atlas
        .dictionary
        .features
        .iter()
        .filter(|f| words.iter().all(|w| holds(atlas, f, w)))
        .collect();
    let score = |f: &FeatureReport| {
        let score = atlas.score(f.index).and_then(|s| s.top_and_random);
        score.filter(|s| s.is_finite()).unwrap_or(-1.0)
    };
    match request.sort {
        SortBy::Index => {}
        SortBy::Label => {
            // Those without a label last; quotation marks say nothing.
            let key = |f: &FeatureReport| {
                let label = f.label.as_deref().map(|l| {
                    let plain = l.trim_start_matches(|c: char| !c.is_alphanumeric());
                    if plain.is_empty() { l } else { plain }.to_lowercase()
                });
                (label.is_none(), label)
            };
            found.sort_by_cached_key(|f| key(f));
        }
        SortBy::Density => found.sort_by(|a, b| b.density.total_cmp(&a.density)),
        SortBy::Score => found.sort_by(|a, b| score(b).total_cmp(&score(a))),
        SortBy::Interest => {
            let place = |f: &FeatureReport| {
                let listed = atlas.interesting.iter().position(|i| *i == f.index);
                listed.unwrap_or(usize::MAX)
            };
            found.sort_by(|a, b| {
                place(a)
                    .cmp(&place(b))
                    .then(score(b).total_cmp(&score(a)))
                    .then(b.density.total_cmp(&a.density))
            });
        }
        SortBy::Activation => {
            let active = reading.map_or(&[][..], |r| &r.features);
            let mut list: Vec<(f64, usize, f64)> = found
                .iter()
                .filter_map(|f| {
                    let here = active.iter().find(|a| a.feature == f.index)?;
                    let share = if f.max > 0.0 { here.max / f.max } else { 0.0 };
                    Some((share, f.index, here.max))
                })
                .collect();
            list.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            if request.reverse {
                list.reverse();
            }
            return list.into_iter().map(|(_, f, v)| (f, Some(v))).collect();
        }
    }
    if request.reverse {
        found.reverse();
    }
    found.iter().map(|f| (f.index, None)).collect()
}

/// Whether a word is in a feature's label or its tokens, or is its index or name.
fn holds(atlas: &Atlas, f: &FeatureReport, word: &str) -> bool {
    let within = |text: &str| text.to_lowercase().contains(word);
    let name = crate::report::feature::name(atlas.dictionary.layer, f.index);
    name == word
        || f.index.to_string() == word
        || f.label.as_deref().is_some_and(within)
        || f.top_tokens.iter().any(|t| within(&t.token))
        || f.promoted.iter().any(|t| within(&t.token))
}
