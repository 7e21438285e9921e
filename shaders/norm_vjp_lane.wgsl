// dx[r, :] = the gradient of x[r, :] from dy[r, :], that of its norm; as norm_vjp.wgsl, a lane per row
//
// For CPU rasterisers, where a barrier costs as much as a thousand loads. kind 0, LayerNorm; 1, RMSNorm;
// 2, centring. dy, x, dx: [rows, cols]; weight: [cols]. 32 lanes and rows a workgroup, grid folded over x
// and y; sums in order, deterministic. Tolerance: 1e-5 of the largest magnitude.
struct Params { rows: u32, cols: u32, kind: u32, has_weight: u32, eps: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> weight: array<f32>;
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(32, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let row = flat_group(wid, nwg) * 32u + lane;
  if (row >= p.rows) { return; }
  let base = row * p.cols;
  let n = f32(p.cols);
  var mean = 0.0;
  if (p.kind != 1u) {
    var sum = 0.0;
    for (var i = 0u; i < p.cols; i++) { sum += x[base + i]; }
    mean = sum / n;
  }
  var scale = 1.0;
  if (p.kind != 2u) {
    var square = 0.0;
    for (var i = 0u; i < p.cols; i++) {
      let d = x[base + i] - mean;
      square += d * d;
    }
    scale = 1.0 / sqrt(square / n + p.eps);
  }
  var sum_g = 0.0;
  var sum_gh = 0.0;
  for (var i = 0u; i < p.cols; i++) {
    var g = dy[base + i];
    if (p.has_weight != 0u) { g *= weight[i]; }
    sum_g += g;
    sum_gh += g * (x[base + i] - mean) * scale;
  }
  sum_g /= n;
  sum_gh /= n;
  if (p.kind == 1u) { sum_g = 0.0; }
  if (p.kind == 2u) { sum_gh = 0.0; }
  for (var i = 0u; i < p.cols; i++) {
    var g = dy[base + i];
    if (p.has_weight != 0u) { g *= weight[i]; }
    dx[base + i] = scale * (g - sum_g - (x[base + i] - mean) * scale * sum_gh);
  }
}
