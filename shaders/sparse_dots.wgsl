// out[r, j] = scale * sum_i g[g(r), i] * w[member, index[r, j], i] (+ shift) where value[r, j] > 0, else 0
//
// The gradient of each code in a list. Lists of k slots at member * per_member + base + row * k of index (u32),
// value and out; g: [members, g_rows, d], row g_row0 + r of its member; w: [members, features, d]; shift
// (an L1 penalty's): [members]. With `gated`, a member with count[member] = 0 is left alone. With `counted`,
// a row's list ends after count[row] slots.
// One workgroup of WG lanes a row: lanes along d, partial sums of every list entry in workgroup memory
// (8 entries at a time), added in lane order. Deterministic. Tolerance: 1e-5.
struct Params {
  rows: u32, d: u32, k: u32, features: u32, rows_per_member: u32, base: u32, per_member: u32,
  g_rows: u32, g_row0: u32, gated: u32, counted: u32, has_shift: u32, scale: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> g: array<f32>;
@group(0) @binding(2) var<storage, read> w: array<f32>;
@group(0) @binding(3) var<storage, read> index: array<u32>;
@group(0) @binding(4) var<storage, read> value: array<f32>;
@group(0) @binding(5) var<storage, read> count: array<u32>;
@group(0) @binding(6) var<storage, read> shift: array<f32>;
@group(0) @binding(7) var<storage, read_write> out: array<f32>;

override WG: u32 = 64u;
var<workgroup> partial: array<f32, 512>;

@compute @workgroup_size(WG, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let row = flat_group(wid, nwg);
  if (row >= p.rows) { return; }
  let member = row / p.rows_per_member;
  if (p.gated != 0u && count[member] == 0u) { return; }
  let r = row % p.rows_per_member;
  let list = member * p.per_member + p.base + r * p.k;
  let from_g = (member * p.g_rows + p.g_row0 + r) * p.d;
  var slots = p.k;
  if (p.counted != 0u) { slots = min(slots, count[row]); }
  for (var j0 = 0u; j0 < slots; j0 += 8u) {
    for (var e = 0u; e < min(8u, slots - j0); e++) {
      let at = (member * p.features + index[list + j0 + e]) * p.d;
      var sum = 0.0;
      if (value[list + j0 + e] > 0.0) {
        for (var i = lane; i < p.d; i += WG) { sum += g[from_g + i] * w[at + i]; }
      }
      partial[e * WG + lane] = sum;
    }
    workgroupBarrier();
    for (var e = lane; e < min(8u, slots - j0); e += WG) {
      var sum = 0.0;
      for (var l = 0u; l < WG; l++) { sum += partial[e * WG + l]; }
      sum *= p.scale;
      if (p.has_shift != 0u) { sum += shift[member]; }
      out[list + j0 + e] = select(0.0, sum, value[list + j0 + e] > 0.0);
    }
    workgroupBarrier();
  }
}
