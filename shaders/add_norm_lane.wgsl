// sum[r, :] = a[r, :] + b[r, :] (+ c[r, :]); out[r, :] = normalised sum[r, :], times weight plus bias where given
//
// As add_norm.wgsl, a lane per row and without barriers, for CPU rasterisers: what is read is read
// through 64 KiB uniform windows (docs/performance.md), three times, which costs less than reading the
// stored sum once. terms = 1 (then sum is not written), 2 or 3; KIND 0, LayerNorm; 1, RMSNorm;
// 2, centring only: x - mean. Choices are constants, since a branch not taken at run time is run all the
// same; but terms is none, so that a norm alone has the bits of one after an addition.
// One dispatch does the `rows` rows that a window of each of a, b, c holds, from vec4 `shift` on; quads =
// cols / 4; sum and out: vec4 `at` on. A workgroup is 8 rows. Sums in order, deterministic.
// Tolerance: 1e-5 of the largest magnitude.
struct Params {
  rows: u32, quads: u32, shift: u32, at: u32,
  eps: f32, terms: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<uniform> a: array<vec4<f32>, 4096>;
@group(0) @binding(2) var<uniform> b: array<vec4<f32>, 4096>;
@group(0) @binding(3) var<uniform> c: array<vec4<f32>, 4096>;
@group(0) @binding(4) var<uniform> weight: array<vec4<f32>, 4096>;
@group(0) @binding(5) var<uniform> bias: array<vec4<f32>, 4096>;
@group(0) @binding(6) var<storage, read_write> sum: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read_write> out: array<vec4<f32>>;

override KIND: u32 = 0u;
override WEIGHT: u32 = 1u;
override BIAS: u32 = 1u;

fn value(i: u32) -> vec4<f32> {
  var x = a[i];
  if (p.terms > 1u) { x += b[i]; }
  if (p.terms > 2u) { x += c[i]; }
  return x;
}

@compute @workgroup_size(8, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = wid.x * 8u + lane;
  if (row >= p.rows) { return; }
  let base = p.shift + row * p.quads;
  let count = f32(p.quads * 4u);
  var mean = 0.0;
  if (KIND != 1u) {
    var total = 0.0;
    for (var i = 0u; i < p.quads; i++) {
      let x = value(base + i);
      total += x.x + x.y + x.z + x.w;
    }
    mean = total / count;
  }
  var scale = 1.0;
  if (KIND != 2u) {
    var square = 0.0;
    for (var i = 0u; i < p.quads; i++) {
      let d = value(base + i) - mean;
      square += dot(d, d);
    }
    scale = 1.0 / sqrt(square / count + p.eps);
  }
  let to = p.at + row * p.quads;
  for (var i = 0u; i < p.quads; i++) {
    let x = value(base + i);
    var y = (x - mean) * scale;
    if (WEIGHT != 0u) { y *= weight[i]; }
    if (BIAS != 0u) { y += bias[i]; }
    if (p.terms > 1u) { sum[to + i] = x; }
    out[to + i] = y;
  }
}
