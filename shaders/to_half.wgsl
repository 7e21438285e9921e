// y[i] = f16(x[i]), two values to a word
//
// x: f32 [n]; y: u32 [ceil(n / 2)], the even index in the low half; the last high half is zero where n
// is odd. One lane a word, grid folded. Rounding to the nearest f16, ties as the driver has them; values beyond
// 65,504 are not f16 (WGSL leaves the result open).
// Tolerance: 2^-11 relative for normal f16 values; below 6.1e-5 drivers may flush to zero.
struct Params { n: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;

@compute @workgroup_size(256, 1, 1)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let word = flat_group(wid, groups) * 256u + lane;
  let first = word * 2u;
  if (first >= p.n) { return; }
  var second = 0.0;
  if (first + 1u < p.n) { second = x[first + 1u]; }
  y[word] = pack2x16float(vec2<f32>(x[first], second));
}
