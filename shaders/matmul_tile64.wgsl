// C[m, n] = alpha * sum_k A(m, k) * B(k, n) (+ bias[n]) (+ C[m, n])
//
// Tiles of 64 x 64 in workgroup memory, k in steps of 32; 16 x 16 lanes with 4 x 4 results each.
// Half of the lanes stage A, half stage B, a 4 x 4 block each: loaded along the contiguous axis, turned
// in registers, stored k-major as vec4s. Columns are permuted (xor) by k, so that neither storing nor
// loading has bank conflicts without padding. 16384 bytes of workgroup memory.
// Barriers are uniform: every lane of a group walks all of k.
// Layouts, batches, f16 weights: lib/matmul_blocks.wgsl. m_begin is a multiple of the tile.
// Deterministic: one lane sums over k in order, by fma; all variants for GPUs give the same bits.
// Tolerance against the f64 reference: 1e-5 * sqrt(k) relative to the sum of magnitudes.
var<workgroup> tile_a: array<vec4<f32>, 512>;
var<workgroup> tile_b: array<vec4<f32>, 512>;

@compute @workgroup_size(256, 1, 1)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let tile = tile_of(flat_group(wid, groups), 64u, 64u);
  if (tile.z == 0u) { return; }
  let base = bases(wid.z + p.z0);
  let ty = lane / 16u;
  let tx = lane % 16u;
  // The block that this lane stages.
  let e = lane % 128u;
  let of_a = lane < 128u;
  let along = select(b_along_n, a_along_m, of_a);
  let place = select(e / 8u, e % 16u, along);
  let step = select(e % 8u, e / 16u, along);
  let store = step * 64u + (place ^ (step * 1u));
  var c00_0 = vec4<f32>();
  var c01_0 = vec4<f32>();
  var c02_0 = vec4<f32>();
  var c03_0 = vec4<f32>();
  for (var k0 = 0u; k0 < p.k; k0 += 32u) {
    if (of_a) {
      let block = block_a(base.x, tile.x + 4u * place, k0 + 4u * step);
      tile_a[store + 0u] = block[0];
      tile_a[store + 16u] = block[1];
      tile_a[store + 32u] = block[2];
      tile_a[store + 48u] = block[3];
    } else {
      let block = block_b(base.y, tile.y + 4u * place, k0 + 4u * step);
      tile_b[store + 0u] = block[0];
      tile_b[store + 16u] = block[1];
      tile_b[store + 32u] = block[2];
      tile_b[store + 48u] = block[3];
    }
    workgroupBarrier();
    for (var s = 0u; s < 8u; s++) {
      let ra = s * 64u + (ty ^ (s * 1u));
      let rb = s * 64u + (tx ^ (s * 1u));
      {
        let x0 = tile_a[ra + 0u];
        let y0 = tile_b[rb + 0u];
        c00_0 = fma(vec4<f32>(x0.x), y0, c00_0);
        c01_0 = fma(vec4<f32>(x0.y), y0, c01_0);
        c02_0 = fma(vec4<f32>(x0.z), y0, c02_0);
        c03_0 = fma(vec4<f32>(x0.w), y0, c03_0);
      }
      {
        let x0 = tile_a[ra + 16u];
        let y0 = tile_b[rb + 16u];
        c00_0 = fma(vec4<f32>(x0.x), y0, c00_0);
        c01_0 = fma(vec4<f32>(x0.y), y0, c01_0);
        c02_0 = fma(vec4<f32>(x0.z), y0, c02_0);
        c03_0 = fma(vec4<f32>(x0.w), y0, c03_0);
      }
      {
        let x0 = tile_a[ra + 32u];
        let y0 = tile_b[rb + 32u];
        c00_0 = fma(vec4<f32>(x0.x), y0, c00_0);
        c01_0 = fma(vec4<f32>(x0.y), y0, c01_0);
        c02_0 = fma(vec4<f32>(x0.z), y0, c02_0);
        c03_0 = fma(vec4<f32>(x0.w), y0, c03_0);
      }
      {
        let x0 = tile_a[ra + 48u];
        let y0 = tile_b[rb + 48u];
        c00_0 = fma(vec4<f32>(x0.x), y0, c00_0);
        c01_0 = fma(vec4<f32>(x0.y), y0, c01_0);
        c02_0 = fma(vec4<f32>(x0.z), y0, c02_0);
        c03_0 = fma(vec4<f32>(x0.w), y0, c03_0);
      }
    }
    workgroupBarrier();
  }
  put(tile.x + 4u * ty + 0u, tile.y + 4u * tx + 0u, c00_0, base);
  put(tile.x + 4u * ty + 1u, tile.y + 4u * tx + 0u, c01_0, base);
  put(tile.x + 4u * ty + 2u, tile.y + 4u * tx + 0u, c02_0, base);
  put(tile.x + 4u * ty + 3u, tile.y + 4u * tx + 0u, c03_0, base);
}
