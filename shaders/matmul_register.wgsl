// C[m, n] = alpha * sum_k A(m, k) * B(k, n) (+ bias[n]) (+ C[m, n])
//
// Direct loads: no workgroup memory and no barrier; 8 x 8 lanes with 8 x 4 results each, k in steps of
// four, a workgroup makes 64 x 32. For GPUs whose caches do what tiles would (Apple's).
// Layouts, batches, f16 weights: lib/matmul_blocks.wgsl. m_begin is a multiple of the tile.
// Deterministic: one lane sums over k in order, by fma; all variants for GPUs give the same bits.
// Tolerance against the f64 reference: 1e-5 * sqrt(k) relative to the sum of magnitudes.
@compute @workgroup_size(64, 1, 1)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let tile = tile_of(flat_group(wid, groups), 64u, 32u);
  if (tile.z == 0u) { return; }
  let base = bases(wid.z + p.z0);
  let m = tile.x + lane / 8u * 8u;
  let n = tile.y + lane % 8u * 4u;
  var c00_0 = vec4<f32>();
  var c01_0 = vec4<f32>();
  var c02_0 = vec4<f32>();
  var c03_0 = vec4<f32>();
  var c10_0 = vec4<f32>();
  var c11_0 = vec4<f32>();
  var c12_0 = vec4<f32>();
  var c13_0 = vec4<f32>();
  for (var k = 0u; k < p.k; k += 4u) {
    let x0 = block_a(base.x, m + 0u, k);
    let x1 = block_a(base.x, m + 4u, k);
    let y0 = block_b(base.y, n + 0u, k);
    c00_0 = fma(vec4<f32>(x0[0].x), y0[0], c00_0);
    c01_0 = fma(vec4<f32>(x0[0].y), y0[0], c01_0);
    c02_0 = fma(vec4<f32>(x0[0].z), y0[0], c02_0);
    c03_0 = fma(vec4<f32>(x0[0].w), y0[0], c03_0);
    c10_0 = fma(vec4<f32>(x1[0].x), y0[0], c10_0);
    c11_0 = fma(vec4<f32>(x1[0].y), y0[0], c11_0);
    c12_0 = fma(vec4<f32>(x1[0].z), y0[0], c12_0);
    c13_0 = fma(vec4<f32>(x1[0].w), y0[0], c13_0);
    c00_0 = fma(vec4<f32>(x0[1].x), y0[1], c00_0);
    c01_0 = fma(vec4<f32>(x0[1].y), y0[1], c01_0);
    c02_0 = fma(vec4<f32>(x0[1].z), y0[1], c02_0);
    c03_0 = fma(vec4<f32>(x0[1].w), y0[1], c03_0);
    c10_0 = fma(vec4<f32>(x1[1].x), y0[1], c10_0);
    c11_0 = fma(vec4<f32>(x1[1].y), y0[1], c11_0);
    c12_0 = fma(vec4<f32>(x1[1].z), y0[1], c12_0);
    c13_0 = fma(vec4<f32>(x1[1].w), y0[1], c13_0);
    c00_0 = fma(vec4<f32>(x0[2].x), y0[2], c00_0);
    c01_0 = fma(vec4<f32>(x0[2].y), y0[2], c01_0);
    c02_0 = fma(vec4<f32>(x0[2].z), y0[2], c02_0);
    c03_0 = fma(vec4<f32>(x0[2].w), y0[2], c03_0);
    c10_0 = fma(vec4<f32>(x1[2].x), y0[2], c10_0);
    c11_0 = fma(vec4<f32>(x1[2].y), y0[2], c11_0);
    c12_0 = fma(vec4<f32>(x1[2].z), y0[2], c12_0);
    c13_0 = fma(vec4<f32>(x1[2].w), y0[2], c13_0);
    c00_0 = fma(vec4<f32>(x0[3].x), y0[3], c00_0);
    c01_0 = fma(vec4<f32>(x0[3].y), y0[3], c01_0);
    c02_0 = fma(vec4<f32>(x0[3].z), y0[3], c02_0);
    c03_0 = fma(vec4<f32>(x0[3].w), y0[3], c03_0);
    c10_0 = fma(vec4<f32>(x1[3].x), y0[3], c10_0);
    c11_0 = fma(vec4<f32>(x1[3].y), y0[3], c11_0);
    c12_0 = fma(vec4<f32>(x1[3].z), y0[3], c12_0);
    c13_0 = fma(vec4<f32>(x1[3].w), y0[3], c13_0);
  }
  put(m + 0u, n + 0u, c00_0, base);
  put(m + 1u, n + 0u, c01_0, base);
  put(m + 2u, n + 0u, c02_0, base);
  put(m + 3u, n + 0u, c03_0, base);
  put(m + 4u, n + 0u, c10_0, base);
  put(m + 5u, n + 0u, c11_0, base);
  put(m + 6u, n + 0u, c12_0, base);
  put(m + 7u, n + 0u, c13_0, base);
}
