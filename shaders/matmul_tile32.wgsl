// C[m, n] = alpha * sum_k A(m, k) * B(k, n) (+ bias[n]) (+ C[m, n])
//
// Tiles of 32 x 32 in workgroup memory, k in steps of 16; 8 x 8 lanes with 4 x 4 results each.
// Half of the lanes stage A, half stage B, a 4 x 4 block each: loaded along the contiguous axis, turned
// in registers, stored k-major as vec4s. Columns are permuted (xor) by k, so that neither storing nor
// loading has bank conflicts without padding. 4096 bytes of workgroup memory.
// Barriers are uniform: every lane of a group walks all of k.
// Layouts, batches, f16 weights: lib/matmul_blocks.wgsl. m_begin is a multiple of the tile.
// Deterministic: one lane sums over k in order, by fma; all variants for GPUs give the same bits.
// Tolerance against the f64 reference: 1e-5 * sqrt(k) relative to the sum of magnitudes.
var<workgroup> tile_a: array<vec4<f32>, 128>;
var<workgroup> tile_b: array<vec4<f32>, 128>;

@compute @workgroup_size(64, 1, 1)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let tile = tile_of(flat_group(wid, groups), 32u, 32u);
  if (tile.z == 0u) { return; }
  let base = bases(wid.z + p.z0);
  let ty = lane / 8u;
  let tx = lane % 8u;
  // The block that this lane stages.
  let e = lane % 32u;
  let of_a = lane < 32u;
  let along = select(b_along_n, a_along_m, of_a);
  let place = select(e / 4u, e % 8u, along);
  let step = select(e % 4u, e / 8u, along);
  let store = step * 32u + (place ^ (step * 2u));
  var c00_0 = vec4<f32>();
  var c01_0 = vec4<f32>();
  var c02_0 = vec4<f32>();
  var c03_0 = vec4<f32>();
  for (var k0 = 0u; k0 < p.k; k0 += 16u) {
    if (of_a) {
      let block = block_a(base.x, tile.x + 4u * place, k0 + 4u * step);
      tile_a[store + 0u] = block[0];
      tile_a[store + 8u] = block[1];
      tile_a[store + 16u] = block[2];
      tile_a[store + 24u] = block[3];
    } else {
      let block = block_b(base.y, tile.y + 4u * place, k0 + 4u * step);
      tile_b[store + 0u] = block[0];
      tile_b[store + 8u] = block[1];
      tile_b[store + 16u] = block[2];
      tile_b[store + 24u] = block[3];
    }
    workgroupBarrier();
    for (var s = 0u; s < 4u; s++) {
      let ra = s * 32u + (ty ^ (s * 2u));
      let rb = s * 32u + (tx ^ (s * 2u));
      {
        let x0 = tile_a[ra + 0u];
        let y0 = tile_b[rb + 0u];
        c00_0 = fma(vec4<f32>(x0.x), y0, c00_0);
        c01_0 = fma(vec4<f32>(x0.y), y0, c01_0);
        c02_0 = fma(vec4<f32>(x0.z), y0, c02_0);
        c03_0 = fma(vec4<f32>(x0.w), y0, c03_0);
      }
      {
        let x0 = tile_a[ra + 8u];
        let y0 = tile_b[rb + 8u];
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
        let x0 = tile_a[ra + 24u];
        let y0 = tile_b[rb + 24u];
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
