// C[m, n] = alpha * sum_k A(m, k) * B(k, n) (+ bias[n]) (+ C[m, n])
//
// Cooperative matrices of 8 x 8, operands rounded to f16, sums in f32. NOT YET RUN ON HARDWARE: it is
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
  var c00 = coopLoadT<coop_mat8x8<f32, C>>(&corner[spare], 8u);
  var c01 = coopLoadT<coop_mat8x8<f32, C>>(&corner[spare], 8u);
  var c02 = coopLoadT<coop_mat8x8<f32, C>>(&corner[spare], 8u);
  var c03 = coopLoadT<coop_mat8x8<f32, C>>(&corner[spare], 8u);
  var c10 = coopLoadT<coop_mat8x8<f32, C>>(&corner[spare], 8u);
  var c11 = coopLoadT<coop_mat8x8<f32, C>>(&corner[spare], 8u);
  var c12 = coopLoadT<coop_mat8x8<f32, C>>(&corner[spare], 8u);
  var c13 = coopLoadT<coop_mat8x8<f32, C>>(&corner[spare], 8u);
  var c20 = coopLoadT<coop_mat8x8<f32, C>>(&corner[spare], 8u);
  var c21 = coopLoadT<coop_mat8x8<f32, C>>(&corner[spare], 8u);
  var c22 = coopLoadT<coop_mat8x8<f32, C>>(&corner[spare], 8u);
  var c23 = coopLoadT<coop_mat8x8<f32, C>>(&corner[spare], 8u);
  var c30 = coopLoadT<coop_mat8x8<f32, C>>(&corner[spare], 8u);
  var c31 = coopLoadT<coop_mat8x8<f32, C>>(&corner[spare], 8u);
  var c32 = coopLoadT<coop_mat8x8<f32, C>>(&corner[spare], 8u);
  var c33 = coopLoadT<coop_mat8x8<f32, C>>(&corner[spare], 8u);
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
      let x0 = coopLoadT<coop_mat8x8<f16, A>>(&tile_a[(rows + 0u) * 16u + 0u], 16u);
      let x1 = coopLoadT<coop_mat8x8<f16, A>>(&tile_a[(rows + 8u) * 16u + 0u], 16u);
      let x2 = coopLoadT<coop_mat8x8<f16, A>>(&tile_a[(rows + 16u) * 16u + 0u], 16u);
      let x3 = coopLoadT<coop_mat8x8<f16, A>>(&tile_a[(rows + 24u) * 16u + 0u], 16u);
      let y0 = coopLoadT<coop_mat8x8<f16, B>>(&tile_b[0u + columns + 0u], 64u);
      let y1 = coopLoadT<coop_mat8x8<f16, B>>(&tile_b[0u + columns + 8u], 64u);
      let y2 = coopLoadT<coop_mat8x8<f16, B>>(&tile_b[0u + columns + 16u], 64u);
      let y3 = coopLoadT<coop_mat8x8<f16, B>>(&tile_b[0u + columns + 24u], 64u);
      c00 = coopMultiplyAdd(x0, y0, c00);
      c01 = coopMultiplyAdd(x0, y1, c01);
      c02 = coopMultiplyAdd(x0, y2, c02);
      c03 = coopMultiplyAdd(x0, y3, c03);
      c10 = coopMultiplyAdd(x1, y0, c10);
      c11 = coopMultiplyAdd(x1, y1, c11);
      c12 = coopMultiplyAdd(x1, y2, c12);
      c13 = coopMultiplyAdd(x1, y3, c13);
      c20 = coopMultiplyAdd(x2, y0, c20);
      c21 = coopMultiplyAdd(x2, y1, c21);
      c22 = coopMultiplyAdd(x2, y2, c22);
      c23 = coopMultiplyAdd(x2, y3, c23);
      c30 = coopMultiplyAdd(x3, y0, c30);
      c31 = coopMultiplyAdd(x3, y1, c31);
      c32 = coopMultiplyAdd(x3, y2, c32);
      c33 = coopMultiplyAdd(x3, y3, c33);
    }
    {
      let x0 = coopLoadT<coop_mat8x8<f16, A>>(&tile_a[(rows + 0u) * 16u + 8u], 16u);
      let x1 = coopLoadT<coop_mat8x8<f16, A>>(&tile_a[(rows + 8u) * 16u + 8u], 16u);
      let x2 = coopLoadT<coop_mat8x8<f16, A>>(&tile_a[(rows + 16u) * 16u + 8u], 16u);
      let x3 = coopLoadT<coop_mat8x8<f16, A>>(&tile_a[(rows + 24u) * 16u + 8u], 16u);
      let y0 = coopLoadT<coop_mat8x8<f16, B>>(&tile_b[512u + columns + 0u], 64u);
      let y1 = coopLoadT<coop_mat8x8<f16, B>>(&tile_b[512u + columns + 8u], 64u);
      let y2 = coopLoadT<coop_mat8x8<f16, B>>(&tile_b[512u + columns + 16u], 64u);
      let y3 = coopLoadT<coop_mat8x8<f16, B>>(&tile_b[512u + columns + 24u], 64u);
      c00 = coopMultiplyAdd(x0, y0, c00);
      c01 = coopMultiplyAdd(x0, y1, c01);
      c02 = coopMultiplyAdd(x0, y2, c02);
      c03 = coopMultiplyAdd(x0, y3, c03);
      c10 = coopMultiplyAdd(x1, y0, c10);
      c11 = coopMultiplyAdd(x1, y1, c11);
      c12 = coopMultiplyAdd(x1, y2, c12);
      c13 = coopMultiplyAdd(x1, y3, c13);
      c20 = coopMultiplyAdd(x2, y0, c20);
      c21 = coopMultiplyAdd(x2, y1, c21);
      c22 = coopMultiplyAdd(x2, y2, c22);
      c23 = coopMultiplyAdd(x2, y3, c23);
      c30 = coopMultiplyAdd(x3, y0, c30);
      c31 = coopMultiplyAdd(x3, y1, c31);
      c32 = coopMultiplyAdd(x3, y2, c32);
      c33 = coopMultiplyAdd(x3, y3, c33);
    }
    workgroupBarrier();
  }
  coopStoreT(c00, &corner[spare], 8u);
  workgroupBarrier();
  for (var q = own; q < 16u; q += 32u) {
    let at = spare + q * 4u;
    let v = vec4<f32>(corner[at], corner[at + 1u], corner[at + 2u], corner[at + 3u]);
    put(tile.x + rows + 0u + q / 2u, tile.y + columns + 0u + q % 2u * 4u, v, base);
  }
  workgroupBarrier();
  coopStoreT(c01, &corner[spare], 8u);
  workgroupBarrier();
  for (var q = own; q < 16u; q += 32u) {
    let at = spare + q * 4u;
    let v = vec4<f32>(corner[at], corner[at + 1u], corner[at + 2u], corner[at + 3u]);
    put(tile.x + rows + 0u + q / 2u, tile.y + columns + 8u + q % 2u * 4u, v, base);
  }
  workgroupBarrier();
  coopStoreT(c02, &corner[spare], 8u);
  workgroupBarrier();
  for (var q = own; q < 16u; q += 32u) {
    let at = spare + q * 4u;
    let v = vec4<f32>(corner[at], corner[at + 1u], corner[at + 2u], corner[at + 3u]);
    put(tile.x + rows + 0u + q / 2u, tile.y + columns + 16u + q % 2u * 4u, v, base);
  }
  workgroupBarrier();
  coopStoreT(c03, &corner[spare], 8u);
  workgroupBarrier();
  for (var q = own; q < 16u; q += 32u) {
    let at = spare + q * 4u;
    let v = vec4<f32>(corner[at], corner[at + 1u], corner[at + 2u], corner[at + 3u]);
    put(tile.x + rows + 0u + q / 2u, tile.y + columns + 24u + q % 2u * 4u, v, base);
  }
  workgroupBarrier();
  coopStoreT(c10, &corner[spare], 8u);
  workgroupBarrier();
  for (var q = own; q < 16u; q += 32u) {
    let at = spare + q * 4u;
    let v = vec4<f32>(corner[at], corner[at + 1u], corner[at + 2u], corner[at + 3u]);
    put(tile.x + rows + 8u + q / 2u, tile.y + columns + 0u + q % 2u * 4u, v, base);
  }
  workgroupBarrier();
  coopStoreT(c11, &corner[spare], 8u);
  workgroupBarrier();
  for (var q = own; q < 16u; q += 32u) {
    let at = spare + q * 4u;
    let v = vec4<f32>(corner[at], corner[at + 1u], corner[at + 2u], corner[at + 3u]);
    put(tile.x + rows + 8u + q / 2u, tile.y + columns + 8u + q % 2u * 4u, v, base);
  }
  workgroupBarrier();
  coopStoreT(c12, &corner[spare], 8u);
  workgroupBarrier();
  for (var q = own; q < 16u; q += 32u) {
    let at = spare + q * 4u;
    let v = vec4<f32>(corner[at], corner[at + 1u], corner[at + 2u], corner[at + 3u]);
    put(tile.x + rows + 8u + q / 2u, tile.y + columns + 16u + q % 2u * 4u, v, base);
  }
  workgroupBarrier();
  coopStoreT(c13, &corner[spare], 8u);
  workgroupBarrier();
  for (var q = own; q < 16u; q += 32u) {
    let at = spare + q * 4u;
    let v = vec4<f32>(corner[at], corner[at + 1u], corner[at + 2u], corner[at + 3u]);
    put(tile.x + rows + 8u + q / 2u, tile.y + columns + 24u + q % 2u * 4u, v, base);
  }
  workgroupBarrier();
  coopStoreT(c20, &corner[spare], 8u);
  workgroupBarrier();
  for (var q = own; q < 16u; q += 32u) {
    let at = spare + q * 4u;
    let v = vec4<f32>(corner[at], corner[at + 1u], corner[at + 2u], corner[at + 3u]);
    put(tile.x + rows + 16u + q / 2u, tile.y + columns + 0u + q % 2u * 4u, v, base);
  }
  workgroupBarrier();
  coopStoreT(c21, &corner[spare], 8u);
  workgroupBarrier();
  for (var q = own; q < 16u; q += 32u) {
    let at = spare + q * 4u;
    let v = vec4<f32>(corner[at], corner[at + 1u], corner[at + 2u], corner[at + 3u]);
    put(tile.x + rows + 16u + q / 2u, tile.y + columns + 8u + q % 2u * 4u, v, base);
  }
  workgroupBarrier();
  coopStoreT(c22, &corner[spare], 8u);
  workgroupBarrier();
  for (var q = own; q < 16u; q += 32u) {
    let at = spare + q * 4u;
    let v = vec4<f32>(corner[at], corner[at + 1u], corner[at + 2u], corner[at + 3u]);
    put(tile.x + rows + 16u + q / 2u, tile.y + columns + 16u + q % 2u * 4u, v, base);
  }
  workgroupBarrier();
  coopStoreT(c23, &corner[spare], 8u);
  workgroupBarrier();
  for (var q = own; q < 16u; q += 32u) {
    let at = spare + q * 4u;
    let v = vec4<f32>(corner[at], corner[at + 1u], corner[at + 2u], corner[at + 3u]);
    put(tile.x + rows + 16u + q / 2u, tile.y + columns + 24u + q % 2u * 4u, v, base);
  }
  workgroupBarrier();
  coopStoreT(c30, &corner[spare], 8u);
  workgroupBarrier();
  for (var q = own; q < 16u; q += 32u) {
    let at = spare + q * 4u;
    let v = vec4<f32>(corner[at], corner[at + 1u], corner[at + 2u], corner[at + 3u]);
    put(tile.x + rows + 24u + q / 2u, tile.y + columns + 0u + q % 2u * 4u, v, base);
  }
  workgroupBarrier();
  coopStoreT(c31, &corner[spare], 8u);
  workgroupBarrier();
  for (var q = own; q < 16u; q += 32u) {
    let at = spare + q * 4u;
    let v = vec4<f32>(corner[at], corner[at + 1u], corner[at + 2u], corner[at + 3u]);
    put(tile.x + rows + 24u + q / 2u, tile.y + columns + 8u + q % 2u * 4u, v, base);
  }
  workgroupBarrier();
  coopStoreT(c32, &corner[spare], 8u);
  workgroupBarrier();
  for (var q = own; q < 16u; q += 32u) {
    let at = spare + q * 4u;
    let v = vec4<f32>(corner[at], corner[at + 1u], corner[at + 2u], corner[at + 3u]);
    put(tile.x + rows + 24u + q / 2u, tile.y + columns + 16u + q % 2u * 4u, v, base);
  }
  workgroupBarrier();
  coopStoreT(c33, &corner[spare], 8u);
  workgroupBarrier();
  for (var q = own; q < 16u; q += 32u) {
    let at = spare + q * 4u;
    let v = vec4<f32>(corner[at], corner[at + 1u], corner[at + 2u], corner[at + 3u]);
    put(tile.x + rows + 24u + q / 2u, tile.y + columns + 24u + q % 2u * 4u, v, base);
  }
  workgroupBarrier();
}
