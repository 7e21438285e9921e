// C[m, n] = alpha * sum_k A(m, k) * B(k, n) (+ bias[n]) (+ C[m, n])
//
// A(m, k) = a[m * a_m + k * a_k], B(k, n) = b[k * b_k + n * b_n]: nt, nn and tn by strides.
// Tiles of 64 x 64, k in steps of 16, staged k-major in workgroup memory (8,448 bytes); 16 x 16 lanes,
// each with 4 x 4 results in four named vec4 registers. For GPUs with real workgroup memory.
// Batches as in matmul_direct_nt. Barriers are uniform: every lane of a group walks all of k.
// Deterministic: one lane sums over k in order.
// Tolerance against the f64 reference: 1e-5 * sqrt(k) relative to the sum of magnitudes.
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> c: array<f32>;

// 16 k-steps of 64 values, rows padded by 4 against bank conflicts.
var<workgroup> tile_a: array<f32, 1088>;
var<workgroup> tile_b: array<f32, 1088>;

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

@compute @workgroup_size(256, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let z = wid.z + p.z0;
  let outer = z / p.inner_count;
  let inner = z % p.inner_count;
  let base_a = p.a_off + outer * p.a_outer + inner * p.a_inner;
  let base_b = p.b_off + outer * p.b_outer + (inner / p.b_group) * p.b_inner;
  let base_c = p.c_off + outer * p.c_outer + inner * p.c_inner;
  let m0 = p.m_begin + wid.y * 64u;
  let n0 = wid.x * 64u;
  let ty = lane / 16u;
  let tx = lane % 16u;
  var c0 = vec4<f32>();
  var c1 = vec4<f32>();
  var c2 = vec4<f32>();
  var c3 = vec4<f32>();
  for (var k0 = 0u; k0 < p.k; k0 += 16u) {
    // 1024 values of each tile, four a lane; neighbouring lanes walk the contiguous axis.
    for (var i = 0u; i < 4u; i++) {
      let e = lane + i * 256u;
      var am = e / 16u;
      var ak = e % 16u;
      if (p.a_m == 1u) { am = e % 64u; ak = e / 64u; }
      var x = 0.0;
      if (m0 + am < p.m_end && k0 + ak < p.k) {
        x = a[base_a + (m0 + am) * p.a_m + (k0 + ak) * p.a_k];
      }
      tile_a[ak * 68u + am] = x;
      var bn = e / 16u;
      var bk = e % 16u;
      if (p.b_n == 1u) { bn = e % 64u; bk = e / 64u; }
      var y = 0.0;
      if (n0 + bn < p.n && k0 + bk < p.k) {
        y = b[base_b + (k0 + bk) * p.b_k + (n0 + bn) * p.b_n];
      }
      tile_b[bk * 68u + bn] = y;
    }
    workgroupBarrier();
    for (var k = 0u; k < 16u; k++) {
      let ra = k * 68u + ty * 4u;
      let rb = k * 68u + tx * 4u;
      let y = vec4<f32>(tile_b[rb], tile_b[rb + 1u], tile_b[rb + 2u], tile_b[rb + 3u]);
      c0 = fma(vec4<f32>(tile_a[ra]), y, c0);
      c1 = fma(vec4<f32>(tile_a[ra + 1u]), y, c1);
      c2 = fma(vec4<f32>(tile_a[ra + 2u]), y, c2);
      c3 = fma(vec4<f32>(tile_a[ra + 3u]), y, c3);
    }
    workgroupBarrier();
  }
  let row = m0 + ty * 4u;
  let col = n0 + tx * 4u;
  put(row, col, c0, base_c, outer * p.bias_outer);
  put(row + 1u, col, c1, base_c, outer * p.bias_outer);
  put(row + 2u, col, c2, base_c, outer * p.bias_outer);
  put(row + 3u, col, c3, base_c, outer * p.bias_outer);
}
