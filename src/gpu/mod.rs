//! The only code that speaks wgpu: adapter, device, tensors, kernels, recording, readback, memory.

pub mod adapter;
mod choices;
mod error;
mod features;
mod gate;
mod half;
mod kernel;
mod memory;
mod recorder;
mod tensor;
mod texels;
mod timing;
mod transfer;
mod trusted;
mod tuning;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytemuck::Pod;

pub use adapter::{AdapterDescription, GpuOptions, Tune};
pub use choices::{Choice, cache_dir};
pub use error::{GpuError, Result};
pub use features::Needs;
pub use gate::{Gate, KERNEL as GATE_GROUPS};
pub use kernel::{Access, Kernel, WINDOW};
pub use memory::MemoryAccount;
pub use tensor::{DType, Tensor};
pub use texels::TEXELS_ACROSS;
pub use timing::{Span, TimeBy};

use choices::Choices;
use features::Extras;
use kernel::Pipeline;
use memory::Pool;
use recorder::Recorder;
use timing::Timing;

type PipelineKey = (&'static str, Vec<(&'static str, u64)>);

struct Pipelines {
    by_key: HashMap<PipelineKey, (usize, Arc<Pipeline>)>,
}

struct Inner {
    device: wgpu::Device,
    queue: wgpu::Queue,
    description: AdapterDescription,
    limits: wgpu::Limits,
    /// Software adapter with subgroups of at least eight lanes.
    lanes: bool,
    noise: bool,
    unchecked: bool,
    half_weights: bool,
    extras: Extras,
    tune: Tune,
    /// What was measured, where measuring is wanted.
    choices: Option<Mutex<Choices>>,
    pool: Arc<Pool>,
    pipelines: Mutex<Pipelines>,
    recorder: Mutex<Recorder>,
    /// Buffers for readback that are not in use, the last ones used: (bytes, buffer).
    staging: Mutex<Vec<(u64, wgpu::Buffer)>>,
    /// The first thing that went wrong asynchronously: device loss, a validation error, memory.
    failure: Arc<Mutex<Option<GpuError>>>,
}

