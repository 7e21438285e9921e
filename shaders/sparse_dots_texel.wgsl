// out[r, j] = scale * sum_i g[g(r), i] * w[member, index[r, j], i] (+ shift) where value[r, j] > 0, else 0
//
// What sparse_dots computes, for CPU rasterisers: g and w are read as texels, so d is a multiple of 4. A
// workgroup is 8 lanes; a lane holds every eighth four of the row of g, S at a time, and eight entries' sums
// are turned to one a lane by shuffles. Deterministic. Tolerance: 1e-5.
struct Params {
  rows: u32, d: u32, k: u32, features: u32, rows_per_member: u32, base: u32, per_member: u32,
  g_rows: u32, g_row0: u32, gated: u32, counted: u32, has_shift: u32, scale: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var g: texture_storage_2d<rgba32float, read>;
@group(0) @binding(2) var w: texture_storage_2d<rgba32float, read>;
@group(0) @binding(3) var<storage, read> index: array<u32>;
@group(0) @binding(4) var<storage, read> value: array<f32>;
@group(0) @binding(5) var<storage, read> count: array<u32>;
@group(0) @binding(6) var<storage, read> shift: array<f32>;
@group(0) @binding(7) var<storage, read_write> out: array<f32>;

override S: u32 = 8u;

// The sum over eight lanes, in all of them.
fn all_lanes(x: f32, lane: u32) -> f32 {
  var sum = x + subgroupShuffle(x, lane ^ 1u);
  sum += subgroupShuffle(sum, lane ^ 2u);
  return sum + subgroupShuffle(sum, lane ^ 4u);
}

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
  let from_g = (member * p.g_rows + p.g_row0 + r) * d4;
  for (var block = 0u; block < d4; block += 8u * S) {
    let i = block + lane;
    var mine = array<vec4<f32>, 8>();
    for (var s = 0u; s < S; s++) {
      let c = i + 8u * s;
      mine[s] = select(vec4<f32>(), textureLoad(g, texel(from_g + c)), c < d4);
    }
    let last = block + 8u * S >= d4;
    for (var j0 = 0u; j0 < slots; j0 += 8u) {
      let j = list + min(j0 + lane, slots - 1u);
      let f = index[j];
      var dots = 0.0;
      for (var t = 0u; t < 8u; t++) {
        let at = (member * p.features + subgroupShuffle(f, t)) * d4;
        var sum = 0.0;
        for (var s = 0u; s < S; s++) {
          let c = i + 8u * s;
          sum += dot(mine[s], select(vec4<f32>(), textureLoad(w, texel(at + c)), c < d4));
        }
        sum = all_lanes(sum, lane);
        dots = select(dots, sum, t == lane);
      }
      if (j0 + lane < slots) {
        if (block > 0u) { dots += out[j]; }
        if (last) {
          dots *= p.scale;
          if (p.has_shift != 0u) { dots += shift[member]; }
          dots = select(0.0, dots, value[j] > 0.0);
        }
        out[j] = dots;
      }
    }
  }
}
