// place[r, index[r, j]] = r_in_member * k + j + 1 for every list entry with value > 0
//
// First half of inverting the lists: place is u32 [rows, features], cleared before; entry numbers count
// within the member. With `gated`, a member with count[member] = 0 is left alone.
// 64 lanes and 256 entries a workgroup, grid folded. No two entries share a cell. Exact.
struct Params { rows: u32, k: u32, features: u32, rows_per_member: u32, gated: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> index: array<u32>;
@group(0) @binding(2) var<storage, read> value: array<f32>;
@group(0) @binding(3) var<storage, read> count: array<u32>;
@group(0) @binding(4) var<storage, read_write> place: array<u32>;

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let base = flat_group(wid, nwg) * 256u + lane;
  for (var s = 0u; s < 4u; s++) {
    let i = base + s * 64u;
    if (i < p.rows * p.k) {
      let row = i / p.k;
      let open = p.gated == 0u || count[row / p.rows_per_member] != 0u;
      if (open && value[i] > 0.0) {
        place[row * p.features + index[i]] = i - (row / p.rows_per_member) * p.rows_per_member * p.k + 1u;
      }
    }
  }
}
