// slots[place of e] = (row of the gradient, value * factor, gradient of the code, 0), bits in u32
//
// Last of four kernels that sort list entries by feature: entry e with value > 0 goes to
// ranges[feature].x + tally[chunk, feature] + rank[e], so a feature's slots are in row order. Lists as in
// rank_entries; ranges, tally as scan_entries leaves them; the row written is row0 + row within the member.
// With `gated` and `counted` as in rank_entries. 64 lanes and 256 entries of one member
// (z) a workgroup, grid folded over x and y. Exact.
struct Params {
  entries: u32, k: u32, base: u32, per_member: u32, features: u32,
  chunk_rows: u32, chunk0: u32, chunks: u32, row0: u32, gated: u32, counted: u32,
  factor: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> index: array<u32>;
@group(0) @binding(2) var<storage, read> value: array<f32>;
@group(0) @binding(3) var<storage, read> gradient: array<f32>;
@group(0) @binding(4) var<storage, read> rank: array<u32>;
@group(0) @binding(5) var<storage, read> ranges: array<vec2<u32>>;
@group(0) @binding(6) var<storage, read> tally: array<u32>;
@group(0) @binding(7) var<storage, read> count: array<u32>;
@group(0) @binding(8) var<storage, read_write> slots: array<vec4<u32>>;

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let member = wid.z;
  if (p.gated != 0u && count[member] == 0u) { return; }
  let first = flat_group(wid, nwg) * 256u + lane;
  for (var s = 0u; s < 4u; s++) {
    let i = first + s * 64u;
    if (i < p.entries) {
      let e = member * p.per_member + p.base + i;
      let v = value[e];
      let row = i / p.k;
      var length = p.k;
      if (p.counted != 0u) { length = min(length, count[member * (p.entries / p.k) + row]); }
      if (v > 0.0 && i % p.k < length) {
        let f = index[e];
        let chunk = p.chunk0 + row / p.chunk_rows;
        let cell = (member * p.chunks + chunk) * p.features + f;
        let to = ranges[member * p.features + f].x + tally[cell] + rank[e];
        slots[to] = vec4<u32>(p.row0 + row, bitcast<u32>(v * p.factor), bitcast<u32>(gradient[e]), 0u);
      }
    }
  }
}
