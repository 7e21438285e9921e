// out[r] = number of c with x[r, c] > limit
//
// x: u32 [rows, cols], out: u32 [rows] (dead features of each member). One workgroup of 64 lanes a row;
// integer sums. Exact.
struct Params { rows: u32, cols: u32, limit: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<u32>;

var<workgroup> counts: array<u32, 64>;

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let row = flat_group(wid, nwg);
  if (row >= p.rows) { return; }
  var n = 0u;
  for (var c = lane; c < p.cols; c += 64u) { n += select(0u, 1u, x[row * p.cols + c] > p.limit); }
  counts[lane] = n;
  workgroupBarrier();
  for (var s = 32u; s > 0u; s >>= 1u) {
    if (lane < s) { counts[lane] += counts[lane + s]; }
    workgroupBarrier();
  }
  if (lane == 0u) { out[row] = counts[0]; }
}
