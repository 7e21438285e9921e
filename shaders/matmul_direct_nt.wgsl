// C[m, n] = alpha * sum_k A[m, k] * B[n, k] (+ bias[n]) (+ C[m, n])
//
// A: rows of lda, contiguous in k. B: rows of ldb, contiguous in k. C: rows of ldc.
// Direct loads, no workgroup memory: a lane holds 8 rows x 8 columns in named vec4 registers, the
// lanes of a workgroup lie along n, so that A's addresses are uniform and only B's differ. CPU
// rasterisers load storage lane by lane unless the address is uniform (docs/performance.md).
// Batches: workgroup z = outer * inner_count + inner; B's inner index is divided by b_group
// (grouped-query attention). Out-of-range rows and columns are read clamped and never written.
// Deterministic: one lane sums over k in order.
// Tolerance against the f64 reference: 1e-5 * sqrt(k) relative to the sum of magnitudes.
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> c: array<f32>;

fn put(row: u32, col: u32, v: vec4<f32>, base: u32, bias_at: u32) {
  if (row >= p.m_end) { return; }
  for (var j = 0u; j < 4u; j++) {
    let n = col + j;
    if (n < p.n) {
      let at = base + row * p.ldc + n;
      var x = v[j] * p.alpha;
      if (p.has_bias != 0u) { x += bias[bias_at + n]; }
      if (p.accumulate != 0u) { x += c[at]; }
      c[at] = x;
    }
  }
}

