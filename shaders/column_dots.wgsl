// out[b, c] = sum over the rows r of block b of x[r, c] y[r, c]
//
// Blocks are `block` rows, the last one what is left. x, y: [rows, cols]; out: [blocks, cols].
// A lane a column, 64 lanes a workgroup; columns folded over x and y, blocks over z; sums in order,
// deterministic. Tolerance: 1e-5 of the sum of magnitudes.
struct Params { rows: u32, cols: u32, block: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> y: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let col = flat_group(wid, nwg) * 64u + lane;
  if (col >= p.cols) { return; }
  let first = wid.z * p.block;
  var sum = 0.0;
  for (var r = first; r < min(first + p.block, p.rows); r++) {
    let at = r * p.cols + col;
    sum += x[at] * y[at];
  }
  out[wid.z * p.cols + col] = sum;
}
