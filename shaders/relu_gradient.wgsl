// grad[r, f] = codes[r, f] > 0 ? grad[r, f] + l1[member] : 0, with column sums of what it walks
//
// codes, grad: [members * rows, features], in place; l1: [members], the L1 term's gradient per code.
// sum_grad, active_codes, sum_codes: [members, chunks, features], over the `chunk` rows of each chunk. One lane a column and chunk: no atomics, deterministic.
// 64 lanes along features; grid x = features / 64, y = chunk, z = member. Tolerance: 1e-5.
struct Params { rows: u32, features: u32, chunk: u32, chunks: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> codes: array<f32>;
@group(0) @binding(2) var<storage, read> l1: array<f32>;
@group(0) @binding(3) var<storage, read_write> grad: array<f32>;
@group(0) @binding(4) var<storage, read_write> sum_grad: array<f32>;
@group(0) @binding(5) var<storage, read_write> active_codes: array<f32>;
@group(0) @binding(6) var<storage, read_write> sum_codes: array<f32>;

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let f = wid.x * 64u + lane;
  if (f >= p.features) { return; }
  let member = wid.z;
  let slope = l1[member];
  var total = 0.0;
  var n = 0.0;
  var sum = 0.0;
  for (var r = wid.y * p.chunk; r < min(p.rows, (wid.y + 1u) * p.chunk); r++) {
    let at = (member * p.rows + r) * p.features + f;
    let c = codes[at];
    var g = 0.0;
    if (c > 0.0) {
      g = grad[at] + slope;
      n += 1.0;
      sum += c;
    }
    grad[at] = g;
    total += g;
  }
  let out = (member * p.chunks + wid.y) * p.features + f;
  sum_grad[out] = total;
  active_codes[out] = n;
  sum_codes[out] = sum;
}
