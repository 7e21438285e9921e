//! Many dispatches in one compute pass, submitted in portions.
//!
//! A pass per dispatch cost other projects 2.65x; one submission for a whole step can trip a
//! watchdog. So one pass stays open and is submitted every [`PORTION`] dispatches, or when
//! somebody reads.

use std::collections::HashMap;

use super::kernel::{Access, Pipeline, SLOT, WINDOW};
use super::tensor::Tensor;

/// Dispatches per submission.
pub(super) const PORTION: usize = 64;

/// Bind groups kept for reuse; past this the cache is emptied, since each entry pins its buffers.
const CACHED_GROUPS: usize = 4096;

pub(super) struct Recorder {
    encoder: Option<wgpu::CommandEncoder>,
    pass: Option<wgpu::ComputePass<'static>>,
    /// Parameter slots of the dispatches recorded since the last submission. The whole buffer is
    /// written just before the submission that uses it, which the queue orders after the last one.
    params: Vec<u8>,
    uniform: wgpu::Buffer,
    groups: HashMap<(usize, Vec<[u64; 3]>), wgpu::BindGroup>,
    pub(super) dispatches: u64,
    pub(super) submissions: u64,
    /// Bind groups made so far: what the cache did not have.
    pub(super) bound: u64,
}

impl Recorder {
    pub(super) fn new(device: &wgpu::Device) -> Self {
        Self {
            encoder: None,
            pass: None,
            params: Vec::new(),
            uniform: device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("parameters"),
                size: SLOT * PORTION as u64,
                usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            }),
            groups: HashMap::new(),
            dispatches: 0,
            submissions: 0,
            bound: 0,
        }
    }

    fn encoder(&mut self, device: &wgpu::Device) -> &mut wgpu::CommandEncoder {
        self.encoder
            .get_or_insert_with(|| device.create_command_encoder(&Default::default()))
    }

    pub(super) fn dispatch(
        &mut self,
        (device, queue): (&wgpu::Device, &wgpu::Queue),
        (pipeline_id, pipeline): (usize, &Pipeline),
        params: &[u8],
        tensors: &[(&Tensor, u64)],
        groups: [u32; 3],
    ) {
        let offset = self.params.len() as u32;
        self.params.extend_from_slice(params);
        self.params.resize(offset as usize + SLOT as usize, 0);

        let key = (
            pipeline_id,
            tensors
                .iter()
                .map(|(t, at)| [t.buffer.id, *at, t.bytes()])
                .collect(),
        );
        if self.groups.len() >= CACHED_GROUPS {
            self.groups.clear();
        }
        let (uniform, bound) = (&self.uniform, &mut self.bound);
        let group = self.groups.entry(key).or_insert_with(|| {
            let mut entries = vec![wgpu::BindGroupEntry {
                binding: 0,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer: uniform,
                    offset: 0,
                    size: wgpu::BufferSize::new(SLOT),
                }),
            }];
            entries.extend(tensors.iter().zip(&pipeline.accesses).enumerate().map(
                |(i, ((tensor, at), access))| wgpu::BindGroupEntry {
                    binding: i as u32 + 1,
                    resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                        buffer: tensor.buffer.raw(),
                        offset: *at,
                        size: match access {
                            Access::Window => wgpu::BufferSize::new(WINDOW),
                            // The pool's rounding may reach past the binding limit.
                            _ => wgpu::BufferSize::new(tensor.bytes().max(4)),
                        },
                    }),
                },
            ));
            *bound += 1;
            device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: None,
                layout: &pipeline.layout,
                entries: &entries,
            })
        });
        let group = group.clone();

        if self.pass.is_none() {
            let pass = self
                .encoder(device)
                .begin_compute_pass(&Default::default())
                .forget_lifetime();
            self.pass = Some(pass);
        }
        if let Some(pass) = &mut self.pass {
            pass.set_pipeline(&pipeline.pipeline);
            pass.set_bind_group(0, &group, &[offset]);
            pass.dispatch_workgroups(groups[0], groups[1], groups[2]);
        }
        self.dispatches += 1;
        if self.params.len() >= SLOT as usize * PORTION {
            self.submit(device, queue);
        }
    }

    /// Records a copy, in order with the dispatches.
    pub(super) fn copy(
        &mut self,
        device: &wgpu::Device,
        from: (&wgpu::Buffer, u64),
        to: (&wgpu::Buffer, u64),
        bytes: u64,
    ) {
        self.pass = None;
        self.encoder(device)
            .copy_buffer_to_buffer(from.0, from.1, to.0, to.1, bytes);
    }

    pub(super) fn clear(&mut self, device: &wgpu::Device, buffer: &wgpu::Buffer) {
        self.pass = None;
        self.encoder(device).clear_buffer(buffer, 0, None);
    }

    /// Submits what is recorded; does nothing if nothing is.
    pub(super) fn submit(&mut self, device: &wgpu::Device, queue: &wgpu::Queue) {
        self.pass = None;
        let Some(encoder) = self.encoder.take() else {
            return;
        };
        if !self.params.is_empty() {
            queue.write_buffer(&self.uniform, 0, &self.params);
            self.params.clear();
        }
        queue.submit([encoder.finish()]);
        self.submissions += 1;
        // Frees what finished submissions held; without it native memory grows (wgpu #5113).
        // An error here surfaces at the next readback.
        let _ = device.poll(wgpu::PollType::Poll);
    }

    pub(super) fn forget_groups(&mut self) {
        self.groups.clear();
    }
}
