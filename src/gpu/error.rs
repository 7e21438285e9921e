//! What can go wrong on the GPU, as values with the numbers in them.

use thiserror::Error;

/// Errors of the GPU layer and of the kernels above it. Every message is one line that names
/// what was asked, what there is, and the way out.
#[derive(Debug, Error)]
pub enum GpuError {
    /// There is no adapter.
    #[error(
        "no Vulkan, Metal or DX12 adapter was found. Install a GPU driver, or the software one (Debian, Ubuntu: apt-get install mesa-vulkan-drivers)"
    )]
    NoAdapter,
    /// No adapter has that in its name.
    #[error("no adapter has '{wanted}' in its name; there are: {available}")]
    NoSuchAdapter {
        /// What was asked for.
        wanted: String,
        /// Names of the adapters there are.
        available: String,
    },
    /// The adapter gave no device.
    #[error("adapter {adapter} gave no device: {reason}")]
    NoDevice {
        /// Name of the adapter.
        adapter: String,
        /// What the driver said.
        reason: String,
    },
    /// Larger than the adapter allows in one piece; sizes in bytes.
    #[error(
        "{what} needs {asked} bytes in one piece, but {adapter} allows {limit} ({limit_name}). {hint}"
    )]
    TooLarge {
        /// What it was for.
        what: String,
        /// What was asked for.
        asked: u64,
        /// What the adapter allows.
        limit: u64,
        /// Name of the limit.
        limit_name: &'static str,
        /// Name of the adapter.
        adapter: String,
        /// What to change.
        hint: &'static str,
    },
    /// An allocation failed; sizes in bytes.
    #[error(
        "out of GPU memory: {what} asked for {asked} bytes with {in_use} in use. Use fewer features, a smaller batch or a shorter context"
    )]
    OutOfMemory {
        /// What it was for.
        what: String,
        /// What was asked for.
        asked: u64,
        /// Bytes in use.
        in_use: u64,
    },
    /// The device was lost; what the driver said.
    #[error(
        "the GPU device was lost ({0}). Run the command again; a trained run goes on with --resume"
    )]
    Lost(String),
    /// The driver reported an error.
    #[error("the GPU driver reported an error: {0}")]
    Device(String),
    /// A tensor of the wrong shape.
    #[error("{op}: {name} has shape {found:?}, expected {expected}")]
    Shape {
        /// The operation.
        op: &'static str,
        /// Name of the tensor.
        name: &'static str,
        /// What was found.
        found: Vec<usize>,
        /// What was expected.
        expected: String,
    },
    /// A tensor of the wrong type.
    #[error("{op}: {name} holds {found:?}, expected {expected:?}")]
    Dtype {
        /// The operation.
        op: &'static str,
        /// Name of the tensor.
        name: &'static str,
        /// What was found.
        found: super::DType,
        /// What was expected.
        expected: super::DType,
    },
}

/// Result of everything that touches the GPU.
pub type Result<T> = std::result::Result<T, GpuError>;
