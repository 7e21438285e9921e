// ds[r, j] = y[r, j] (dy[r, j] - sum_i y[r, i] dy[r, i]); as softmax_vjp.wgsl, a lane per row
//
// For CPU rasterisers, where a barrier costs as much as a thousand loads. y, dy, ds: [rows, cols].
// 32 lanes and rows a workgroup, grid folded over x and y; sums in order, deterministic.
// Tolerance: 1e-5 of the largest magnitude.
struct Params { rows: u32, cols: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> y: array<f32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> ds: array<f32>;

@compute @workgroup_size(32, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let row = flat_group(wid, nwg) * 32u + lane;
  if (row >= p.rows) { return; }
  let base = row * p.cols;
  var sum = 0.0;
  for (var j = 0u; j < p.cols; j++) { sum += y[base + j] * dy[base + j]; }
  for (var j = 0u; j < p.cols; j++) { ds[base + j] = y[base + j] * (dy[base + j] - sum); }
}
