// The ks[member] largest of each row, as a list: index[r, 0..k), value[r, 0..k) = max(x, 0)
//
// x: [rows, cols]; index: u32 [rows, k], value: [rows, k]; ks: u32 [members], 0 < ks <= k and <= cols;
// what a list has beyond its ks is (0, 0.0). Members of an ensemble lie one after another: row r
// belongs to member r / rows_per_member. With `masked`, only columns with
// since[member, col] > limit take part; where fewer than k do, the rest of the list is (0, 0.0), and a
// member without any (count[member] = 0) leaves its list alone.
// Ties go to the lowest column. The order of a list is fixed (by lane, then column), not sorted.
//
// One workgroup of WG lanes a row. Bisection on order-preserving u32 keys (sign bit flipped) for the
// largest key that at least k columns reach, ended early when exactly k do; ties by a second bisection
// on the column. Deterministic: integer counts only. Exact.
struct Params { rows: u32, cols: u32, k: u32, rows_per_member: u32, masked: u32, limit: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> since: array<u32>;
@group(0) @binding(3) var<storage, read> count: array<u32>;
@group(0) @binding(4) var<storage, read> ks: array<u32>;
@group(0) @binding(5) var<storage, read_write> index: array<u32>;
@group(0) @binding(6) var<storage, read_write> value: array<f32>;

override WG: u32 = 64u;
// 1: keep a lane's keys in private memory (CPU rasterisers, where that is a plain array).
override CACHED: u32 = 0u;
var<workgroup> counts: array<u32, 64>;
var<private> cache: array<u32, 128>;

fn total(lane: u32, n: u32) -> u32 {
  counts[lane] = n;
  workgroupBarrier();
  for (var s = WG / 2u; s > 0u; s >>= 1u) {
    if (lane < s) { counts[lane] += counts[lane + s]; }
    workgroupBarrier();
  }
  // Uniform by contract, so that barriers may depend on it.
  let sum = workgroupUniformLoad(&counts[0]);
  workgroupBarrier();
  return sum;
}

// 0 = takes no part; every real number's key is above it.
fn load(row: u32, col: u32) -> u32 {
  if (p.masked != 0u && since[(row / p.rows_per_member) * p.cols + col] <= p.limit) { return 0u; }
  let bits = bitcast<u32>(x[row * p.cols + col]);
  return select(bits | 0x80000000u, ~bits, (bits & 0x80000000u) != 0u);
}

fn key(row: u32, col: u32) -> u32 {
  if (CACHED != 0u) { return cache[col / WG]; }
  return load(row, col);
}

@compute @workgroup_size(WG, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let row = flat_group(wid, nwg);
  if (row >= p.rows) { return; }
  if (p.masked != 0u && count[row / p.rows_per_member] == 0u) { return; }
  let k = ks[row / p.rows_per_member];
  if (CACHED != 0u) {
    for (var c = lane; c < p.cols; c += WG) { cache[c / WG] = load(row, c); }
  }
  // Largest `cut` with at least `want` keys >= cut.
  var cut = 0u;
  var reached = p.cols;
  for (var bit = 31u; bit < 32u && reached != k; bit--) {
    let probe = cut | (1u << bit);
    var n = 0u;
    for (var c = lane; c < p.cols; c += WG) { n += select(0u, 1u, key(row, c) >= probe); }
    let all = total(lane, n);
    if (all >= k) {
      cut = probe;
      reached = all;
    }
  }
  // Among equals at the cut, columns below `bound` are taken.
  var bound = p.cols;
  if (reached > k) {
    var above = 0u;
    for (var c = lane; c < p.cols; c += WG) { above += select(0u, 1u, key(row, c) > cut); }
    let want = k - total(lane, above);
    var low = 0u;
    var high = p.cols;
    while (low < high) {
      let middle = (low + high) / 2u;
      var n = 0u;
      for (var c = lane; c < middle; c += WG) { n += select(0u, 1u, key(row, c) == cut); }
      if (total(lane, n) >= want) { high = middle; } else { low = middle + 1u; }
    }
    bound = high;
  }
  var mine = 0u;
  for (var c = lane; c < p.cols; c += WG) {
    let v = key(row, c);
    if (v > cut || (v == cut && c < bound)) { mine++; }
  }
  counts[lane] = mine;
  workgroupBarrier();
  for (var j = k + lane; j < p.k; j += WG) {
    index[row * p.k + j] = 0u;
    value[row * p.k + j] = 0.0;
  }
  var at = row * p.k;
  for (var i = 0u; i < lane; i++) { at += counts[i]; }
  for (var c = lane; c < p.cols; c += WG) {
    let v = key(row, c);
    if (v > cut || (v == cut && c < bound)) {
      if (v == 0u) {
        index[at] = 0u;
        value[at] = 0.0;
      } else {
        index[at] = c;
        value[at] = max(x[row * p.cols + c], 0.0);
      }
      at++;
    }
  }
}
