// out[m, block, c] = sum over the block's features f of stats[m, f].z * x[m, f, c]
//
// First half of (gradient of the encoder's biases) times (encoder), whose share b_dec gets. x: [members,
// features, d]; stats: [members, features, 4]; out: [members, blocks, d], 256 features a block.
// 64 lanes of four neighbouring columns a workgroup; grid x = columns / 256, y = block, z = member.
// Deterministic: one lane sums in order. Tolerance: 1e-5.
struct Params { features: u32, d: u32, blocks: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(2) var<storage, read> stats: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let c = wid.x * 256u + 4u * lane;
  if (c >= p.d) { return; }
  let member = wid.z;
  var sum = vec4<f32>();
  for (var f = wid.y * 256u; f < min(p.features, (wid.y + 1u) * 256u); f++) {
    let weight = stats[member * p.features + f].z;
    if (weight != 0.0) { sum += weight * x4((member * p.features + f) * p.d + c); }
  }
  let at = (member * p.blocks + wid.y) * p.d + c;
  for (var i = 0u; i < min(4u, p.d - c); i++) { out[at + i] = sum[i]; }
}
