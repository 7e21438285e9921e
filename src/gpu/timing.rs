//! Where time goes on the GPU: seconds by phase or by kernel, from timestamp queries.
//!
//! While it measures, the recorder begins a new pass wherever the name changes, and every pass writes
//! a timestamp at its begin and its end. Copies and clears stand between passes and are not counted.
//! Without timestamps (an adapter that has none, or [`super::GpuOptions::timestamps`] not asked for)
//! every change of name waits for the queue and reads the clock, which counts submissions too.

use super::error::{GpuError, Result};
use super::recorder::PORTION;

/// What is told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeBy {
    /// What [`super::Gpu::phase`] names.
    Phase,
    /// Kernels.
    Kernel,
}

/// Time of one phase or kernel.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Span {
    /// Of the phase or kernel.
    pub name: &'static str,
    /// In all.
    pub seconds: f64,
    /// How many dispatches took them.
    pub dispatches: u64,
}

/// Two timestamps a pass, at most one pass a dispatch.
const QUERIES: u32 = 2 * PORTION as u32;

/// Passes of one submission, with the buffer that will hold their timestamps.
struct Batch {
    spans: Vec<(&'static str, u64)>,
    buffer: wgpu::Buffer,
}

/// A point in time on the host. In a browser there is none, and nothing is measured without queries.
#[cfg(not(target_arch = "wasm32"))]
type HostTime = std::time::Instant;
#[cfg(target_arch = "wasm32")]
type HostTime = ();

#[cfg(not(target_arch = "wasm32"))]
fn now() -> HostTime {
    std::time::Instant::now()
}
#[cfg(target_arch = "wasm32")]
fn now() -> HostTime {}

enum Clock {
    /// With nanoseconds per tick.
    Queries(wgpu::QuerySet, f64),
    /// The host's, read once the queue is empty; when it was read last.
    Host(HostTime),
}

/// What the recorder knows of a measurement.
pub(super) struct Timing {
    by: TimeBy,
    clock: Clock,
    name: &'static str,
    /// Passes of the open submission: name, dispatches.
    open: Vec<(&'static str, u64)>,
    batches: Vec<Batch>,
    spans: Vec<Span>,
}

impl Timing {
    pub(super) fn new(device: &wgpu::Device, queue: &wgpu::Queue, by: TimeBy) -> Self {
        let queries = device.features().contains(wgpu::Features::TIMESTAMP_QUERY);
        let clock = if queries {
            let set = device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("timing"),
                ty: wgpu::QueryType::Timestamp,
                count: QUERIES,
            });
            Clock::Queries(set, f64::from(queue.get_timestamp_period()))
        } else {
            Clock::Host(now())
        };
        Self {
            by,
            clock,
            name: "other",
            open: Vec::new(),
            batches: Vec::new(),
            spans: Vec::new(),
        }
    }

    pub(super) fn by(&self) -> TimeBy {
        self.by
    }

    /// Whether the caller must empty the queue and call [`Timing::lap`] at every change of name.
    pub(super) fn needs_host(&self) -> bool {
        matches!(self.clock, Clock::Host(_))
    }

    /// Adds the host's time since the last lap to `name`.
    pub(super) fn lap(&mut self, name: &'static str) {
        if let Clock::Host(last) = &mut self.clock {
            let before = std::mem::replace(last, now());
            #[cfg(not(target_arch = "wasm32"))]
            self.add(name, before.elapsed().as_secs_f64(), 0);
            #[cfg(target_arch = "wasm32")]
            let _ = (before, name);
        }
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// From here on; gives whether it is another name than before.
    pub(super) fn rename(&mut self, name: &'static str) -> bool {
        std::mem::replace(&mut self.name, name) != name
    }

    /// The timestamps of a pass that begins now.
    pub(super) fn begin(&mut self) -> Option<wgpu::ComputePassTimestampWrites<'_>> {
        let Clock::Queries(set, _) = &self.clock else {
            return None;
        };
        let at = 2 * self.open.len() as u32;
        self.open.push((self.name, 0));
        Some(wgpu::ComputePassTimestampWrites {
            query_set: set,
            beginning_of_pass_write_index: Some(at),
            end_of_pass_write_index: Some(at + 1),
        })
    }

    /// One dispatch was recorded.
    pub(super) fn count(&mut self) {
        match self.open.last_mut() {
            Some((_, dispatches)) => *dispatches += 1,
            None => self.add(self.name, 0.0, 1),
        }
    }

    /// The open submission ends: its timestamps go where [`Timing::finish`] finds them.
    pub(super) fn resolve(&mut self, device: &wgpu::Device, encoder: &mut wgpu::CommandEncoder) {
        let Clock::Queries(set, _) = &self.clock else {
            return;
        };
        if self.open.is_empty() {
            return;
        }
        let queries = 2 * self.open.len() as u32;
        let buffer = |usage| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("timestamps"),
                size: 8 * u64::from(queries),
                usage,
                mapped_at_creation: false,
            })
        };
        let resolved = buffer(wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC);
        let readable = buffer(wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST);
        encoder.resolve_query_set(set, 0..queries, &resolved, 0);
        encoder.copy_buffer_to_buffer(&resolved, 0, &readable, 0, 8 * u64::from(queries));
        self.batches.push(Batch {
            spans: std::mem::take(&mut self.open),
            buffer: readable,
        });
    }

    /// Adds to a name's time.
    fn add(&mut self, name: &'static str, seconds: f64, dispatches: u64) {
        match self.spans.iter_mut().find(|s| s.name == name) {
            Some(span) => {
                span.seconds += seconds;
                span.dispatches += dispatches;
            }
            None => self.spans.push(Span {
                name,
                seconds,
                dispatches,
            }),
        }
    }

    /// All time by name, in order of first appearance. Everything must have been submitted.
    pub(super) async fn finish(mut self, device: &wgpu::Device) -> Result<Vec<Span>> {
        let Clock::Queries(_, period) = self.clock else {
            return Ok(self.spans);
        };
        for batch in std::mem::take(&mut self.batches) {
            let (send, receive) = futures::channel::oneshot::channel();
            batch
                .buffer
                .map_async(wgpu::MapMode::Read, .., move |result| {
                    // The receiver is gone only when the reader gave up.
                    let _ = send.send(result);
                });
            let _ = device.poll(wgpu::PollType::wait_indefinitely());
            let failed = |why: String| GpuError::Device(format!("timestamps: {why}"));
            match receive.await {
                Ok(Ok(())) => {}
                Ok(Err(e)) => return Err(failed(e.to_string())),
                Err(e) => return Err(failed(e.to_string())),
            }
            let view = batch.buffer.get_mapped_range(..);
            let view = view.map_err(|e| failed(e.to_string()))?;
            let ticks: Vec<u64> = bytemuck::pod_collect_to_vec(&view);
            for ((name, dispatches), at) in batch.spans.into_iter().zip(ticks.chunks_exact(2)) {
                let seconds = 1e-9 * period * at[1].saturating_sub(at[0]) as f64;
                self.add(name, seconds, dispatches);
            }
        }
        Ok(self.spans)
    }
}
