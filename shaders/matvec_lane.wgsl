// C[m, n] = alpha * sum_k A[m, k] * B(k, n) (+ bias[n]) (+ C[m, n]) for 1 to 8 rows m
//
// As matvec.wgsl, without barriers, for CPU rasterisers: A is read through a 64 KiB uniform window, B, each
// element once, straight from storage. K_FAST = 1: B is contiguous in k and a lane has one column; 0: in n and
// a lane has four. Offsets, strides and k are multiples of 4, for K_FAST = 0 n as well; here in vec4 units,
// but for c_off and c_m. b_step leads to the next column (K_FAST = 1) or the next k.
// A workgroup of 8 lanes does 8 or 32 columns, grid folded over x and y. Deterministic: sums in order of k,
// by fours. Tolerance against the f64 reference: 1e-5 * sqrt(k) relative to the sum of magnitudes.
struct Params {
  m: u32, n: u32, k: u32, a_shift: u32,
  a_m: u32, b_off: u32, b_step: u32, c_off: u32,
  c_m: u32, has_bias: u32, accumulate: u32, alpha: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<uniform> a: array<vec4<f32>, 4096>;
@group(0) @binding(2) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> c: array<f32>;

override K_FAST: u32 = 1u;
// Rows at most: 1 or 8.
override ROWS: u32 = 1u;

fn put(row: u32, n: u32, x: f32) {
  if (row >= p.m || n >= p.n) { return; }
  let at = p.c_off + row * p.c_m + n;
  var y = x * p.alpha;
  if (p.has_bias != 0u) { y += bias[n]; }
  if (p.accumulate != 0u) { y += c[at]; }
  c[at] = y;
}

fn finish(row: u32, n: u32, sum: vec4<f32>) {
  if (K_FAST != 0u) {
    put(row, n, sum.x + sum.y + sum.z + sum.w);
  } else {
    put(row, n * 4u, sum.x);
    put(row, n * 4u + 1u, sum.y);
    put(row, n * 4u + 2u, sum.z);
    put(row, n * 4u + 3u, sum.w);
  }
}

@compute @workgroup_size(8, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let n = flat_group(wid, nwg) * 8u + lane;
  let columns = select((p.n + 3u) / 4u, p.n, K_FAST != 0u);
  if (n >= columns) { return; }
  let at = p.b_off + select(n, n * p.b_step, K_FAST != 0u);
  // Rows past the last one are computed from whatever the window holds and never written.
  var s0 = vec4<f32>();
  var s1 = vec4<f32>();
  var s2 = vec4<f32>();
  var s3 = vec4<f32>();
  var s4 = vec4<f32>();
  var s5 = vec4<f32>();
  var s6 = vec4<f32>();
  var s7 = vec4<f32>();
  if (K_FAST != 0u) {
    for (var k = 0u; k < p.k; k += 1u) {
      let y = b[at + k];
      s0 += a[p.a_shift + 0u * p.a_m + k] * y;
      if (ROWS > 1u) {
        s1 += a[p.a_shift + 1u * p.a_m + k] * y;
        s2 += a[p.a_shift + 2u * p.a_m + k] * y;
        s3 += a[p.a_shift + 3u * p.a_m + k] * y;
        s4 += a[p.a_shift + 4u * p.a_m + k] * y;
        s5 += a[p.a_shift + 5u * p.a_m + k] * y;
        s6 += a[p.a_shift + 6u * p.a_m + k] * y;
        s7 += a[p.a_shift + 7u * p.a_m + k] * y;
      }
    }
  } else {
    for (var k = 0u; k < p.k; k += 1u) {
      let row = at + k * 4u * p.b_step;
      let y0 = b[row + 0u * p.b_step];
      let y1 = b[row + 1u * p.b_step];
      let y2 = b[row + 2u * p.b_step];
      let y3 = b[row + 3u * p.b_step];
      let x0 = a[p.a_shift + 0u * p.a_m + k]; s0 += x0.x * y0 + x0.y * y1 + x0.z * y2 + x0.w * y3;
      if (ROWS > 1u) {
        let x1 = a[p.a_shift + 1u * p.a_m + k]; s1 += x1.x * y0 + x1.y * y1 + x1.z * y2 + x1.w * y3;
        let x2 = a[p.a_shift + 2u * p.a_m + k]; s2 += x2.x * y0 + x2.y * y1 + x2.z * y2 + x2.w * y3;
        let x3 = a[p.a_shift + 3u * p.a_m + k]; s3 += x3.x * y0 + x3.y * y1 + x3.z * y2 + x3.w * y3;
        let x4 = a[p.a_shift + 4u * p.a_m + k]; s4 += x4.x * y0 + x4.y * y1 + x4.z * y2 + x4.w * y3;
        let x5 = a[p.a_shift + 5u * p.a_m + k]; s5 += x5.x * y0 + x5.y * y1 + x5.z * y2 + x5.w * y3;
        let x6 = a[p.a_shift + 6u * p.a_m + k]; s6 += x6.x * y0 + x6.y * y1 + x6.z * y2 + x6.w * y3;
        let x7 = a[p.a_shift + 7u * p.a_m + k]; s7 += x7.x * y0 + x7.y * y1 + x7.z * y2 + x7.w * y3;
      }
    }
  }
  finish(0u, n, s0);
  if (ROWS > 1u) {
    finish(1u, n, s1);
    finish(2u, n, s2);
    finish(3u, n, s3);
    finish(4u, n, s4);
    finish(5u, n, s5);
    finish(6u, n, s6);
    finish(7u, n, s7);
  }
}
