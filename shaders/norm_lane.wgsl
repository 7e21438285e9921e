// out[r, :] = normalised x[r, :], times weight plus bias where given; as norm.wgsl, a lane per row
//
// For CPU rasterisers, where a barrier costs as much as a thousand loads and neighbouring lanes gain
// nothing from neighbouring addresses. kind 0, LayerNorm: (x - mean) / sqrt(var + eps); kind 1,
// RMSNorm: x / sqrt(mean(x^2) + eps); kind 2, centring only: x - mean. x, out: [rows, cols]; weight,
// bias: [cols]. 32 lanes and rows a workgroup, grid folded over x and y; sums in order,
// deterministic. Tolerance: 1e-5 of the largest magnitude.
struct Params { rows: u32, cols: u32, kind: u32, has_weight: u32, has_bias: u32, eps: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(32, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let row = flat_group(wid, nwg) * 32u + lane;
  if (row >= p.rows) { return; }
  let base = row * p.cols;
  var mean = 0.0;
  if (p.kind != 1u) {
    var sum = 0.0;
    for (var i = 0u; i < p.cols; i++) { sum += x[base + i]; }
    mean = sum / f32(p.cols);
  }
  var scale = 1.0;
  if (p.kind != 2u) {
    var square = 0.0;
    for (var i = 0u; i < p.cols; i++) {
      let d = x[base + i] - mean;
      square += d * d;
    }
    scale = 1.0 / sqrt(square / f32(p.cols) + p.eps);
  }
  for (var i = 0u; i < p.cols; i++) {
    var y = (x[base + i] - mean) * scale;
    if (p.has_weight != 0u) { y *= weight[i]; }
    if (p.has_bias != 0u) { y += bias[i]; }
    out[base + i] = y;
  }
}
