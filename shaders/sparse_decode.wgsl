// out[o(r), :] = sum_j value[r, j] * w[member, index[r, j], :] + bias[member, :] + beta * other[r, :] + carry
//
// Lists of k slots at member * per_member + base + row * k of index (u32) and value; w: [members, features, d];
// bias: [members, d]; other: [n, d], row r of it modulo n; out: [members, out_rows, d], row out_row0 + r of its
// member; carry: with has_carry, what stands in out at the member's row r (out_row0 rows above).
// With `gated`, a member with count[member] = 0 is left alone. With `counted`, a row's list ends after
// count[row] slots. One workgroup of WG lanes a row, eight coordinates a lane at a time.
// Deterministic: one lane sums over j in order. Tolerance: 1e-5.
struct Params {
  rows: u32, d: u32, k: u32, features: u32, rows_per_member: u32, base: u32, per_member: u32,
  out_rows: u32, out_row0: u32, has_bias: u32, has_carry: u32, other_rows: u32, gated: u32, counted: u32,
  beta: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> index: array<u32>;
@group(0) @binding(2) var<storage, read> value: array<f32>;
@group(0) @binding(3) var<storage, read> w: array<f32>;
@group(0) @binding(4) var<storage, read> bias: array<f32>;
@group(0) @binding(5) var<storage, read> other: array<f32>;
@group(0) @binding(6) var<storage, read> count: array<u32>;
@group(0) @binding(7) var<storage, read_write> out: array<f32>;

override WG: u32 = 64u;

@compute @workgroup_size(WG, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let row = flat_group(wid, nwg);
  if (row >= p.rows) { return; }
  let member = row / p.rows_per_member;
  if (p.gated != 0u && count[member] == 0u) { return; }
  let r = row % p.rows_per_member;
  let list = member * p.per_member + p.base + r * p.k;
  var slots = p.k;
  if (p.counted != 0u) { slots = min(slots, count[row]); }
  for (var i = lane; i < p.d; i += 8u * WG) {
    var lo = vec4<f32>();
    var hi = vec4<f32>();
    for (var j = 0u; j < slots; j++) {
      let v = value[list + j];
      if (v != 0.0) {
        let at = (member * p.features + index[list + j]) * p.d + i;
        lo += v * vec4<f32>(w[at], w[at + WG], w[at + 2u * WG], w[at + 3u * WG]);
        hi += v * vec4<f32>(w[at + 4u * WG], w[at + 5u * WG], w[at + 6u * WG], w[at + 7u * WG]);
      }
    }
    for (var e = 0u; e < 8u; e++) {
      let c = i + e * WG;
      if (c < p.d) {
        var y = select(hi[e & 3u], lo[e & 3u], e < 4u);
        let home = member * p.out_rows + r;
        if (p.has_bias != 0u) { y += bias[member * p.d + c]; }
        if (p.beta != 0.0) { y += p.beta * other[(row % p.other_rows) * p.d + c]; }
        if (p.has_carry != 0u) { y += out[home * p.d + c]; }
        out[(home + p.out_row0) * p.d + c] = y;
      }
    }
  }
}
