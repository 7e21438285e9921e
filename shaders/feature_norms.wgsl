// stats[f] = (gradient . decoder row, squared norm of the gradient, gradient of the bias, 1) of a feature
//
// The gradient of a feature, which is nowhere stored, from its slots (place_entries):
//   dec = scale * sum value * g[row, :], less what is parallel to the unit decoder row w[f, :];
//   enc = sum gradient * x[row, :];  bias = sum gradient
// g: [members, g_rows, d]; x: [members, rows, d], its row is the slot's modulo rows (the slots of the
// auxiliary loss come after the others'); w: [members, features, d]; ranges, slots as place_entries
// leaves them; stats: [members * features, 4].
// One workgroup of 64 lanes a feature, four coordinates a lane at a time, slots in order: deterministic.
// Tolerance: 1e-5 of the largest.
struct Params { total: u32, features: u32, d: u32, rows: u32, g_rows: u32, scale: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> ranges: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read> slots: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> g: array<f32>;
@group(0) @binding(4) var<storage, read> x: array<f32>;
@group(0) @binding(5) var<storage, read> w: array<f32>;
@group(0) @binding(6) var<storage, read_write> stats: array<vec4<f32>>;

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let f = flat_group(wid, nwg);
  if (f >= p.total) { return; }
  let range = ranges[f];
  let member = f / p.features;
  var along = 0.0;
  var squares = 0.0;
  for (var i = lane; i < p.d; i += 256u) {
    var dec = vec4<f32>();
    var enc = vec4<f32>();
    for (var j = range.x; j < range.x + range.y; j++) {
      let slot = slots[j];
      let at = (member * p.g_rows + slot.x) * p.d + i;
      let from_x = (member * p.rows + slot.x % p.rows) * p.d + i;
      dec += bitcast<f32>(slot.y) * vec4<f32>(g[at], g[at + 64u], g[at + 128u], g[at + 192u]);
      enc += bitcast<f32>(slot.z) * vec4<f32>(x[from_x], x[from_x + 64u], x[from_x + 128u], x[from_x + 192u]);
    }
    dec *= p.scale;
    for (var s = 0u; s < 4u; s++) {
      let c = i + s * 64u;
      if (c < p.d) {
        along += dec[s] * w[f * p.d + c];
        squares += dec[s] * dec[s] + enc[s] * enc[s];
      }
    }
  }
  along = reduce_sum(lane, along);
  squares = reduce_sum(lane, squares);
  var bias = 0.0;
  for (var j = range.x + lane; j < range.x + range.y; j += 64u) { bias += bitcast<f32>(slots[j].z); }
  bias = reduce_sum(lane, bias);
  if (lane == 0u) { stats[f] = vec4<f32>(along, max(squares - along * along, 0.0) + bias * bias, bias, 1.0); }
}