@compute @workgroup_size(8, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_id) lid: vec3<u32>) {
  let z = wid.z + p.z0;
  let outer = z / p.inner_count;
  let inner = z % p.inner_count;
  let base_a = p.a_off + outer * p.a_outer + inner * p.a_inner;
  let base_b = p.b_off + outer * p.b_outer + (inner / p.b_group) * p.b_inner;
  let base_c = p.c_off + outer * p.c_outer + inner * p.c_inner;
  let m0 = p.m_begin + wid.y * 8u;
  let n0 = (wid.x * 8u + lid.x) * 8u;
  let a0 = base_a + min(m0 + 0u, p.m_end - 1u) * p.a_m;
  let a1 = base_a + min(m0 + 1u, p.m_end - 1u) * p.a_m;
  let a2 = base_a + min(m0 + 2u, p.m_end - 1u) * p.a_m;
  let a3 = base_a + min(m0 + 3u, p.m_end - 1u) * p.a_m;
  let a4 = base_a + min(m0 + 4u, p.m_end - 1u) * p.a_m;
  let a5 = base_a + min(m0 + 5u, p.m_end - 1u) * p.a_m;
  let a6 = base_a + min(m0 + 6u, p.m_end - 1u) * p.a_m;
  let a7 = base_a + min(m0 + 7u, p.m_end - 1u) * p.a_m;
  let b0 = base_b + min(n0 + 0u, p.n - 1u) * p.b_n;
  let b1 = base_b + min(n0 + 1u, p.n - 1u) * p.b_n;
  let b2 = base_b + min(n0 + 2u, p.n - 1u) * p.b_n;
  let b3 = base_b + min(n0 + 3u, p.n - 1u) * p.b_n;
  let b4 = base_b + min(n0 + 4u, p.n - 1u) * p.b_n;
  let b5 = base_b + min(n0 + 5u, p.n - 1u) * p.b_n;
  let b6 = base_b + min(n0 + 6u, p.n - 1u) * p.b_n;
  let b7 = base_b + min(n0 + 7u, p.n - 1u) * p.b_n;
  var c0_0 = vec4<f32>();
  var c0_1 = vec4<f32>();
  var c1_0 = vec4<f32>();
  var c1_1 = vec4<f32>();
  var c2_0 = vec4<f32>();
  var c2_1 = vec4<f32>();
  var c3_0 = vec4<f32>();
  var c3_1 = vec4<f32>();
  var c4_0 = vec4<f32>();
  var c4_1 = vec4<f32>();
  var c5_0 = vec4<f32>();
  var c5_1 = vec4<f32>();
  var c6_0 = vec4<f32>();
  var c6_1 = vec4<f32>();
  var c7_0 = vec4<f32>();
  var c7_1 = vec4<f32>();
  let k4 = p.k & ~3u;
  for (var k = 0u; k < k4; k += 4u) {
    let x0 = vec4<f32>(a[a0 + k], a[a0 + k + 1u], a[a0 + k + 2u], a[a0 + k + 3u]);
    let x1 = vec4<f32>(a[a1 + k], a[a1 + k + 1u], a[a1 + k + 2u], a[a1 + k + 3u]);
    let x2 = vec4<f32>(a[a2 + k], a[a2 + k + 1u], a[a2 + k + 2u], a[a2 + k + 3u]);
    let x3 = vec4<f32>(a[a3 + k], a[a3 + k + 1u], a[a3 + k + 2u], a[a3 + k + 3u]);
    let x4 = vec4<f32>(a[a4 + k], a[a4 + k + 1u], a[a4 + k + 2u], a[a4 + k + 3u]);
    let x5 = vec4<f32>(a[a5 + k], a[a5 + k + 1u], a[a5 + k + 2u], a[a5 + k + 3u]);
    let x6 = vec4<f32>(a[a6 + k], a[a6 + k + 1u], a[a6 + k + 2u], a[a6 + k + 3u]);
    let x7 = vec4<f32>(a[a7 + k], a[a7 + k + 1u], a[a7 + k + 2u], a[a7 + k + 3u]);
    {
      let y0 = vec4<f32>(b[b0 + k], b[b0 + k + 1u], b[b0 + k + 2u], b[b0 + k + 3u]);
      let y1 = vec4<f32>(b[b1 + k], b[b1 + k + 1u], b[b1 + k + 2u], b[b1 + k + 3u]);
      let y2 = vec4<f32>(b[b2 + k], b[b2 + k + 1u], b[b2 + k + 2u], b[b2 + k + 3u]);
      let y3 = vec4<f32>(b[b3 + k], b[b3 + k + 1u], b[b3 + k + 2u], b[b3 + k + 3u]);
      let wx = vec4<f32>(y0.x, y1.x, y2.x, y3.x);
      let wy = vec4<f32>(y0.y, y1.y, y2.y, y3.y);
      let wz = vec4<f32>(y0.z, y1.z, y2.z, y3.z);
      let ww = vec4<f32>(y0.w, y1.w, y2.w, y3.w);
      c0_0 = fma(vec4<f32>(x0.w), ww, fma(vec4<f32>(x0.z), wz, fma(vec4<f32>(x0.y), wy, fma(vec4<f32>(x0.x), wx, c0_0))));
      c1_0 = fma(vec4<f32>(x1.w), ww, fma(vec4<f32>(x1.z), wz, fma(vec4<f32>(x1.y), wy, fma(vec4<f32>(x1.x), wx, c1_0))));
      c2_0 = fma(vec4<f32>(x2.w), ww, fma(vec4<f32>(x2.z), wz, fma(vec4<f32>(x2.y), wy, fma(vec4<f32>(x2.x), wx, c2_0))));
      c3_0 = fma(vec4<f32>(x3.w), ww, fma(vec4<f32>(x3.z), wz, fma(vec4<f32>(x3.y), wy, fma(vec4<f32>(x3.x), wx, c3_0))));
      c4_0 = fma(vec4<f32>(x4.w), ww, fma(vec4<f32>(x4.z), wz, fma(vec4<f32>(x4.y), wy, fma(vec4<f32>(x4.x), wx, c4_0))));
      c5_0 = fma(vec4<f32>(x5.w), ww, fma(vec4<f32>(x5.z), wz, fma(vec4<f32>(x5.y), wy, fma(vec4<f32>(x5.x), wx, c5_0))));
      c6_0 = fma(vec4<f32>(x6.w), ww, fma(vec4<f32>(x6.z), wz, fma(vec4<f32>(x6.y), wy, fma(vec4<f32>(x6.x), wx, c6_0))));
      c7_0 = fma(vec4<f32>(x7.w), ww, fma(vec4<f32>(x7.z), wz, fma(vec4<f32>(x7.y), wy, fma(vec4<f32>(x7.x), wx, c7_0))));
    }
    {
      let y0 = vec4<f32>(b[b4 + k], b[b4 + k + 1u], b[b4 + k + 2u], b[b4 + k + 3u]);
      let y1 = vec4<f32>(b[b5 + k], b[b5 + k + 1u], b[b5 + k + 2u], b[b5 + k + 3u]);
      let y2 = vec4<f32>(b[b6 + k], b[b6 + k + 1u], b[b6 + k + 2u], b[b6 + k + 3u]);
      let y3 = vec4<f32>(b[b7 + k], b[b7 + k + 1u], b[b7 + k + 2u], b[b7 + k + 3u]);
      let wx = vec4<f32>(y0.x, y1.x, y2.x, y3.x);
      let wy = vec4<f32>(y0.y, y1.y, y2.y, y3.y);
      let wz = vec4<f32>(y0.z, y1.z, y2.z, y3.z);
      let ww = vec4<f32>(y0.w, y1.w, y2.w, y3.w);
      c0_1 = fma(vec4<f32>(x0.w), ww, fma(vec4<f32>(x0.z), wz, fma(vec4<f32>(x0.y), wy, fma(vec4<f32>(x0.x), wx, c0_1))));
      c1_1 = fma(vec4<f32>(x1.w), ww, fma(vec4<f32>(x1.z), wz, fma(vec4<f32>(x1.y), wy, fma(vec4<f32>(x1.x), wx, c1_1))));
      c2_1 = fma(vec4<f32>(x2.w), ww, fma(vec4<f32>(x2.z), wz, fma(vec4<f32>(x2.y), wy, fma(vec4<f32>(x2.x), wx, c2_1))));
      c3_1 = fma(vec4<f32>(x3.w), ww, fma(vec4<f32>(x3.z), wz, fma(vec4<f32>(x3.y), wy, fma(vec4<f32>(x3.x), wx, c3_1))));
      c4_1 = fma(vec4<f32>(x4.w), ww, fma(vec4<f32>(x4.z), wz, fma(vec4<f32>(x4.y), wy, fma(vec4<f32>(x4.x), wx, c4_1))));
      c5_1 = fma(vec4<f32>(x5.w), ww, fma(vec4<f32>(x5.z), wz, fma(vec4<f32>(x5.y), wy, fma(vec4<f32>(x5.x), wx, c5_1))));
      c6_1 = fma(vec4<f32>(x6.w), ww, fma(vec4<f32>(x6.z), wz, fma(vec4<f32>(x6.y), wy, fma(vec4<f32>(x6.x), wx, c6_1))));
      c7_1 = fma(vec4<f32>(x7.w), ww, fma(vec4<f32>(x7.z), wz, fma(vec4<f32>(x7.y), wy, fma(vec4<f32>(x7.x), wx, c7_1))));
    }
  }
  for (var k = k4; k < p.k; k++) {
    let w0 = vec4<f32>(b[b0 + k], b[b1 + k], b[b2 + k], b[b3 + k]);
    let w1 = vec4<f32>(b[b4 + k], b[b5 + k], b[b6 + k], b[b7 + k]);
    c0_0 += a[a0 + k] * w0;
    c0_1 += a[a0 + k] * w1;
    c1_0 += a[a1 + k] * w0;
    c1_1 += a[a1 + k] * w1;
    c2_0 += a[a2 + k] * w0;
    c2_1 += a[a2 + k] * w1;
    c3_0 += a[a3 + k] * w0;
    c3_1 += a[a3 + k] * w1;
    c4_0 += a[a4 + k] * w0;
    c4_1 += a[a4 + k] * w1;
    c5_0 += a[a5 + k] * w0;
    c5_1 += a[a5 + k] * w1;
    c6_0 += a[a6 + k] * w0;
    c6_1 += a[a6 + k] * w1;
    c7_0 += a[a7 + k] * w0;
    c7_1 += a[a7 + k] * w1;
  }
  put(m0 + 0u, n0 + 0u, c0_0, base_c, outer * p.bias_outer);
  put(m0 + 0u, n0 + 4u, c0_1, base_c, outer * p.bias_outer);
  put(m0 + 1u, n0 + 0u, c1_0, base_c, outer * p.bias_outer);
  put(m0 + 1u, n0 + 4u, c1_1, base_c, outer * p.bias_outer);
  put(m0 + 2u, n0 + 0u, c2_0, base_c, outer * p.bias_outer);
  put(m0 + 2u, n0 + 4u, c2_1, base_c, outer * p.bias_outer);
  put(m0 + 3u, n0 + 0u, c3_0, base_c, outer * p.bias_outer);
  put(m0 + 3u, n0 + 4u, c3_1, base_c, outer * p.bias_outer);
  put(m0 + 4u, n0 + 0u, c4_0, base_c, outer * p.bias_outer);
  put(m0 + 4u, n0 + 4u, c4_1, base_c, outer * p.bias_outer);
  put(m0 + 5u, n0 + 0u, c5_0, base_c, outer * p.bias_outer);
  put(m0 + 5u, n0 + 4u, c5_1, base_c, outer * p.bias_outer);
  put(m0 + 6u, n0 + 0u, c6_0, base_c, outer * p.bias_outer);
  put(m0 + 6u, n0 + 4u, c6_1, base_c, outer * p.bias_outer);
  put(m0 + 7u, n0 + 0u, c7_0, base_c, outer * p.bias_outer);
  put(m0 + 7u, n0 + 4u, c7_1, base_c, outer * p.bias_outer);
}
