// Rotary position embedding on the first `rotary` of each head's `d_head` coordinates, in the
// rotate-half form of GPT-NeoX and Llama: pairs are (i, i + rotary / 2). The other coordinates are
// copied; rotary = 0 copies all, which puts keys and values where attention reads them.
//
// x: [rows, heads, d_head]; row r = (context, t) = (r / seq, r % seq) stands at position start + t.
// out: element (context, t, head, d) at out_at + context * out_outer + t * out_row + head * out_head + d.
// table: [positions, rotary / 2, 2] = (cos, sin), made on the host in f64.
// A lane does a pair, or one coordinate that is copied: `items` = d_head - rotary / 2 to a head, total =
// rows * heads * items. 64 lanes and 256 items a workgroup, grid folded over x and y. Tolerance 1e-6.
struct Params {
  total: u32, items: u32, heads: u32, d_head: u32,
  rotary: u32, seq: u32, start: u32, out_at: u32,
  out_outer: u32, out_row: u32, out_head: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> table: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let base = flat_group(wid, nwg) * 256u + lane;
  let half = p.rotary / 2u;
  for (var j = 0u; j < 4u; j++) {
    let i = base + j * 64u;
    if (i < p.total) {
      let item = i % p.items;
      let row_head = i / p.items;
      let head = row_head % p.heads;
      let row = row_head / p.heads;
      let t = row % p.seq;
      let base_x = row_head * p.d_head;
      let to = p.out_at + row / p.seq * p.out_outer + t * p.out_row + head * p.out_head;
      if (item < half) {
        let at = ((p.start + t) * half + item) * 2u;
        let c = table[at];
        let s = table[at + 1u];
        let a = x[base_x + item];
        let b = x[base_x + item + half];
        out[to + item] = a * c - b * s;
        out[to + item + half] = b * c + a * s;
      } else {
        // The copied coordinates are those from `rotary` on.
        out[to + item + half] = x[base_x + item + half];
      }
    }
  }
}
