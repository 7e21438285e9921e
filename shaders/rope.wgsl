// Rotary position embedding on the first 2 * half of each head's coordinates, in the rotate-half form of
// GPT-NeoX and Llama: pairs are (i, i + half). The other coordinates are copied; half = 0 copies all,
// which puts keys and values where attention reads them. Up to three tensors at once: q, k, v.
//
// Each x: [rows, heads, d_head]; row r = (context, t) = (r / seq, r % seq) stands at position start + t.
// Each out: element (context, t, head, d) at out_at + context * out_outer + t * out_row + head * out_head + d.
// table: [positions, half, 2] = (cos, sin), made on the host in f64.
// A workgroup of WG lanes does a row of one tensor (z = 0, 1, 2), rows folded over x and y; items =
// d_head - half. Head by head and without a division for each value, which CPU rasterisers do lane by
// lane. Tolerance 1e-6.
struct Part {
  rows: u32, items: u32, heads: u32, half: u32,
  seq: u32, start: u32, out_at: u32, out_outer: u32,
  out_row: u32, out_head: u32, pad0: u32, pad1: u32,
}
// Lanes: 64, or 16 on CPU rasterisers, where idle ones cost.
override WG: u32 = 64u;
// How many tensors there are.
override TENSORS: u32 = 3u;

struct Params { parts: array<Part, 3> }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x0: array<f32>;
@group(0) @binding(2) var<storage, read> x1: array<f32>;
@group(0) @binding(3) var<storage, read> x2: array<f32>;
@group(0) @binding(4) var<storage, read> table: array<f32>;
@group(0) @binding(5) var<storage, read_write> out0: array<f32>;
@group(0) @binding(6) var<storage, read_write> out1: array<f32>;
@group(0) @binding(7) var<storage, read_write> out2: array<f32>;

fn turn0(row: u32, lane: u32) {
  let part = p.parts[0];
  let t = row % part.seq;
  let context = row / part.seq;
  let d_head = part.items + part.half;
  let angles = (part.start + t) * part.half;
  var at_x = row * part.heads * d_head;
  var at_out = part.out_at + context * part.out_outer + t * part.out_row;
  for (var head = 0u; head < part.heads; head++) {
    for (var i = lane; i < part.half; i += WG) {
      let c = table[(angles + i) * 2u];
      let s = table[(angles + i) * 2u + 1u];
      let a = x0[at_x + i];
      let b = x0[at_x + i + part.half];
      out0[at_out + i] = a * c - b * s;
      out0[at_out + i + part.half] = b * c + a * s;
    }
    for (var i = 2u * part.half + lane; i < d_head; i += WG) { out0[at_out + i] = x0[at_x + i]; }
    at_x += d_head;
    at_out += part.out_head;
  }
}

fn turn1(row: u32, lane: u32) {
  let part = p.parts[1];
  let t = row % part.seq;
  let context = row / part.seq;
  let d_head = part.items + part.half;
  let angles = (part.start + t) * part.half;
  var at_x = row * part.heads * d_head;
  var at_out = part.out_at + context * part.out_outer + t * part.out_row;
  for (var head = 0u; head < part.heads; head++) {
    for (var i = lane; i < part.half; i += WG) {
      let c = table[(angles + i) * 2u];
      let s = table[(angles + i) * 2u + 1u];
      let a = x1[at_x + i];
      let b = x1[at_x + i + part.half];
      out1[at_out + i] = a * c - b * s;
      out1[at_out + i + part.half] = b * c + a * s;
    }
    for (var i = 2u * part.half + lane; i < d_head; i += WG) { out1[at_out + i] = x1[at_x + i]; }
    at_x += d_head;
    at_out += part.out_head;
  }
}

fn turn2(row: u32, lane: u32) {
  let part = p.parts[2];
  let t = row % part.seq;
  let context = row / part.seq;
  let d_head = part.items + part.half;
  let angles = (part.start + t) * part.half;
  var at_x = row * part.heads * d_head;
  var at_out = part.out_at + context * part.out_outer + t * part.out_row;
  for (var head = 0u; head < part.heads; head++) {
    for (var i = lane; i < part.half; i += WG) {
      let c = table[(angles + i) * 2u];
      let s = table[(angles + i) * 2u + 1u];
      let a = x2[at_x + i];
      let b = x2[at_x + i + part.half];
      out2[at_out + i] = a * c - b * s;
      out2[at_out + i + part.half] = b * c + a * s;
    }
    for (var i = 2u * part.half + lane; i < d_head; i += WG) { out2[at_out + i] = x2[at_x + i]; }
    at_x += d_head;
    at_out += part.out_head;
  }
}

@compute @workgroup_size(WG, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let row = flat_group(wid, nwg);
  if (row >= p.parts[wid.z].rows) { return; }
  if (TENSORS == 1u || wid.z == 0u) {
    turn0(row, lane);
  } else if (TENSORS == 2u || wid.z == 1u) {
    turn1(row, lane);
  } else {
    turn2(row, lane);
  }
}
