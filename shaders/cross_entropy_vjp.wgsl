// dlogits[r, :] = softmax(logits[r, :]) - onehot(target[r]); 0 where target[r] >= vocab
//
// The gradient of what cross_entropy.wgsl makes of a row. logits, dlogits: [rows, vocab]; target: u32 [rows].
// One workgroup of 64 lanes a row, grid folded over x and y; tree reductions, deterministic.
// Tolerance: 1e-5 absolute.
struct Params { rows: u32, vocab: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> target_token: array<u32>;
@group(0) @binding(3) var<storage, read_write> dlogits: array<f32>;

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let row = flat_group(wid, nwg);
  if (row >= p.rows) { return; }
  let base = row * p.vocab;
  var most = -3.4e38;
  for (var j = lane; j < p.vocab; j += 64u) { most = max(most, logits[base + j]); }
  most = reduce_max(lane, most);
  var sum = 0.0;
  for (var j = lane; j < p.vocab; j += 64u) { sum += exp(logits[base + j] - most); }
  sum = reduce_sum(lane, sum);
  let t = target_token[row];
  for (var j = lane; j < p.vocab; j += 64u) {
    var y = exp(logits[base + j] - most) / sum;
    if (j == t) { y -= 1.0; }
    if (t >= p.vocab) { y = 0.0; }
    dlogits[base + j] = y;
  }
}
