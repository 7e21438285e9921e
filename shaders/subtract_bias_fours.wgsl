// out[m, r, c] = sign * (x[r, c] - bias[m, c])
//
// What subtract_bias computes, for rows of whole fours, read and written by fours: CPU rasterisers take half
// as long for these. x: [rows, cols], the same batch for every member; bias: [members, cols]; out: [members,
// rows, cols]; total counts fours. 64 lanes and 256 fours a workgroup, grid folded. Exact up to rounding.
struct Params { total: u32, rows: u32, cols: u32, sign: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let base = flat_group(wid, nwg) * 256u + lane;
  let row = p.cols / 4u;
  let matrix = p.rows * row;
  for (var j = 0u; j < 4u; j++) {
    let i = base + j * 64u;
    if (i < p.total) { out[i] = p.sign * (x[i % matrix] - bias[(i / matrix) * row + i % row]); }
  }
}
