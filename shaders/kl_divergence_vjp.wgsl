// dp[r, j] = P(j) (log P(j) - log Q(j) - kl[r]), P = softmax(p[r, :]), Q = softmax(q[r, :])
//
// The gradient with respect to p of kl[r] = KL(P || Q), kl_divergence.wgsl's result. p, q, dp: [rows, vocab].
// One workgroup of 64 lanes a row, grid folded over x and y; tree reductions, deterministic.
// Tolerance: 1e-5 of the largest magnitude.
struct Params { rows: u32, vocab: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> p: array<f32>;
@group(0) @binding(2) var<storage, read> q: array<f32>;
@group(0) @binding(3) var<storage, read_write> dp: array<f32>;

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let row = flat_group(wid, nwg);
  if (row >= params.rows) { return; }
  let n = params.vocab;
  let base = row * n;
  var mp = -3.4e38;
  var mq = -3.4e38;
  for (var j = lane; j < n; j += 64u) {
    mp = max(mp, p[base + j]);
    mq = max(mq, q[base + j]);
  }
  mp = reduce_max(lane, mp);
  mq = reduce_max(lane, mq);
  var sp = 0.0;
  var sq = 0.0;
  for (var j = lane; j < n; j += 64u) {
    sp += exp(p[base + j] - mp);
    sq += exp(q[base + j] - mq);
  }
  sp = reduce_sum(lane, sp);
  sq = reduce_sum(lane, sq);
  // log P - log Q = (p - q) + shift
  let shift = mq + log(sq) - mp - log(sp);
  var kl = 0.0;
  for (var j = lane; j < n; j += 64u) {
    kl += exp(p[base + j] - mp) / sp * (p[base + j] - q[base + j] + shift);
  }
  kl = reduce_sum(lane, kl);
  for (var j = lane; j < n; j += 64u) {
    dp[base + j] = exp(p[base + j] - mp) / sp * (p[base + j] - q[base + j] + shift - kl);
  }
}
