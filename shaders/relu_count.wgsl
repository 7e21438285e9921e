// x = max(x, 0), and count[chunk, f] = how many of the chunk's rows have x[r, f] > 0
//
// x: [rows, features], in place; count: u32 [chunks, features], over the `chunk` rows of each chunk.
// One lane a column and chunk: no atomics. 64 lanes along features; grid x = features / 64,
// y = chunk. Exact.
struct Params { rows: u32, features: u32, chunk: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> count: array<u32>;

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let f = wid.x * 64u + lane;
  if (f >= p.features) { return; }
  var n = 0u;
  for (var r = wid.y * p.chunk; r < min(p.rows, (wid.y + 1u) * p.chunk); r++) {
    let at = r * p.features + f;
    let v = x[at];
    let above = v > 0.0;
    n += select(0u, 1u, above);
    x[at] = select(0.0, v, above);
  }
  count[wid.y * p.features + f] = n;
}
