//! Pooled GPU memory: buffers come in size classes and are handed out again, and every byte is
//! accounted for.
//!
//! A buffer may be reused while recorded work still reads it: the queue runs commands in the order
//! they were recorded. Only uploads would overtake, and they flush the recorder first.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;

use super::error::{GpuError, Result};
use super::texels::{self, PooledTexture};

/// The account: what tensors hold now, the most they ever held, and what the pool holds in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct MemoryAccount {
    /// Bytes of live tensors, rounded to size classes.
    pub in_use: u64,
    /// The largest `in_use` so far.
    pub peak: u64,
    /// Bytes taken from the driver, free buffers included.
    pub held: u64,
}

#[derive(Default)]
struct Shelves {
    /// By size class, then by id. The lowest id is taken first: work that is repeated (the next token,
    /// the next step) then gets the same buffers again, and with them its bind groups.
    free: HashMap<u64, BTreeMap<u64, wgpu::Buffer>>,
    free_textures: HashMap<u32, BTreeMap<u64, (wgpu::Texture, wgpu::TextureView)>>,
    account: MemoryAccount,
    next_id: u64,
}

/// Free buffers by size class.
#[derive(Default)]
pub(super) struct Pool {
    shelves: Mutex<Shelves>,
}

/// A buffer that returns to its pool when dropped.
pub(super) struct PooledBuffer {
    pub(super) buffer: Option<wgpu::Buffer>,
    /// Unique among all buffers of this pool, for the bind-group cache.
    pub(super) id: u64,
    size: u64,
    pool: Arc<Pool>,
    /// Grows with every write that is recorded.
    version: AtomicU64,
    /// The texture that holds what the buffer held at a version.
    texels: Mutex<Option<(u64, Arc<PooledTexture>)>>,
}

/// Eight classes between two powers of two: at most an eighth is wasted; of large buffers, which make up
/// the peak, at most a thirty-second.
pub(super) fn size_class(bytes: u64) -> u64 {
    let bytes = bytes.max(256);
    let share = if bytes > 1 << 20 { 64 } else { 16 };
    let step = (bytes.next_power_of_two() / share).max(256);
    bytes.div_ceil(step) * step
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, Shelves> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn account(&self) -> MemoryAccount {
        self.lock().account
    }

    pub(super) fn reset_peak(&self) {
        let account = &mut self.lock().account;
        account.peak = account.in_use;
    }

    /// Gives all free buffers back to the driver.
    pub(super) fn trim(&self) {
        let mut shelves = self.lock();
        let freed: u64 = shelves
            .free
            .iter()
            .map(|(size, list)| size * list.len() as u64)
            .sum();
        for (_, buffer) in shelves.free.drain().flat_map(|(_, list)| list) {
            buffer.destroy();
        }
        let mut textures = 0;
        for (rows, list) in shelves.free_textures.drain() {
            for (_, (texture, _)) in list {
                texture.destroy();
                textures += PooledTexture::bytes(rows);
            }
        }
        shelves.account.held -= freed + textures;
    }

    pub(super) fn take(
        self: &Arc<Self>,
        device: &wgpu::Device,
        bytes: u64,
        what: &str,
    ) -> Result<PooledBuffer> {
        let size = size_class(bytes);
        let reused = self
            .lock()
            .free
            .get_mut(&size)
            .and_then(BTreeMap::pop_first);
        let (id, buffer) = match reused {
            Some(found) => found,
            None => {
                let buffer = create(device, size, what, self.account().in_use)?;
                let mut shelves = self.lock();
                shelves.account.held += size;
                shelves.next_id += 1;
                (shelves.next_id, buffer)
            }
        };
        let account = &mut self.lock().account;
        account.in_use += size;
        account.peak = account.peak.max(account.in_use);
        Ok(PooledBuffer {
            buffer: Some(buffer),
            id,
            size,
            pool: self.clone(),
            version: AtomicU64::new(0),
            texels: Mutex::new(None),
        })
    }

    fn take_texture(self: &Arc<Self>, device: &wgpu::Device, rows: u32) -> PooledTexture {
        let reused = self
            .lock()
            .free_textures
            .get_mut(&rows)
            .and_then(BTreeMap::pop_first);
        let (id, (texture, view)) = reused.unwrap_or_else(|| {
            let (texture, view) = texels::create(device, rows);
            let mut shelves = self.lock();
            shelves.account.held += PooledTexture::bytes(rows);
            shelves.next_id += 1;
            (shelves.next_id, (texture, view))
        });
        let account = &mut self.lock().account;
        account.in_use += PooledTexture::bytes(rows);
        account.peak = account.peak.max(account.in_use);
        PooledTexture {
            texture: Some(texture),
            view,
            id,
            rows,
            pool: self.clone(),
        }
    }

    pub(super) fn give_texture(&self, texture: &mut PooledTexture) {
        let mut shelves = self.lock();
        shelves.account.in_use -= PooledTexture::bytes(texture.rows);
        if let Some(raw) = texture.texture.take() {
            shelves
                .free_textures
                .entry(texture.rows)
                .or_default()
                .insert(texture.id, (raw, texture.view.clone()));
        }
    }
}

