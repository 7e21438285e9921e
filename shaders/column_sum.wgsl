// out[(b * cols + c) * stride + from_col] = scale * sum_r x[b, r, c] (+ what is there)
//
// x: [batch, x_rows, cols], of which the first rows of each batch count; out: [batch * cols, stride], of which
// one column is written. One lane four neighbouring columns: deterministic. 64 lanes a workgroup, grid
// folded. Tolerance: 1e-5 of the sum of magnitudes.
struct Params {
  batch: u32, rows: u32, x_rows: u32, cols: u32, stride: u32, from_col: u32, accumulate: u32, scale: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let i = flat_group(wid, nwg) * 64u + lane;
  let fours = (p.cols + 3u) / 4u;
  if (i >= p.batch * fours) { return; }
  let batch = i / fours;
  let col = 4u * (i % fours);
  let base = batch * p.x_rows * p.cols + col;
  var sum = vec4<f32>();
  for (var r = 0u; r < p.rows; r++) { sum += x4(base + r * p.cols); }
  sum *= p.scale;
  for (var e = 0u; e < min(4u, p.cols - col); e++) {
    let at = (batch * p.cols + col + e) * p.stride + p.from_col;
    var s = sum[e];
    if (p.accumulate != 0u) { s += out[at]; }
    out[at] = s;
  }
}
