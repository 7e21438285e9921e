// dx[r, :] = the gradient of x[r, :] from dy[r, :], that of what norm.wgsl makes of it
//
// kind 0, LayerNorm; 1, RMSNorm; 2, centring, as there; h the normalised row before weight and bias, s its
// scale, g = dy * weight (dy without one): dx = s (g - mean(g) - h mean(g h)), RMSNorm without mean(g);
// centring: g - mean(g). dy, x, dx: [rows, cols]; weight: [cols].
// One workgroup of 64 lanes a row, grid folded over x and y; tree reductions, deterministic.
// Tolerance: 1e-5 of the largest magnitude.
struct Params { rows: u32, cols: u32, kind: u32, has_weight: u32, eps: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> weight: array<f32>;
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let row = flat_group(wid, nwg);
  if (row >= p.rows) { return; }
  let base = row * p.cols;
  let n = f32(p.cols);
  var mean = 0.0;
  if (p.kind != 1u) {
    var sum = 0.0;
    for (var i = lane; i < p.cols; i += 64u) { sum += x[base + i]; }
    mean = reduce_sum(lane, sum) / n;
  }
  var scale = 1.0;
  if (p.kind != 2u) {
    var square = 0.0;
    for (var i = lane; i < p.cols; i += 64u) {
      let d = x[base + i] - mean;
      square += d * d;
    }
    scale = 1.0 / sqrt(reduce_sum(lane, square) / n + p.eps);
  }
  var sum_g = 0.0;
  var sum_gh = 0.0;
  for (var i = lane; i < p.cols; i += 64u) {
    var g = dy[base + i];
    if (p.has_weight != 0u) { g *= weight[i]; }
    sum_g += g;
    sum_gh += g * (x[base + i] - mean) * scale;
  }
  sum_g = reduce_sum(lane, sum_g) / n;
  sum_gh = reduce_sum(lane, sum_gh) / n;
  if (p.kind == 1u) { sum_g = 0.0; }
  if (p.kind == 2u) { sum_gh = 0.0; }
  for (var i = lane; i < p.cols; i += 64u) {
    var g = dy[base + i];
    if (p.has_weight != 0u) { g *= weight[i]; }
    dx[base + i] = scale * (g - sum_g - (x[base + i] - mean) * scale * sum_gh);
  }
}
