// out[r, j] = softmax over j <= q + (keys - queries) of scores[r, :], 0 beyond; q = r % queries
//
// scores, out: [rows, keys] with rows = batch * heads * queries. Masked scores are not read.
// One workgroup of 64 lanes a row, grid folded over x and y; tree reductions, deterministic.
// Tolerance: 1e-5.
struct Params { rows: u32, queries: u32, keys: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> scores: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let row = flat_group(wid, nwg);
  if (row >= p.rows) { return; }
  let base = row * p.keys;
  let limit = row % p.queries + p.keys - p.queries + 1u;
  // Short of -f32::MAX: the literal itself passes naga and fails in Chrome.
  var most = -3.4e38;
  for (var j = lane; j < limit; j += 64u) { most = max(most, scores[base + j]); }
  most = reduce_max(lane, most);
  var sum = 0.0;
  for (var j = lane; j < limit; j += 64u) { sum += exp(scores[base + j] - most); }
  sum = reduce_sum(lane, sum);
  for (var j = lane; j < p.keys; j += 64u) {
    var y = 0.0;
    if (j < limit) { y = exp(scores[base + j] - most) / sum; }
    out[base + j] = y;
  }
}