impl Drop for PooledTexture {
    fn drop(&mut self) {
        self.pool.clone().give_texture(self);
    }
}

fn create(device: &wgpu::Device, size: u64, what: &str, in_use: u64) -> Result<wgpu::Buffer> {
    let scope = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
    let buffer = device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size,
        usage: wgpu::BufferUsages::STORAGE
            | wgpu::BufferUsages::UNIFORM
            | wgpu::BufferUsages::COPY_SRC
            | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    // Native drivers answer at once. In a browser the answer comes later and reaches the
    // uncaptured-error handler's flag, which readback checks.
    match scope.pop().now_or_never() {
        Some(Some(_)) => Err(GpuError::OutOfMemory {
            what: what.to_owned(),
            asked: size,
            in_use,
        }),
        _ => Ok(buffer),
    }
}

impl PooledBuffer {
    /// Says that a write has been recorded.
    pub(super) fn touch(&self) {
        self.version.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn forget_texels(&self) {
        *self.texels.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The first `bytes` as a texture, filled by `copy` unless nothing was written since the last time.
    pub(super) fn texels(
        &self,
        device: &wgpu::Device,
        bytes: u64,
        copy: impl FnOnce(&PooledTexture),
    ) -> Arc<PooledTexture> {
        let version = self.version.load(Ordering::Relaxed);
        let mut kept = self.texels.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = texels::rows_for(bytes);
        if let Some((of, texture)) = &*kept
            && *of == version
            && texture.rows == rows
        {
            return texture.clone();
        }
        // One of the right size is filled anew.
        let texture = match kept.take() {
            Some((_, texture)) if texture.rows == rows => texture,
            _ => Arc::new(self.pool.take_texture(device, rows)),
        };
        copy(&texture);
        *kept = Some((version, texture.clone()));
        texture
    }

    pub(super) fn raw(&self) -> &wgpu::Buffer {
        match &self.buffer {
            Some(buffer) => buffer,
            None => unreachable!("a pooled buffer loses its buffer only in drop"),
        }
    }
}

impl Drop for PooledBuffer {
    fn drop(&mut self) {
        let mut shelves = self.pool.lock();
        shelves.account.in_use -= self.size;
        if let Some(buffer) = self.buffer.take() {
            shelves
                .free
                .entry(self.size)
                .or_default()
                .insert(self.id, buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_classes_waste_at_most_an_eighth() {
        for bytes in [
            1,
            255,
            256,
            257,
            4096,
            5000,
            1 << 20,
            (1 << 27) - 3,
            1 << 27,
        ] {
            let class = size_class(bytes);
            assert!(class >= bytes && class.is_multiple_of(256));
            assert!(
                bytes < 4096 || class as f64 <= bytes as f64 * 1.125,
                "{bytes} -> {class}"
            );
        }
        assert_eq!(size_class(1 << 27), 1 << 27);
    }
}
