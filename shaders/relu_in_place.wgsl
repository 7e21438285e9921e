// x[i] = max(x[i], 0)
//
// x: [total]. 64 lanes and 256 elements a workgroup, grid folded. Exact.
struct Params { total: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> x: array<f32>;

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let base = flat_group(wid, nwg) * 256u + lane;
  for (var j = 0u; j < 4u; j++) {
    let i = base + j * 64u;
    if (i < p.total) { x[i] = max(x[i], 0.0); }
  }
}
