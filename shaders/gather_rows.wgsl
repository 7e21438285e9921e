// out[i, :] = table[index[i] - first, :] where first <= index[i] < first + count
//
// table: [count, cols], one row shard of a larger table; index: u32 [rows]; out: [rows, cols].
// Rows whose index lies in another shard are left alone, so shards are gathered one after another.
// A workgroup of 64 lanes does a row, grid folded over x and y: no division for each value, which CPU
// rasterisers do lane by lane. Exact.
struct Params { rows: u32, cols: u32, first: u32, count: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> table: array<f32>;
@group(0) @binding(2) var<storage, read> index: array<u32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let row = flat_group(wid, nwg);
  if (row >= p.rows) { return; }
  let at = index[row];
  if (at < p.first || at - p.first >= p.count) { return; }
  let base = (at - p.first) * p.cols;
  for (var i = lane; i < p.cols; i += 64u) { out[row * p.cols + i] = table[base + i]; }
}
