// scale[m] = min(1, limit / (norm of member m's gradient + 1e-6)), also into stats[m, :].w
//
// torch.nn.utils.clip_grad_norm_'s factor. stats: [members, features, 4] as feature_norms leaves it (.y a
// feature's squared norm); bias: [members, d], the gradient of b_dec; scale: [members].
// One workgroup of 64 lanes a member, tree reduction, deterministic. Tolerance: 1e-5.
struct Params { features: u32, d: u32, limit: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> bias: array<f32>;
@group(0) @binding(2) var<storage, read_write> stats: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> scale: array<f32>;

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let base = wid.x * p.features;
  var sum = 0.0;
  for (var f = lane; f < p.features; f += 64u) { sum += stats[base + f].y; }
  for (var c = lane; c < p.d; c += 64u) {
    let b = bias[wid.x * p.d + c];
    sum += b * b;
  }
  let factor = min(1.0, p.limit / (sqrt(reduce_sum(lane, sum)) + 1e-6));
  for (var f = lane; f < p.features; f += 64u) { stats[base + f].w = factor; }
  if (lane == 0u) { scale[wid.x] = factor; }
}
