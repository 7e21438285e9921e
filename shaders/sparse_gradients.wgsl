// Adds each feature's gradient, summed from its slots, to a table of gradients (FIRST: overwrites):
//   dec = scale * sum value * g[row, :];  enc = sum gradient * x[row, :];  bias = sum gradient
//
// ranges, slots as place_entries leaves them; g: [members, rows, d]; x: [members or 1, rows, d] (x_outer:
// values from one member's to the next); grads: [members, features, stride] with dec from column 0 on, enc
// from column enc_col on (0: both are added up, as tied dictionaries need), bias in column bias_col.
// One workgroup of 64 lanes a feature, four coordinates a lane at a time, slots in order: deterministic.
// No [rows, k, d] temporary. Tolerance: 1e-5.
struct Params {
  total: u32, features: u32, d: u32, rows: u32, x_outer: u32, stride: u32, enc_col: u32, bias_col: u32,
  scale: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> ranges: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read> slots: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> g: array<f32>;
@group(0) @binding(4) var<storage, read> x: array<f32>;
@group(0) @binding(5) var<storage, read_write> grads: array<f32>;

override FIRST: u32 = 1u;

fn put(at: u32, v: f32) {
  if (FIRST != 0u) { grads[at] = v; } else { grads[at] += v; }
}

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let f = flat_group(wid, nwg);
  if (f >= p.total) { return; }
  let range = ranges[f];
  if (FIRST == 0u && range.y == 0u) { return; }
  let member = f / p.features;
  let out = f * p.stride;
  for (var i = lane; i < p.d; i += 256u) {
    var dec = vec4<f32>();
    var enc = vec4<f32>();
    for (var j = range.x; j < range.x + range.y; j++) {
      let slot = slots[j];
      let at = (member * p.rows + slot.x) * p.d + i;
      let from_x = member * p.x_outer + slot.x * p.d + i;
      dec += bitcast<f32>(slot.y) * vec4<f32>(g[at], g[at + 64u], g[at + 128u], g[at + 192u]);
      enc += bitcast<f32>(slot.z) * vec4<f32>(x[from_x], x[from_x + 64u], x[from_x + 128u], x[from_x + 192u]);
    }
    dec *= p.scale;
    for (var s = 0u; s < 4u; s++) {
      let c = i + s * 64u;
      if (c < p.d) {
        if (p.enc_col == 0u) {
          put(out + c, dec[s] + enc[s]);
        } else {
          put(out + c, dec[s]);
          put(out + p.enc_col + c, enc[s]);
        }
      }
    }
  }
  if (lane == 0u) {
    var bias = 0.0;
    for (var j = range.x; j < range.x + range.y; j++) { bias += bitcast<f32>(slots[j].z); }
    put(out + p.bias_col, bias);
  }
}
