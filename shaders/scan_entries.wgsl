// ranges[member, f].x = first slot of feature f: member * per_member + entries of the features before it
//
// Third of four kernels that sort list entries by feature. ranges: (u32, u32) [members, features], .y as
// tally_entries leaves it. One workgroup of 256 lanes a member: each lane sums a run of features, the runs
// are added up in order. Exact.
struct Params { features: u32, per_member: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> ranges: array<vec2<u32>>;

var<workgroup> runs: array<u32, 256>;

@compute @workgroup_size(256, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let base = wid.x * p.features;
  let per = (p.features + 255u) / 256u;
  let first = min(p.features, lane * per);
  let past = min(p.features, first + per);
  var run = 0u;
  for (var f = first; f < past; f++) { run += ranges[base + f].y; }
  runs[lane] = run;
  workgroupBarrier();
  var at = wid.x * p.per_member;
  for (var i = 0u; i < lane; i++) { at += runs[i]; }
  for (var f = first; f < past; f++) {
    let n = ranges[base + f].y;
    ranges[base + f] = vec2<u32>(at, n);
    at += n;
  }
}
