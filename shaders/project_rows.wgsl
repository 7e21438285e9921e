// g[r, :] = (g[r, :] - unit[r, :] (unit[r, :] . g[r, :])) / (divide ? norm[r] : 1), in place
//
// Takes out of a gradient what is parallel to a unit row; divided by the norm it is the gradient
// through x / |x|. g: [rows, stride] of which the first cols count; unit: [rows, cols]; norm: [rows].
// One workgroup of 64 lanes a row, tree reduction, deterministic; grid folded. Tolerance: 1e-5.
struct Params { rows: u32, cols: u32, stride: u32, divide: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> unit: array<f32>;
@group(0) @binding(2) var<storage, read> norm: array<f32>;
@group(0) @binding(3) var<storage, read_write> g: array<f32>;

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let row = flat_group(wid, nwg);
  if (row >= p.rows) { return; }
  var sum = 0.0;
  for (var c = lane; c < p.cols; c += 64u) { sum += unit[row * p.cols + c] * g[row * p.stride + c]; }
  let along = reduce_sum(lane, sum);
  var scale = 1.0;
  if (p.divide != 0u) { scale = 1.0 / norm[row]; }
  for (var c = lane; c < p.cols; c += 64u) {
    let at = row * p.stride + c;
    g[at] = (g[at] - along * unit[row * p.cols + c]) * scale;
  }
}
