// Adds each feature's gradient, summed from its slots, to a table of gradients (FIRST: overwrites)
//
// What sparse_gradients computes, for CPU rasterisers: g and x are read as texels and the table by fours, so
// d, stride, enc_col and bias_col are multiples of 4; bias_col's three neighbours are set to 0. A workgroup is
// 8 lanes, a lane holds every eighth four of coordinates, S at a time; slots in order: deterministic.
// Tolerance: 1e-5.
struct Params {
  total: u32, features: u32, d: u32, rows: u32, x_outer: u32, stride: u32, enc_col: u32, bias_col: u32,
  scale: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> ranges: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read> slots: array<vec4<u32>>;
@group(0) @binding(3) var g: texture_storage_2d<rgba32float, read>;
@group(0) @binding(4) var x: texture_storage_2d<rgba32float, read>;
@group(0) @binding(5) var<storage, read_write> grads: array<vec4<f32>>;

override FIRST: u32 = 1u;
override S: u32 = 8u;

fn put(at: u32, v: vec4<f32>) {
  if (FIRST != 0u) { grads[at] = v; } else { grads[at] += v; }
}

@compute @workgroup_size(8, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let f = flat_group(wid, nwg);
  if (f >= p.total) { return; }
  let range = ranges[f];
  if (FIRST == 0u && range.y == 0u) { return; }
  let member = f / p.features;
  let d4 = p.d / 4u;
  let out = f * (p.stride / 4u);
  var bias = 0.0;
  for (var i = lane; i < d4; i += 8u * S) {
    var dec = array<vec4<f32>, 8>();
    var enc = array<vec4<f32>, 8>();
    bias = 0.0;
    for (var j = range.x; j < range.x + range.y; j++) {
      let slot = slots[j];
      let v = p.scale * bitcast<f32>(slot.y);
      let dv = bitcast<f32>(slot.z);
      let at = (member * p.rows + slot.x) * d4 + i;
      let from_x = member * (p.x_outer / 4u) + slot.x * d4 + i;
      for (var s = 0u; s < S; s++) {
        dec[s] += v * textureLoad(g, texel(at + 8u * s));
        enc[s] += dv * textureLoad(x, texel(from_x + 8u * s));
      }
      bias += dv;
    }
    for (var s = 0u; s < S; s++) {
      let c = i + 8u * s;
      if (c < d4) {
        if (p.enc_col == 0u) {
          put(out + c, dec[s] + enc[s]);
        } else {
          put(out + c, dec[s]);
          put(out + p.enc_col / 4u + c, enc[s]);
        }
      }
    }
  }
  if (lane == 0u) { put(out + p.bias_col / 4u, vec4<f32>(bias, 0.0, 0.0, 0.0)); }
}
