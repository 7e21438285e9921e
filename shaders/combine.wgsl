// out[i] = alpha * a[i] + beta * b[i or i % period] (+ c[i])
//
// a, c, out: [total]; c only where three = 1. b: [period], repeated (period = total: elementwise; period =
// cols: a row vector added to every row). 64 lanes and 256 elements a workgroup, grid folded. Tolerance 1e-6.
struct Params { total: u32, period: u32, alpha: f32, beta: f32, three: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read> c: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let base = flat_group(wid, nwg) * 256u + lane;
  for (var j = 0u; j < 4u; j++) {
    let i = base + j * 64u;
    if (i < p.total) {
      var x = p.alpha * a[i] + p.beta * b[i % p.period];
      if (p.three != 0u) { x += c[i]; }
      out[i] = x;
    }
  }
}
