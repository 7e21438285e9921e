// One step of Adam on one matrix of a dictionary, the gradient of each row summed from its slots
//
// What feature_update computes, for CPU rasterisers: `source` is read as texels and the rest by fours, so d
// is a multiple of 4. A workgroup is 8 lanes, a lane holds every eighth four of coordinates, S of them at a
// time; slots in order: deterministic. Tolerance: 1e-5.
struct Params {
  total: u32, features: u32, d: u32, source_rows: u32, scale: f32,
  rate: f32, correction: f32, beta1: f32, beta2: f32, eps: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> ranges: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read> slots: array<vec4<u32>>;
@group(0) @binding(3) var source: texture_storage_2d<rgba32float, read>;
@group(0) @binding(4) var<storage, read> stats: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> w: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> m: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read_write> v: array<vec4<f32>>;

override DECODER: u32 = 0u;
override S: u32 = 8u;
var<workgroup> sums: array<f32, 8>;

@compute @workgroup_size(8, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let f = flat_group(wid, nwg);
  if (f >= p.total) { return; }
  let range = ranges[f];
  let stat = stats[f];
  let member = f / p.features;
  let d4 = p.d / 4u;
  var squares = 0.0;
  for (var i = lane; i < d4; i += 8u * S) {
    var grad = array<vec4<f32>, 8>();
    for (var j = range.x; j < range.x + range.y; j++) {
      let slot = slots[j];
      let at = (member * p.source_rows + slot.x % p.source_rows) * d4 + i;
      let factor = bitcast<f32>(select(slot.z, slot.y, DECODER != 0u));
      for (var s = 0u; s < S; s++) { grad[s] += factor * textureLoad(source, texel(at + 8u * s)); }
    }
    for (var s = 0u; s < S; s++) {
      let c = i + 8u * s;
      if (c < d4) {
        let e = f * d4 + c;
        var old = w[e];
        var g = grad[s];
        if (DECODER != 0u) { g = g * p.scale - stat.x * old; }
        g *= stat.w;
        let m1 = p.beta1 * m[e] + (1.0 - p.beta1) * g;
        let v1 = p.beta2 * v[e] + (1.0 - p.beta2) * g * g;
        m[e] = m1;
        v[e] = v1;
        old -= p.rate * m1 / (sqrt(v1) * p.correction + vec4<f32>(p.eps));
        w[e] = old;
        squares += dot(old, old);
      }
    }
  }
  if (DECODER != 0u) {
    sums[lane] = squares;
    workgroupBarrier();
    var all = 0.0;
    for (var l = 0u; l < 8u; l++) { all += sums[l]; }
    let length = max(sqrt(all), 1e-8);
    // A lane reads back what it wrote itself.
    for (var c = lane; c < d4; c += 8u) { w[f * d4 + c] = w[f * d4 + c] / length; }
  }
}
