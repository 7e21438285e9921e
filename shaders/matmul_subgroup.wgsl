// C[m, n] = alpha * sum_k A(m, k) * B(k, n) (+ bias[n]) (+ C[m, n])
//
// Needs subgroups, of any size. 128 lanes along n, four columns and 8 rows each. A subgroup loads as
// many steps of k of A as it has lanes, one a lane, and passes them around by shuffles, so that A
// costs no workgroup memory and no barrier; B is loaded from storage. For products of few rows.
// Which lane is where in its subgroup does not matter: columns go by local index, k by subgroup index.
// Layouts, batches, f16 weights: lib/matmul_blocks.wgsl. m_begin is a multiple of the tile.
// Deterministic: one lane sums over k in order, by fma; all variants for GPUs give the same bits.
// Tolerance against the f64 reference: 1e-5 * sqrt(k) relative to the sum of magnitudes.
var<workgroup> lanes: u32;

@compute @workgroup_size(128, 1, 1)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
  @builtin(subgroup_invocation_id) own: u32,
) {
  let tile = tile_of(flat_group(wid, groups), 8u, 512u);
  if (tile.z == 0u) { return; }
  let base = bases(wid.z + p.z0);
  let n = tile.y + lane * 4u;
  let first = min(n, (p.n - 1u) & ~3u);
  let count = p.n - first;
  // How many lanes there are, counted: drivers with several sizes have told another than they ran.
  let most = subgroupMax(own);
  if (lane == 0u) { lanes = most + 1u; }
  let width = workgroupUniformLoad(&lanes);
  let a0 = base.x + min(tile.x + 0u, p.m_end - 1u) * p.a_m;
  let a1 = base.x + min(tile.x + 1u, p.m_end - 1u) * p.a_m;
  let a2 = base.x + min(tile.x + 2u, p.m_end - 1u) * p.a_m;
  let a3 = base.x + min(tile.x + 3u, p.m_end - 1u) * p.a_m;
  let a4 = base.x + min(tile.x + 4u, p.m_end - 1u) * p.a_m;
  let a5 = base.x + min(tile.x + 5u, p.m_end - 1u) * p.a_m;
  let a6 = base.x + min(tile.x + 6u, p.m_end - 1u) * p.a_m;
  let a7 = base.x + min(tile.x + 7u, p.m_end - 1u) * p.a_m;
  var c0 = vec4<f32>();
  var c1 = vec4<f32>();
  var c2 = vec4<f32>();
  var c3 = vec4<f32>();
  var c4 = vec4<f32>();
  var c5 = vec4<f32>();
  var c6 = vec4<f32>();
  var c7 = vec4<f32>();
  for (var k0 = 0u; k0 < p.k; k0 += width) {
    let k = min(k0 + own, p.k - 1u) * p.a_k;
    let x0 = a_one(a0 + k);
    let x1 = a_one(a1 + k);
    let x2 = a_one(a2 + k);
    let x3 = a_one(a3 + k);
    let x4 = a_one(a4 + k);
    let x5 = a_one(a5 + k);
    let x6 = a_one(a6 + k);
    let x7 = a_one(a7 + k);
    let steps = min(width, p.k - k0);
    for (var s = 0u; s < steps; s++) {
      let y = b_four(base.y + (k0 + s) * p.b_k + first * p.b_n, p.b_n, count);
      c0 = fma(vec4<f32>(subgroupShuffle(x0, s)), y, c0);
      c1 = fma(vec4<f32>(subgroupShuffle(x1, s)), y, c1);
      c2 = fma(vec4<f32>(subgroupShuffle(x2, s)), y, c2);
      c3 = fma(vec4<f32>(subgroupShuffle(x3, s)), y, c3);
      c4 = fma(vec4<f32>(subgroupShuffle(x4, s)), y, c4);
      c5 = fma(vec4<f32>(subgroupShuffle(x5, s)), y, c5);
      c6 = fma(vec4<f32>(subgroupShuffle(x6, s)), y, c6);
      c7 = fma(vec4<f32>(subgroupShuffle(x7, s)), y, c7);
    }
  }
  put(tile.x + 0u, n, c0, base);
  put(tile.x + 1u, n, c1, base);
  put(tile.x + 2u, n, c2, base);
  put(tile.x + 3u, n, c3, base);
  put(tile.x + 4u, n, c4, base);
  put(tile.x + 5u, n, c5, base);
  put(tile.x + 6u, n, c6, base);
  put(tile.x + 7u, n, c7, base);
}
