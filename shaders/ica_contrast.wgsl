// y[r, c] = tanh(x[r, c]);  slopes[b, c] = sum over rows r of block b of (1 - y[r, c]^2)
//
// x, y: [rows, cols]; slopes: [blocks, cols] with blocks = ceil(rows / 64). FastICA's contrast logcosh: y is its
// derivative, slopes are sums of the second one. One workgroup of 64 lanes a block of 64 rows and 64 columns, one
// lane a column, rows in order: deterministic; grid folded. tanh from exp of a negative number, since built-in ones
// overflow on some drivers. Tolerance: 2e-6.
struct Params { rows: u32, cols: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<storage, read_write> slopes: array<f32>;

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let group = flat_group(wid, nwg);
  let across = (p.cols + 63u) / 64u;
  let block = group / across;
  let col = (group % across) * 64u + lane;
  let first = block * 64u;
  if (first >= p.rows || col >= p.cols) { return; }
  var sum = 0.0;
  for (var r = first; r < min(first + 64u, p.rows); r++) {
    let v = x[r * p.cols + col];
    let e = exp(-2.0 * abs(v));
    let t = (1.0 - e) / (1.0 + e);
    y[r * p.cols + col] = select(t, -t, v < 0.0);
    sum += 1.0 - t * t;
  }
  slopes[block * p.cols + col] = sum;
}
