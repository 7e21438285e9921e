// C[m, n] = alpha * sum_k A[m, k] * B(k, n) (+ bias[n]) (+ C[m, n]) for 1 to 8 rows m
//
// A(m, k) = a[a_off + m * a_m + k], B(k, n) = b[b_off + k * b_k + n * b_n], C(m, n) = c[c_off + m * c_m + n].
// Each element of B is read once, whatever the number of rows: generation waits for the weights' memory.
// A workgroup of 64 lanes does COLS columns; 64 / COLS lanes share a column, each with every (64 / COLS)th k,
// and their sums meet in a tree. Neighbouring lanes walk the contiguous axis of B: k where COLS is small
// (b_k = 1), n where it is large (b_n = 1). x and y = columns, folded.
// Deterministic: each lane in order of its k, then a tree. Tolerance against the f64 reference:
// 1e-5 * sqrt(k) relative to the sum of magnitudes.
struct Params {
  m: u32, n: u32, k: u32, a_off: u32,
  a_m: u32, b_off: u32, b_k: u32, b_n: u32,
  c_off: u32, c_m: u32, has_bias: u32, accumulate: u32,
  alpha: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> c: array<f32>;

// Columns of a workgroup: 4 or 16.
override COLS: u32 = 4u;
// Rows at most: 1 or 8.
override ROWS: u32 = 1u;

var<workgroup> partial: array<vec4<f32>, 128>;

fn put(row: u32, n: u32, x: f32) {
  if (row >= p.m) { return; }
  let at = p.c_off + row * p.c_m + n;
  var y = x * p.alpha;
  if (p.has_bias != 0u) { y += bias[n]; }
  if (p.accumulate != 0u) { y += c[at]; }
  c[at] = y;
}

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let shares = 64u / COLS;
  var col = lane / shares;
  var share = lane % shares;
  if (COLS > 4u) {
    col = lane % COLS;
    share = lane / COLS;
  }
  let n = flat_group(wid, nwg) * COLS + col;
  var low = vec4<f32>();
  var high = vec4<f32>();
  if (n < p.n) {
    let at = p.b_off + n * p.b_n;
    // Rows past the last one are read as the last one, and never written.
    let last = p.m - 1u;
    for (var k = share; k < p.k; k += shares) {
      let y = b[at + k * p.b_k];
      let x = p.a_off + k;
      low.x += a[x] * y;
      if (ROWS > 1u) {
        low.y += a[x + min(1u, last) * p.a_m] * y;
        low.z += a[x + min(2u, last) * p.a_m] * y;
        low.w += a[x + min(3u, last) * p.a_m] * y;
        high.x += a[x + min(4u, last) * p.a_m] * y;
        high.y += a[x + min(5u, last) * p.a_m] * y;
        high.z += a[x + min(6u, last) * p.a_m] * y;
        high.w += a[x + min(7u, last) * p.a_m] * y;
      }
    }
  }
  // Shares of one column stand side by side: column-major.
  let slot = col * shares + share;
  partial[slot] = low;
  if (ROWS > 1u) { partial[64u + slot] = high; }
  workgroupBarrier();
  for (var s = shares / 2u; s > 0u; s >>= 1u) {
    if (share < s) {
      partial[slot] += partial[slot + s];
      if (ROWS > 1u) { partial[64u + slot] += partial[64u + slot + s]; }
    }
    workgroupBarrier();
  }
  if (share != 0u || n >= p.n) { return; }
  let sums = partial[slot];
  put(0u, n, sums.x);
  if (ROWS > 1u) {
    put(1u, n, sums.y);
    put(2u, n, sums.z);
    put(3u, n, sums.w);
    let more = partial[64u + slot];
    put(4u, n, more.x);
    put(5u, n, more.y);
    put(6u, n, more.z);
    put(7u, n, more.w);
  }
}
