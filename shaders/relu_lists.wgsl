// The positive values of each row as a list by rising column, their number and their sum
//
// x: [members * rows, cols]; row r of member m lists up to k of them at (m * rows + r) * k of index (u32) and
// value. count[row] is how many there are, more than k or not; sum[row] their sum; most[0], cleared before,
// the largest count. What a list has beyond its count is left as it is.
// One workgroup of WG lanes a row, a lane walks a stretch of neighbouring columns twice: to count and to
// list. Deterministic (the one atomic is a maximum of integers). Tolerance: 1e-5 (sum).
struct Params { rows: u32, cols: u32, k: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(2) var<storage, read_write> index: array<u32>;
@group(0) @binding(3) var<storage, read_write> value: array<f32>;
@group(0) @binding(4) var<storage, read_write> count: array<u32>;
@group(0) @binding(5) var<storage, read_write> sum: array<f32>;
@group(0) @binding(6) var<storage, read_write> most: atomic<u32>;

override WG: u32 = 64u;
var<workgroup> counts: array<u32, 64>;
var<workgroup> sums: array<f32, 64>;

@compute @workgroup_size(WG, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let row = flat_group(wid, nwg);
  if (row >= p.rows) { return; }
  let stretch = 4u * ((p.cols + 4u * WG - 1u) / (4u * WG));
  let first = min(p.cols, lane * stretch);
  let past = min(p.cols, first + stretch);
  var n = 0u;
  var total = 0.0;
  for (var c = first; c < past; c += 4u) {
    var v = max(x4(row * p.cols + c), vec4<f32>());
    if (c + 4u > past) { v = select(vec4<f32>(), v, vec4<u32>(c, c + 1u, c + 2u, c + 3u) < vec4<u32>(past)); }
    let ones = select(vec4<u32>(), vec4<u32>(1u), v > vec4<f32>());
    n += ones.x + ones.y + ones.z + ones.w;
    total += v.x + v.y + v.z + v.w;
  }
  counts[lane] = n;
  sums[lane] = total;
  workgroupBarrier();
  var to = 0u;
  for (var i = 0u; i < lane; i++) { to += counts[i]; }
  if (lane == WG - 1u) {
    var all = 0.0;
    for (var i = 0u; i < WG; i++) { all += sums[i]; }
    count[row] = to + n;
    sum[row] = all;
    atomicMax(&most, to + n);
  }
  for (var c = first; c < past; c += 4u) {
    let v = x4(row * p.cols + c);
    if (any(v > vec4<f32>())) {
      for (var e = 0u; e < 4u; e++) {
        if (v[e] > 0.0 && c + e < past) {
          if (to < p.k) {
            index[row * p.k + to] = c + e;
            value[row * p.k + to] = v[e];
          }
          to++;
        }
      }
    }
  }
}
