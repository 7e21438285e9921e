//! Which adapter runs the work: discrete before integrated before software, or the one named.

use super::error::{GpuError, Result};

/// How to open a [`super::Gpu`].
#[derive(Clone, Debug, Default)]
pub struct GpuOptions {
    /// Part of an adapter's name, case ignored. `None`: the best one (`MOSAEC_ADAPTER` is read by
    /// the command line, not here).
    pub adapter: Option<String>,
    /// Ask for WebGPU's default limits only, whatever the adapter could give. Tests use it.
    pub default_limits: bool,
    /// wgpu's back end that validates everything and executes nothing. Tests use it.
    pub noop: bool,
    /// Fill every new tensor with noise (NaN and large numbers), so that a kernel which reads what
    /// nobody wrote is found out. Tests use it.
    pub noise: bool,
    /// Ask for timestamp queries where the adapter has them, so that [`super::Gpu::start_time`]
    /// measures without waiting.
    pub timestamps: bool,
    /// Leave out naga's run-time checks in kernels that are proven not to need them
    /// ([`super::Kernel::proven`]). Proofs rest on what the functions of `ops` check: nothing else
    /// should dispatch such a kernel then.
    pub unchecked: bool,
    /// Use cooperative matrices (f16 inputs, f32 sums) for products that allow it, where the adapter
    /// has them. An experimental feature of wgpu.
    pub cooperative: bool,
    /// Hold a language model's matrices as f16, with sums in f32: half the memory and bandwidth, and
    /// weights rounded to 11 bits.
    pub half_weights: bool,
    /// Whether variants of a kernel are measured against each other at first use.
    pub tune: Tune,
    /// Where measured choices are kept; `None`: in the user's cache folder ([`super::cache_dir`]).
    pub cache: Option<std::path::PathBuf>,
}

/// Whether to choose between variants of a kernel by measuring. Every candidate gives the same
/// bits, so that this changes times only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tune {
    /// By size rules.
    #[default]
    Off,
    /// By measuring, except on CPU rasterisers, which have kernels of their own.
    Gpus,
    /// Treat a CPU rasteriser as a GPU too. Tests use it.
    Always,
}

/// An adapter as `mosaec adapters` lists it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct AdapterDescription {
    /// Name the driver gives.
    pub name: String,
    /// `Vulkan`, `Metal`, `DX12` or `WebGPU`.
    pub backend: String,
    /// `discrete`, `integrated`, `software`, `virtual` or `other`.
    pub kind: String,
    /// Driver and its version.
    pub driver: String,
    /// Largest buffer, bytes.
    pub max_buffer: u64,
    /// Largest piece of a buffer that one kernel can see, bytes.
    pub max_binding: u64,
    /// f16 arithmetic in shaders.
    pub shader_f16: bool,
    /// Subgroup operations.
    pub subgroups: bool,
    /// Timestamp queries.
    pub timestamps: bool,
}

impl AdapterDescription {
    pub(super) fn new(adapter: &wgpu::Adapter) -> Self {
        let info = adapter.get_info();
        let limits = adapter.limits();
        let features = adapter.features();
        Self {
            // A browser gives no name (wgpu #8819).
            name: if info.name.is_empty() {
                "the browser's GPU".to_owned()
            } else {
                info.name.clone()
            },
            backend: match info.backend {
                wgpu::Backend::Vulkan => "Vulkan",
                wgpu::Backend::Metal => "Metal",
                wgpu::Backend::Dx12 => "DX12",
                wgpu::Backend::BrowserWebGpu => "WebGPU",
                wgpu::Backend::Noop => "noop",
                wgpu::Backend::Gl => "GL",
            }
            .to_owned(),
            kind: kind_name(info.device_type).to_owned(),
            driver: format!("{} {}", info.driver, info.driver_info)
                .trim()
                .to_owned(),
            max_buffer: limits.max_buffer_size,
            max_binding: limits.max_storage_buffer_binding_size,
            shader_f16: features.contains(wgpu::Features::SHADER_F16),
            subgroups: features.contains(wgpu::Features::SUBGROUP),
            timestamps: features.contains(wgpu::Features::TIMESTAMP_QUERY),
        }
    }

    /// The line that every command prints first.
    pub fn line(&self) -> String {
        if self.kind == "software" {
            format!("adapter: {} (software: expect it to be slow)", self.name)
        } else {
            format!("adapter: {} ({}, {})", self.name, self.backend, self.kind)
        }
    }
}

fn kind_name(kind: wgpu::DeviceType) -> &'static str {
    match kind {
        wgpu::DeviceType::DiscreteGpu => "discrete",
        wgpu::DeviceType::IntegratedGpu => "integrated",
        wgpu::DeviceType::VirtualGpu => "virtual",
        wgpu::DeviceType::Cpu => "software",
        wgpu::DeviceType::Other => "other",
    }
}

fn rank(kind: wgpu::DeviceType) -> u8 {
    match kind {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    }
}

fn instance(noop: bool) -> wgpu::Instance {
    let mut desc = wgpu::InstanceDescriptor::new_without_display_handle();
    desc.flags = wgpu::InstanceFlags::empty();
    if noop {
        desc.backends = wgpu::Backends::NOOP;
        desc.backend_options.noop = wgpu::NoopBackendOptions::enabled();
    } else {
        desc.backends = wgpu::Backends::VULKAN
            | wgpu::Backends::METAL
            | wgpu::Backends::DX12
            | wgpu::Backends::BROWSER_WEBGPU;
    }
    wgpu::Instance::new(desc)
}

async fn all(noop: bool) -> Vec<wgpu::Adapter> {
    let backends = if noop {
        wgpu::Backends::NOOP
    } else {
        wgpu::Backends::all()
    };
    let mut adapters = instance(noop).enumerate_adapters(backends).await;
    // Stable: the driver's own order decides between equals.
    adapters.sort_by_key(|a| rank(a.get_info().device_type));
    adapters
}

/// All adapters of this machine, best first.
pub async fn list() -> Vec<AdapterDescription> {
    all(false)
        .await
        .iter()
        .map(AdapterDescription::new)
        .collect()
}

pub(super) async fn choose(options: &GpuOptions) -> Result<wgpu::Adapter> {
    let adapters = all(options.noop).await;
    let Some(wanted) = options.adapter.as_deref() else {
        return adapters.into_iter().next().ok_or(GpuError::NoAdapter);
    };
    let needle = wanted.to_lowercase();
    let names: Vec<String> = adapters.iter().map(|a| a.get_info().name).collect();
    adapters
        .into_iter()
        .find(|a| a.get_info().name.to_lowercase().contains(&needle))
        .ok_or_else(|| GpuError::NoSuchAdapter {
            wanted: wanted.to_owned(),
            available: if names.is_empty() {
                "none".to_owned()
            } else {
                names.join(", ")
            },
        })
}
