// out[i] = alpha * a[i] + beta * b[i or i % period], or a[i] + b[i] + c[i]
//
// a, c, out: [total]; FORM 0: b is [total]; 1: b is [period], repeated (period = cols: a row vector added
// to every row); 2: a + b + c, all [total]. FORM is a constant: CPU rasterisers divide lane by lane.
// 64 lanes and 256 elements a workgroup, grid folded. Tolerance 1e-6.
struct Params { total: u32, period: u32, alpha: f32, beta: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read> c: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

override FORM: u32 = 0u;

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let base = flat_group(wid, nwg) * 256u + lane;
  for (var j = 0u; j < 4u; j++) {
    let i = base + j * 64u;
    if (i < p.total) {
      var at = i;
      if (FORM == 1u) { at = i % p.period; }
      var x = p.alpha * a[i] + p.beta * b[at];
      // Without factors, which drivers fuse with the last addition: another order, other bits.
      if (FORM == 2u) { x = a[i] + b[i] + c[i]; }
      out[i] = x;
    }
  }
}
