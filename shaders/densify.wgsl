// out[r, index[r, j]] = value[r, j] for every list entry with value > 0
//
// index: u32 [rows, k], value: [rows, k]; out: [rows, features], cleared before. 64 lanes and 256
// entries a workgroup, grid folded. No two entries share a cell. Exact.
struct Params { rows: u32, k: u32, features: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> index: array<u32>;
@group(0) @binding(2) var<storage, read> value: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let base = flat_group(wid, nwg) * 256u + lane;
  for (var s = 0u; s < 4u; s++) {
    let i = base + s * 64u;
    if (i < p.rows * p.k && value[i] > 0.0) { out[(i / p.k) * p.features + index[i]] = value[i]; }
  }
}
