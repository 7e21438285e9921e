//! What goes wrong, in words for the page.

use serde::{Deserialize, Serialize};

use crate::causal::CausalError;
use crate::data::DataError;
use crate::eval::EvalError;
use crate::explain::ExplainError;
use crate::gpu::GpuError;
use crate::harvest::HarvestError;
use crate::model::ModelError;
use crate::sae::SaeError;

/// What kind of problem it is: the page acts on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// There is no GPU to be had: no adapter, or no device.
    NoGpu,
    /// The device was lost. `Request::Open` brings it back.
    Lost,
    /// Out of memory.
    Memory,
    /// Larger than this adapter's limits.
    Limit,
    /// Something that was asked for or given cannot be.
    Input,
    /// Stopped by the visitor.
    Stopped,
    /// A fault of mosaec.
    Internal,
}

/// What went wrong and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Problem {
    /// What kind.
    pub trouble: Trouble,
    /// What, in plain words, with the way out.
    pub message: String,
}

/// Result of a request.
pub type Result<T> = std::result::Result<T, Problem>;

impl Problem {
    fn new(trouble: Trouble, message: impl Into<String>) -> Self {
        Self {
            trouble,
            message: message.into(),
        }
    }

    /// Something that was asked for or given cannot be: what, and what to do.
    pub fn input(message: impl Into<String>) -> Self {
        Self::new(Trouble::Input, message)
    }

    /// A fault of mosaec.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Trouble::Internal, message)
    }

    /// Stopped by the visitor.
    pub fn stopped() -> Self {
        Self::new(Trouble::Stopped, "stopped")
    }
}

impl From<&GpuError> for Problem {
    fn from(e: &GpuError) -> Self {
        let megabytes = |bytes: u64| format!("{:.0} MB", bytes as f64 / 1e6);
        match e {
            GpuError::NoAdapter | GpuError::NoDevice { .. } => Self::new(
                Trouble::NoGpu,
                "The browser offers no GPU to this page. Update the browser and the graphics driver, turn on \
                 hardware acceleration in the browser's settings, then load the page again",
            ),
            GpuError::Lost(why) => Self::new(
                Trouble::Lost,
                format!(
                    "The browser took the GPU away ({why}). Everything that was open is opened again"
                ),
            ),
            GpuError::OutOfMemory { .. } => Self::new(
                Trouble::Memory,
                "The GPU is out of memory. Close other tabs, or take fewer features, a smaller batch or a shorter text",
            ),
            GpuError::TooLarge {
                what, asked, limit, ..
            } => Self::new(
                Trouble::Limit,
                format!(
                    "{what} needs {} in one piece, but this GPU and browser allow {}. Take a smaller model or fewer features",
                    megabytes(*asked),
                    megabytes(*limit)
                ),
            ),
            other => Self::internal(other.to_string()),
        }
    }
}

impl From<GpuError> for Problem {
    fn from(e: GpuError) -> Self {
        Self::from(&e)
    }
}

/// Errors that may have one of the GPU at the bottom, in words for somebody who sees a page and no command
/// line.
trait InWords: std::fmt::Display {
    fn gpu(&self) -> Option<&GpuError>;

    fn words(&self) -> String;
}

// `transparent` errors skip themselves in `source()`, so that the chain cannot be walked that way.
macro_rules! from_layer {
    ($($error:ident { $($nested:ident),* } $own:expr;)*) => {$(
        impl InWords for $error {
            fn gpu(&self) -> Option<&GpuError> {
                match self {
                    $error::Gpu(e) => Some(e),
                    $($error::$nested(e) => e.gpu(),)*
                    _ => None,
                }
            }

            fn words(&self) -> String {
                let own: fn(&$error) -> Option<String> = $own;
                match self {
                    $($error::$nested(e) => e.words(),)*
                    other => own(other).unwrap_or_else(|| other.to_string()),
                }
            }
        }

        impl From<$error> for Problem {
            fn from(e: $error) -> Self {
                match e.gpu() {
                    Some(e) => Self::from(e),
                    None => Self::input(e.words()),
                }
            }
        }
    )*};
}

from_layer!(
    ModelError {} of_model;
    SaeError {} of_sae;
    HarvestError { Model, Sae } of_harvest;
    EvalError { Model, Sae, Harvest } |_| None;
    ExplainError { Model, Sae, Harvest, Eval } |_| None;
    CausalError { Model, Sae, Harvest, Eval, Explain } |_| None;
);

impl From<DataError> for Problem {
    fn from(e: DataError) -> Self {
        Self::input(of_data(&e).unwrap_or_else(|| e.to_string()))
    }
}

fn of_model(e: &ModelError) -> Option<String> {
    Some(match e {
        ModelError::UnknownHook { name, near } => {
            format!("no hook point is called '{name}'; near: {near}")
        }
        ModelError::HookLayer {
            point,
            layers,
            last,
        } => format!("{point}: the model has {layers} layers, 0 to {last}"),
        _ => return None,
    })
}

fn of_sae(e: &SaeError) -> Option<String> {
    Some(match e {
        SaeError::Option { option, value, why } => match *option {
            "--features" => format!("the number of features is {value}: {why}"),
            "--batch" => {
                "steps or tokens per step are 0: training needs at least one step of a batch of one token"
                    .to_owned()
            }
            "--k" => format!("k is {value}: {why}"),
            _ => why.clone(),
        },
        SaeError::Diverged { step, loss } => format!(
            "training diverged at step {step}: the loss became {loss}. Train again with another seed, a smaller L1 coefficient or a larger batch"
        ),
        SaeError::Width { d_in, hook, width } => {
            format!("it reads {d_in} coordinates, but {hook} has {width}")
        }
        _ => return None,
    })
}

fn of_harvest(e: &HarvestError) -> Option<String> {
    match e {
        HarvestError::NoHook => Some(
            "its cfg.json does not say where in the model it was trained (hook_name is missing)"
                .to_owned(),
        ),
        HarvestError::Data(e) => of_data(e),
        _ => None,
    }
}

fn of_data(e: &DataError) -> Option<String> {
    Some(match e {
        DataError::InvalidUtf8 { name, offset } => {
            format!(
                "{name} is not a text in UTF-8 (byte {offset}). Save it as UTF-8 and give it again"
            )
        }
        DataError::NoEndToken { name, documents } => format!(
            "the tokenizer {name} has no token to put between the {documents} documents of this text. Give it as one document"
        ),
        DataError::TooFewTokens {
            name,
            tokens,
            context,
        } => format!("{name} is {tokens} tokens long, and at least {context} are needed"),
        _ => return None,
    })
}
