// since[i] = fired[i] > 0 ? 0 : since[i] + rows: tokens since each feature last fired
//
// fired: u32 (or f32 counts as `sums` of relu_gradient reduced) [total]; since: u32 [total], saturating.
// 64 lanes a workgroup, grid folded. Exact.
struct Params { total: u32, rows: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> fired: array<u32>;
@group(0) @binding(2) var<storage, read_write> since: array<u32>;

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let i = flat_group(wid, nwg) * 64u + lane;
  if (i >= p.total) { return; }
  // 0 is 0 in u32 and in f32, so counts of either kind do.
  if (fired[i] != 0u) {
    since[i] = 0u;
  } else {
    since[i] = min(since[i], 0xffffffffu - p.rows) + p.rows;
  }
}
