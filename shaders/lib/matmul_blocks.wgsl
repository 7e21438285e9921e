// Operands and results of the matrix products for GPUs, in blocks of 4 x 4, whatever the layout.
//
// A pipeline is made for a layout, so that none of these flags is looked at while it runs:
// a_along_m: A is contiguous in m (tn), else in k. b_along_n: B is contiguous in n (nn), else in k (nt).
// wide_a, wide_b: every four neighbours along that axis are an aligned vec4 (strides, offsets and, along
// k, k itself are multiples of 4); else loads are by element, with any strides.
// half_b: B holds f16, two to a word.
// Every index is clamped into the matrix that the host checked to lie in its tensor.
override a_along_m: bool = false;
override b_along_n: bool = false;
override wide_a: bool = false;
override wide_b: bool = false;
override half_b: bool = false;
@group(0) @binding(1) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> b: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> c: array<f32>;

fn a_one(at: u32) -> f32 {
  return a[at >> 2u][at & 3u];
}

fn b_one(at: u32) -> f32 {
  if (half_b) {
    let pair = unpack2x16float(b[at >> 3u][(at >> 1u) & 3u]);
    return select(pair.x, pair.y, (at & 1u) == 1u);
  }
  return bitcast<f32>(b[at >> 2u][at & 3u]);
}

// Four neighbours from `at` on, `step` apart; past the last of `count` (>= 1) that one again, or, where
// loads are wide, whatever is there.
fn a_four(at: u32, step: u32, count: u32) -> vec4<f32> {
  if (wide_a) { return a[at >> 2u]; }
  let last = at + (count - 1u) * step;
  return vec4<f32>(
    a_one(at), a_one(min(at + step, last)), a_one(min(at + 2u * step, last)), a_one(min(at + 3u * step, last)));
}

fn b_four(at: u32, step: u32, count: u32) -> vec4<f32> {
  if (wide_b) {
    if (half_b) {
      let eight = b[at >> 3u];
      let four = select(eight.xy, eight.zw, (at & 4u) != 0u);
      return vec4<f32>(unpack2x16float(four.x), unpack2x16float(four.y));
    }
    return bitcast<vec4<f32>>(b[at >> 2u]);
  }
  let last = at + (count - 1u) * step;
  return vec4<f32>(
    b_one(at), b_one(min(at + step, last)), b_one(min(at + 2u * step, last)), b_one(min(at + 3u * step, last)));
}

// `v` where its k, k + 1, ... lie inside, else zeros.
fn inside(v: vec4<f32>, k: u32) -> vec4<f32> {
  return select(vec4<f32>(), v, vec4<u32>(k) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(p.k));
}

// Rows m .. m + 4 of A, columns k .. k + 4: a column of the result for each k, zeros past the end. m and
// k are multiples of 4. Rows past m_end hold anything.
fn block_a(base: u32, m: u32, k: u32) -> mat4x4<f32> {
  if (k >= p.k) { return mat4x4<f32>(); }
  let last = p.m_end - 1u;
  if (a_along_m) {
    let first = min(m, last & ~3u);
    let at = base + first * p.a_m;
    let k1 = min(k + 1u, p.k - 1u);
    let k2 = min(k + 2u, p.k - 1u);
    let k3 = min(k + 3u, p.k - 1u);
    let count = p.m_end - first;
    let zero = vec4<f32>();
    return mat4x4<f32>(
      a_four(at + k * p.a_k, p.a_m, count),
      select(zero, a_four(at + k1 * p.a_k, p.a_m, count), k + 1u < p.k),
      select(zero, a_four(at + k2 * p.a_k, p.a_m, count), k + 2u < p.k),
      select(zero, a_four(at + k3 * p.a_k, p.a_m, count), k + 3u < p.k));
  }
  let at = base + k * p.a_k;
  let count = p.k - k;
  return transpose(mat4x4<f32>(
    inside(a_four(at + min(m, last) * p.a_m, p.a_k, count), k),
    inside(a_four(at + min(m + 1u, last) * p.a_m, p.a_k, count), k),
    inside(a_four(at + min(m + 2u, last) * p.a_m, p.a_k, count), k),
    inside(a_four(at + min(m + 3u, last) * p.a_m, p.a_k, count), k)));
}

// Rows k .. k + 4 of B, columns n .. n + 4: a column of the result for each k.
fn block_b(base: u32, n: u32, k: u32) -> mat4x4<f32> {
  if (k >= p.k) { return mat4x4<f32>(); }
  let last = p.n - 1u;
  if (b_along_n) {
    let first = min(n, last & ~3u);
    let at = base + first * p.b_n;
    let k1 = min(k + 1u, p.k - 1u);
    let k2 = min(k + 2u, p.k - 1u);
    let k3 = min(k + 3u, p.k - 1u);
    let count = p.n - first;
    let zero = vec4<f32>();
    return mat4x4<f32>(
      b_four(at + k * p.b_k, p.b_n, count),
      select(zero, b_four(at + k1 * p.b_k, p.b_n, count), k + 1u < p.k),
      select(zero, b_four(at + k2 * p.b_k, p.b_n, count), k + 2u < p.k),
      select(zero, b_four(at + k3 * p.b_k, p.b_n, count), k + 3u < p.k));
  }
  let at = base + k * p.b_k;
  let count = p.k - k;
  return transpose(mat4x4<f32>(
    inside(b_four(at + min(n, last) * p.b_n, p.b_k, count), k),
    inside(b_four(at + min(n + 1u, last) * p.b_n, p.b_k, count), k),
    inside(b_four(at + min(n + 2u, last) * p.b_n, p.b_k, count), k),
    inside(b_four(at + min(n + 3u, last) * p.b_n, p.b_k, count), k)));
}

// Where a batch begins in A, B, C and the bias; z numbers batches outer-major. B's inner index is divided
// by b_group (grouped-query attention).
fn bases(z: u32) -> vec4<u32> {
  let outer = z / p.inner_count;
  let inner = z % p.inner_count;
  return vec4<u32>(
    p.a_off + outer * p.a_outer + inner * p.a_inner,
    p.b_off + outer * p.b_outer + (inner / p.b_group) * p.b_inner,
    p.c_off + outer * p.c_outer + inner * p.c_inner,
    outer * p.bias_outer);
}

// The tile that workgroup number `group` makes, as (row, column, whether there is one): eight rows of tiles
// at a time, column after column, so that workgroups side by side in time read the same rows of A and B.
fn tile_of(group: u32, tile_m: u32, tile_n: u32) -> vec3<u32> {
  let rows = (p.m_end - p.m_begin + tile_m - 1u) / tile_m;
  let columns = (p.n + tile_n - 1u) / tile_n;
  let band = group / (8u * columns);
  let at = group % (8u * columns);
  let height = clamp(rows - min(band * 8u, rows), 1u, 8u);
  let there = select(0u, 1u, group < rows * columns);
  return vec3<u32>(p.m_begin + (band * 8u + at % height) * tile_m, at / height * tile_n, there);
}

// Writes four results of a row: alpha * sum (+ bias) (+ what is there). The same in every variant, so
// that all of them give the same bits.
fn put(row: u32, col: u32, sum: vec4<f32>, base: vec4<u32>) {
  if (row >= p.m_end) { return; }
  for (var j = 0u; j < 4u; j++) {
    let n = col + j;
    if (n < p.n) {
      let at = base.z + row * p.ldc + n;
      var x = sum[j] * p.alpha;
      if (p.has_bias != 0u) { x += bias[base.w + n]; }
      if (p.accumulate != 0u) { x += c[at]; }
      c[at] = x;
    }
  }
}
