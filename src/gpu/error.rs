//! What can go wrong on the GPU, as values with the numbers in them.

use thiserror::Error;

/// Errors of the GPU layer and of the kernels above it. Every message is one line that names
/// what was asked, what there is, and the way out.
#[derive(Debug, Error)]
pub enum GpuError {
    #[error(
        "no Vulkan, Metal or DX12 adapter was found. Install a GPU driver, or the software one (Debian, Ubuntu: apt-get install mesa-vulkan-drivers)"
    )]
    NoAdapter,
    #[error("no adapter has '{wanted}' in its name; there are: {available}")]
    NoSuchAdapter { wanted: String, available: String },
    #[error("adapter {adapter} gave no device: {reason}")]
    NoDevice { adapter: String, reason: String },
    #[error(
        "{what} needs {asked} bytes in one piece, but {adapter} allows {limit} ({limit_name}). {hint}"
    )]
    TooLarge {
        what: String,
        asked: u64,
        limit: u64,
        limit_name: &'static str,
        adapter: String,
        hint: &'static str,
    },
    #[error(
        "out of GPU memory: {what} asked for {asked} bytes with {in_use} in use. Use fewer features, a smaller batch or a shorter context"
    )]
    OutOfMemory {
        what: String,
        asked: u64,
        in_use: u64,
    },
    #[error(
        "the GPU device was lost ({0}). Run the command again; a trained run goes on with --resume"
    )]
    Lost(String),
    #[error("the GPU driver reported an error: {0}")]
    Device(String),
    #[error("{op}: {name} has shape {found:?}, expected {expected}")]
    Shape {
        op: &'static str,
        name: &'static str,
        found: Vec<usize>,
        expected: String,
    },
    #[error("{op}: {name} holds {found:?}, expected {expected:?}")]
    Dtype {
        op: &'static str,
        name: &'static str,
        found: super::DType,
        expected: super::DType,
    },
}

/// Result of everything that touches the GPU.
pub type Result<T> = std::result::Result<T, GpuError>;
