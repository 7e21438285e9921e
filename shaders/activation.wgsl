// out[i] = f(x[i]), times gate[i] where given
//
// KIND 0: GELU with erf; 1: GELU with tanh (gelu_new); 2: SiLU; 3: ReLU. GATED = 1: times gate. All arrays:
// [total]. Both are constants: a CPU rasteriser runs every branch of a choice made at run time.
// 64 lanes and 256 elements a workgroup, grid folded over x and y.
// Tolerance: 2e-6 (erf by Abramowitz and Stegun 7.1.26, absolute error below 1.5e-7).
struct Params { total: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> gate: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

override GATED: u32 = 0u;

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let base = flat_group(wid, nwg) * 256u + lane;
  for (var j = 0u; j < 4u; j++) {
    let i = base + j * 64u;
    if (i < p.total) {
      var y = apply(x[i]);
      if (GATED != 0u) { y *= gate[i]; }
      out[i] = y;
    }
  }
}
