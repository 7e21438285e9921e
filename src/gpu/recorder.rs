//! Many dispatches in one compute pass, submitted in portions.
//!
//! A pass per dispatch cost other projects 2.65x; one submission for a whole step can trip a
//! watchdog. So one pass stays open and is submitted every [`PORTION`] dispatches, or when
//! somebody reads.

use std::collections::HashMap;

use std::sync::Arc;

use super::gate::{self, Gate, Gates};
use super::kernel::{Access, Pipeline, SLOT, WINDOW};
use super::tensor::Tensor;
use super::texels::{self, PooledTexture};
use super::timing::{TimeBy, Timing};

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
    /// What lets the dispatches that follow run, if not everything does.
    pub(super) gate: Option<Gate>,
    gates: Option<Gates>,
    /// A measurement that is going on.
    pub(super) timing: Option<Timing>,
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
            gate: None,
            gates: None,
            timing: None,
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
        (pipeline_id, pipeline, name): (usize, &Pipeline, &'static str),
        params: &[u8],
        tensors: &[(&Tensor, u64)],
        groups: [u32; 3],
    ) {
        if self
            .timing
            .as_ref()
            .is_some_and(|t| t.by() == TimeBy::Kernel)
        {
            self.rename(device, queue, name);
        }
        let textures: Vec<Option<Arc<PooledTexture>>> = tensors
            .iter()
            .zip(&pipeline.accesses)
            .map(|((tensor, _), access)| {
                (*access == Access::Texels).then(|| self.texels(device, tensor))
            })
            .collect();
        for ((tensor, _), access) in tensors.iter().zip(&pipeline.accesses) {
            if *access == Access::Write {
                tensor.buffer.touch();
            }
        }
        let slot = self.gate_groups(device, queue, groups);
        let offset = self.push(params);

        let key = (
            pipeline_id,
            tensors
                .iter()
                .zip(&textures)
                .map(|((t, at), texture)| match texture {
                    Some(texture) => [texture.id, 0, 0],
                    None => [t.buffer.id, *at, t.bytes()],
                })
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
            for (i, ((tensor, at), access)) in tensors.iter().zip(&pipeline.accesses).enumerate() {
                let resource = match &textures[i] {
                    Some(texture) => wgpu::BindingResource::TextureView(&texture.view),
                    None => wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                        buffer: tensor.buffer.raw(),
                        offset: *at,
                        size: match access {
                            Access::Window => wgpu::BufferSize::new(WINDOW),
                            // Whole vec4s, which buffers always hold. Not the pool's rounding, which
                            // may reach past the binding limit.
                            _ => wgpu::BufferSize::new(tensor.bytes().max(4).next_multiple_of(16)),
                        },
                    }),
                };
                entries.push(wgpu::BindGroupEntry {
                    binding: i as u32 + 1,
                    resource,
                });
            }
            *bound += 1;
            device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: None,
                layout: &pipeline.layout,
                entries: &entries,
            })
        });
        let group = group.clone();

        self.run(
            device,
            &pipeline.pipeline,
            &group,
            offset,
            |pass, gates| match (slot, gates) {
                (Some(slot), Some(gates)) => {
                    pass.dispatch_workgroups_indirect(&gates.groups, 16 * u64::from(slot));
                }
                _ => pass.dispatch_workgroups(groups[0], groups[1], groups[2]),
            },
        );
        if self.params.len() >= SLOT as usize * PORTION {
            self.submit(device, queue);
        }
    }

    /// Takes the next slot for a dispatch's parameters; gives its offset.
    fn push(&mut self, params: &[u8]) -> u32 {
        let offset = self.params.len();
        self.params.extend_from_slice(params);
        self.params.resize(offset + SLOT as usize, 0);
        offset as u32
    }

    fn run(
        &mut self,
        device: &wgpu::Device,
        pipeline: &wgpu::ComputePipeline,
        group: &wgpu::BindGroup,
        offset: u32,
        dispatch: impl FnOnce(&mut wgpu::ComputePass<'static>, Option<&Gates>),
    ) {
        if self.pass.is_none() {
            let encoder = self
                .encoder
                .get_or_insert_with(|| device.create_command_encoder(&Default::default()));
            let pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                label: None,
                timestamp_writes: self.timing.as_mut().and_then(Timing::begin),
            });
            self.pass = Some(pass.forget_lifetime());
        }
        if let Some(timing) = &mut self.timing {
            timing.count();
        }
        if let Some(pass) = &mut self.pass {
            pass.set_pipeline(pipeline);
            pass.set_bind_group(0, group, &[offset]);
            dispatch(pass, self.gates.as_ref());
        }
        self.dispatches += 1;
    }

    /// Where a gate is set: records the kernel that writes the groups of the dispatch after it, and gives
    /// the slot they lie in.
    fn gate_groups(
        &mut self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        groups: [u32; 3],
    ) -> Option<u32> {
        let gate = self.gate.clone()?;
        // Both in one submission: the next one begins with slot 0 again.
        if self.params.len() + 2 * SLOT as usize > SLOT as usize * PORTION {
            self.submit(device, queue);
        }
        let slot = (self.params.len() / SLOT as usize) as u32;
        let params = gate::Params::new(slot as usize, &gate, groups);
        let offset = self.push(bytemuck::bytes_of(&params));
        let gates = self.gates.get_or_insert_with(|| Gates::new(device));
        let pipeline = gates.pipeline.pipeline.clone();
        let group = gates.bind(device, &self.uniform, &gate.flag);
        self.run(device, &pipeline, &group, offset, |pass, _| {
            pass.dispatch_workgroups(1, 1, 1);
        });
        Some(slot)
    }

    /// The tensor's values as a texture; records the copy if they have changed since the last one.
    fn texels(&mut self, device: &wgpu::Device, tensor: &Tensor) -> Arc<PooledTexture> {
        let buffer = &tensor.buffer;
        buffer.texels(device, tensor.bytes(), |texture| {
            if let Some(to) = &texture.texture {
                self.pass = None;
                texels::copy(self.encoder(device), buffer.raw(), tensor.bytes(), to);
            }
        })
    }

    /// What follows belongs to `name`, if anything measures.
    pub(super) fn rename(
        &mut self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        name: &'static str,
    ) {
        let Some(timing) = &mut self.timing else {
            return;
        };
        let before = timing.name();
        if !timing.rename(name) {
            return;
        }
        self.pass = None;
        self.read_clock(device, queue, before);
    }

    /// Without timestamps: empties the queue and adds the time since the last call to `name`.
    pub(super) fn read_clock(
        &mut self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        name: &'static str,
    ) {
        if !self.timing.as_ref().is_some_and(Timing::needs_host) {
            return;
        }
        self.submit(device, queue);
        let _ = device.poll(wgpu::PollType::wait_indefinitely());
        if let Some(timing) = &mut self.timing {
            timing.lap(name);
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
        let Some(mut encoder) = self.encoder.take() else {
            return;
        };
        if let Some(timing) = &mut self.timing {
            timing.resolve(device, &mut encoder);
        }
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
