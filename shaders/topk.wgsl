// The ks[member] largest of each row, as a list: index and value (max(x, 0)), by rising column
//
// x: [members * rows_here, cols]; row r of member m is row row0 + r of its member's lists. Lists of k slots
// lie at m * per_member + base + (row0 + r) * k of index (u32) and value. ks: u32 [members], 0 < ks <= k
// and <= cols; what a list has beyond its ks is (0, 0.0). With `masked`, only columns with
// since[member, col] > limit take part; where fewer than k do, the rest of the list is (0, 0.0), and a
// member without any (count[member] = 0) leaves its lists alone. Ties go to the lowest column.
//
// One workgroup of WG lanes a row. The row is read once: the largest key of each block of `block` columns
// stays in workgroup memory. At least k blocks reach the k-th largest of these, so what is wanted lies in
// the blocks that do, and of their keys only those that reach it too, hardly more than k, are listed and
// searched bit by bit for the largest cut that k of them reach. Where too many are equal for the list, the
// whole row is searched. Keys are order-preserving u32 (sign bit flipped), 0 = takes no part.
// Deterministic: integer counts only. Exact.
struct Params {
  rows: u32, cols: u32, k: u32, rows_here: u32, row0: u32, base: u32, per_member: u32,
  masked: u32, limit: u32, block: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(2) var<storage, read> since: array<u32>;
@group(0) @binding(3) var<storage, read> count: array<u32>;
@group(0) @binding(4) var<storage, read> ks: array<u32>;
@group(0) @binding(5) var<storage, read_write> index: array<u32>;
@group(0) @binding(6) var<storage, read_write> value: array<f32>;

override WG: u32 = 64u;
const LISTED = 1024u;
const CHOSEN = 512u;
// First the blocks' maxima, then the listed keys and, LISTED on, their columns.
var<workgroup> keys: array<u32, 2048>;
var<workgroup> chosen: array<u32, 512>;

fn order(v: f32) -> u32 {
  let bits = bitcast<u32>(v);
  return select(bits | 0x80000000u, ~bits, (bits & 0x80000000u) != 0u);
}

fn open(row: u32, col: u32) -> bool {
  if (col >= p.cols) { return false; }
  return p.masked == 0u || since[(row / p.rows_here) * p.cols + col] > p.limit;
}

// The keys of four neighbours.
fn order4(row: u32, col: u32) -> vec4<u32> {
  let v = x4(row * p.cols + col);
  return vec4<u32>(
    select(0u, order(v.x), open(row, col)),
    select(0u, order(v.y), open(row, col + 1u)),
    select(0u, order(v.z), open(row, col + 2u)),
    select(0u, order(v.w), open(row, col + 3u)),
  );
}

fn reach(q: vec4<u32>, floor: u32) -> u32 {
  let ones = select(vec4<u32>(), vec4<u32>(1u), q >= vec4<u32>(floor));
  return ones.x + ones.y + ones.z + ones.w;
}

// The i-th key of what is searched: of `keys`, or of the row itself.
fn key(direct: bool, row: u32, i: u32) -> u32 {
  if (!direct) { return keys[i]; }
  if (!open(row, i)) { return 0u; }
  return order(x1(row * p.cols + i));
}

// The largest cut that at least `want` of n keys reach, and how many do; ended early once at most
// want + slack do. All keys are <= best, and at least `want` reach `from`.
fn search(lane: u32, row: u32, direct: bool, n: u32, want: u32, slack: u32, from_key: u32, best: u32) -> vec2<u32> {
  var cut = 0u;
  var reached = n;
  for (var bit = 31u; bit < 32u && reached > want + slack; bit--) {
    let probe = cut | (1u << bit);
    if (probe <= best) {
      if (probe <= from_key) {
        cut = probe;
      } else {
        var c = 0u;
        for (var i = lane; i < n; i += WG) { c += select(0u, 1u, key(direct, row, i) >= probe); }
        let all = total(lane, c);
        if (all >= want) {
          cut = probe;
          reached = all;
        }
      }
    }
  }
  return vec2<u32>(cut, reached);
}

@compute @workgroup_size(WG, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let row = flat_group(wid, nwg);
  if (row >= p.rows) { return; }
  let member = row / p.rows_here;
  if (p.masked != 0u && count[member] == 0u) { return; }
  let k = ks[member];
  let blocks = (p.cols + p.block - 1u) / p.block;

  var mine = 0u;
  let plain = p.masked == 0u && p.cols % p.block == 0u;
  for (var b = lane; b < blocks; b += WG) {
    var most = 0u;
    if (plain) {
      var v = x4(row * p.cols + b * p.block);
      for (var c = 4u; c < p.block; c += 4u) { v = max(v, x4(row * p.cols + b * p.block + c)); }
      most = order(max(max(v.x, v.y), max(v.z, v.w)));
    } else {
      for (var c = b * p.block; c < (b + 1u) * p.block; c += 4u) {
        let q = order4(row, c);
        most = max(most, max(max(q.x, q.y), max(q.z, q.w)));
      }
    }
    keys[b] = most;
    mine = max(mine, most);
  }
  let best = largest(lane, mine);
  let floor = search(lane, row, false, blocks, min(k, blocks), k / 2u, 0u, best).x;

  // The blocks that reach it, in order.
  var per = (blocks + WG - 1u) / WG;
  var n = 0u;
  for (var b = lane * per; b < min(blocks, (lane + 1u) * per); b++) { n += select(0u, 1u, keys[b] >= floor); }
  let listed = total(lane, n);
  var direct = listed > CHOSEN;
  var size = p.cols;
  if (!direct) {
    var to = before(lane, n);
    for (var b = lane * per; b < min(blocks, (lane + 1u) * per); b++) {
      if (keys[b] >= floor) {
        chosen[to] = b;
        to++;
      }
    }
    workgroupBarrier();
    // The keys in them that reach it, counted and then listed.
    per = (listed + WG - 1u) / WG;
    n = 0u;
    for (var i = lane * per; i < min(listed, (lane + 1u) * per); i++) {
      for (var c = 0u; c < p.block; c += 4u) { n += reach(order4(row, chosen[i] * p.block + c), floor); }
    }
    let all = total(lane, n);
    direct = all > LISTED;
    if (!direct) {
      size = all;
      to = before(lane, n);
      for (var i = lane * per; i < min(listed, (lane + 1u) * per); i++) {
        for (var c = chosen[i] * p.block; c < (chosen[i] + 1u) * p.block; c += 4u) {
          let q = order4(row, c);
          if (reach(q, floor) > 0u) {
            for (var e = 0u; e < 4u; e++) {
              if (q[e] >= floor) {
                keys[to] = q[e];
                keys[LISTED + to] = c + e;
                to++;
              }
            }
          }
        }
      }
      workgroupBarrier();
    }
  }
  let cut = search(lane, row, direct, size, k, 0u, floor, best).x;

  // Above the cut all are taken; of those at it the first ones, until there are k.
  per = (size + WG - 1u) / WG;
  let first = min(size, lane * per);
  let past = min(size, first + per);
  var above = 0u;
  var equal = 0u;
  for (var i = first; i < past; i++) {
    let q = key(direct, row, i);
    above += select(0u, 1u, q > cut);
    equal += select(0u, 1u, q == cut);
  }
  let ties = k - total(lane, above);
  above = before(lane, above);
  equal = before(lane, equal);
  let list = member * p.per_member + p.base + (p.row0 + row % p.rows_here) * p.k;
  for (var i = first; i < past; i++) {
    let q = key(direct, row, i);
    if (q > cut || (q == cut && equal < ties)) {
      let at = list + above + min(equal, ties);
      var c = i;
      if (!direct) { c = keys[LISTED + i]; }
      let bits = select(~q, q & 0x7fffffffu, (q & 0x80000000u) != 0u);
      index[at] = select(c, 0u, q == 0u);
      value[at] = select(max(bitcast<f32>(bits), 0.0), 0.0, q == 0u);
    }
    above += select(0u, 1u, q > cut);
    equal += select(0u, 1u, q == cut);
  }
  for (var j = k + lane; j < p.k; j += WG) {
    index[list + j] = 0u;
    value[list + j] = 0.0;
  }
}
