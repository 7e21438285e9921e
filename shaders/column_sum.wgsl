// out[(b * cols + c) * stride + from_col] = scale * sum_r x[b, r, c] (+ what is there)
//
// x: [batch, x_rows, cols], of which the first rows of each batch count; out: [batch * cols, stride], of which
// one column is written. One lane a column: deterministic. 64 lanes a workgroup, grid folded. Tolerance: 1e-5 of the sum of magnitudes.
struct Params {
  batch: u32, rows: u32, x_rows: u32, cols: u32, stride: u32, from_col: u32, accumulate: u32, scale: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let i = flat_group(wid, nwg) * 64u + lane;
  if (i >= p.batch * p.cols) { return; }
  let base = (i / p.cols) * p.x_rows * p.cols + i % p.cols;
  var sum = 0.0;
  for (var r = 0u; r < p.rows; r++) { sum += x[base + r * p.cols]; }
  sum *= p.scale;
  let at = i * p.stride + p.from_col;
  if (p.accumulate != 0u) { sum += out[at]; }
  out[at] = sum;
}
