// rank[e] = entries of the same feature before e in its chunk of rows; tally[chunk, feature] = all of them
//
// First of four kernels that sort list entries by feature without atomics: rank, tally, scan, place. Entries
// with value > 0 count. Lists: index (u32) and value at member * per_member + base + row * k + j; rank: u32,
// the same layout; tally: u32 [members, chunks, features], cleared before. This call's rows make the chunks
// from chunk0 on, chunk_rows each. With `gated`, a member with count[member] = 0 is left alone; with
// `counted`, the list of a row ends after count[member * rows + row] slots.
// One workgroup of WG lanes a chunk (x) and member (y), row after row; a row's features differ, so no two
// lanes meet in a cell. Deterministic, exact.
struct Params {
  rows: u32, k: u32, base: u32, per_member: u32, features: u32,
  chunk_rows: u32, chunk0: u32, chunks: u32, gated: u32, counted: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> index: array<u32>;
@group(0) @binding(2) var<storage, read> value: array<f32>;
@group(0) @binding(3) var<storage, read> count: array<u32>;
@group(0) @binding(4) var<storage, read_write> rank: array<u32>;
@group(0) @binding(5) var<storage, read_write> tally: array<u32>;

override WG: u32 = 64u;

@compute @workgroup_size(WG, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let member = wid.y;
  if (p.gated != 0u && count[member] == 0u) { return; }
  let cells = (member * p.chunks + p.chunk0 + wid.x) * p.features;
  for (var r = 0u; r < p.chunk_rows; r++) {
    let row = wid.x * p.chunk_rows + r;
    if (row < p.rows) {
      let list = member * p.per_member + p.base + row * p.k;
      var slots = p.k;
      if (p.counted != 0u) { slots = min(slots, count[member * p.rows + row]); }
      for (var j = lane; j < slots; j += WG) {
        if (value[list + j] > 0.0) {
          let cell = cells + index[list + j];
          let before = tally[cell];
          rank[list + j] = before;
          tally[cell] = before + 1u;
        }
      }
    }
    storageBarrier();
  }
}
