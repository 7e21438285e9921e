// C[m, n] = alpha * sum_k A(m, k) * B(k, n) (+ bias[n]) (+ C[m, n]), operands as texels
//
// A: rows of a_row, contiguous in k. B: rows of b_row (one a k), contiguous in n.
// Offsets and strides of A, B in texels, of C and bias in vec4: so k or m, n and all strides are multiples
// of 4 floats. z = outer * inner_count + inner; B's inner index is divided by b_group.
// For CPU rasterisers with subgroups of at least eight lanes (Gpu::has_lanes): a texel is one 128-bit load
// there, a value of A is shuffled to all lanes (docs/performance.md). A workgroup holds 32 rows x 32
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
  let m0 = p.m_begin + wid.y * 32u;
  // The first of this lane's columns, in vec4.
  let n0 = wid.x * 8u + lane;
  var c0_0 = vec4<f32>();
  var c1_0 = vec4<f32>();
  var c2_0 = vec4<f32>();
  var c3_0 = vec4<f32>();
  var c4_0 = vec4<f32>();
  var c5_0 = vec4<f32>();
  var c6_0 = vec4<f32>();
  var c7_0 = vec4<f32>();
  var c8_0 = vec4<f32>();
  var c9_0 = vec4<f32>();
  var c10_0 = vec4<f32>();
  var c11_0 = vec4<f32>();
  var c12_0 = vec4<f32>();
  var c13_0 = vec4<f32>();
  var c14_0 = vec4<f32>();
  var c15_0 = vec4<f32>();
  var c16_0 = vec4<f32>();
  var c17_0 = vec4<f32>();
  var c18_0 = vec4<f32>();
  var c19_0 = vec4<f32>();
  var c20_0 = vec4<f32>();
  var c21_0 = vec4<f32>();
  var c22_0 = vec4<f32>();
  var c23_0 = vec4<f32>();
  var c24_0 = vec4<f32>();
  var c25_0 = vec4<f32>();
  var c26_0 = vec4<f32>();
  var c27_0 = vec4<f32>();
  var c28_0 = vec4<f32>();
  var c29_0 = vec4<f32>();
  var c30_0 = vec4<f32>();
  var c31_0 = vec4<f32>();
  let a0 = base_a + (m0 + 0u + lane) * p.a_row;
  let a1 = base_a + (m0 + 8u + lane) * p.a_row;
  let a2 = base_a + (m0 + 16u + lane) * p.a_row;
  let a3 = base_a + (m0 + 24u + lane) * p.a_row;
  let bn = base_b + n0;
  for (var k = 0u; k < p.k / 4u; k++) {
    let row0 = (4u * k + 0u);
    let w0x = textureLoad(b, texel(bn + row0 * p.b_row + 0u));
    let row1 = (4u * k + 1u);
    let w0y = textureLoad(b, texel(bn + row1 * p.b_row + 0u));
    let row2 = (4u * k + 2u);
    let w0z = textureLoad(b, texel(bn + row2 * p.b_row + 0u));
    let row3 = (4u * k + 3u);
    let w0w = textureLoad(b, texel(bn + row3 * p.b_row + 0u));
    let x0 = textureLoad(a, texel(a0 + k));
    let x1 = textureLoad(a, texel(a1 + k));
    let x2 = textureLoad(a, texel(a2 + k));
    let x3 = textureLoad(a, texel(a3 + k));
    let s0x = subgroupShuffle(x0.x, 0u);
    let s0y = subgroupShuffle(x0.y, 0u);
    let s0z = subgroupShuffle(x0.z, 0u);
    let s0w = subgroupShuffle(x0.w, 0u);
    c0_0 = c0_0 + s0x * w0x + s0y * w0y + s0z * w0z + s0w * w0w;
    let s1x = subgroupShuffle(x0.x, 1u);
    let s1y = subgroupShuffle(x0.y, 1u);
    let s1z = subgroupShuffle(x0.z, 1u);
    let s1w = subgroupShuffle(x0.w, 1u);
    c1_0 = c1_0 + s1x * w0x + s1y * w0y + s1z * w0z + s1w * w0w;
    let s2x = subgroupShuffle(x0.x, 2u);
    let s2y = subgroupShuffle(x0.y, 2u);
    let s2z = subgroupShuffle(x0.z, 2u);
    let s2w = subgroupShuffle(x0.w, 2u);
    c2_0 = c2_0 + s2x * w0x + s2y * w0y + s2z * w0z + s2w * w0w;
    let s3x = subgroupShuffle(x0.x, 3u);
    let s3y = subgroupShuffle(x0.y, 3u);
    let s3z = subgroupShuffle(x0.z, 3u);
    let s3w = subgroupShuffle(x0.w, 3u);
    c3_0 = c3_0 + s3x * w0x + s3y * w0y + s3z * w0z + s3w * w0w;
    let s4x = subgroupShuffle(x0.x, 4u);
    let s4y = subgroupShuffle(x0.y, 4u);
    let s4z = subgroupShuffle(x0.z, 4u);
    let s4w = subgroupShuffle(x0.w, 4u);
    c4_0 = c4_0 + s4x * w0x + s4y * w0y + s4z * w0z + s4w * w0w;
    let s5x = subgroupShuffle(x0.x, 5u);
    let s5y = subgroupShuffle(x0.y, 5u);
    let s5z = subgroupShuffle(x0.z, 5u);
    let s5w = subgroupShuffle(x0.w, 5u);
    c5_0 = c5_0 + s5x * w0x + s5y * w0y + s5z * w0z + s5w * w0w;
    let s6x = subgroupShuffle(x0.x, 6u);
    let s6y = subgroupShuffle(x0.y, 6u);
    let s6z = subgroupShuffle(x0.z, 6u);
    let s6w = subgroupShuffle(x0.w, 6u);
    c6_0 = c6_0 + s6x * w0x + s6y * w0y + s6z * w0z + s6w * w0w;
    let s7x = subgroupShuffle(x0.x, 7u);
    let s7y = subgroupShuffle(x0.y, 7u);
    let s7z = subgroupShuffle(x0.z, 7u);
    let s7w = subgroupShuffle(x0.w, 7u);
    c7_0 = c7_0 + s7x * w0x + s7y * w0y + s7z * w0z + s7w * w0w;
    let s8x = subgroupShuffle(x1.x, 0u);
    let s8y = subgroupShuffle(x1.y, 0u);
    let s8z = subgroupShuffle(x1.z, 0u);
    let s8w = subgroupShuffle(x1.w, 0u);
    c8_0 = c8_0 + s8x * w0x + s8y * w0y + s8z * w0z + s8w * w0w;
    let s9x = subgroupShuffle(x1.x, 1u);
    let s9y = subgroupShuffle(x1.y, 1u);
    let s9z = subgroupShuffle(x1.z, 1u);
    let s9w = subgroupShuffle(x1.w, 1u);
    c9_0 = c9_0 + s9x * w0x + s9y * w0y + s9z * w0z + s9w * w0w;
    let s10x = subgroupShuffle(x1.x, 2u);
    let s10y = subgroupShuffle(x1.y, 2u);
    let s10z = subgroupShuffle(x1.z, 2u);
    let s10w = subgroupShuffle(x1.w, 2u);
    c10_0 = c10_0 + s10x * w0x + s10y * w0y + s10z * w0z + s10w * w0w;
    let s11x = subgroupShuffle(x1.x, 3u);
    let s11y = subgroupShuffle(x1.y, 3u);
    let s11z = subgroupShuffle(x1.z, 3u);
    let s11w = subgroupShuffle(x1.w, 3u);
    c11_0 = c11_0 + s11x * w0x + s11y * w0y + s11z * w0z + s11w * w0w;
    let s12x = subgroupShuffle(x1.x, 4u);
    let s12y = subgroupShuffle(x1.y, 4u);
    let s12z = subgroupShuffle(x1.z, 4u);
    let s12w = subgroupShuffle(x1.w, 4u);
    c12_0 = c12_0 + s12x * w0x + s12y * w0y + s12z * w0z + s12w * w0w;
    let s13x = subgroupShuffle(x1.x, 5u);
    let s13y = subgroupShuffle(x1.y, 5u);
    let s13z = subgroupShuffle(x1.z, 5u);
    let s13w = subgroupShuffle(x1.w, 5u);
    c13_0 = c13_0 + s13x * w0x + s13y * w0y + s13z * w0z + s13w * w0w;
    let s14x = subgroupShuffle(x1.x, 6u);
    let s14y = subgroupShuffle(x1.y, 6u);
    let s14z = subgroupShuffle(x1.z, 6u);
    let s14w = subgroupShuffle(x1.w, 6u);
    c14_0 = c14_0 + s14x * w0x + s14y * w0y + s14z * w0z + s14w * w0w;
    let s15x = subgroupShuffle(x1.x, 7u);
    let s15y = subgroupShuffle(x1.y, 7u);
    let s15z = subgroupShuffle(x1.z, 7u);
    let s15w = subgroupShuffle(x1.w, 7u);
    c15_0 = c15_0 + s15x * w0x + s15y * w0y + s15z * w0z + s15w * w0w;
    let s16x = subgroupShuffle(x2.x, 0u);
    let s16y = subgroupShuffle(x2.y, 0u);
    let s16z = subgroupShuffle(x2.z, 0u);
    let s16w = subgroupShuffle(x2.w, 0u);
    c16_0 = c16_0 + s16x * w0x + s16y * w0y + s16z * w0z + s16w * w0w;
    let s17x = subgroupShuffle(x2.x, 1u);
    let s17y = subgroupShuffle(x2.y, 1u);
    let s17z = subgroupShuffle(x2.z, 1u);
    let s17w = subgroupShuffle(x2.w, 1u);
    c17_0 = c17_0 + s17x * w0x + s17y * w0y + s17z * w0z + s17w * w0w;
    let s18x = subgroupShuffle(x2.x, 2u);
    let s18y = subgroupShuffle(x2.y, 2u);
    let s18z = subgroupShuffle(x2.z, 2u);
    let s18w = subgroupShuffle(x2.w, 2u);
    c18_0 = c18_0 + s18x * w0x + s18y * w0y + s18z * w0z + s18w * w0w;
    let s19x = subgroupShuffle(x2.x, 3u);
    let s19y = subgroupShuffle(x2.y, 3u);
    let s19z = subgroupShuffle(x2.z, 3u);
    let s19w = subgroupShuffle(x2.w, 3u);
    c19_0 = c19_0 + s19x * w0x + s19y * w0y + s19z * w0z + s19w * w0w;
    let s20x = subgroupShuffle(x2.x, 4u);
    let s20y = subgroupShuffle(x2.y, 4u);
    let s20z = subgroupShuffle(x2.z, 4u);
    let s20w = subgroupShuffle(x2.w, 4u);
    c20_0 = c20_0 + s20x * w0x + s20y * w0y + s20z * w0z + s20w * w0w;
    let s21x = subgroupShuffle(x2.x, 5u);
    let s21y = subgroupShuffle(x2.y, 5u);
    let s21z = subgroupShuffle(x2.z, 5u);
    let s21w = subgroupShuffle(x2.w, 5u);
    c21_0 = c21_0 + s21x * w0x + s21y * w0y + s21z * w0z + s21w * w0w;
    let s22x = subgroupShuffle(x2.x, 6u);
    let s22y = subgroupShuffle(x2.y, 6u);
    let s22z = subgroupShuffle(x2.z, 6u);
    let s22w = subgroupShuffle(x2.w, 6u);
    c22_0 = c22_0 + s22x * w0x + s22y * w0y + s22z * w0z + s22w * w0w;
    let s23x = subgroupShuffle(x2.x, 7u);
    let s23y = subgroupShuffle(x2.y, 7u);
    let s23z = subgroupShuffle(x2.z, 7u);
    let s23w = subgroupShuffle(x2.w, 7u);
    c23_0 = c23_0 + s23x * w0x + s23y * w0y + s23z * w0z + s23w * w0w;
    let s24x = subgroupShuffle(x3.x, 0u);
    let s24y = subgroupShuffle(x3.y, 0u);
    let s24z = subgroupShuffle(x3.z, 0u);
    let s24w = subgroupShuffle(x3.w, 0u);
    c24_0 = c24_0 + s24x * w0x + s24y * w0y + s24z * w0z + s24w * w0w;
    let s25x = subgroupShuffle(x3.x, 1u);
    let s25y = subgroupShuffle(x3.y, 1u);
    let s25z = subgroupShuffle(x3.z, 1u);
    let s25w = subgroupShuffle(x3.w, 1u);
    c25_0 = c25_0 + s25x * w0x + s25y * w0y + s25z * w0z + s25w * w0w;
    let s26x = subgroupShuffle(x3.x, 2u);
    let s26y = subgroupShuffle(x3.y, 2u);
    let s26z = subgroupShuffle(x3.z, 2u);
    let s26w = subgroupShuffle(x3.w, 2u);
    c26_0 = c26_0 + s26x * w0x + s26y * w0y + s26z * w0z + s26w * w0w;
    let s27x = subgroupShuffle(x3.x, 3u);
    let s27y = subgroupShuffle(x3.y, 3u);
    let s27z = subgroupShuffle(x3.z, 3u);
    let s27w = subgroupShuffle(x3.w, 3u);
    c27_0 = c27_0 + s27x * w0x + s27y * w0y + s27z * w0z + s27w * w0w;
    let s28x = subgroupShuffle(x3.x, 4u);
    let s28y = subgroupShuffle(x3.y, 4u);
    let s28z = subgroupShuffle(x3.z, 4u);
    let s28w = subgroupShuffle(x3.w, 4u);
    c28_0 = c28_0 + s28x * w0x + s28y * w0y + s28z * w0z + s28w * w0w;
    let s29x = subgroupShuffle(x3.x, 5u);
    let s29y = subgroupShuffle(x3.y, 5u);
    let s29z = subgroupShuffle(x3.z, 5u);
    let s29w = subgroupShuffle(x3.w, 5u);
    c29_0 = c29_0 + s29x * w0x + s29y * w0y + s29z * w0z + s29w * w0w;
    let s30x = subgroupShuffle(x3.x, 6u);
    let s30y = subgroupShuffle(x3.y, 6u);
    let s30z = subgroupShuffle(x3.z, 6u);
    let s30w = subgroupShuffle(x3.w, 6u);
    c30_0 = c30_0 + s30x * w0x + s30y * w0y + s30z * w0z + s30w * w0w;
    let s31x = subgroupShuffle(x3.x, 7u);
    let s31y = subgroupShuffle(x3.y, 7u);
    let s31z = subgroupShuffle(x3.z, 7u);
    let s31w = subgroupShuffle(x3.w, 7u);
    c31_0 = c31_0 + s31x * w0x + s31y * w0y + s31z * w0z + s31w * w0w;
  }
  let bias_at = outer * p.bias_outer;
  put(m0 + 0u, n0 + 0u, base_c, bias_at, c0_0);
  put(m0 + 1u, n0 + 0u, base_c, bias_at, c1_0);
  put(m0 + 2u, n0 + 0u, base_c, bias_at, c2_0);
  put(m0 + 3u, n0 + 0u, base_c, bias_at, c3_0);
  put(m0 + 4u, n0 + 0u, base_c, bias_at, c4_0);
  put(m0 + 5u, n0 + 0u, base_c, bias_at, c5_0);
  put(m0 + 6u, n0 + 0u, base_c, bias_at, c6_0);
  put(m0 + 7u, n0 + 0u, base_c, bias_at, c7_0);
  put(m0 + 8u, n0 + 0u, base_c, bias_at, c8_0);
  put(m0 + 9u, n0 + 0u, base_c, bias_at, c9_0);
  put(m0 + 10u, n0 + 0u, base_c, bias_at, c10_0);
  put(m0 + 11u, n0 + 0u, base_c, bias_at, c11_0);
  put(m0 + 12u, n0 + 0u, base_c, bias_at, c12_0);
  put(m0 + 13u, n0 + 0u, base_c, bias_at, c13_0);
  put(m0 + 14u, n0 + 0u, base_c, bias_at, c14_0);
  put(m0 + 15u, n0 + 0u, base_c, bias_at, c15_0);
  put(m0 + 16u, n0 + 0u, base_c, bias_at, c16_0);
  put(m0 + 17u, n0 + 0u, base_c, bias_at, c17_0);
  put(m0 + 18u, n0 + 0u, base_c, bias_at, c18_0);
  put(m0 + 19u, n0 + 0u, base_c, bias_at, c19_0);
  put(m0 + 20u, n0 + 0u, base_c, bias_at, c20_0);
  put(m0 + 21u, n0 + 0u, base_c, bias_at, c21_0);
  put(m0 + 22u, n0 + 0u, base_c, bias_at, c22_0);
  put(m0 + 23u, n0 + 0u, base_c, bias_at, c23_0);
  put(m0 + 24u, n0 + 0u, base_c, bias_at, c24_0);
  put(m0 + 25u, n0 + 0u, base_c, bias_at, c25_0);
  put(m0 + 26u, n0 + 0u, base_c, bias_at, c26_0);
  put(m0 + 27u, n0 + 0u, base_c, bias_at, c27_0);
  put(m0 + 28u, n0 + 0u, base_c, bias_at, c28_0);
  put(m0 + 29u, n0 + 0u, base_c, bias_at, c29_0);
  put(m0 + 30u, n0 + 0u, base_c, bias_at, c30_0);
  put(m0 + 31u, n0 + 0u, base_c, bias_at, c31_0);
}
