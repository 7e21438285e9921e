// out[r, j] = scores[r, j] where key j is visible to query r % queries, else `hidden` (-inf)
//
// Only for reading scores out: TransformerLens' hook_attn_scores holds -inf where masked.
// scores, out: [rows, keys]. 64 lanes and 256 elements a workgroup, grid folded. Exact.
struct Params { rows: u32, queries: u32, keys: u32, hidden: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> scores: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let base = flat_group(wid, nwg) * 256u + lane;
  for (var j = 0u; j < 4u; j++) {
    let i = base + j * 64u;
    if (i < p.rows * p.keys) {
      let query = (i / p.keys) % p.queries;
      let visible = i % p.keys <= query + p.keys - p.queries;
      out[i] = select(p.hidden, scores[i], visible);
    }
  }
}
