// out[o(r), :] = sum_j value[r, j] * w[member, index[r, j], :] + bias[member, :] + beta * other[r, :] + carry
//
// What sparse_decode computes, for CPU rasterisers: w is read as texels and the rest by fours, so d is a
// multiple of 4. A workgroup is 8 lanes, a lane holds every eighth four of coordinates, S at a time.
// Deterministic: one lane sums over j in order. Tolerance: 1e-5.
struct Params {
  rows: u32, d: u32, k: u32, features: u32, rows_per_member: u32, base: u32, per_member: u32,
  out_rows: u32, out_row0: u32, has_bias: u32, has_carry: u32, other_rows: u32, gated: u32, counted: u32,
  beta: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> index: array<u32>;
@group(0) @binding(2) var<storage, read> value: array<f32>;
@group(0) @binding(3) var w: texture_storage_2d<rgba32float, read>;
@group(0) @binding(4) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> other: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read> count: array<u32>;
@group(0) @binding(7) var<storage, read_write> out: array<vec4<f32>>;

override S: u32 = 8u;

@compute @workgroup_size(8, 1, 1)
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
  let d4 = p.d / 4u;
  for (var i = lane; i < d4; i += 8u * S) {
    var sum = array<vec4<f32>, 8>();
    for (var j = 0u; j < slots; j++) {
      let v = value[list + j];
      let at = (member * p.features + index[list + j]) * d4 + i;
      for (var s = 0u; s < S; s++) { sum[s] += v * textureLoad(w, texel(at + 8u * s)); }
    }
    for (var s = 0u; s < S; s++) {
      let c = i + 8u * s;
      if (c < d4) {
        var y = sum[s];
        let home = member * p.out_rows + r;
        if (p.has_bias != 0u) { y += bias[member * d4 + c]; }
        if (p.beta != 0.0) { y += p.beta * other[(row % p.other_rows) * d4 + c]; }
        if (p.has_carry != 0u) { y += out[home * d4 + c]; }
        out[(home + p.out_row0) * d4 + c] = y;
      }
    }
  }
}
