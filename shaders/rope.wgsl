// Rotary position embedding on the first 2 * half of each head's coordinates, in the rotate-half form of
// GPT-NeoX and Llama: pairs are (i, i + half). The other coordinates are copied; half = 0 copies all,
// which puts keys and values where attention reads them. Up to three tensors at once: q, k, v.
//
// Each x: [rows, heads, d_head]; row r = (context, t) = (r / seq, r % seq) stands at position start + t.
// Each out: element (context, t, head, d) at out_at + context * out_outer + t * out_row + head * out_head + d.
// table: [positions, half, 2] = (cos, sin), made on the host in f64.
// A lane does a pair, or one coordinate that is copied: `items` = d_head - half to a head, total = rows *
// heads * items of each tensor, 0 where there is none. 64 lanes and 256 items a workgroup, grid folded
// over x and y. Tolerance 1e-6.
struct Part {
  total: u32, items: u32, heads: u32, half: u32,
  seq: u32, start: u32, out_at: u32, out_outer: u32,
  out_row: u32, out_head: u32, pad0: u32, pad1: u32,
}
struct Params { parts: array<Part, 3> }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x0: array<f32>;
@group(0) @binding(2) var<storage, read> x1: array<f32>;
@group(0) @binding(3) var<storage, read> x2: array<f32>;
@group(0) @binding(4) var<storage, read> table: array<f32>;
@group(0) @binding(5) var<storage, read_write> out0: array<f32>;
@group(0) @binding(6) var<storage, read_write> out1: array<f32>;
@group(0) @binding(7) var<storage, read_write> out2: array<f32>;

struct Place { at_x: u32, at_out: u32, cos: f32, sin: f32 }

// Where item i of a tensor is read and written; copied ones are turned by nothing.
fn place(part: Part, i: u32) -> Place {
  let item = i % part.items;
  let row_head = i / part.items;
  let row = row_head / part.heads;
  let t = row % part.seq;
  let to = part.out_at + row / part.seq * part.out_outer + t * part.out_row + row_head % part.heads * part.out_head;
  let begin = row_head * (part.items + part.half);
  if (item < part.half) {
    let at = ((part.start + t) * part.half + item) * 2u;
    return Place(begin + item, to + item, table[at], table[at + 1u]);
  }
  // The copied coordinates are those from 2 * half on.
  return Place(begin + item + part.half, to + item + part.half, 1.0, 0.0);
}

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let base = flat_group(wid, nwg) * 256u + lane;
  let one = p.parts[0].total;
  let two = one + p.parts[1].total;
  let three = two + p.parts[2].total;
  for (var j = 0u; j < 4u; j++) {
    let i = base + j * 64u;
    if (i < one) {
      let part = p.parts[0];
      let w = place(part, i);
      let a = x0[w.at_x];
      if (i % part.items < part.half) {
        let b = x0[w.at_x + part.half];
        out0[w.at_out] = a * w.cos - b * w.sin;
        out0[w.at_out + part.half] = b * w.cos + a * w.sin;
      } else {
        out0[w.at_out] = a;
      }
    } else if (i < two) {
      let part = p.parts[1];
      let w = place(part, i - one);
      let a = x1[w.at_x];
      if ((i - one) % part.items < part.half) {
        let b = x1[w.at_x + part.half];
        out1[w.at_out] = a * w.cos - b * w.sin;
        out1[w.at_out + part.half] = b * w.cos + a * w.sin;
      } else {
        out1[w.at_out] = a;
      }
    } else if (i < three) {
      let part = p.parts[2];
      let w = place(part, i - two);
      let a = x2[w.at_x];
      if ((i - two) % part.items < part.half) {
        let b = x2[w.at_x + part.half];
        out2[w.at_out] = a * w.cos - b * w.sin;
        out2[w.at_out + part.half] = b * w.cos + a * w.sin;
      } else {
        out2[w.at_out] = a;
      }
    }
  }
}
