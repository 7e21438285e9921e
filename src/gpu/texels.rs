//! Tensors as textures, for CPU rasterisers.
//!
//! llvmpipe loads a storage buffer lane by lane, with a bounds check for each: 4 to 8 cycles a value. A
//! texel of a storage texture is one 128-bit load and a share of a transpose: 1.6 cycles a value
//! (docs/performance.md). So there a kernel may read a tensor through `texture_storage_2d<rgba32float,
//! read>`, four values to a texel, [`TEXELS_ACROSS`] texels to a row: value i lies in texel i / 4 at
//! (i / 4 % 2048, i / 4 / 2048). The copy is made when a kernel binds the tensor so, kept with its
//! buffer, and made again after a write.

use std::sync::Arc;

use super::memory::Pool;

/// Texels in a row of the texture: 32 KiB.
pub const TEXELS_ACROSS: u32 = 2048;

/// Bytes of a row.
const ROW: u64 = 16 * TEXELS_ACROSS as u64;

/// A texture that returns to its pool when dropped.
pub(super) struct PooledTexture {
    /// `None` only while it is dropped.
    pub(super) texture: Option<wgpu::Texture>,
    pub(super) view: wgpu::TextureView,
    /// Unique among all buffers and textures of the pool, for the bind-group cache.
    pub(super) id: u64,
    pub(super) rows: u32,
    pub(super) pool: Arc<Pool>,
}

impl PooledTexture {
    pub(super) fn bytes(rows: u32) -> u64 {
        u64::from(rows) * ROW
    }
}

/// Rows of a texture for `bytes`: eight classes between two powers of two, as buffers have.
pub(super) fn rows_for(bytes: u64) -> u32 {
    let rows = bytes.div_ceil(ROW).max(1);
    let step = (rows.next_power_of_two() / 16).max(1);
    (rows.div_ceil(step) * step) as u32
}

pub(super) fn create(device: &wgpu::Device, rows: u32) -> (wgpu::Texture, wgpu::TextureView) {
    let texture = device.create_texture(&wgpu::TextureDescriptor {
        label: Some("texels"),
        size: wgpu::Extent3d {
            width: TEXELS_ACROSS,
            height: rows,
            depth_or_array_layers: 1,
        },
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format: wgpu::TextureFormat::Rgba32Float,
        usage: wgpu::TextureUsages::STORAGE_BINDING | wgpu::TextureUsages::COPY_DST,
        view_formats: &[],
    });
    let view = texture.create_view(&wgpu::TextureViewDescriptor::default());
    (texture, view)
}

/// Records the copy of `bytes` from the head of `buffer`: whole rows, then what is left of one.
pub(super) fn copy(
    encoder: &mut wgpu::CommandEncoder,
    buffer: &wgpu::Buffer,
    bytes: u64,
    texture: &wgpu::Texture,
) {
    let whole = (bytes / ROW) as u32;
    let left = (bytes % ROW).div_ceil(16) as u32;
    for (y, width, height) in [(0, TEXELS_ACROSS, whole), (whole, left, 1)] {
        if width == 0 || height == 0 {
            continue;
        }
        encoder.copy_buffer_to_texture(
            wgpu::TexelCopyBufferInfo {
                buffer,
                layout: wgpu::TexelCopyBufferLayout {
                    offset: u64::from(y) * ROW,
                    bytes_per_row: Some(ROW as u32),
                    rows_per_image: None,
                },
            },
            wgpu::TexelCopyTextureInfo {
                texture,
                mip_level: 0,
                origin: wgpu::Origin3d { x: 0, y, z: 0 },
                aspect: wgpu::TextureAspect::All,
            },
            wgpu::Extent3d {
                width,
                height,
                depth_or_array_layers: 1,
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_hold_the_bytes_and_waste_at_most_an_eighth() {
        for bytes in [1, ROW, ROW + 1, 17 * ROW, 100 * ROW - 5, 2304 * ROW] {
            let rows = u64::from(rows_for(bytes));
            assert!(rows * ROW >= bytes);
            assert!(rows as f64 <= bytes.div_ceil(ROW) as f64 * 1.125 + 1.0);
        }
    }
}
