// out[r] = (|x - y|^2, |x - c|^2, x . y, |y|^2, |x|^2) of row r: fidelity of a reconstruction
//
// x, y: [rows, cols]; c: [cols], a shift near the mean of x, so that the variance does not cancel;
// out: [rows, 5]. One lane a row, four partial sums each: no barriers, deterministic. 64 rows a
// workgroup, grid folded. Tolerance: 1e-5.
struct Params { rows: u32, cols: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> y: array<f32>;
@group(0) @binding(3) var<storage, read> c: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

fn total(v: vec4<f32>) -> f32 { return (v.x + v.y) + (v.z + v.w); }

@compute @workgroup_size(64, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let row = flat_group(wid, nwg) * 64u + lane;
  if (row >= p.rows) { return; }
  var error = vec4<f32>();
  var spread = vec4<f32>();
  var dots = vec4<f32>();
  var long = vec4<f32>();
  var wide = vec4<f32>();
  let base = row * p.cols;
  let whole = p.cols & 0xfffffffcu;
  for (var i = 0u; i < whole; i += 4u) {
    let at = base + i;
    let a = vec4<f32>(x[at], x[at + 1u], x[at + 2u], x[at + 3u]);
    let b = vec4<f32>(y[at], y[at + 1u], y[at + 2u], y[at + 3u]);
    let s = a - vec4<f32>(c[i], c[i + 1u], c[i + 2u], c[i + 3u]);
    let e = a - b;
    error += e * e;
    spread += s * s;
    dots += a * b;
    long += b * b;
    wide += a * a;
  }
  for (var i = whole; i < p.cols; i++) {
    let a = x[base + i];
    let b = y[base + i];
    let s = a - c[i];
    error.x += (a - b) * (a - b);
    spread.x += s * s;
    dots.x += a * b;
    long.x += b * b;
    wide.x += a * a;
  }
  out[row * 5u] = total(error);
  out[row * 5u + 1u] = total(spread);
  out[row * 5u + 2u] = total(dots);
  out[row * 5u + 3u] = total(long);
  out[row * 5u + 4u] = total(wide);
}
