//! Dispatches that the GPU itself lets run or not, by a flag that it computed: nobody waits for it to come
//! back. A gated dispatch is an indirect one whose groups a small kernel writes just before.

use super::kernel::{self, Kernel, Pipeline, SLOT};
use super::recorder::PORTION;
use super::tensor::Tensor;
use crate::kernel;

/// The kernel; the head of its WGSL file is the contract.
pub static KERNEL: Kernel = kernel!("gate_groups", lib: []);

/// When work runs: if the first word of `flag` lies above `limit`, or if it does not.
#[derive(Clone, Debug)]
pub struct Gate {
    /// u32, of which the first word counts.
    pub flag: Tensor,
    /// What it is compared with.
    pub limit: u32,
    /// Run above the limit, else at or below it.
    pub above: bool,
}

/// Host twin of `Params` in the shader.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
pub(super) struct Params {
    slot: u32,
    limit: u32,
    above: u32,
    groups: [u32; 3],
}

impl Params {
    pub(super) fn new(slot: usize, gate: &Gate, groups: [u32; 3]) -> Self {
        Params {
            slot: slot as u32,
            limit: gate.limit,
            above: u32::from(gate.above),
            groups,
        }
    }
}

/// The pipeline and the buffer of arguments, one for each dispatch of a submission.
pub(super) struct Gates {
    pub(super) pipeline: Pipeline,
    pub(super) groups: wgpu::Buffer,
}

impl Gates {
    pub(super) fn new(device: &wgpu::Device) -> Self {
        Gates {
            pipeline: kernel::build(device, &KERNEL, &[], false),
            groups: device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("gated groups"),
                size: 16 * PORTION as u64,
                usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::INDIRECT,
                mapped_at_creation: false,
            }),
        }
    }

    pub(super) fn bind(
        &self,
        device: &wgpu::Device,
        uniform: &wgpu::Buffer,
        flag: &Tensor,
    ) -> wgpu::BindGroup {
        let whole = |buffer| {
            wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer,
                offset: 0,
                size: None,
            })
        };
        let entry = |binding, resource| wgpu::BindGroupEntry { binding, resource };
        device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &self.pipeline.layout,
            entries: &[
                entry(
                    0,
                    wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                        buffer: uniform,
                        offset: 0,
                        size: wgpu::BufferSize::new(SLOT),
                    }),
                ),
                entry(1, whole(flag.buffer.raw())),
                entry(2, whole(&self.groups)),
            ],
        })
    }
}
