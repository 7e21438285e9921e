// C[m, n] = alpha * sum_k A[m, k] * B[n, k] (+ bias[n]) (+ C[m, n]), through uniform windows
//
// A: rows of a_row, B: rows of b_row, both contiguous in k; k, strides and shifts are multiples of 4
// (in floats). z is the inner batch. One dispatch: the rows of A and B that one window each holds.
// For CPU rasterisers: they load uniforms about twelve times as fast as storage (docs/performance.md),
// so operands are read through 64 KiB uniform windows; what does not fit runs in matmul_direct_*.
// A workgroup is 8 lanes along n. Deterministic: one lane sums over k in order.
// Out-of-range rows and columns are computed from whatever the window holds and never written.
// Tolerance against the f64 reference: 1e-5 * sqrt(k) relative to the sum of magnitudes.
struct Params {
  m: u32, n: u32, k: u32, k_window: u32,
  a_shift: u32, a_row: u32, a_inner: u32, b_shift: u32,
  b_row: u32, b_inner: u32, b_group: u32, c_off: u32,
  c_row: u32, c_inner: u32, bias_shift: u32, has_bias: u32,
  accumulate: u32, alpha: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<uniform> a: array<vec4<f32>, 4096>;
@group(0) @binding(2) var<uniform> b0: array<vec4<f32>, 4096>;
@group(0) @binding(3) var<uniform> bias: array<vec4<f32>, 4096>;
@group(0) @binding(4) var<storage, read_write> c: array<f32>;

fn put(row: u32, col: u32, base: u32, sum: vec4<f32>) {
  if (row >= p.m || col >= p.n) { return; }
  var v = sum * p.alpha;
  if (p.has_bias != 0u) { v += bias[(p.bias_shift + col) / 4u]; }
  let at = base + row * p.c_row + col;
  for (var j = 0u; j < min(4u, p.n - col); j++) {
    var x = v[j];
    if (p.accumulate != 0u) { x += c[at + j]; }
    c[at + j] = x;
  }
}

@compute @workgroup_size(8, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_id) lid: vec3<u32>) {
  let m0 = wid.y * 16u;
  let n0 = (wid.x * 8u + lid.x) * 16u;
  let base = p.c_off + wid.z * p.c_inner;
  // In vec4 units.
  let ra = p.a_row / 4u;
  let rb = p.b_row / 4u;
  let at_a = (p.a_shift + wid.z * p.a_inner) / 4u + m0 * ra;
  let at_b = (p.b_shift + (wid.z / p.b_group) * p.b_inner) / 4u + n0 * rb;
  var c0_0 = vec4<f32>();
  var c0_1 = vec4<f32>();
  var c0_2 = vec4<f32>();
  var c0_3 = vec4<f32>();
  var c1_0 = vec4<f32>();
  var c1_1 = vec4<f32>();
  var c1_2 = vec4<f32>();
  var c1_3 = vec4<f32>();
  var c2_0 = vec4<f32>();
  var c2_1 = vec4<f32>();
  var c2_2 = vec4<f32>();
  var c2_3 = vec4<f32>();
  var c3_0 = vec4<f32>();
  var c3_1 = vec4<f32>();
  var c3_2 = vec4<f32>();
  var c3_3 = vec4<f32>();
  var c4_0 = vec4<f32>();
  var c4_1 = vec4<f32>();
  var c4_2 = vec4<f32>();
  var c4_3 = vec4<f32>();
  var c5_0 = vec4<f32>();
  var c5_1 = vec4<f32>();
  var c5_2 = vec4<f32>();
  var c5_3 = vec4<f32>();
  var c6_0 = vec4<f32>();
  var c6_1 = vec4<f32>();
  var c6_2 = vec4<f32>();
  var c6_3 = vec4<f32>();
  var c7_0 = vec4<f32>();
  var c7_1 = vec4<f32>();
  var c7_2 = vec4<f32>();
  var c7_3 = vec4<f32>();
  var c8_0 = vec4<f32>();
  var c8_1 = vec4<f32>();
  var c8_2 = vec4<f32>();
  var c8_3 = vec4<f32>();
  var c9_0 = vec4<f32>();
  var c9_1 = vec4<f32>();
  var c9_2 = vec4<f32>();
  var c9_3 = vec4<f32>();
  var c10_0 = vec4<f32>();
  var c10_1 = vec4<f32>();
  var c10_2 = vec4<f32>();
  var c10_3 = vec4<f32>();
  var c11_0 = vec4<f32>();
  var c11_1 = vec4<f32>();
  var c11_2 = vec4<f32>();
  var c11_3 = vec4<f32>();
  var c12_0 = vec4<f32>();
  var c12_1 = vec4<f32>();
  var c12_2 = vec4<f32>();
  var c12_3 = vec4<f32>();
  var c13_0 = vec4<f32>();
  var c13_1 = vec4<f32>();
  var c13_2 = vec4<f32>();
  var c13_3 = vec4<f32>();
  var c14_0 = vec4<f32>();
  var c14_1 = vec4<f32>();
  var c14_2 = vec4<f32>();
  var c14_3 = vec4<f32>();
  var c15_0 = vec4<f32>();
  var c15_1 = vec4<f32>();
  var c15_2 = vec4<f32>();
  var c15_3 = vec4<f32>();
  for (var k = 0u; k < p.k / 4u; k++) {
    let y00 = b0[at_b + 0u * rb + k];
    let y01 = b0[at_b + 1u * rb + k];
    let y02 = b0[at_b + 2u * rb + k];
    let y03 = b0[at_b + 3u * rb + k];
    let w0x = vec4<f32>(y00.x, y01.x, y02.x, y03.x);
    let w0y = vec4<f32>(y00.y, y01.y, y02.y, y03.y);
    let w0z = vec4<f32>(y00.z, y01.z, y02.z, y03.z);
    let w0w = vec4<f32>(y00.w, y01.w, y02.w, y03.w);
    let y10 = b0[at_b + 4u * rb + k];
    let y11 = b0[at_b + 5u * rb + k];
    let y12 = b0[at_b + 6u * rb + k];
    let y13 = b0[at_b + 7u * rb + k];
    let w1x = vec4<f32>(y10.x, y11.x, y12.x, y13.x);
    let w1y = vec4<f32>(y10.y, y11.y, y12.y, y13.y);
    let w1z = vec4<f32>(y10.z, y11.z, y12.z, y13.z);
    let w1w = vec4<f32>(y10.w, y11.w, y12.w, y13.w);
    let y20 = b0[at_b + 8u * rb + k];
    let y21 = b0[at_b + 9u * rb + k];
    let y22 = b0[at_b + 10u * rb + k];
    let y23 = b0[at_b + 11u * rb + k];
    let w2x = vec4<f32>(y20.x, y21.x, y22.x, y23.x);
    let w2y = vec4<f32>(y20.y, y21.y, y22.y, y23.y);
    let w2z = vec4<f32>(y20.z, y21.z, y22.z, y23.z);
    let w2w = vec4<f32>(y20.w, y21.w, y22.w, y23.w);
    let y30 = b0[at_b + 12u * rb + k];
    let y31 = b0[at_b + 13u * rb + k];
    let y32 = b0[at_b + 14u * rb + k];
    let y33 = b0[at_b + 15u * rb + k];
    let w3x = vec4<f32>(y30.x, y31.x, y32.x, y33.x);
    let w3y = vec4<f32>(y30.y, y31.y, y32.y, y33.y);
    let w3z = vec4<f32>(y30.z, y31.z, y32.z, y33.z);
    let w3w = vec4<f32>(y30.w, y31.w, y32.w, y33.w);
    let x0 = a[at_a + 0u * ra + k];
    c0_0 += x0.x * w0x + x0.y * w0y + x0.z * w0z + x0.w * w0w;
    c0_1 += x0.x * w1x + x0.y * w1y + x0.z * w1z + x0.w * w1w;
    c0_2 += x0.x * w2x + x0.y * w2y + x0.z * w2z + x0.w * w2w;
    c0_3 += x0.x * w3x + x0.y * w3y + x0.z * w3z + x0.w * w3w;
    let x1 = a[at_a + 1u * ra + k];
    c1_0 += x1.x * w0x + x1.y * w0y + x1.z * w0z + x1.w * w0w;
    c1_1 += x1.x * w1x + x1.y * w1y + x1.z * w1z + x1.w * w1w;
    c1_2 += x1.x * w2x + x1.y * w2y + x1.z * w2z + x1.w * w2w;
    c1_3 += x1.x * w3x + x1.y * w3y + x1.z * w3z + x1.w * w3w;
    let x2 = a[at_a + 2u * ra + k];
    c2_0 += x2.x * w0x + x2.y * w0y + x2.z * w0z + x2.w * w0w;
    c2_1 += x2.x * w1x + x2.y * w1y + x2.z * w1z + x2.w * w1w;
    c2_2 += x2.x * w2x + x2.y * w2y + x2.z * w2z + x2.w * w2w;
    c2_3 += x2.x * w3x + x2.y * w3y + x2.z * w3z + x2.w * w3w;
    let x3 = a[at_a + 3u * ra + k];
    c3_0 += x3.x * w0x + x3.y * w0y + x3.z * w0z + x3.w * w0w;
    c3_1 += x3.x * w1x + x3.y * w1y + x3.z * w1z + x3.w * w1w;
    c3_2 += x3.x * w2x + x3.y * w2y + x3.z * w2z + x3.w * w2w;
    c3_3 += x3.x * w3x + x3.y * w3y + x3.z * w3z + x3.w * w3w;
    let x4 = a[at_a + 4u * ra + k];
    c4_0 += x4.x * w0x + x4.y * w0y + x4.z * w0z + x4.w * w0w;
    c4_1 += x4.x * w1x + x4.y * w1y + x4.z * w1z + x4.w * w1w;
    c4_2 += x4.x * w2x + x4.y * w2y + x4.z * w2z + x4.w * w2w;
    c4_3 += x4.x * w3x + x4.y * w3y + x4.z * w3z + x4.w * w3w;
    let x5 = a[at_a + 5u * ra + k];
    c5_0 += x5.x * w0x + x5.y * w0y + x5.z * w0z + x5.w * w0w;
    c5_1 += x5.x * w1x + x5.y * w1y + x5.z * w1z + x5.w * w1w;
    c5_2 += x5.x * w2x + x5.y * w2y + x5.z * w2z + x5.w * w2w;
    c5_3 += x5.x * w3x + x5.y * w3y + x5.z * w3z + x5.w * w3w;
    let x6 = a[at_a + 6u * ra + k];
    c6_0 += x6.x * w0x + x6.y * w0y + x6.z * w0z + x6.w * w0w;
    c6_1 += x6.x * w1x + x6.y * w1y + x6.z * w1z + x6.w * w1w;
    c6_2 += x6.x * w2x + x6.y * w2y + x6.z * w2z + x6.w * w2w;
    c6_3 += x6.x * w3x + x6.y * w3y + x6.z * w3z + x6.w * w3w;
    let x7 = a[at_a + 7u * ra + k];
    c7_0 += x7.x * w0x + x7.y * w0y + x7.z * w0z + x7.w * w0w;
    c7_1 += x7.x * w1x + x7.y * w1y + x7.z * w1z + x7.w * w1w;
    c7_2 += x7.x * w2x + x7.y * w2y + x7.z * w2z + x7.w * w2w;
    c7_3 += x7.x * w3x + x7.y * w3y + x7.z * w3z + x7.w * w3w;
    let x8 = a[at_a + 8u * ra + k];
    c8_0 += x8.x * w0x + x8.y * w0y + x8.z * w0z + x8.w * w0w;
    c8_1 += x8.x * w1x + x8.y * w1y + x8.z * w1z + x8.w * w1w;
    c8_2 += x8.x * w2x + x8.y * w2y + x8.z * w2z + x8.w * w2w;
    c8_3 += x8.x * w3x + x8.y * w3y + x8.z * w3z + x8.w * w3w;
    let x9 = a[at_a + 9u * ra + k];
    c9_0 += x9.x * w0x + x9.y * w0y + x9.z * w0z + x9.w * w0w;
    c9_1 += x9.x * w1x + x9.y * w1y + x9.z * w1z + x9.w * w1w;
    c9_2 += x9.x * w2x + x9.y * w2y + x9.z * w2z + x9.w * w2w;
    c9_3 += x9.x * w3x + x9.y * w3y + x9.z * w3z + x9.w * w3w;
    let x10 = a[at_a + 10u * ra + k];
    c10_0 += x10.x * w0x + x10.y * w0y + x10.z * w0z + x10.w * w0w;
    c10_1 += x10.x * w1x + x10.y * w1y + x10.z * w1z + x10.w * w1w;
    c10_2 += x10.x * w2x + x10.y * w2y + x10.z * w2z + x10.w * w2w;
    c10_3 += x10.x * w3x + x10.y * w3y + x10.z * w3z + x10.w * w3w;
    let x11 = a[at_a + 11u * ra + k];
    c11_0 += x11.x * w0x + x11.y * w0y + x11.z * w0z + x11.w * w0w;
    c11_1 += x11.x * w1x + x11.y * w1y + x11.z * w1z + x11.w * w1w;
    c11_2 += x11.x * w2x + x11.y * w2y + x11.z * w2z + x11.w * w2w;
    c11_3 += x11.x * w3x + x11.y * w3y + x11.z * w3z + x11.w * w3w;
    let x12 = a[at_a + 12u * ra + k];
    c12_0 += x12.x * w0x + x12.y * w0y + x12.z * w0z + x12.w * w0w;
    c12_1 += x12.x * w1x + x12.y * w1y + x12.z * w1z + x12.w * w1w;
    c12_2 += x12.x * w2x + x12.y * w2y + x12.z * w2z + x12.w * w2w;
    c12_3 += x12.x * w3x + x12.y * w3y + x12.z * w3z + x12.w * w3w;
    let x13 = a[at_a + 13u * ra + k];
    c13_0 += x13.x * w0x + x13.y * w0y + x13.z * w0z + x13.w * w0w;
    c13_1 += x13.x * w1x + x13.y * w1y + x13.z * w1z + x13.w * w1w;
    c13_2 += x13.x * w2x + x13.y * w2y + x13.z * w2z + x13.w * w2w;
    c13_3 += x13.x * w3x + x13.y * w3y + x13.z * w3z + x13.w * w3w;
    let x14 = a[at_a + 14u * ra + k];
    c14_0 += x14.x * w0x + x14.y * w0y + x14.z * w0z + x14.w * w0w;
    c14_1 += x14.x * w1x + x14.y * w1y + x14.z * w1z + x14.w * w1w;
    c14_2 += x14.x * w2x + x14.y * w2y + x14.z * w2z + x14.w * w2w;
    c14_3 += x14.x * w3x + x14.y * w3y + x14.z * w3z + x14.w * w3w;
    let x15 = a[at_a + 15u * ra + k];
    c15_0 += x15.x * w0x + x15.y * w0y + x15.z * w0z + x15.w * w0w;
    c15_1 += x15.x * w1x + x15.y * w1y + x15.z * w1z + x15.w * w1w;
    c15_2 += x15.x * w2x + x15.y * w2y + x15.z * w2z + x15.w * w2w;
    c15_3 += x15.x * w3x + x15.y * w3y + x15.z * w3z + x15.w * w3w;
  }
  put(m0 + 0u, n0 + 0u, base, c0_0);
  put(m0 + 0u, n0 + 4u, base, c0_1);
  put(m0 + 0u, n0 + 8u, base, c0_2);
  put(m0 + 0u, n0 + 12u, base, c0_3);
  put(m0 + 1u, n0 + 0u, base, c1_0);
  put(m0 + 1u, n0 + 4u, base, c1_1);
  put(m0 + 1u, n0 + 8u, base, c1_2);
  put(m0 + 1u, n0 + 12u, base, c1_3);
  put(m0 + 2u, n0 + 0u, base, c2_0);
  put(m0 + 2u, n0 + 4u, base, c2_1);
  put(m0 + 2u, n0 + 8u, base, c2_2);
  put(m0 + 2u, n0 + 12u, base, c2_3);
  put(m0 + 3u, n0 + 0u, base, c3_0);
  put(m0 + 3u, n0 + 4u, base, c3_1);
  put(m0 + 3u, n0 + 8u, base, c3_2);
  put(m0 + 3u, n0 + 12u, base, c3_3);
  put(m0 + 4u, n0 + 0u, base, c4_0);
  put(m0 + 4u, n0 + 4u, base, c4_1);
  put(m0 + 4u, n0 + 8u, base, c4_2);
  put(m0 + 4u, n0 + 12u, base, c4_3);
  put(m0 + 5u, n0 + 0u, base, c5_0);
  put(m0 + 5u, n0 + 4u, base, c5_1);
  put(m0 + 5u, n0 + 8u, base, c5_2);
  put(m0 + 5u, n0 + 12u, base, c5_3);
  put(m0 + 6u, n0 + 0u, base, c6_0);
  put(m0 + 6u, n0 + 4u, base, c6_1);
  put(m0 + 6u, n0 + 8u, base, c6_2);
  put(m0 + 6u, n0 + 12u, base, c6_3);
  put(m0 + 7u, n0 + 0u, base, c7_0);
  put(m0 + 7u, n0 + 4u, base, c7_1);
  put(m0 + 7u, n0 + 8u, base, c7_2);
  put(m0 + 7u, n0 + 12u, base, c7_3);
  put(m0 + 8u, n0 + 0u, base, c8_0);
  put(m0 + 8u, n0 + 4u, base, c8_1);
  put(m0 + 8u, n0 + 8u, base, c8_2);
  put(m0 + 8u, n0 + 12u, base, c8_3);
  put(m0 + 9u, n0 + 0u, base, c9_0);
  put(m0 + 9u, n0 + 4u, base, c9_1);
  put(m0 + 9u, n0 + 8u, base, c9_2);
  put(m0 + 9u, n0 + 12u, base, c9_3);
  put(m0 + 10u, n0 + 0u, base, c10_0);
  put(m0 + 10u, n0 + 4u, base, c10_1);
  put(m0 + 10u, n0 + 8u, base, c10_2);
  put(m0 + 10u, n0 + 12u, base, c10_3);
  put(m0 + 11u, n0 + 0u, base, c11_0);
  put(m0 + 11u, n0 + 4u, base, c11_1);
  put(m0 + 11u, n0 + 8u, base, c11_2);
  put(m0 + 11u, n0 + 12u, base, c11_3);
  put(m0 + 12u, n0 + 0u, base, c12_0);
  put(m0 + 12u, n0 + 4u, base, c12_1);
  put(m0 + 12u, n0 + 8u, base, c12_2);
  put(m0 + 12u, n0 + 12u, base, c12_3);
  put(m0 + 13u, n0 + 0u, base, c13_0);
  put(m0 + 13u, n0 + 4u, base, c13_1);
  put(m0 + 13u, n0 + 8u, base, c13_2);
  put(m0 + 13u, n0 + 12u, base, c13_3);
  put(m0 + 14u, n0 + 0u, base, c14_0);
  put(m0 + 14u, n0 + 4u, base, c14_1);
  put(m0 + 14u, n0 + 8u, base, c14_2);
  put(m0 + 14u, n0 + 12u, base, c14_3);
  put(m0 + 15u, n0 + 0u, base, c15_0);
  put(m0 + 15u, n0 + 4u, base, c15_1);
  put(m0 + 15u, n0 + 8u, base, c15_2);
  put(m0 + 15u, n0 + 12u, base, c15_3);
}
