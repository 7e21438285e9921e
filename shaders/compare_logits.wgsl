// out[r] = (loss, log-sum-exp, KL) of row r of q, in one walk over the logits
//
// loss = logsumexp(q[r, :]) - q[r, target[r]], 0 where target[r] >= vocab. KL(P || Q), nats, of the
// softmaxes of p[r, :] and q[r, :] with `compared`, else 0; p's log-sum-exp is base[r, 1], so `base` is
// what this kernel gave for p. q, p: [rows, vocab]; target: u32 [rows]; base, out: [rows, 3].
// One workgroup of 64 lanes a row, grid folded; each lane keeps a running maximum, four logits at a
// time; tree reductions, deterministic. Tolerance: 1e-5. KL of equal logits is 0 exactly.
struct Params { rows: u32, vocab: u32, compared: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(2) var<storage, read> target_token: array<u32>;
@group(0) @binding(3) var<storage, read> p: array<f32>;
@group(0) @binding(4) var<storage, read> base: array<f32>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;

const NONE: f32 = -3.4e38;

fn total(v: vec4<f32>) -> f32 { return (v.x + v.y) + (v.z + v.w); }

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let row = flat_group(wid, nwg);
  if (row >= params.rows) { return; }
  let n = params.vocab;
  let first = row * n;
  let compared = params.compared != 0u;
  var base_lse = 0.0;
  if (compared) { base_lse = base[row * 3u + 1u]; }
  var most = NONE;
  var sum = 0.0;
  var gap = vec4<f32>();
  // Whole strides of 256 need no test a load; then the rest.
  let whole = n & 0xffffff00u;
  for (var j = lane; j < whole; j += 256u) {
    let at = first + j;
    let v = vec4<f32>(q[at], q[at + 64u], q[at + 128u], q[at + 192u]);
    let next = max(most, max(max(v.x, v.y), max(v.z, v.w)));
    sum = sum * exp(most - next) + total(exp(v - vec4<f32>(next)));
    most = next;
    if (compared) {
      let u = vec4<f32>(p[at], p[at + 64u], p[at + 128u], p[at + 192u]);
      gap += exp(u - vec4<f32>(base_lse)) * (u - v);
    }
  }
  for (var j = whole + lane; j < n; j += 64u) {
    let v = q[first + j];
    let next = max(most, v);
    sum = sum * exp(most - next) + exp(v - next);
    most = next;
    if (compared) {
      let u = p[first + j];
      gap.x += exp(u - base_lse) * (u - v);
    }
  }
  let highest = reduce_max(lane, most);
  sum = reduce_sum(lane, sum * exp(most - highest));
  let gaps = reduce_sum(lane, total(gap));
  if (lane == 0u) {
    let lse = log(sum) + highest;
    let t = target_token[row];
    var loss = 0.0;
    if (t < n) { loss = lse - q[first + t]; }
    out[row * 3u] = loss;
    out[row * 3u + 1u] = lse;
    var kl = 0.0;
    if (compared) { kl = gaps + (lse - base_lse); }
    out[row * 3u + 2u] = kl;
  }
}
