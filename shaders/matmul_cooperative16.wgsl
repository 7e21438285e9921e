// C[m, n] = alpha * sum_k A(m, k) * B(k, n) (+ bias[n]) (+ C[m, n])
//
// Cooperative matrices of 16 x 16, operands rounded to f16, sums in f32. NOT YET RUN ON HARDWARE: it is
// validated and translated to SPIR-V and MSL by tests/shaders.rs, and off unless asked for.
// Tiles of 64 x 64, k in steps of 16, staged as f16; 128 lanes in four subgroups of 32 (the host checks
// the adapter's size), each with a quarter of 32 x 32. Sums begin as loads of zeros and leave through a
// corner of workgroup memory, where the epilogue is applied. 8,192 bytes of workgroup memory.
// Layouts, batches, f16 weights: lib/matmul_blocks.wgsl. The order of a sum is the hardware's.
// Tolerance against the f64 reference: 2e-3 relative to the largest result.
var<workgroup> tile_a: array<f16, 1024>;
var<workgroup> tile_b: array<f16, 1024>;
var<workgroup> corner: array<f32, 1024>;

fn stage_a(at: u32, v: vec4<f32>) {
  tile_a[at] = f16(v.x);
  tile_a[at + 1u] = f16(v.y);
  tile_a[at + 2u] = f16(v.z);
  tile_a[at + 3u] = f16(v.w);
}

fn stage_b(at: u32, v: vec4<f32>) {
  tile_b[at] = f16(v.x);
  tile_b[at + 1u] = f16(v.y);
  tile_b[at + 2u] = f16(v.z);
  tile_b[at + 3u] = f16(v.w);
}

@compute @workgroup_size(128, 1, 1)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
  @builtin(subgroup_id) quarter: u32,
  @builtin(subgroup_invocation_id) own: u32,
) {
  // Past the last tile: nothing is written. No early return, which naga would not see to be uniform.
  let tile = tile_of(flat_group(wid, groups), 64u, 64u);
  let base = bases(wid.z + p.z0);
  let rows = quarter / 2u * 32u;
  let columns = quarter % 2u * 32u;
  let spare = quarter * 256u;
  let e = lane % 64u;
  for (var i = 0u; i < 8u; i++) { corner[spare + i * 32u + own] = 0.0; }
  workgroupBarrier();
  var c00 = coopLoadT<coop_mat16x16<f32, C>>(&corner[spare], 16u);
  var c01 = coopLoadT<coop_mat16x16<f32, C>>(&corner[spare], 16u);
  var c10 = coopLoadT<coop_mat16x16<f32, C>>(&corner[spare], 16u);
  var c11 = coopLoadT<coop_mat16x16<f32, C>>(&corner[spare], 16u);
  for (var k0 = 0u; k0 < p.k; k0 += 16u) {
    if (lane < 64u) {
      // Rows of 16 k.
      let block = transpose(block_a(base.x, tile.x + e / 4u * 4u, k0 + e % 4u * 4u));
      let at = e / 4u * 64u + e % 4u * 4u;
      stage_a(at + 0u, block[0]);
      stage_a(at + 16u, block[1]);
      stage_a(at + 32u, block[2]);
      stage_a(at + 48u, block[3]);
    } else {
      // Rows of 64 n.
      let block = block_b(base.y, tile.y + e % 16u * 4u, k0 + e / 16u * 4u);
      let at = e / 16u * 256u + e % 16u * 4u;
      stage_b(at + 0u, block[0]);
      stage_b(at + 64u, block[1]);
      stage_b(at + 128u, block[2]);
      stage_b(at + 192u, block[3]);
    }
    workgroupBarrier();
    {
      let x0 = coopLoadT<coop_mat16x16<f16, A>>(&tile_a[(rows + 0u) * 16u + 0u], 16u);
      let x1 = coopLoadT<coop_mat16x16<f16, A>>(&tile_a[(rows + 16u) * 16u + 0u], 16u);
      let y0 = coopLoadT<coop_mat16x16<f16, B>>(&tile_b[0u + columns + 0u], 64u);
      let y1 = coopLoadT<coop_mat16x16<f16, B>>(&tile_b[0u + columns + 16u], 64u);
      c00 = coopMultiplyAdd(x0, y0, c00);
      c01 = coopMultiplyAdd(x0, y1, c01);
      c10 = coopMultiplyAdd(x1, y0, c10);
      c11 = coopMultiplyAdd(x1, y1, c11);
    }
    workgroupBarrier();
  }
  coopStoreT(c00, &corner[spare], 16u);
  workgroupBarrier();
  for (var q = own; q < 64u; q += 32u) {
    let at = spare + q * 4u;
    let v = vec4<f32>(corner[at], corner[at + 1u], corner[at + 2u], corner[at + 3u]);
    put(tile.x + rows + 0u + q / 4u, tile.y + columns + 0u + q % 4u * 4u, v, base);
  }
  workgroupBarrier();
  coopStoreT(c01, &corner[spare], 16u);
  workgroupBarrier();
  for (var q = own; q < 64u; q += 32u) {
    let at = spare + q * 4u;
    let v = vec4<f32>(corner[at], corner[at + 1u], corner[at + 2u], corner[at + 3u]);
    put(tile.x + rows + 0u + q / 4u, tile.y + columns + 16u + q % 4u * 4u, v, base);
  }
  workgroupBarrier();
  coopStoreT(c10, &corner[spare], 16u);
  workgroupBarrier();
  for (var q = own; q < 64u; q += 32u) {
    let at = spare + q * 4u;
    let v = vec4<f32>(corner[at], corner[at + 1u], corner[at + 2u], corner[at + 3u]);
    put(tile.x + rows + 16u + q / 4u, tile.y + columns + 0u + q % 4u * 4u, v, base);
  }
  workgroupBarrier();
  coopStoreT(c11, &corner[spare], 16u);
  workgroupBarrier();
  for (var q = own; q < 64u; q += 32u) {
    let at = spare + q * 4u;
    let v = vec4<f32>(corner[at], corner[at + 1u], corner[at + 2u], corner[at + 3u]);
    put(tile.x + rows + 16u + q / 4u, tile.y + columns + 16u + q % 4u * 4u, v, base);
  }
  workgroupBarrier();
}
