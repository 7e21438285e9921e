// sum[r, :] = a[r, :] + b[r, :] (+ c[r, :]); out[r, :] = normalised sum[r, :], times weight plus bias where given
//
// The residual additions and the norm that reads them, in one pass. terms = 1 (a norm alone, with the same
// bits; sum is not written), 2 or 3; kind 0, LayerNorm:
// (x - mean) / sqrt(var + eps); kind 1, RMSNorm: x / sqrt(mean(x^2) + eps). a, b, c, sum, out: [rows, cols];
// weight, bias: [cols]. sum is (a + b) + c.
// One workgroup of 64 lanes a row, grid folded over x and y; tree reductions, deterministic. A lane reads
// back only what it wrote itself. Tolerance: 1e-5 of the largest magnitude.
struct Params { rows: u32, cols: u32, kind: u32, terms: u32, has_weight: u32, has_bias: u32, eps: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read> c: array<f32>;
@group(0) @binding(4) var<storage, read> weight: array<f32>;
@group(0) @binding(5) var<storage, read> bias: array<f32>;
@group(0) @binding(6) var<storage, read_write> sum: array<f32>;
@group(0) @binding(7) var<storage, read_write> out: array<f32>;

fn value(i: u32) -> f32 {
  if (p.terms > 1u) { return sum[i]; }
  return a[i];
}

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let row = flat_group(wid, nwg);
  if (row >= p.rows) { return; }
  let base = row * p.cols;
  var total = 0.0;
  for (var i = lane; i < p.cols; i += 64u) {
    var x = a[base + i];
    if (p.terms > 1u) {
      x += b[base + i];
      if (p.terms > 2u) { x += c[base + i]; }
      sum[base + i] = x;
    }
    total += x;
  }
  var mean = 0.0;
  if (p.kind == 0u) { mean = reduce_sum(lane, total) / f32(p.cols); }
  var square = 0.0;
  for (var i = lane; i < p.cols; i += 64u) {
    let d = value(base + i) - mean;
    square += d * d;
  }
  let scale = 1.0 / sqrt(reduce_sum(lane, square) / f32(p.cols) + p.eps);
  for (var i = lane; i < p.cols; i += 64u) {
    var y = (value(base + i) - mean) * scale;
    if (p.has_weight != 0u) { y *= weight[i]; }
    if (p.has_bias != 0u) { y += bias[i]; }
    out[base + i] = y;
  }
}
