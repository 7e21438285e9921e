//! The one protocol between the page and its worker, as JSON: a [`Request`] gets a [`Reply`] or a
//! [`Problem`]; while it is worked on, [`Event`]s come. `web/protocol.d.ts` is made of these types by a test.
//!
//! Files travel beside the JSON, as named bytes. HTML in replies comes from [`crate::report`].

use serde::{Deserialize, Serialize};

use super::features::{FeatureReply, FeatureRequest, ListReply, ListRequest, TestRequest};
use super::measure::{MeasureReply, MeasureRequest, SelfTestReply, SelfTestRequest};
use super::patch::{PatchReply, PatchRequest};
use super::problem::Problem;
use super::read::{ReadReply, ReadRequest};
use super::state::State;
use super::steer::{KnobsReply, KnobsRequest, SteerReply, SteerRequest};
use super::train::{TrainRequest, TrainingState};

/// What the page asks for.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Request {
    /// What is open. [`Reply::State`].
    State,
    /// Opens the GPU, again if it was lost; then everything that was open is opened again. [`Reply::State`].
    Open,
    /// Takes a dictionary's precomputed pages: file `atlas.json.gz`. Needs no GPU. [`Reply::State`].
    Atlas,
    /// Opens a model from files `config.json`, `tokenizer.json` and `*.safetensors`. [`Reply::State`].
    Model {
        /// What it is called.
        name: String,
    },
    /// Opens a dictionary from files `cfg.json` and `sae_weights.safetensors`, and uses it. [`Reply::State`].
    Dictionary {
        /// What it is called.
        name: String,
    },
    /// Uses another of the open dictionaries. [`Reply::State`].
    Use {
        /// Its name.
        dictionary: String,
    },
    /// Takes a text to train on and to look for examples in: its one file, plain or gzip. [`Reply::State`].
    Text,
    /// What the model and the dictionary make of a text. [`Reply::Read`].
    Read(ReadRequest),
    /// A part of the list of features. [`Reply::List`].
    List(ListRequest),
    /// The page of a feature. [`Reply::Feature`].
    Feature(FeatureRequest),
    /// What is known of a feature, with its vectors where they are there, as a JSON file. [`Reply::State`].
    Export(FeatureRequest),
    /// A feature on a text of one's own. [`Reply::Html`].
    Test(TestRequest),
    /// Generates with features changed, beside the unchanged text. [`Reply::Steer`].
    Steer(SteerRequest),
    /// The features that are to be changed, with names and ranges. Needs no GPU where their pages are there. [`Reply::Knobs`].
    Knobs(KnobsRequest),
    /// Patching by layer, position and feature. [`Reply::Patch`].
    Patch(PatchRequest),
    /// Begins to train a dictionary; [`Event::Training`] tells how it goes. [`Reply::Training`].
    Train(TrainRequest),
    /// Training waits. [`Reply::Training`].
    Pause,
    /// Training goes on. [`Reply::Training`].
    Resume,
    /// Training ends, and its dictionary is used. [`Reply::State`].
    Finish,
    /// Training ends, and its dictionary is dropped. [`Reply::State`].
    Discard,
    /// The dictionary in use in SAELens' layout, as files. [`Reply::State`].
    Save,
    /// Every kernel against its CPU reference. [`Reply::SelfTest`].
    SelfTest(SelfTestRequest),
    /// Numbers of a fixed input, to compare with those of another machine. [`Reply::Measure`].
    Measure(MeasureRequest),
    /// Destroys the device, as a driver would. A test hook. [`Reply::State`].
    Lose,
}

impl Request {
    /// Whether a text may be read differently after it.
    pub(super) fn changes_readings(&self) -> bool {
        !matches!(
            self,
            Request::State
                | Request::Text
                | Request::Read(_)
                | Request::List(_)
                | Request::Feature(_)
                | Request::Export(_)
                | Request::Test(_)
                | Request::Steer(_)
                | Request::Patch(_)
        )
    }
}

/// The answer to a request.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(tag = "kind", rename_all = "snake_case")]
// One at a time, and turned into text at once.
#[allow(clippy::large_enum_variant)]
pub enum Reply {
    /// What is open.
    State(State),
    /// A fragment.
    Html {
        /// The fragment.
        html: String,
    },
    /// A text.
    Read(ReadReply),
    /// A part of the list of features.
    List(ListReply),
    /// A feature.
    Feature(FeatureReply),
    /// Two texts.
    Steer(SteerReply),
    /// The features that are to be changed.
    Knobs(KnobsReply),
    /// The experiment.
    Patch(PatchReply),
    /// How training goes.
    Training(TrainingState),
    /// The kernels.
    SelfTest(SelfTestReply),
    /// Numbers.
    Measure(MeasureReply),
}

/// What comes while a request is worked on, or while training goes on.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    /// How far it is.
    Progress {
        /// What is done, for people.
        what: String,
        /// Share that is done, 0 to 1.
        done: f64,
    },
    /// A part of the page, before the whole answer is there.
    Part {
        /// Which part: the id of the element that it fills.
        slot: String,
        /// The fragment.
        html: String,
    },
    /// How training goes.
    Training(TrainingState),
    /// Something went wrong where nothing was asked for: in training.
    Problem(Problem),
}
