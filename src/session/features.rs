//! The list of features, their pages, and one feature on a text of one's own.

use serde::{Deserialize, Serialize};

use super::problem::{Problem, Result};
use super::{Out, Session};

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
}

impl Session {
    /// A part of the list of the dictionary in use.
    pub(super) async fn list(
        &mut self,
        _request: &ListRequest,
        _out: Out<'_>,
    ) -> Result<ListReply> {
        Err(Problem::internal("not there yet"))
    }

    /// The page of a feature of the dictionary in use.
    pub(super) async fn feature(
        &mut self,
        _request: &FeatureRequest,
        _out: Out<'_>,
    ) -> Result<FeatureReply> {
        Err(Problem::internal("not there yet"))
    }

    /// A feature on a text.
    pub(super) async fn test(&mut self, _request: &TestRequest) -> Result<String> {
        Err(Problem::internal("not there yet"))
    }
}
