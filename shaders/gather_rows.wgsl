// out[i, :] = table[index[i] - first, :] where first <= index[i] < first + count
//
// table: [count, cols], one row shard of a larger table; index: u32 [rows]; out: [rows, cols].
// Rows whose index lies in another shard are left alone, so shards are gathered one after another.
// 64 lanes and 256 elements a workgroup, grid folded over x and y. Exact.
struct Params { rows: u32, cols: u32, first: u32, count: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> table: array<f32>;
@group(0) @binding(2) var<storage, read> index: array<u32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let base = flat_group(wid, nwg) * 256u + lane;
  for (var j = 0u; j < 4u; j++) {
    let i = base + j * 64u;
    if (i < p.rows * p.cols) {
      let at = index[i / p.cols];
      if (at >= p.first && at - p.first < p.count) {
        out[i] = table[(at - p.first) * p.cols + i % p.cols];
      }
    }
  }
}
