// scale[i] = min(1, limit / (sqrt(a[i] + b[i]) + 1e-6)) from sums of squares
//
// torch.nn.utils.clip_grad_norm_'s factor. All arrays: [members]. 64 lanes a workgroup. Tolerance: 1e-6.
struct Params { members: u32, limit: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> scale: array<f32>;

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let i = id.x;
  if (i < p.members) { scale[i] = min(1.0, p.limit / (sqrt(a[i] + b[i]) + 1e-6)); }
}
