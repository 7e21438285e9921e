// z[q, h, :] = sum over keys j <= start + q of softmax_j(scale * q[q, h, :] . k[j, h / group, :]) v[j, h / group, :]
//
// Causal attention with an online softmax: scores of 32 queries and 32 keys at a time live in workgroup
// memory, none in a buffer. q, z: [batch, seq, heads, d_head]; k, v: by strides (in vec4) from one
// context, key and head to the next; d_head a multiple of 4, up to 32 * CHUNKS. Queries stand at
// start .. start + seq, so keys are those of a cache.
// A workgroup of 8 x 8 lanes does 32 queries of one head of one context; x = tile of queries, y = head
// from head0, z = context from context0. A lane holds 4 queries x 4 keys of scores and 4 queries x 4 coordinates of each chunk of
// 32 coordinates of z. Barriers are uniform: every lane of a group walks the same tiles of keys.
// For GPUs with real workgroup memory; CPU rasterisers run attention_fused_lane. Deterministic: sums in
// order of keys. Tolerance: 1e-5 of the largest magnitude.
struct Params {
  seq: u32, heads: u32, group: u32, quads: u32,
  k_outer: u32, k_row: u32, k_head: u32, start: u32,
  head0: u32, context0: u32, scale: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> k: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> v: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> z: array<vec4<f32>>;

// Chunks of 32 coordinates in a head.
override CHUNKS: u32 = 2u;

// 32 rows of 8 vec4, padded by one against bank conflicts.
var<workgroup> tile_q: array<vec4<f32>, 288>;
var<workgroup> tile_k: array<vec4<f32>, 288>;
// Scores, then what they are to the power of e; rows padded by one.
var<workgroup> weights: array<f32, 1056>;
var<workgroup> shrink: array<f32, 32>;
var<workgroup> sums: array<f32, 32>;

// Adds this tile's values to one chunk of z, for the lane's four queries.
fn mix(chunk: u32, lane: u32, at_v: u32, j0: u32, end: u32, z0: ptr<function, vec4<f32>>,
       z1: ptr<function, vec4<f32>>, z2: ptr<function, vec4<f32>>, z3: ptr<function, vec4<f32>>) {
  workgroupBarrier();
  for (var i = 0u; i < 4u; i++) {
    let e = lane + i * 64u;
    let key = j0 + e / 8u;
    let quad = chunk * 8u + e % 8u;
    var y = vec4<f32>();
    if (key < end && quad < p.quads) { y = v[at_v + key * p.k_row + quad]; }
    tile_k[(e / 8u) * 9u + e % 8u] = y;
  }
  workgroupBarrier();
  let row = lane / 8u * 4u;
  var a0 = *z0 * shrink[row];
  var a1 = *z1 * shrink[row + 1u];
  var a2 = *z2 * shrink[row + 2u];
  var a3 = *z3 * shrink[row + 3u];
  for (var j = 0u; j < 32u; j++) {
    let y = tile_k[j * 9u + lane % 8u];
    let at = row * 33u + j;
    a0 += weights[at] * y;
    a1 += weights[at + 33u] * y;
    a2 += weights[at + 66u] * y;
    a3 += weights[at + 99u] * y;
  }
  *z0 = a0;
  *z1 = a1;
  *z2 = a2;
  *z3 = a3;
}

fn put(chunk: u32, lane: u32, q0: u32, at: u32, z0: vec4<f32>, z1: vec4<f32>, z2: vec4<f32>, z3: vec4<f32>) {
  let quad = chunk * 8u + lane % 8u;
  if (quad >= p.quads) { return; }
  let row = lane / 8u * 4u;
  let step = p.heads * p.quads;
  if (q0 + row < p.seq) { z[at + row * step + quad] = z0 / sums[row]; }
  if (q0 + row + 1u < p.seq) { z[at + (row + 1u) * step + quad] = z1 / sums[row + 1u]; }
  if (q0 + row + 2u < p.seq) { z[at + (row + 2u) * step + quad] = z2 / sums[row + 2u]; }
  if (q0 + row + 3u < p.seq) { z[at + (row + 3u) * step + quad] = z3 / sums[row + 3u]; }
}

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let q0 = wid.x * 32u;
  let head = p.head0 + wid.y;
  let context = p.context0 + wid.z;
  let at_q = ((context * p.seq + q0) * p.heads + head) * p.quads;
  let at_k = context * p.k_outer + head / p.group * p.k_head;
  // One past the last key that the tile's last query sees.
  let end = p.start + min(q0 + 32u, p.seq);
  let row = lane / 8u * 4u;
  let col = lane % 8u * 4u;
  // Short of -f32::MAX: the literal itself passes naga and fails in Chrome.
  var most = -3.4e38;
  var sum = 0.0;
  var a0 = vec4<f32>();
  var a1 = vec4<f32>();
  var a2 = vec4<f32>();
  var a3 = vec4<f32>();
  var b0 = vec4<f32>();
  var b1 = vec4<f32>();
  var b2 = vec4<f32>();
  var b3 = vec4<f32>();
  var c0 = vec4<f32>();
  var c1 = vec4<f32>();
  var c2 = vec4<f32>();
  var c3 = vec4<f32>();
  var d0 = vec4<f32>();
  var d1 = vec4<f32>();
  var d2 = vec4<f32>();
  var d3 = vec4<f32>();
  var e0 = vec4<f32>();
  var e1 = vec4<f32>();
  var e2 = vec4<f32>();
  var e3 = vec4<f32>();
  var f0 = vec4<f32>();
  var f1 = vec4<f32>();
  var f2 = vec4<f32>();
  var f3 = vec4<f32>();
  var g0 = vec4<f32>();
  var g1 = vec4<f32>();
  var g2 = vec4<f32>();
  var g3 = vec4<f32>();
  var h0 = vec4<f32>();
  var h1 = vec4<f32>();
  var h2 = vec4<f32>();
  var h3 = vec4<f32>();
  for (var j0 = 0u; j0 < end; j0 += 32u) {
    var s0 = vec4<f32>();
    var s1 = vec4<f32>();
    var s2 = vec4<f32>();
    var s3 = vec4<f32>();
    for (var chunk = 0u; chunk < CHUNKS; chunk++) {
      workgroupBarrier();
      for (var i = 0u; i < 4u; i++) {
        let e = lane + i * 64u;
        let r = e / 8u;
        let quad = chunk * 8u + e % 8u;
        var x = vec4<f32>();
        if (q0 + r < p.seq && quad < p.quads) { x = q[at_q + r * p.heads * p.quads + quad]; }
        tile_q[r * 9u + e % 8u] = x;
        var y = vec4<f32>();
        if (j0 + r < end && quad < p.quads) { y = k[at_k + (j0 + r) * p.k_row + quad]; }
        tile_k[r * 9u + e % 8u] = y;
      }
      workgroupBarrier();
      for (var i = 0u; i < 8u; i++) {
        let y0 = tile_k[col * 9u + i];
        let y1 = tile_k[col * 9u + 9u + i];
        let y2 = tile_k[col * 9u + 18u + i];
        let y3 = tile_k[col * 9u + 27u + i];
        let x0 = tile_q[row * 9u + i];
        s0 += vec4<f32>(dot(x0, y0), dot(x0, y1), dot(x0, y2), dot(x0, y3));
        let x1 = tile_q[row * 9u + 9u + i];
        s1 += vec4<f32>(dot(x1, y0), dot(x1, y1), dot(x1, y2), dot(x1, y3));
        let x2 = tile_q[row * 9u + 18u + i];
        s2 += vec4<f32>(dot(x2, y0), dot(x2, y1), dot(x2, y2), dot(x2, y3));
        let x3 = tile_q[row * 9u + 27u + i];
        s3 += vec4<f32>(dot(x3, y0), dot(x3, y1), dot(x3, y2), dot(x3, y3));
      }
    }
    for (var j = 0u; j < 4u; j++) {
      weights[row * 33u + col + j] = s0[j];
      weights[row * 33u + 33u + col + j] = s1[j];
      weights[row * 33u + 66u + col + j] = s2[j];
      weights[row * 33u + 99u + col + j] = s3[j];
    }
    workgroupBarrier();
    if (lane < 32u) {
      // A lane takes one query's row through the softmax. Key 0 is seen by every query, so `most` is
      // a score from the first tile on and what is masked comes out 0.
      let base = lane * 33u;
      let last = p.start + q0 + lane;
      let before = most;
      for (var j = 0u; j < 32u; j++) {
        if (j0 + j <= last) { most = max(most, weights[base + j] * p.scale); }
      }
      var add = 0.0;
      for (var j = 0u; j < 32u; j++) {
        var w = 0.0;
        if (j0 + j <= last) { w = exp(weights[base + j] * p.scale - most); }
        weights[base + j] = w;
        add += w;
      }
      let by = exp(before - most);
      sum = sum * by + add;
      shrink[lane] = by;
      sums[lane] = sum;
    }
    mix(0u, lane, at_k, j0, end, &a0, &a1, &a2, &a3);
    if (CHUNKS > 1u) { mix(1u, lane, at_k, j0, end, &b0, &b1, &b2, &b3); }
    if (CHUNKS > 2u) { mix(2u, lane, at_k, j0, end, &c0, &c1, &c2, &c3); }
    if (CHUNKS > 3u) { mix(3u, lane, at_k, j0, end, &d0, &d1, &d2, &d3); }
    if (CHUNKS > 4u) { mix(4u, lane, at_k, j0, end, &e0, &e1, &e2, &e3); }
    if (CHUNKS > 5u) { mix(5u, lane, at_k, j0, end, &f0, &f1, &f2, &f3); }
    if (CHUNKS > 6u) { mix(6u, lane, at_k, j0, end, &g0, &g1, &g2, &g3); }
    if (CHUNKS > 7u) { mix(7u, lane, at_k, j0, end, &h0, &h1, &h2, &h3); }
  }
  workgroupBarrier();
  put(0u, lane, q0, at_q, a0, a1, a2, a3);
  if (CHUNKS > 1u) { put(1u, lane, q0, at_q, b0, b1, b2, b3); }
  if (CHUNKS > 2u) { put(2u, lane, q0, at_q, c0, c1, c2, c3); }
  if (CHUNKS > 3u) { put(3u, lane, q0, at_q, d0, d1, d2, d3); }
  if (CHUNKS > 4u) { put(4u, lane, q0, at_q, e0, e1, e2, e3); }
  if (CHUNKS > 5u) { put(5u, lane, q0, at_q, f0, f1, f2, f3); }
  if (CHUNKS > 6u) { put(6u, lane, q0, at_q, g0, g1, g2, g3); }
  if (CHUNKS > 7u) { put(7u, lane, q0, at_q, h0, h1, h2, h3); }
}