/// A device with everything that belongs to it. Cheap to clone; all clones record into one queue.
#[derive(Clone)]
pub struct Gpu(Arc<Inner>);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Gpu {
    /// Opens the adapter that `options` name, or the best one.
    ///
    /// # Errors
    /// No adapter, no adapter of that name, or a driver that gives no device.
    pub async fn open(options: &GpuOptions) -> Result<Gpu> {
        let adapter = adapter::choose(options).await?;
        let description = AdapterDescription::new(&adapter);
        let mut limits = wgpu::Limits::default();
        if !options.default_limits {
            // Only what is used is raised: the portable path keeps WebGPU's compute limits.
            let have = adapter.limits();
            limits.max_buffer_size = have.max_buffer_size;
            limits.max_storage_buffer_binding_size = have.max_storage_buffer_binding_size;
        }
        let extras = Extras::of(&adapter, options);
        let mut features = extras.features();
        if options.timestamps {
            features |= adapter.features() & wgpu::Features::TIMESTAMP_QUERY;
        }
        let info = adapter.get_info();
        let lanes = info.device_type == wgpu::DeviceType::Cpu
            && extras.has(Needs::Subgroups)
            && info.subgroup_min_size >= 8;
        let (device, queue) = adapter
            .request_device(&wgpu::DeviceDescriptor {
                label: Some("mosaec"),
                required_features: features,
                required_limits: limits.clone(),
                experimental_features: trusted::experimental(extras),
                ..Default::default()
            })
            .await
            .map_err(|e| GpuError::NoDevice {
                adapter: description.name.clone(),
                reason: e.to_string(),
            })?;
        let failure: Arc<Mutex<Option<GpuError>>> = Arc::default();
        let flag = failure.clone();
        device.set_device_lost_callback(move |reason, message| {
            if reason != wgpu::DeviceLostReason::Destroyed || !message.is_empty() {
                lock(&flag).get_or_insert(GpuError::Lost(format!("{reason:?}: {message}")));
            }
        });
        let flag = failure.clone();
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            lock(&flag).get_or_insert(match error {
                wgpu::Error::OutOfMemory { .. } => GpuError::OutOfMemory {
                    what: "the driver".to_owned(),
                    asked: 0,
                    in_use: 0,
                },
                other => GpuError::Device(other.to_string().replace('\n', " ")),
            });
        }));
        let recorder = Recorder::new(&device);
        let tunes = match options.tune {
            Tune::Off => false,
            Tune::Gpus => description.kind != "software",
            Tune::Always => true,
        };
        let identity = format!(
            "{} | {} | {} | {}",
            description.name,
            description.backend,
            description.driver,
            if options.unchecked {
                "unchecked"
            } else {
                "checked"
            }
        );
        // A browser can neither wait for a measurement nor keep a file.
        let choices = (tunes && cfg!(not(target_arch = "wasm32")))
            .then(|| Mutex::new(Choices::open(options.cache.as_deref(), identity)));
        Ok(Gpu(Arc::new(Inner {
            device,
            queue,
            description,
            limits,
            lanes,
            noise: options.noise,
            unchecked: options.unchecked,
            half_weights: options.half_weights,
            extras,
            tune: options.tune,
            choices,
            pool: Arc::default(),
            pipelines: Mutex::new(Pipelines {
                by_key: HashMap::new(),
            }),
            recorder: Mutex::new(recorder),
            staging: Mutex::default(),
            failure,
        })))
    }

    /// The adapter this device runs on.
    pub fn description(&self) -> &AdapterDescription {
        &self.0.description
    }

    /// Whether the adapter is a CPU rasteriser, where kernels without workgroup memory win.
    pub fn is_software(&self) -> bool {
        self.0.description.kind == "software"
    }

    /// Whether kernels that read tensors as texels and shuffle among eight lanes run here: a CPU
    /// rasteriser with subgroups. Browsers offer none through wgpu.
    pub fn has_lanes(&self) -> bool {
        self.0.lanes
    }

    /// Whether all of `tensor` fits into one texture.
    pub fn fits_texels(&self, tensor: &Tensor) -> bool {
        texels::rows_for(tensor.bytes()) <= self.0.limits.max_texture_dimension_2d
    }

    /// Gives back the texture of a tensor that no kernel will read as texels for a while.
    pub fn forget_texels(&self, tensor: &Tensor) {
        tensor.buffer.forget_texels();
    }

    /// Largest tensor that one kernel can see, in bytes.
    pub fn max_binding(&self) -> u64 {
        let limits = &self.0.limits;
        let limit = limits
            .max_storage_buffer_binding_size
            .min(limits.max_buffer_size);
        // Bindings are whole vec4s.
        limit & !15
    }

    /// Bytes in use, their peak, and what the pool holds.
    pub fn memory(&self) -> MemoryAccount {
        self.0.pool.account()
    }

    /// Starts a new measurement of the peak.
    pub fn reset_peak(&self) {
        self.0.pool.reset_peak();
    }

    /// Dispatches and submissions so far.
    pub fn recorded(&self) -> (u64, u64) {
        let recorder = lock(&self.0.recorder);
        (recorder.dispatches, recorder.submissions)
    }

    /// Bind groups made so far. Work that is repeated on the same buffers makes none.
    pub fn bind_groups(&self) -> u64 {
        lock(&self.0.recorder).bound
    }

    /// The error that came up asynchronously, if any. Readback calls it; long loops may.
    ///
    /// # Errors
    /// Device lost, out of memory, or a driver's validation error.
    pub fn check(&self) -> Result<()> {
        match &*lock(&self.0.failure) {
            None => Ok(()),
            Some(GpuError::Lost(why)) => Err(GpuError::Lost(why.clone())),
            Some(GpuError::OutOfMemory { what, asked, .. }) => Err(GpuError::OutOfMemory {
                what: what.clone(),
                asked: *asked,
                in_use: self.memory().in_use,
            }),
            Some(GpuError::Device(what)) => Err(GpuError::Device(what.clone())),
            Some(other) => Err(GpuError::Device(other.to_string())),
        }
    }

    /// Checks that `bytes` fit into one binding before anything is allocated.
    ///
    /// # Errors
    /// [`GpuError::TooLarge`] with both numbers and `hint`.
    pub fn check_size(&self, what: &str, bytes: u64, hint: &'static str) -> Result<()> {
        let limit = self.max_binding();
        if bytes <= limit {
            return Ok(());
        }
        Err(GpuError::TooLarge {
            what: what.to_owned(),
            asked: bytes,
            limit,
            limit_name: "max_storage_buffer_binding_size",
            adapter: self.0.description.name.clone(),
            hint,
        })
    }

    /// Records one dispatch. `params` is the kernel's uniform struct; `tensors` are bound at 1, 2,
    /// ... in order; `groups` are workgroups per dimension. A dispatch without groups is skipped.
    ///
    /// # Errors
    /// A tensor that is written appears twice.
    pub fn dispatch<P: Pod>(
        &self,
        kernel: &'static Kernel,
        constants: &[(&'static str, f64)],
        params: &P,
        tensors: &[&Tensor],
        groups: [u32; 3],
    ) -> Result<()> {
        let at: Vec<(&Tensor, u64)> = tensors.iter().map(|t| (*t, 0)).collect();
        self.dispatch_at(kernel, constants, params, &at, groups)
    }

    /// As [`Gpu::dispatch`], each tensor from a byte offset on (a multiple of 256).
    ///
    /// # Errors
    /// As [`Gpu::dispatch`].
    pub fn dispatch_at<P: Pod>(
        &self,
        kernel: &'static Kernel,
        constants: &[(&'static str, f64)],
        params: &P,
        tensors: &[(&Tensor, u64)],
        groups: [u32; 3],
    ) -> Result<()> {
        if groups.contains(&0) {
            return Ok(());
        }
        let inner = &self.0;
        let (id, pipeline) = self.pipeline(kernel, constants);
        for (i, access) in pipeline.accesses.iter().enumerate() {
            let clash = tensors.iter().enumerate().any(|(j, (t, _))| {
                *access == Access::Write && j != i && t.same_buffer(tensors[i].0)
            });
            if clash {
                return Err(GpuError::Shape {
                    op: kernel.name,
                    name: "output",
                    found: tensors[i].0.shape().to_vec(),
                    expected: "memory of its own".to_owned(),
                });
            }
        }
        lock(&inner.recorder).dispatch(
            (&inner.device, &inner.queue),
            (id, &pipeline, kernel.name),
            bytemuck::bytes_of(params),
            tensors,
            groups,
        );
        Ok(())
    }

    /// Records what `work` dispatches so that the GPU runs it only if `gate` is open then. Clears, copies and
    /// textures of texels are made regardless. Gates do not nest: the inner one counts.
    pub fn gated<T>(&self, gate: Gate, work: impl FnOnce() -> T) -> T {
        let before = lock(&self.0.recorder).gate.replace(gate);
        let result = work();
        lock(&self.0.recorder).gate = before;
        result
    }

    /// Begins to keep the time, until [`Gpu::take_time`].
    pub fn start_time(&self, by: TimeBy) {
        let inner = &self.0;
        self.flush();
        // Without timestamps the clock must not start with old work in the queue.
        #[cfg(not(target_arch = "wasm32"))]
        let _ = inner.device.poll(wgpu::PollType::wait_indefinitely());
        lock(&inner.recorder).timing = Some(Timing::new(&inner.device, &inner.queue, by));
    }

    /// Names what is recorded from here on, for [`TimeBy::Phase`]; does nothing unless time is kept.
    pub fn phase(&self, name: &'static str) {
        let inner = &self.0;
        let mut recorder = lock(&inner.recorder);
        if recorder.timing.as_ref().map(Timing::by) == Some(TimeBy::Phase) {
            recorder.rename(&inner.device, &inner.queue, name);
        }
    }

    /// Waits for all work and gives the time kept since [`Gpu::start_time`], in order of first
    /// appearance; empty if none was.
    ///
    /// # Errors
    /// As [`Gpu::read`].
    pub async fn take_time(&self) -> Result<Vec<Span>> {
        let inner = &self.0;
        let timing = {
            let mut recorder = lock(&inner.recorder);
            recorder.submit(&inner.device, &inner.queue);
            if let Some(name) = recorder.timing.as_ref().map(Timing::name) {
                recorder.read_clock(&inner.device, &inner.queue, name);
            }
            recorder.timing.take()
        };
        self.check()?;
        match timing {
            Some(timing) => timing.finish(&inner.device).await,
            None => Ok(Vec::new()),
        }
    }

    fn pipeline(
        &self,
        kernel: &'static Kernel,
        constants: &[(&'static str, f64)],
    ) -> (usize, Arc<Pipeline>) {
        let key = (
            kernel.name,
            constants.iter().map(|(n, v)| (*n, v.to_bits())).collect(),
        );
        let mut pipelines = lock(&self.0.pipelines);
        let next = pipelines.by_key.len();
        pipelines
            .by_key
            .entry(key)
            .or_insert_with(|| {
                let built = kernel::build(&self.0.device, kernel, constants, self.0.unchecked);
                (next, Arc::new(built))
            })
            .clone()
    }

    /// Submits what is recorded. Nobody needs to call it for correctness; readback does.
    pub fn flush(&self) {
        lock(&self.0.recorder).submit(&self.0.device, &self.0.queue);
    }

    /// Destroys the device, as if a driver had: what is asked of it from now on fails with
    /// [`GpuError::Lost`]. Tests use it.
    pub fn destroy(&self) {
        lock(&self.0.failure).get_or_insert(GpuError::Lost("it was destroyed".to_owned()));
        self.0.device.destroy();
    }

    /// Gives free buffers back to the driver.
    pub fn trim(&self) {
        self.flush();
        lock(&self.0.recorder).forget_groups();
        self.0.pool.trim();
    }
}
