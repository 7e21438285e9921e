// Rotary position embedding on the first `rotary` of each head's `d_head` coordinates, in the
// rotate-half form of GPT-NeoX and Llama: pairs are (i, i + rotary / 2).
//
// x, out: [rows, heads, d_head]; row r stands at position start + r % seq.
// table: [positions, rotary / 2, 2] = (cos, sin), made on the host in f64.
// 64 lanes and 256 elements a workgroup, grid folded over x and y. Tolerance 1e-6.
struct Params { total: u32, heads: u32, d_head: u32, rotary: u32, seq: u32, start: u32 }
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
      let d = i % p.d_head;
      var y = x[i];
      if (d < p.rotary) {
        let position = p.start + (i / (p.heads * p.d_head)) % p.seq;
        let pair = d % half;
        let at = (position * half + pair) * 2u;
        if (d < half) {
          y = x[i] * table[at] - x[i + half] * table[at + 1u];
        } else {
          y = x[i] * table[at] + x[i - half] * table[at + 1u];
        }
      }
      out[i] = y;
    }
  }
}
