// x[i] = x[i] * max(up[i], 0) / max(down[i], 1e-9)
//
// x, up, down: [total]. The multiplicative update of non-negative factorisations (Lee and Seung 2001). 64 lanes and
// 256 elements a workgroup, grid folded. Tolerance: 1e-6.
struct Params { total: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> x: array<f32>;
@group(0) @binding(2) var<storage, read> up: array<f32>;
@group(0) @binding(3) var<storage, read> down: array<f32>;

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let base = flat_group(wid, nwg) * 256u + lane;
  for (var j = 0u; j < 4u; j++) {
    let i = base + j * 64u;
    if (i < p.total) { x[i] = x[i] * (max(up[i], 0.0) / max(down[i], 1e-9)); }
  }
}
