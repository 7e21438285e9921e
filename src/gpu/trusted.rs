//! The two calls of wgpu that are unsafe: shader modules without run-time checks, and the consent to
//! experimental features. Nothing else in `gpu` is unsafe.
#![allow(unsafe_code)]

use super::features::Extras;
use super::kernel::Kernel;

/// The shader module of a kernel. `unchecked` drops naga's clamping of indices and its bound on
/// loops, for kernels with a proof only.
pub(super) fn module(
    device: &wgpu::Device,
    kernel: &Kernel,
    unchecked: bool,
) -> wgpu::ShaderModule {
    let descriptor = wgpu::ShaderModuleDescriptor {
        label: Some(kernel.name),
        source: wgpu::ShaderSource::Wgsl(kernel.source_for(cfg!(target_arch = "wasm32")).into()),
    };
    if unchecked && kernel.proven.is_some() {
        // SAFETY: `Kernel::proven` says why no index leaves its binding, no loop is endless and no
        // divisor zero, given what the host side checks before it dispatches. The tests run the
        // whole table of cases with checks and without.
        return unsafe {
            device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked())
        };
    }
    device.create_shader_module(descriptor)
}

/// Consent to experimental features, where the device is opened with one.
pub(super) fn experimental(extras: Extras) -> wgpu::ExperimentalFeatures {
    if extras.cooperative16 || extras.cooperative8 {
        // SAFETY: the user asked for cooperative matrices (`GpuOptions::cooperative`), whose
        // documentation says that they are experimental in wgpu.
        return unsafe { wgpu::ExperimentalFeatures::enabled() };
    }
    wgpu::ExperimentalFeatures::disabled()
}
