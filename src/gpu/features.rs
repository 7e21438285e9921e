//! What a kernel may need beyond WebGPU's defaults, and whether this device was opened with it.
//!
//! All of it is optional: a kernel with needs has a sibling without, and the host side chooses. With
//! [`GpuOptions::default_limits`] nothing is asked for.

use super::adapter::GpuOptions;

/// What a kernel uses that not every adapter has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Needs {
    /// WebGPU's defaults.
    #[default]
    Nothing,
    /// Subgroup shuffles, of any subgroup size.
    Subgroups,
    /// Subgroups that hold a workgroup of eight lanes, in control flow that only we know to be uniform: CPU
    /// rasterisers ([`super::Gpu::has_lanes`]), never a browser.
    Lanes,
    /// Cooperative matrices of 16 x 16, f16 inputs and f32 sums, in subgroups of 32.
    Cooperative16,
    /// Cooperative matrices of 8 x 8, f16 inputs and f32 sums, in subgroups of 32.
    Cooperative8,
}

impl Needs {
    /// The `enable` lines that go before the text. naga knows subgroups without one and rejects
    /// it; browsers require it.
    pub fn enable(self, browser: bool) -> &'static str {
        match self {
            Needs::Subgroups if browser => "enable subgroups;\n",
            Needs::Nothing | Needs::Subgroups | Needs::Lanes => "",
            Needs::Cooperative16 | Needs::Cooperative8 => {
                "enable f16;\nenable wgpu_cooperative_matrix;\n"
            }
        }
    }
}

/// What a device was opened with.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Extras {
    pub(super) subgroups: bool,
    pub(super) cooperative16: bool,
    pub(super) cooperative8: bool,
}

impl Extras {
    pub(super) fn has(self, needs: Needs) -> bool {
        match needs {
            Needs::Nothing => true,
            Needs::Subgroups | Needs::Lanes => self.subgroups,
            Needs::Cooperative16 => self.cooperative16,
            Needs::Cooperative8 => self.cooperative8,
        }
    }

    /// What there is on `adapter` and wanted by `options`.
    pub(super) fn of(adapter: &wgpu::Adapter, options: &GpuOptions) -> Self {
        let features = adapter.features();
        if options.default_limits {
            return Self::default();
        }
        let subgroups = features.contains(wgpu::Features::SUBGROUP);
        let matrices = wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX
            | wgpu::Features::SHADER_F16
            | wgpu::Features::SUBGROUP;
        let info = adapter.get_info();
        // The kernels count on four subgroups in 128 lanes. naga's HLSL writer has no such matrices.
        let usable = options.cooperative
            && features.contains(matrices)
            && info.backend != wgpu::Backend::Dx12
            && info.subgroup_min_size == 32
            && info.subgroup_max_size == 32;
        let listed = |size: u32| {
            usable
                && adapter.cooperative_matrix_properties().iter().any(|p| {
                    (p.m_size, p.n_size, p.k_size) == (size, size, size)
                        && p.ab_type == wgpu::CooperativeScalarType::F16
                        && p.cr_type == wgpu::CooperativeScalarType::F32
                })
        };
        Self {
            subgroups,
            cooperative16: listed(16),
            cooperative8: listed(8),
        }
    }

    pub(super) fn features(self) -> wgpu::Features {
        let mut features = wgpu::Features::empty();
        if self.subgroups {
            features |= wgpu::Features::SUBGROUP;
        }
        if self.cooperative16 || self.cooperative8 {
            features |=
                wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX | wgpu::Features::SHADER_F16;
        }
        features
    }
}
