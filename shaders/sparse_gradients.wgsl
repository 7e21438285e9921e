// Weight gradients of one feature from the entries that hold it (first = overwrite, else add):
//   dec[f, :] += scale * sum value[entry] * g[row(entry), :]
//   enc[f, :] += sum gradient[entry] * input[row(entry), :]
//   b_enc[f]  += sum gradient[entry]
//
// entry: u32 [members, features, rows], fired: u32 [members, features] as invert_entries makes them;
// value, gradient: [members * rows, k]; g: [members * rows, d]; input: [members * rows, d];
// grads: [members, features, 2 d + 1] = dec, enc, b_enc of each feature, one after another.
// One workgroup of WG lanes a feature, eight coordinates a lane at a time; entries in row order, so the
// sums are deterministic. No [rows, k, d] temporary. Tolerance: 1e-5.
struct Params { members: u32, features: u32, rows: u32, k: u32, d: u32, first: u32, scale: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> entry: array<u32>;
@group(0) @binding(2) var<storage, read> fired: array<u32>;
@group(0) @binding(3) var<storage, read> value: array<f32>;
@group(0) @binding(4) var<storage, read> gradient: array<f32>;
@group(0) @binding(5) var<storage, read> g: array<f32>;
@group(0) @binding(6) var<storage, read> input: array<f32>;
@group(0) @binding(7) var<storage, read_write> grads: array<f32>;

override WG: u32 = 64u;

fn put(at: u32, v: f32) {
  if (p.first != 0u) { grads[at] = v; } else { grads[at] += v; }
}

@compute @workgroup_size(WG, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let f = flat_group(wid, nwg);
  if (f >= p.members * p.features) { return; }
  let n = fired[f];
  if (n == 0u && p.first == 0u) { return; }
  let member = f / p.features;
  let out = f * (2u * p.d + 1u);
  for (var i = lane; i < p.d; i += 4u * WG) {
    var dec = vec4<f32>();
    var enc = vec4<f32>();
    for (var j = 0u; j < n; j++) {
      let e = entry[f * p.rows + j];
      let at = (member * p.rows + e / p.k) * p.d + i;
      let v = value[member * p.rows * p.k + e];
      let dv = gradient[member * p.rows * p.k + e];
      dec += v * vec4<f32>(g[at], g[at + WG], g[at + 2u * WG], g[at + 3u * WG]);
      enc += dv * vec4<f32>(input[at], input[at + WG], input[at + 2u * WG], input[at + 3u * WG]);
    }
    for (var s = 0u; s < 4u; s++) {
      let c = i + s * WG;
      if (c < p.d) {
        put(out + c, p.scale * dec[s]);
        put(out + p.d + c, enc[s]);
      }
    }
  }
  if (lane == 0u) {
    var bias = 0.0;
    for (var j = 0u; j < n; j++) { bias += gradient[member * p.rows * p.k + entry[f * p.rows + j]]; }
    put(out + 2u * p.d, bias);
  }
}
