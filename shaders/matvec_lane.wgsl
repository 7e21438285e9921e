// C[m, n] = alpha * sum_k A[m, k] * B(k, n) (+ bias[n]) (+ C[m, n]) for 1 to 8 rows m
//
// As matvec.wgsl, without barriers, for CPU rasterisers: A is read through a 64 KiB uniform window, B, each
// element once, straight from storage. B is contiguous in k (weights as [out, in]); with B contiguous in n
// this loses to matmul_uniform_nn (docs/performance.md). Offsets, strides and k are multiples of 4, here in
// vec4 units but for c_off and c_m; b_n leads to the next column.
// A lane has one column; 8 lanes a workgroup, grid folded over x and y. Deterministic: sums in order of k, by
// fours. Tolerance against the f64 reference: 1e-5 * sqrt(k) relative to the sum of magnitudes.
struct Params {
  m: u32, n: u32, k: u32, a_shift: u32,
  a_m: u32, b_off: u32, b_n: u32, c_off: u32,
  c_m: u32, has_bias: u32, accumulate: u32, alpha: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<uniform> a: array<vec4<f32>, 4096>;
@group(0) @binding(2) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> c: array<f32>;

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
  put(row, n, sum.x + sum.y + sum.z + sum.w);
}

@compute @workgroup_size(8, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let n = flat_group(wid, nwg) * 8u + lane;
  if (n >= p.n) { return; }
  let at = p.b_off + n * p.b_n;
  // Rows past the last one are computed from whatever the window holds and never written.
  var s0 = vec4<f32>();
  var s1 = vec4<f32>();
  var s2 = vec4<f32>();
  var s3 = vec4<f32>();
  var s4 = vec4<f32>();
  var s5 = vec4<f32>();
  var s6 = vec4<f32>();
  var s7 = vec4<f32>();
  for (var k = 0u; k < p.k; k++) {
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
