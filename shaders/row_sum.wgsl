// out[r] = sum_c f(x[r, c]); kind 0: x, 1: x^2, 2: x > 0, 3: |x|, 4: not finite, 5: its bits as u32
//
// x: [rows, cols], out: [rows]. One workgroup of 64 lanes a row, tree reduction, deterministic; grid
// folded. Tolerance: 1e-5 of the sum of magnitudes. Kind 4 tests bits: a driver may drop NaN tests.
struct Params { rows: u32, cols: u32, kind: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let row = flat_group(wid, nwg);
  if (row >= p.rows) { return; }
  var sum = 0.0;
  for (var c = lane; c < p.cols; c += 64u) {
    let v = x[row * p.cols + c];
    switch p.kind {
      case 0u: { sum += v; }
      case 1u: { sum += v * v; }
      case 2u: { sum += select(0.0, 1.0, v > 0.0); }
      case 3u: { sum += abs(v); }
      case 5u: { sum += f32(bitcast<u32>(v)); }
      default: { sum += select(0.0, 1.0, (bitcast<u32>(v) & 0x7f800000u) == 0x7f800000u); }
    }
  }
  sum = reduce_sum(lane, sum);
  if (lane == 0u) { out[row] = sum; }
}
