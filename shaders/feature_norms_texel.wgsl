// stats[f] = (gradient . decoder row, squared norm of the gradient, gradient of the bias, 1) of a feature
//
// What feature_norms computes, for CPU rasterisers: g, x and w are read as texels, so d is a multiple of 4.
// A workgroup is 8 lanes, a lane holds every eighth four of coordinates, S of them at a time. The lanes' sums
// are added through workgroup memory, slots in order: deterministic. Tolerance: 1e-5 of the largest.
struct Params { total: u32, features: u32, d: u32, rows: u32, g_rows: u32, scale: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> ranges: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read> slots: array<vec4<u32>>;
@group(0) @binding(3) var g: texture_storage_2d<rgba32float, read>;
@group(0) @binding(4) var x: texture_storage_2d<rgba32float, read>;
@group(0) @binding(5) var w: texture_storage_2d<rgba32float, read>;
@group(0) @binding(6) var<storage, read_write> stats: array<vec4<f32>>;

override S: u32 = 8u;
var<workgroup> sums: array<vec2<f32>, 8>;

@compute @workgroup_size(8, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let f = flat_group(wid, nwg);
  if (f >= p.total) { return; }
  let range = ranges[f];
  let member = f / p.features;
  let d4 = p.d / 4u;
  var along = 0.0;
  var squares = 0.0;
  var bias = 0.0;
  for (var i = lane; i < d4 && range.y > 0u; i += 8u * S) {
    var dec = array<vec4<f32>, 8>();
    var enc = array<vec4<f32>, 8>();
    bias = 0.0;
    for (var j = range.x; j < range.x + range.y; j++) {
      let slot = slots[j];
      let v = bitcast<f32>(slot.y);
      let dv = bitcast<f32>(slot.z);
      let at = (member * p.g_rows + slot.x) * d4 + i;
      let from_x = (member * p.rows + slot.x % p.rows) * d4 + i;
      for (var s = 0u; s < S; s++) {
        dec[s] += v * textureLoad(g, texel(at + 8u * s));
        enc[s] += dv * textureLoad(x, texel(from_x + 8u * s));
      }
      bias += dv;
    }
    for (var s = 0u; s < S; s++) {
      let c = i + 8u * s;
      if (c < d4) {
        let grad = dec[s] * p.scale;
        along += dot(grad, textureLoad(w, texel(f * d4 + c)));
        squares += dot(grad, grad) + dot(enc[s], enc[s]);
      }
    }
  }
  sums[lane] = vec2<f32>(along, squares);
  workgroupBarrier();
  if (lane == 0u) {
    var all = vec2<f32>();
    for (var l = 0u; l < 8u; l++) { all += sums[l]; }
    stats[f] = vec4<f32>(all.x, max(all.y - all.x * all.x, 0.0) + bias * bias, bias, 1.0);
  }
}
