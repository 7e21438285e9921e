// ranges[member, f].y = entries of feature f; tally becomes each chunk's first place among them
//
// Second of four kernels that sort list entries by feature: rank, tally, scan, place. tally: u32 [members,
// chunks, features] as rank_entries leaves it, replaced by its running sum over chunks; ranges: (u32, u32)
// [members, features], of which .y is written; fired: u32 [members, features], entries in the first
// main_chunks chunks. One lane a feature of a member, 64 a workgroup, grid folded. Exact.
struct Params { total: u32, features: u32, chunks: u32, main_chunks: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> tally: array<u32>;
@group(0) @binding(2) var<storage, read_write> ranges: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read_write> fired: array<u32>;

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let i = flat_group(wid, nwg) * 64u + lane;
  if (i >= p.total) { return; }
  let column = (i / p.features) * p.chunks * p.features + i % p.features;
  var n = 0u;
  var first = 0u;
  for (var c = 0u; c < p.chunks; c++) {
    let here = tally[column + c * p.features];
    tally[column + c * p.features] = n;
    n += here;
    if (c + 1u == p.main_chunks) { first = n; }
  }
  ranges[i] = vec2<u32>(0u, n);
  fired[i] = first;
}
