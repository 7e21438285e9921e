//! A kernel: a WGSL file, its bindings, and the pipelines made from it.
//!
//! Every kernel binds its parameters as a uniform at `@group(0) @binding(0)` and its tensors at
//! bindings 1, 2, ...: as storage, as [`WINDOW`]-sized uniform windows, or as texels. Which, and whether
//! it is written, is read off the WGSL text, so that it is written down once; a test compares that with
//! naga's reflection.

use super::features::Needs;

/// A kernel's name and text, made by [`crate::kernel!`].
pub struct Kernel {
    /// Its name; two kernels of one file differ in the library files that they use.
    pub name: &'static str,
    /// Name of the WGSL file.
    pub file: &'static str,
    /// The files of `shaders/lib/` that it uses, then its own.
    pub parts: &'static [&'static str],
    /// Every set of override constants in use; tests check all of them.
    pub variants: &'static [&'static [(&'static str, f64)]],
    /// What it uses that not every adapter has.
    pub needs: Needs,
    /// Why no index can leave its binding, no loop is endless and no divisor zero, if that is so by
    /// construction: such a kernel runs without run-time checks where
    /// [`super::GpuOptions::unchecked`] allows it. An index that comes out of a tensor is no proof.
    pub proven: Option<&'static str>,
}

impl Kernel {
    /// The whole WGSL text, as naga takes it.
    pub fn source(&self) -> String {
        self.source_for(false)
    }

    /// The whole WGSL text, with the `enable` lines that a browser wants or those that naga wants.
    pub fn source_for(&self, browser: bool) -> String {
        format!("{}{}", self.needs.enable(browser), self.parts.join("\n"))
    }

    /// How each tensor is bound, in order of binding.
    pub fn accesses(&self) -> Vec<Access> {
        let mut found: Vec<(u32, Access)> = Vec::new();
        for line in self.parts.iter().flat_map(|part| part.lines()) {
            let Some(rest) = line.trim_start().strip_prefix("@group(0) @binding(") else {
                continue;
            };
            let Some((number, rest)) = rest.split_once(')') else {
                continue;
            };
            let access = if rest.contains("var<uniform>") {
                Access::Window
            } else if rest.contains("texture_storage_2d<") {
                Access::Texels
            } else if rest.contains("read_write") {
                Access::Write
            } else {
                Access::Read
            };
            match number.parse() {
                Ok(0) | Err(_) => {}
                Ok(number) => found.push((number, access)),
            }
        }
        found.sort_unstable_by_key(|(number, _)| *number);
        found.into_iter().map(|(_, access)| access).collect()
    }
}

/// How a kernel sees a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Storage that is read.
    Read,
    /// Storage that is written.
    Write,
    /// [`WINDOW`] bytes of it as a uniform. CPU rasterisers load uniforms about twelve times as fast
    /// as storage (docs/performance.md).
    Window,
    /// All of it as a texture, four values to a texel ([`crate::gpu::TEXELS_ACROSS`] to a row); only
    /// for f32 tensors whose use the host side knows to lie within the texture.
    Texels,
}

/// Bytes of a uniform window: WebGPU's default limit on a uniform binding.
pub const WINDOW: u64 = 65_536;

/// Declares a kernel from `shaders/<name>.wgsl`, with the library files it uses.
///
/// `kernel!("softmax", lib: ["reduce"])`; then, where there is something to say, in this order:
/// `variants:` a list of constant sets, `needs:` a [`crate::gpu::Needs`], `proven:` a proof. `named:
/// "other"` before the library files names a second kernel made of the same file with others of these.
#[macro_export]
macro_rules! kernel {
    ($name:literal $(, lib: [$($lib:literal),*])? $(, variants: $variants:expr)?
        $(, needs: $needs:expr)? $(, proven: $proven:expr)?) => {
        $crate::kernel!($name, named: $name $(, lib: [$($lib),*])? $(, variants: $variants)?
            $(, needs: $needs)? $(, proven: $proven)?)
    };
    ($name:literal, named: $own:literal $(, lib: [$($lib:literal),*])?
        $(, variants: $variants:expr)? $(, needs: $needs:expr)? $(, proven: $proven:expr)?) => {
        $crate::gpu::Kernel {
            name: $own,
            file: $name,
            parts: &[
                $($(include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/lib/", $lib, ".wgsl")),)*)?
                include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $name, ".wgsl")),
            ],
            variants: $crate::kernel!(@variants $($variants)?),
            needs: $crate::kernel!(@needs $($needs)?),
            proven: $crate::kernel!(@proven $($proven)?),
        }
    };
    (@variants) => { &[&[]] };
    (@variants $variants:expr) => { $variants };
    (@needs) => { $crate::gpu::Needs::Nothing };
    (@needs $needs:expr) => { $needs };
    (@proven) => { None };
    (@proven $proven:expr) => { Some($proven) };
}

/// A pipeline and the layout of its one bind group.
pub(super) struct Pipeline {
    pub(super) pipeline: wgpu::ComputePipeline,
    pub(super) layout: wgpu::BindGroupLayout,
    pub(super) accesses: Vec<Access>,
}

/// Bytes of one parameter slot: the largest offset alignment WebGPU allows.
pub(super) const SLOT: u64 = 256;

pub(super) fn build(
    device: &wgpu::Device,
    kernel: &Kernel,
    constants: &[(&str, f64)],
    unchecked: bool,
) -> Pipeline {
    let module = super::trusted::module(device, kernel, unchecked);
    let entry = |binding: usize, ty, has_dynamic_offset| wgpu::BindGroupLayoutEntry {
        binding: binding as u32,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer {
            ty,
            has_dynamic_offset,
            min_binding_size: None,
        },
        count: None,
    };
    let texels = |binding: usize| wgpu::BindGroupLayoutEntry {
        binding: binding as u32,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::StorageTexture {
            access: wgpu::StorageTextureAccess::ReadOnly,
            format: wgpu::TextureFormat::Rgba32Float,
            view_dimension: wgpu::TextureViewDimension::D2,
        },
        count: None,
    };
    let mut entries = vec![entry(0, wgpu::BufferBindingType::Uniform, true)];
    for (i, access) in kernel.accesses().into_iter().enumerate() {
        let ty = match access {
            Access::Read => wgpu::BufferBindingType::Storage { read_only: true },
            Access::Write => wgpu::BufferBindingType::Storage { read_only: false },
            Access::Window => wgpu::BufferBindingType::Uniform,
            Access::Texels => {
                entries.push(texels(i + 1));
                continue;
            }
        };
        entries.push(entry(i + 1, ty, false));
    }
    let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: Some(kernel.name),
        entries: &entries,
    });
    let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: Some(kernel.name),
        bind_group_layouts: &[Some(&layout)],
        immediate_size: 0,
    });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(kernel.name),
        layout: Some(&pipeline_layout),
        module: &module,
        entry_point: Some("main"),
        compilation_options: wgpu::PipelineCompilationOptions {
            constants,
            // Every kernel writes its workgroup memory before it reads it.
            zero_initialize_workgroup_memory: false,
        },
        cache: None,
    });
    Pipeline {
        pipeline,
        layout,
        accesses: kernel.accesses(),
    }
}
