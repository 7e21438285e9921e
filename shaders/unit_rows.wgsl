// out[r, :] = x[r, :] / max(|x[r, :]|, 1e-8), norm[r] = max(|x[r, :]|, 1e-8)
//
// x, out: [rows, cols]; norm: [rows]. One workgroup of 64 lanes a row, tree reduction, deterministic;
// grid folded. The floor is the paper's code's. Tolerance: 1e-6.
struct Params { rows: u32, cols: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@group(0) @binding(3) var<storage, read_write> norm: array<f32>;

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let row = flat_group(wid, nwg);
  if (row >= p.rows) { return; }
  var sum = 0.0;
  for (var c = lane; c < p.cols; c += 64u) {
    let v = x[row * p.cols + c];
    sum += v * v;
  }
  let length = max(sqrt(reduce_sum(lane, sum)), 1e-8);
  for (var c = lane; c < p.cols; c += 64u) { out[row * p.cols + c] = x[row * p.cols + c] / length; }
  if (lane == 0u) { norm[row] = length; }
}
