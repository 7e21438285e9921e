// C[m, n] = alpha * sum_k A(m, k) * B(k, n) (+ bias[n]) (+ C[m, n]), operands as texels
//
// A: rows of a_row, B: rows of b_row, both contiguous in k.
// Offsets and strides of A, B in texels, of C and bias in vec4: so k or m, n and all strides are multiples
// of 4 floats. z = outer * inner_count + inner; B's inner index is divided by b_group.
// For CPU rasterisers with subgroups of at least eight lanes (Gpu::has_lanes): a texel is one 128-bit load
// there, a value of A is shuffled to all lanes (docs/performance.md). A workgroup holds 8 rows x 64
// columns, four columns to a lane. Deterministic: one lane sums over k in order.
// Out-of-range rows and columns are computed from whatever lies there and never written.
// Tolerance against the f64 reference: 1e-5 * sqrt(k) relative to the sum of magnitudes.
struct Params {
  m_begin: u32, m_end: u32, n: u32, k: u32,
  a_off: u32, a_row: u32, a_outer: u32, a_inner: u32,
  b_off: u32, b_row: u32, b_outer: u32, b_inner: u32,
  c_off: u32, c_row: u32, c_outer: u32, c_inner: u32,
  b_group: u32, inner_count: u32, z0: u32, bias_outer: u32,
  has_bias: u32, accumulate: u32, alpha: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var a: texture_storage_2d<rgba32float, read>;
@group(0) @binding(2) var b: texture_storage_2d<rgba32float, read>;
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> c: array<vec4<f32>>;

fn put(row: u32, col: u32, base: u32, bias_at: u32, sum: vec4<f32>) {
  if (row >= p.m_end || 4u * col >= p.n) { return; }
  var v = sum * p.alpha;
  if (p.has_bias != 0u) { v += bias[bias_at + col]; }
  let at = base + row * p.c_row + col;
  if (p.accumulate != 0u) { v += c[at]; }
  c[at] = v;
}

@compute @workgroup_size(8, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let z = wid.z + p.z0;
  let outer = z / p.inner_count;
  let inner = z % p.inner_count;
  let base_a = p.a_off + outer * p.a_outer + inner * p.a_inner;
  let base_b = p.b_off + outer * p.b_outer + (inner / p.b_group) * p.b_inner;
  let base_c = p.c_off + outer * p.c_outer + inner * p.c_inner;
  let m0 = p.m_begin + wid.y * 8u;
  // The first of this lane's columns, in vec4.
  let n0 = wid.x * 16u + lane;
  var c0_0 = vec4<f32>();
  var c0_1 = vec4<f32>();
  var c1_0 = vec4<f32>();
  var c1_1 = vec4<f32>();
  var c2_0 = vec4<f32>();
  var c2_1 = vec4<f32>();
  var c3_0 = vec4<f32>();
  var c3_1 = vec4<f32>();
  var c4_0 = vec4<f32>();
  var c4_1 = vec4<f32>();
  var c5_0 = vec4<f32>();
  var c5_1 = vec4<f32>();
  var c6_0 = vec4<f32>();
  var c6_1 = vec4<f32>();
  var c7_0 = vec4<f32>();
  var c7_1 = vec4<f32>();
  let a0 = base_a + (m0 + 0u + lane) * p.a_row;
  let b00 = base_b + (4u * n0 + 0u) * p.b_row;
  let b01 = base_b + (4u * n0 + 1u) * p.b_row;
  let b02 = base_b + (4u * n0 + 2u) * p.b_row;
  let b03 = base_b + (4u * n0 + 3u) * p.b_row;
  let b10 = base_b + (4u * n0 + 32u) * p.b_row;
  let b11 = base_b + (4u * n0 + 33u) * p.b_row;
  let b12 = base_b + (4u * n0 + 34u) * p.b_row;
  let b13 = base_b + (4u * n0 + 35u) * p.b_row;
  for (var k = 0u; k < p.k / 4u; k++) {
    let y00 = textureLoad(b, texel(b00 + k));
    let y01 = textureLoad(b, texel(b01 + k));
    let y02 = textureLoad(b, texel(b02 + k));
    let y03 = textureLoad(b, texel(b03 + k));
    let w0x = vec4<f32>(y00.x, y01.x, y02.x, y03.x);
    let w0y = vec4<f32>(y00.y, y01.y, y02.y, y03.y);
    let w0z = vec4<f32>(y00.z, y01.z, y02.z, y03.z);
    let w0w = vec4<f32>(y00.w, y01.w, y02.w, y03.w);
    let y10 = textureLoad(b, texel(b10 + k));
    let y11 = textureLoad(b, texel(b11 + k));
    let y12 = textureLoad(b, texel(b12 + k));
    let y13 = textureLoad(b, texel(b13 + k));
    let w1x = vec4<f32>(y10.x, y11.x, y12.x, y13.x);
    let w1y = vec4<f32>(y10.y, y11.y, y12.y, y13.y);
    let w1z = vec4<f32>(y10.z, y11.z, y12.z, y13.z);
    let w1w = vec4<f32>(y10.w, y11.w, y12.w, y13.w);
    let x0 = textureLoad(a, texel(a0 + k));
    let s0x = subgroupShuffle(x0.x, 0u);
    let s0y = subgroupShuffle(x0.y, 0u);
    let s0z = subgroupShuffle(x0.z, 0u);
    let s0w = subgroupShuffle(x0.w, 0u);
    c0_0 = c0_0 + s0x * w0x + s0y * w0y + s0z * w0z + s0w * w0w;
    c0_1 = c0_1 + s0x * w1x + s0y * w1y + s0z * w1z + s0w * w1w;
    let s1x = subgroupShuffle(x0.x, 1u);
    let s1y = subgroupShuffle(x0.y, 1u);
    let s1z = subgroupShuffle(x0.z, 1u);
    let s1w = subgroupShuffle(x0.w, 1u);
    c1_0 = c1_0 + s1x * w0x + s1y * w0y + s1z * w0z + s1w * w0w;
    c1_1 = c1_1 + s1x * w1x + s1y * w1y + s1z * w1z + s1w * w1w;
    let s2x = subgroupShuffle(x0.x, 2u);
    let s2y = subgroupShuffle(x0.y, 2u);
    let s2z = subgroupShuffle(x0.z, 2u);
    let s2w = subgroupShuffle(x0.w, 2u);
    c2_0 = c2_0 + s2x * w0x + s2y * w0y + s2z * w0z + s2w * w0w;
    c2_1 = c2_1 + s2x * w1x + s2y * w1y + s2z * w1z + s2w * w1w;
    let s3x = subgroupShuffle(x0.x, 3u);
    let s3y = subgroupShuffle(x0.y, 3u);
    let s3z = subgroupShuffle(x0.z, 3u);
    let s3w = subgroupShuffle(x0.w, 3u);
    c3_0 = c3_0 + s3x * w0x + s3y * w0y + s3z * w0z + s3w * w0w;
    c3_1 = c3_1 + s3x * w1x + s3y * w1y + s3z * w1z + s3w * w1w;
    let s4x = subgroupShuffle(x0.x, 4u);
    let s4y = subgroupShuffle(x0.y, 4u);
    let s4z = subgroupShuffle(x0.z, 4u);
    let s4w = subgroupShuffle(x0.w, 4u);
    c4_0 = c4_0 + s4x * w0x + s4y * w0y + s4z * w0z + s4w * w0w;
    c4_1 = c4_1 + s4x * w1x + s4y * w1y + s4z * w1z + s4w * w1w;
    let s5x = subgroupShuffle(x0.x, 5u);
    let s5y = subgroupShuffle(x0.y, 5u);
    let s5z = subgroupShuffle(x0.z, 5u);
    let s5w = subgroupShuffle(x0.w, 5u);
    c5_0 = c5_0 + s5x * w0x + s5y * w0y + s5z * w0z + s5w * w0w;
    c5_1 = c5_1 + s5x * w1x + s5y * w1y + s5z * w1z + s5w * w1w;
    let s6x = subgroupShuffle(x0.x, 6u);
    let s6y = subgroupShuffle(x0.y, 6u);
    let s6z = subgroupShuffle(x0.z, 6u);
    let s6w = subgroupShuffle(x0.w, 6u);
    c6_0 = c6_0 + s6x * w0x + s6y * w0y + s6z * w0z + s6w * w0w;
    c6_1 = c6_1 + s6x * w1x + s6y * w1y + s6z * w1z + s6w * w1w;
    let s7x = subgroupShuffle(x0.x, 7u);
    let s7y = subgroupShuffle(x0.y, 7u);
    let s7z = subgroupShuffle(x0.z, 7u);
    let s7w = subgroupShuffle(x0.w, 7u);
    c7_0 = c7_0 + s7x * w0x + s7y * w0y + s7z * w0z + s7w * w0w;
    c7_1 = c7_1 + s7x * w1x + s7y * w1y + s7z * w1z + s7w * w1w;
  }
  let bias_at = outer * p.bias_outer;
  put(m0 + 0u, n0 + 0u, base_c, bias_at, c0_0);
  put(m0 + 0u, n0 + 8u, base_c, bias_at, c0_1);
  put(m0 + 1u, n0 + 0u, base_c, bias_at, c1_0);
  put(m0 + 1u, n0 + 8u, base_c, bias_at, c1_1);
  put(m0 + 2u, n0 + 0u, base_c, bias_at, c2_0);
  put(m0 + 2u, n0 + 8u, base_c, bias_at, c2_1);
  put(m0 + 3u, n0 + 0u, base_c, bias_at, c3_0);
  put(m0 + 3u, n0 + 8u, base_c, bias_at, c3_1);
  put(m0 + 4u, n0 + 0u, base_c, bias_at, c4_0);
  put(m0 + 4u, n0 + 8u, base_c, bias_at, c4_1);
  put(m0 + 5u, n0 + 0u, base_c, bias_at, c5_0);
  put(m0 + 5u, n0 + 8u, base_c, bias_at, c5_1);
  put(m0 + 6u, n0 + 0u, base_c, bias_at, c6_0);
  put(m0 + 6u, n0 + 8u, base_c, bias_at, c6_1);
  put(m0 + 7u, n0 + 0u, base_c, bias_at, c7_0);
  put(m0 + 7u, n0 + 8u, base_c, bias_at, c7_1);
}
