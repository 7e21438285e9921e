// For every feature the entries that hold it, in row order: entry[member, f, 0..fired[member, f])
//
// Second half of inverting the lists: place is u32 [members * rows, features] as mark_entries left it;
// entry: u32 [members, features, rows]; fired: u32 [members, features]. With `gated`, a member with
// count[member] = 0 gets fired = 0. One lane a feature walks its column: no atomics, so the order (and
// with it every sum made from it) is fixed. 64 lanes a workgroup, grid folded. Exact.
struct Params { members: u32, rows: u32, features: u32, gated: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> place: array<u32>;
@group(0) @binding(2) var<storage, read> count: array<u32>;
@group(0) @binding(3) var<storage, read_write> entry: array<u32>;
@group(0) @binding(4) var<storage, read_write> fired: array<u32>;

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let i = flat_group(wid, nwg) * 64u + lane;
  if (i >= p.members * p.features) { return; }
  let member = i / p.features;
  var n = 0u;
  if (p.gated == 0u || count[member] != 0u) {
    let column = member * p.rows * p.features + i % p.features;
    for (var r = 0u; r < p.rows; r++) {
      let at = place[column + r * p.features];
      if (at != 0u) {
        entry[i * p.rows + n] = at - 1u;
        n++;
      }
    }
  }
  fired[i] = n;
}
