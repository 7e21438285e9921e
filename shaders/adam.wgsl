// One step of Adam (Kingma and Ba), in place:
//   m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;  w -= rate * m / (sqrt(v) * correction + eps)
//
// w, m, v: [members, rows, cols]; grad: [members, rows, stride], from column `from` on, times
// clip[member] where `clipped`. rate = lr / (1 - b1^t), correction = 1 / sqrt(1 - b2^t), from the host.
// 64 lanes and 256 elements a workgroup, grid folded. Tolerance: 1e-6.
struct Params {
  total: u32, per_member: u32, cols: u32, stride: u32, from_col: u32, clipped: u32,
  rate: f32, correction: f32, beta1: f32, beta2: f32, eps: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> grad: array<f32>;
@group(0) @binding(2) var<storage, read> clip: array<f32>;
@group(0) @binding(3) var<storage, read_write> w: array<f32>;
@group(0) @binding(4) var<storage, read_write> m: array<f32>;
@group(0) @binding(5) var<storage, read_write> v: array<f32>;

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let base = flat_group(wid, nwg) * 256u + lane;
  for (var j = 0u; j < 4u; j++) {
    let i = base + j * 64u;
    if (i < p.total) {
      var g = grad[(i / p.cols) * p.stride + p.from_col + i % p.cols];
      if (p.clipped != 0u) { g *= clip[i / p.per_member]; }
      let m1 = p.beta1 * m[i] + (1.0 - p.beta1) * g;
      let v1 = p.beta2 * v[i] + (1.0 - p.beta2) * g * g;
      m[i] = m1;
      v[i] = v1;
      w[i] -= p.rate * m1 / (sqrt(v1) * p.correction + p.eps);
    }
  }
}
