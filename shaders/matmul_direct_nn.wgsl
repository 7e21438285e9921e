// C[m, n] = alpha * sum_k A(m, k) * B[k, n] (+ bias[n]) (+ C[m, n])
//
// A(m, k) = a[m * a_m + k * a_k], so nn (a_k = 1) and tn (a_m = 1) are this one kernel. B: rows of ldb,
// contiguous in n. C: rows of ldc.
// Direct loads, no workgroup memory: a lane holds 8 rows x 16 columns in named vec4 registers, the
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
  let n0 = (wid.x * 8u + lid.x) * 16u;
  let a0 = base_a + min(m0 + 0u, p.m_end - 1u) * p.a_m;
  let a1 = base_a + min(m0 + 1u, p.m_end - 1u) * p.a_m;
  let a2 = base_a + min(m0 + 2u, p.m_end - 1u) * p.a_m;
  let a3 = base_a + min(m0 + 3u, p.m_end - 1u) * p.a_m;
  let a4 = base_a + min(m0 + 4u, p.m_end - 1u) * p.a_m;
  let a5 = base_a + min(m0 + 5u, p.m_end - 1u) * p.a_m;
  let a6 = base_a + min(m0 + 6u, p.m_end - 1u) * p.a_m;
  let a7 = base_a + min(m0 + 7u, p.m_end - 1u) * p.a_m;
  var c0_0 = vec4<f32>();
  var c0_1 = vec4<f32>();
  var c0_2 = vec4<f32>();
  var c0_3 = vec4<f32>();
  var c1_0 = vec4<f32>();
  var c1_1 = vec4<f32>();
  var c1_2 = vec4<f32>();
  var c1_3 = vec4<f32>();
  var c2_0 = vec4<f32>();
  var c2_1 = vec4<f32>();
  var c2_2 = vec4<f32>();
  var c2_3 = vec4<f32>();
  var c3_0 = vec4<f32>();
  var c3_1 = vec4<f32>();
  var c3_2 = vec4<f32>();
  var c3_3 = vec4<f32>();
  var c4_0 = vec4<f32>();
  var c4_1 = vec4<f32>();
  var c4_2 = vec4<f32>();
  var c4_3 = vec4<f32>();
  var c5_0 = vec4<f32>();
  var c5_1 = vec4<f32>();
  var c5_2 = vec4<f32>();
  var c5_3 = vec4<f32>();
  var c6_0 = vec4<f32>();
  var c6_1 = vec4<f32>();
  var c6_2 = vec4<f32>();
  var c6_3 = vec4<f32>();
  var c7_0 = vec4<f32>();
  var c7_1 = vec4<f32>();
  var c7_2 = vec4<f32>();
  var c7_3 = vec4<f32>();
  for (var k = 0u; k < p.k; k++) {
    let at = base_b + k * p.b_k + n0;
    let ak = k * p.a_k;
    let y0 = vec4<f32>(b[at + 0u], b[at + 1u], b[at + 2u], b[at + 3u]);
    let y1 = vec4<f32>(b[at + 4u], b[at + 5u], b[at + 6u], b[at + 7u]);
    let y2 = vec4<f32>(b[at + 8u], b[at + 9u], b[at + 10u], b[at + 11u]);
    let y3 = vec4<f32>(b[at + 12u], b[at + 13u], b[at + 14u], b[at + 15u]);
    let x0 = a[a0 + ak];
    c0_0 += x0 * y0;
    c0_1 += x0 * y1;
    c0_2 += x0 * y2;
    c0_3 += x0 * y3;
    let x1 = a[a1 + ak];
    c1_0 += x1 * y0;
    c1_1 += x1 * y1;
    c1_2 += x1 * y2;
    c1_3 += x1 * y3;
    let x2 = a[a2 + ak];
    c2_0 += x2 * y0;
    c2_1 += x2 * y1;
    c2_2 += x2 * y2;
    c2_3 += x2 * y3;
    let x3 = a[a3 + ak];
    c3_0 += x3 * y0;
    c3_1 += x3 * y1;
    c3_2 += x3 * y2;
    c3_3 += x3 * y3;
    let x4 = a[a4 + ak];
    c4_0 += x4 * y0;
    c4_1 += x4 * y1;
    c4_2 += x4 * y2;
    c4_3 += x4 * y3;
    let x5 = a[a5 + ak];
    c5_0 += x5 * y0;
    c5_1 += x5 * y1;
    c5_2 += x5 * y2;
    c5_3 += x5 * y3;
    let x6 = a[a6 + ak];
    c6_0 += x6 * y0;
    c6_1 += x6 * y1;
    c6_2 += x6 * y2;
    c6_3 += x6 * y3;
    let x7 = a[a7 + ak];
    c7_0 += x7 * y0;
    c7_1 += x7 * y1;
    c7_2 += x7 * y2;
    c7_3 += x7 * y3;
  }
  put(m0 + 0u, n0 + 0u, c0_0, base_c, outer * p.bias_outer);
  put(m0 + 0u, n0 + 4u, c0_1, base_c, outer * p.bias_outer);
  put(m0 + 0u, n0 + 8u, c0_2, base_c, outer * p.bias_outer);
  put(m0 + 0u, n0 + 12u, c0_3, base_c, outer * p.bias_outer);
  put(m0 + 1u, n0 + 0u, c1_0, base_c, outer * p.bias_outer);
  put(m0 + 1u, n0 + 4u, c1_1, base_c, outer * p.bias_outer);
  put(m0 + 1u, n0 + 8u, c1_2, base_c, outer * p.bias_outer);
  put(m0 + 1u, n0 + 12u, c1_3, base_c, outer * p.bias_outer);
  put(m0 + 2u, n0 + 0u, c2_0, base_c, outer * p.bias_outer);
  put(m0 + 2u, n0 + 4u, c2_1, base_c, outer * p.bias_outer);
  put(m0 + 2u, n0 + 8u, c2_2, base_c, outer * p.bias_outer);
  put(m0 + 2u, n0 + 12u, c2_3, base_c, outer * p.bias_outer);
  put(m0 + 3u, n0 + 0u, c3_0, base_c, outer * p.bias_outer);
  put(m0 + 3u, n0 + 4u, c3_1, base_c, outer * p.bias_outer);
  put(m0 + 3u, n0 + 8u, c3_2, base_c, outer * p.bias_outer);
  put(m0 + 3u, n0 + 12u, c3_3, base_c, outer * p.bias_outer);
  put(m0 + 4u, n0 + 0u, c4_0, base_c, outer * p.bias_outer);
  put(m0 + 4u, n0 + 4u, c4_1, base_c, outer * p.bias_outer);
  put(m0 + 4u, n0 + 8u, c4_2, base_c, outer * p.bias_outer);
  put(m0 + 4u, n0 + 12u, c4_3, base_c, outer * p.bias_outer);
  put(m0 + 5u, n0 + 0u, c5_0, base_c, outer * p.bias_outer);
  put(m0 + 5u, n0 + 4u, c5_1, base_c, outer * p.bias_outer);
  put(m0 + 5u, n0 + 8u, c5_2, base_c, outer * p.bias_outer);
  put(m0 + 5u, n0 + 12u, c5_3, base_c, outer * p.bias_outer);
  put(m0 + 6u, n0 + 0u, c6_0, base_c, outer * p.bias_outer);
  put(m0 + 6u, n0 + 4u, c6_1, base_c, outer * p.bias_outer);
  put(m0 + 6u, n0 + 8u, c6_2, base_c, outer * p.bias_outer);
  put(m0 + 6u, n0 + 12u, c6_3, base_c, outer * p.bias_outer);
  put(m0 + 7u, n0 + 0u, c7_0, base_c, outer * p.bias_outer);
  put(m0 + 7u, n0 + 4u, c7_1, base_c, outer * p.bias_outer);
  put(m0 + 7u, n0 + 8u, c7_2, base_c, outer * p.bias_outer);
  put(m0 + 7u, n0 + 12u, c7_3, base_c, outer * p.bias_outer);
}
