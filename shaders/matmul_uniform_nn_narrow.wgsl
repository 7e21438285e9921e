// C[m, n] = alpha * sum_k A[m, k] * B[k, n] (+ bias[n]) (+ C[m, n]), through uniform windows
//
// A: rows of a_row, contiguous in k, in one window; B: rows of b_row, contiguous in n, k_window rows
// in each of 2 windows; k, k_window, strides and shifts are multiples of 4 (in floats). z is the inner
// batch. One dispatch: the rows of A that one window holds, 2 * k_window steps of k.
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
@group(0) @binding(3) var<uniform> b1: array<vec4<f32>, 4096>;
@group(0) @binding(4) var<uniform> bias: array<vec4<f32>, 4096>;
@group(0) @binding(5) var<storage, read_write> c: array<f32>;

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
  let n0 = (wid.x * 8u + lid.x) * 4u;
  let base = p.c_off + wid.z * p.c_inner;
  // In vec4 units.
  let ra = p.a_row / 4u;
  let rb = p.b_row / 4u;
  let at_a = (p.a_shift + wid.z * p.a_inner) / 4u + m0 * ra;
  let at_b = (p.b_shift + (wid.z / p.b_group) * p.b_inner + n0) / 4u;
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
  for (var k = 0u * p.k_window; k < min(p.k, 1u * p.k_window); k += 4u) {
    let x0 = a[at_a + 0u * ra + k / 4u];
    let x1 = a[at_a + 1u * ra + k / 4u];
    let x2 = a[at_a + 2u * ra + k / 4u];
    let x3 = a[at_a + 3u * ra + k / 4u];
    let x4 = a[at_a + 4u * ra + k / 4u];
    let x5 = a[at_a + 5u * ra + k / 4u];
    let x6 = a[at_a + 6u * ra + k / 4u];
    let x7 = a[at_a + 7u * ra + k / 4u];
    let x8 = a[at_a + 8u * ra + k / 4u];
    let x9 = a[at_a + 9u * ra + k / 4u];
    let x10 = a[at_a + 10u * ra + k / 4u];
    let x11 = a[at_a + 11u * ra + k / 4u];
    let x12 = a[at_a + 12u * ra + k / 4u];
    let x13 = a[at_a + 13u * ra + k / 4u];
    let x14 = a[at_a + 14u * ra + k / 4u];
    let x15 = a[at_a + 15u * ra + k / 4u];
    let row = at_b + (k - 0u * p.k_window) * rb;
    let y00 = b0[row + 0u * rb + 0u];
    c0_0 += x0.x * y00;
    c1_0 += x1.x * y00;
    c2_0 += x2.x * y00;
    c3_0 += x3.x * y00;
    c4_0 += x4.x * y00;
    c5_0 += x5.x * y00;
    c6_0 += x6.x * y00;
    c7_0 += x7.x * y00;
    c8_0 += x8.x * y00;
    c9_0 += x9.x * y00;
    c10_0 += x10.x * y00;
    c11_0 += x11.x * y00;
    c12_0 += x12.x * y00;
    c13_0 += x13.x * y00;
    c14_0 += x14.x * y00;
    c15_0 += x15.x * y00;
    let y10 = b0[row + 1u * rb + 0u];
    c0_0 += x0.y * y10;
    c1_0 += x1.y * y10;
    c2_0 += x2.y * y10;
    c3_0 += x3.y * y10;
    c4_0 += x4.y * y10;
    c5_0 += x5.y * y10;
    c6_0 += x6.y * y10;
    c7_0 += x7.y * y10;
    c8_0 += x8.y * y10;
    c9_0 += x9.y * y10;
    c10_0 += x10.y * y10;
    c11_0 += x11.y * y10;
    c12_0 += x12.y * y10;
    c13_0 += x13.y * y10;
    c14_0 += x14.y * y10;
    c15_0 += x15.y * y10;
    let y20 = b0[row + 2u * rb + 0u];
    c0_0 += x0.z * y20;
    c1_0 += x1.z * y20;
    c2_0 += x2.z * y20;
    c3_0 += x3.z * y20;
    c4_0 += x4.z * y20;
    c5_0 += x5.z * y20;
    c6_0 += x6.z * y20;
    c7_0 += x7.z * y20;
    c8_0 += x8.z * y20;
    c9_0 += x9.z * y20;
    c10_0 += x10.z * y20;
    c11_0 += x11.z * y20;
    c12_0 += x12.z * y20;
    c13_0 += x13.z * y20;
    c14_0 += x14.z * y20;
    c15_0 += x15.z * y20;
    let y30 = b0[row + 3u * rb + 0u];
    c0_0 += x0.w * y30;
    c1_0 += x1.w * y30;
    c2_0 += x2.w * y30;
    c3_0 += x3.w * y30;
    c4_0 += x4.w * y30;
    c5_0 += x5.w * y30;
    c6_0 += x6.w * y30;
    c7_0 += x7.w * y30;
    c8_0 += x8.w * y30;
    c9_0 += x9.w * y30;
    c10_0 += x10.w * y30;
    c11_0 += x11.w * y30;
    c12_0 += x12.w * y30;
    c13_0 += x13.w * y30;
    c14_0 += x14.w * y30;
    c15_0 += x15.w * y30;
  }
  for (var k = 1u * p.k_window; k < min(p.k, 2u * p.k_window); k += 4u) {
    let x0 = a[at_a + 0u * ra + k / 4u];
    let x1 = a[at_a + 1u * ra + k / 4u];
    let x2 = a[at_a + 2u * ra + k / 4u];
    let x3 = a[at_a + 3u * ra + k / 4u];
    let x4 = a[at_a + 4u * ra + k / 4u];
    let x5 = a[at_a + 5u * ra + k / 4u];
    let x6 = a[at_a + 6u * ra + k / 4u];
    let x7 = a[at_a + 7u * ra + k / 4u];
    let x8 = a[at_a + 8u * ra + k / 4u];
    let x9 = a[at_a + 9u * ra + k / 4u];
    let x10 = a[at_a + 10u * ra + k / 4u];
    let x11 = a[at_a + 11u * ra + k / 4u];
    let x12 = a[at_a + 12u * ra + k / 4u];
    let x13 = a[at_a + 13u * ra + k / 4u];
    let x14 = a[at_a + 14u * ra + k / 4u];
    let x15 = a[at_a + 15u * ra + k / 4u];
    let row = at_b + (k - 1u * p.k_window) * rb;
    let y00 = b1[row + 0u * rb + 0u];
    c0_0 += x0.x * y00;
    c1_0 += x1.x * y00;
    c2_0 += x2.x * y00;
    c3_0 += x3.x * y00;
    c4_0 += x4.x * y00;
    c5_0 += x5.x * y00;
    c6_0 += x6.x * y00;
    c7_0 += x7.x * y00;
    c8_0 += x8.x * y00;
    c9_0 += x9.x * y00;
    c10_0 += x10.x * y00;
    c11_0 += x11.x * y00;
    c12_0 += x12.x * y00;
    c13_0 += x13.x * y00;
    c14_0 += x14.x * y00;
    c15_0 += x15.x * y00;
    let y10 = b1[row + 1u * rb + 0u];
    c0_0 += x0.y * y10;
    c1_0 += x1.y * y10;
    c2_0 += x2.y * y10;
    c3_0 += x3.y * y10;
    c4_0 += x4.y * y10;
    c5_0 += x5.y * y10;
    c6_0 += x6.y * y10;
    c7_0 += x7.y * y10;
    c8_0 += x8.y * y10;
    c9_0 += x9.y * y10;
    c10_0 += x10.y * y10;
    c11_0 += x11.y * y10;
    c12_0 += x12.y * y10;
    c13_0 += x13.y * y10;
    c14_0 += x14.y * y10;
    c15_0 += x15.y * y10;
    let y20 = b1[row + 2u * rb + 0u];
    c0_0 += x0.z * y20;
    c1_0 += x1.z * y20;
    c2_0 += x2.z * y20;
    c3_0 += x3.z * y20;
    c4_0 += x4.z * y20;
    c5_0 += x5.z * y20;
    c6_0 += x6.z * y20;
    c7_0 += x7.z * y20;
    c8_0 += x8.z * y20;
    c9_0 += x9.z * y20;
    c10_0 += x10.z * y20;
    c11_0 += x11.z * y20;
    c12_0 += x12.z * y20;
    c13_0 += x13.z * y20;
    c14_0 += x14.z * y20;
    c15_0 += x15.z * y20;
    let y30 = b1[row + 3u * rb + 0u];
    c0_0 += x0.w * y30;
    c1_0 += x1.w * y30;
    c2_0 += x2.w * y30;
    c3_0 += x3.w * y30;
    c4_0 += x4.w * y30;
    c5_0 += x5.w * y30;
    c6_0 += x6.w * y30;
    c7_0 += x7.w * y30;
    c8_0 += x8.w * y30;
    c9_0 += x9.w * y30;
    c10_0 += x10.w * y30;
    c11_0 += x11.w * y30;
    c12_0 += x12.w * y30;
    c13_0 += x13.w * y30;
    c14_0 += x14.w * y30;
    c15_0 += x15.w * y30;
  }
  put(m0 + 0u, n0 + 0u, base, c0_0);
  put(m0 + 1u, n0 + 0u, base, c1_0);
  put(m0 + 2u, n0 + 0u, base, c2_0);
  put(m0 + 3u, n0 + 0u, base, c3_0);
  put(m0 + 4u, n0 + 0u, base, c4_0);
  put(m0 + 5u, n0 + 0u, base, c5_0);
  put(m0 + 6u, n0 + 0u, base, c6_0);
  put(m0 + 7u, n0 + 0u, base, c7_0);
  put(m0 + 8u, n0 + 0u, base, c8_0);
  put(m0 + 9u, n0 + 0u, base, c9_0);
  put(m0 + 10u, n0 + 0u, base, c10_0);
  put(m0 + 11u, n0 + 0u, base, c11_0);
  put(m0 + 12u, n0 + 0u, base, c12_0);
  put(m0 + 13u, n0 + 0u, base, c13_0);
  put(m0 + 14u, n0 + 0u, base, c14_0);
  put(m0 + 15u, n0 + 0u, base, c15_0);
}
