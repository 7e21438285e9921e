// One step of Adam on one matrix of a dictionary, the gradient of each row summed from its slots:
//   grad = DECODER ? scale * sum value * source[row, :] - stats.x * w : sum gradient * source[row, :]
//   grad *= stats.w;  m = b1 m + (1 - b1) grad;  v = b2 v + (1 - b2) grad^2;
//   w -= rate * m / (sqrt(v) * correction + eps);  DECODER: w /= max(|w|, 1e-8)
//
// w, m, v: [members * features, d]; stats: [members * features, 4] from feature_norms, stats.w the factor
// that clips; source: [members, source_rows, d], its row is the slot's modulo source_rows; ranges, slots as
// place_entries leaves them. rate = lr / (1 - b1^t), correction = 1 / sqrt(1 - b2^t), from the host.
// One workgroup of 64 lanes a feature, four coordinates a lane at a time, slots in order: deterministic.
// Tolerance: 1e-5.
struct Params {
  total: u32, features: u32, d: u32, source_rows: u32, scale: f32,
  rate: f32, correction: f32, beta1: f32, beta2: f32, eps: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> ranges: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read> slots: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> source: array<f32>;
@group(0) @binding(4) var<storage, read> stats: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> w: array<f32>;
@group(0) @binding(6) var<storage, read_write> m: array<f32>;
@group(0) @binding(7) var<storage, read_write> v: array<f32>;

override DECODER: u32 = 0u;

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let f = flat_group(wid, nwg);
  if (f >= p.total) { return; }
  let range = ranges[f];
  let stat = stats[f];
  let member = f / p.features;
  var squares = 0.0;
  for (var i = lane; i < p.d; i += 256u) {
    var grad = vec4<f32>();
    for (var j = range.x; j < range.x + range.y; j++) {
      let slot = slots[j];
      let at = (member * p.source_rows + slot.x % p.source_rows) * p.d + i;
      let factor = bitcast<f32>(select(slot.z, slot.y, DECODER != 0u));
      grad += factor * vec4<f32>(source[at], source[at + 64u], source[at + 128u], source[at + 192u]);
    }
    if (DECODER != 0u) { grad *= p.scale; }
    for (var s = 0u; s < 4u; s++) {
      let c = i + s * 64u;
      if (c < p.d) {
        let e = f * p.d + c;
        var old = w[e];
        var g = grad[s];
        if (DECODER != 0u) { g -= stat.x * old; }
        g *= stat.w;
        let m1 = p.beta1 * m[e] + (1.0 - p.beta1) * g;
        let v1 = p.beta2 * v[e] + (1.0 - p.beta2) * g * g;
        m[e] = m1;
        v[e] = v1;
        old -= p.rate * m1 / (sqrt(v1) * p.correction + p.eps);
        w[e] = old;
        squares += old * old;
      }
    }
  }
  if (DECODER != 0u) {
    let length = max(sqrt(reduce_sum(lane, squares)), 1e-8);
    // A lane reads back what it wrote itself.
    for (var c = lane; c < p.d; c += 64u) { w[f * p.d + c] /= length; }
  }
}
