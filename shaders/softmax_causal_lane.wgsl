// out[r, j] = softmax over j <= q + (keys - queries) of scores[r, :], 0 beyond; q = r % queries; as
// softmax_causal.wgsl, a lane per row
//
// For CPU rasterisers, where a barrier costs as much as a thousand loads. scores, out: [rows, keys]
// with rows = batch * heads * queries. Masked scores are not read. 32 lanes and rows a workgroup, grid
// folded over x and y; sums in order, deterministic. Tolerance: 1e-5.
struct Params { rows: u32, queries: u32, keys: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> scores: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(32, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let row = flat_group(wid, nwg) * 32u + lane;
  if (row >= p.rows) { return; }
  let base = row * p.keys;
  let limit = row % p.queries + p.keys - p.queries + 1u;
  // Short of -f32::MAX: the literal itself passes naga and fails in Chrome.
  var most = -3.4e38;
  for (var j = 0u; j < limit; j++) { most = max(most, scores[base + j]); }
  var sum = 0.0;
  for (var j = 0u; j < limit; j++) { sum += exp(scores[base + j] - most); }
  for (var j = 0u; j < p.keys; j++) {
    var y = 0.0;
    if (j < limit) { y = exp(scores[base + j] - most) / sum; }
    out[base + j] = y;
  }
}
