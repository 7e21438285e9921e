// dx[i] = dy[i] f'(x[i]), times gate[i] where given; then also dgate[i] = dy[i] f(x[i])
//
// What activation.wgsl does, backwards: the gradients of x and gate from that of its result, dy. KIND as
// there; GATED = 0: gate is not read, dgate not written. ReLU has the slope 0 at 0. All arrays: [total].
// 64 lanes and 256 elements a workgroup, grid folded over x and y.
// Tolerance: 2e-6 of the largest magnitude (erf as in activation.wgsl).
struct Params { total: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> gate: array<f32>;
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;
@group(0) @binding(5) var<storage, read_write> dgate: array<f32>;

override GATED: u32 = 0u;

fn slope(v: f32) -> f32 {
  switch KIND {
    // Phi(v) + v phi(v)
    case 0u: {
      return 0.5 * (1.0 + erf(v * 0.7071067811865476)) + v * 0.3989422804014327 * exp(-0.5 * v * v);
    }
    case 1u: {
      let u = clamp(0.7978845608028654 * (v + 0.044715 * v * v * v), -15.0, 15.0);
      let t = tanh(u);
      let inner = 0.7978845608028654 * (1.0 + 0.134145 * v * v);
      return 0.5 * (1.0 + t) + 0.5 * v * (1.0 - t * t) * inner;
    }
    case 2u: {
      let s = 1.0 / (1.0 + exp(clamp(-v, -80.0, 80.0)));
      return s + v * s * (1.0 - s);
    }
    default: { return select(0.0, 1.0, v > 0.0); }
  }
}

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let base = flat_group(wid, nwg) * 256u + lane;
  for (var j = 0u; j < 4u; j++) {
    let i = base + j * 64u;
    if (i < p.total) {
      var y = dy[i] * slope(x[i]);
      if (GATED != 0u) {
        y *= gate[i];
        dgate[i] = dy[i] * apply(x[i]);
      }
      dx[i] = y;
    }
  }
}
