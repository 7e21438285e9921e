// ds[r, j] = y[r, j] (dy[r, j] - sum_i y[r, i] dy[r, i])
//
// The gradient of scores from dy, that of y = softmax(scores). Masked places have y = 0 and get 0.
// y, dy, ds: [rows, cols].
// One workgroup of 64 lanes a row, grid folded over x and y; tree reductions, deterministic.
// Tolerance: 1e-5 of the largest magnitude.
struct Params { rows: u32, cols: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> y: array<f32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> ds: array<f32>;

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let row = flat_group(wid, nwg);
  if (row >= p.rows) { return; }
  let base = row * p.cols;
  var sum = 0.0;
  for (var j = lane; j < p.cols; j += 64u) { sum += y[base + j] * dy[base + j]; }
  sum = reduce_sum(lane, sum);
  for (var j = lane; j < p.cols; j += 64u) { ds[base + j] = y[base + j] * (dy[base + j] - sum); }
}
