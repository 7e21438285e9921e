#!/usr/bin/env python3
"""Writes the matrix products whose register tiles are unrolled, in files beside this one. Those for CPU
rasterisers are described here and in unroll_texels.py, those for GPUs in unroll_gpu.py.

A lane keeps a tile of C in registers. In WGSL that takes one named variable for each vec4 of the
tile: drivers' compilers do not reliably unroll loops over an indexed local array, and one that is not
unrolled lives in memory. Hence hundreds of lines that nobody should write, or edit, by hand.

    python3 shaders/unroll.py          writes the files
    python3 shaders/unroll.py --check  exits 1 if one of them differs from what would be written
"""

import sys
from pathlib import Path

sys.dont_write_bytecode = True  # no __pycache__ beside the shaders
import unroll_gpu  # noqa: E402
import unroll_texels  # noqa: E402

HERE = Path(__file__).parent
LANES = 8  # a workgroup, along n
XYZW = "xyzw"

NT = "C[m, n] = alpha * sum_k A[m, k] * B[n, k] (+ bias[n]) (+ C[m, n])"

# ---- direct: operands are loaded from storage; any layout ------------------------------------------

DIRECT_HEAD = """\
// {title}
//
// {contract}
// Direct loads, no workgroup memory: a lane holds {rows} rows x {cols} columns in named vec4 registers, the
// lanes of a workgroup lie along n, so that A's addresses are uniform and only B's differ. CPU
// rasterisers load storage lane by lane unless the address is uniform (docs/performance.md).
// Batches: workgroup z = outer * inner_count + inner; B's inner index is divided by b_group
// (grouped-query attention). Out-of-range rows and columns are read clamped and never written.
// Deterministic: one lane sums over k in order.
// Tolerance against the f64 reference: 1e-5 * sqrt(k) relative to the sum of magnitudes.
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> c: array<f32>;

fn put(row: u32, col: u32, v: vec4<f32>, base: u32, bias_at: u32) {{
  if (row >= p.m_end) {{ return; }}
  for (var j = 0u; j < 4u; j++) {{
    let n = col + j;
    if (n < p.n) {{
      let at = base + row * p.ldc + n;
      var x = v[j] * p.alpha;
      if (p.has_bias != 0u) {{ x += bias[bias_at + n]; }}
      if (p.accumulate != 0u) {{ x += c[at]; }}
      c[at] = x;
    }}
  }}
}}

@compute @workgroup_size({lanes}, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_id) lid: vec3<u32>) {{
  let z = wid.z + p.z0;
  let outer = z / p.inner_count;
  let inner = z % p.inner_count;
  let base_a = p.a_off + outer * p.a_outer + inner * p.a_inner;
  let base_b = p.b_off + outer * p.b_outer + (inner / p.b_group) * p.b_inner;
  let base_c = p.c_off + outer * p.c_outer + inner * p.c_inner;
  let m0 = p.m_begin + wid.y * {rows}u;
  let n0 = (wid.x * {lanes}u + lid.x) * {cols}u;
"""


def tile(rows, vecs):
    """Every vec4 of the register tile: (row, vec4 of columns)."""
    return [(i, v) for i in range(rows) for v in range(vecs)]


def accumulators(rows, vecs):
    return [f"  var c{i}_{v} = vec4<f32>();" for i, v in tile(rows, vecs)]


def row_addresses(rows):
    return [f"  let a{i} = base_a + min(m0 + {i}u, p.m_end - 1u) * p.a_m;" for i in range(rows)]


def four(array, at):
    """Four neighbours of `array` as a vec4."""
    return f"vec4<f32>({array}[{at}], " + ", ".join(f"{array}[{at} + {j}u]" for j in (1, 2, 3)) + ")"


def direct_head(title, contract, rows, vecs):
    text = DIRECT_HEAD.format(title=title, contract=contract, rows=rows, cols=4 * vecs, lanes=LANES)
    return text.splitlines()


def direct_end(rows, vecs):
    return [f"  put(m0 + {i}u, n0 + {4 * v}u, c{i}_{v}, base_c, outer * p.bias_outer);" for i, v in tile(rows, vecs)] + ["}"]


def direct_nt(rows, vecs):
    """Both operands contiguous in k: four steps of k at a time, B's 4 x 4 blocks transposed."""
    out = direct_head(
        NT,
        "A: rows of lda, contiguous in k. B: rows of ldb, contiguous in k. C: rows of ldc.",
        rows,
        vecs,
    )
    out += row_addresses(rows)
    out += [f"  let b{j} = base_b + min(n0 + {j}u, p.n - 1u) * p.b_n;" for j in range(4 * vecs)]
    out += accumulators(rows, vecs)
    out += ["  let k4 = p.k & ~3u;", "  for (var k = 0u; k < k4; k += 4u) {"]
    out += [f"    let x{i} = {four('a', f'a{i} + k')};" for i in range(rows)]
    for v in range(vecs):
        out += ["    {"]
        out += [f"      let y{j} = {four('b', f'b{4 * v + j} + k')};" for j in range(4)]
        out += [f"      let w{s} = vec4<f32>(y0.{s}, y1.{s}, y2.{s}, y3.{s});" for s in XYZW]
        for i in range(rows):
            sum_ = f"c{i}_{v}"
            for s in XYZW:
                sum_ = f"fma(vec4<f32>(x{i}.{s}), w{s}, {sum_})"
            out += [f"      c{i}_{v} = {sum_};"]
        out += ["    }"]
    out += ["  }", "  for (var k = k4; k < p.k; k++) {"]
    for v in range(vecs):
        loads = ", ".join(f"b[b{4 * v + j} + k]" for j in range(4))
        out += [f"    let w{v} = vec4<f32>({loads});"]
    out += [f"    c{i}_{v} += a[a{i} + k] * w{v};" for i, v in tile(rows, vecs)]
    return out + ["  }"] + direct_end(rows, vecs)


def direct_nn(rows, vecs, fused):
    """B contiguous in n. `fused`: fma on a splatted value of A, else a scalar times a vec4."""
    out = direct_head(
        "C[m, n] = alpha * sum_k A(m, k) * B[k, n] (+ bias[n]) (+ C[m, n])",
        "A(m, k) = a[m * a_m + k * a_k], so nn (a_k = 1) and tn (a_m = 1) are this one kernel. B: rows"
        " of ldb,\n// contiguous in n. C: rows of ldc.",
        rows,
        vecs,
    )
    out += row_addresses(rows)
    out += accumulators(rows, vecs)
    out += [
        "  for (var k = 0u; k < p.k; k++) {",
        "    let at = base_b + k * p.b_k + n0;",
        "    let ak = k * p.a_k;",
    ]
    for v in range(vecs):
        loads = ", ".join(f"b[at + {4 * v + j}u]" for j in range(4))
        out += [f"    let y{v} = vec4<f32>({loads});"]
    for i in range(rows):
        x = f"a[a{i} + ak]"
        out += [f"    let x{i} = vec4<f32>({x});" if fused else f"    let x{i} = {x};"]
        for v in range(vecs):
            c = f"c{i}_{v}"
            out += [f"    {c} = fma(x{i}, y{v}, {c});" if fused else f"    {c} += x{i} * y{v};"]
    return out + ["  }"] + direct_end(rows, vecs)


# ---- uniform: operands are read through 64 KiB uniform windows -------------------------------------

UNIFORM_HEAD = """\
// {title}
//
{contract}
// For CPU rasterisers: they load uniforms about twelve times as fast as storage (docs/performance.md),
// so operands are read through 64 KiB uniform windows; what does not fit runs in matmul_direct_*.
// A workgroup is {lanes} lanes along n. Deterministic: one lane sums over k in order.
// Out-of-range rows and columns are computed from whatever the window holds and never written.
// Tolerance against the f64 reference: 1e-5 * sqrt(k) relative to the sum of magnitudes.
struct Params {{
  m: u32, n: u32, k: u32, k_window: u32,
  a_shift: u32, a_row: u32, a_inner: u32, b_shift: u32,
  b_row: u32, b_inner: u32, b_group: u32, c_off: u32,
  c_row: u32, c_inner: u32, bias_shift: u32, has_bias: u32,
  accumulate: u32, alpha: f32,
}}
@group(0) @binding(0) var<uniform> p: Params;
{bindings}

fn put(row: u32, col: u32, base: u32, sum: vec4<f32>) {{
  if (row >= p.m || col >= p.n) {{ return; }}
  var v = sum * p.alpha;
  if (p.has_bias != 0u) {{ v += bias[(p.bias_shift + col) / 4u]; }}
  let at = base + row * p.c_row + col;
  for (var j = 0u; j < min(4u, p.n - col); j++) {{
    var x = v[j];
    if (p.accumulate != 0u) {{ x += c[at + j]; }}
    c[at + j] = x;
  }}
}}

@compute @workgroup_size({lanes}, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_id) lid: vec3<u32>) {{
  let m0 = wid.y * {rows}u;
  let n0 = (wid.x * {lanes}u + lid.x) * {cols}u;
  let base = p.c_off + wid.z * p.c_inner;
  // In vec4 units.
  let ra = p.a_row / 4u;
  let rb = p.b_row / 4u;
  let at_a = (p.a_shift + wid.z * p.a_inner) / 4u + m0 * ra;
"""


def uniform_head(title, contract, rows, vecs, windows):
    names = ["a"] + [f"b{w}" for w in range(windows)] + ["bias"]
    bindings = [
        f"@group(0) @binding({i}) var<uniform> {name}: array<vec4<f32>, 4096>;"
        for i, name in enumerate(names, 1)
    ]
    bindings += [f"@group(0) @binding({len(names) + 1}) var<storage, read_write> c: array<f32>;"]
    text = UNIFORM_HEAD.format(
        title=title + ", through uniform windows",
        contract=contract,
        bindings="\n".join(bindings),
        rows=rows,
        cols=4 * vecs,
        lanes=LANES,
    )
    return text.splitlines()


def uniform_end(rows, vecs):
    return [f"  put(m0 + {i}u, n0 + {4 * v}u, base, c{i}_{v});" for i, v in tile(rows, vecs)] + ["}"]


def uniform_nt(rows, vecs):
    """Both operands contiguous in k: one window each, B's 4 x 4 blocks transposed."""
    contract = """\
// A: rows of a_row, B: rows of b_row, both contiguous in k; k, strides and shifts are multiples of 4
// (in floats). z is the inner batch. One dispatch: the rows of A and B that one window each holds."""
    out = uniform_head(NT, contract, rows, vecs, 1)
    out += ["  let at_b = (p.b_shift + (wid.z / p.b_group) * p.b_inner) / 4u + n0 * rb;"]
    out += accumulators(rows, vecs)
    out += ["  for (var k = 0u; k < p.k / 4u; k++) {"]
    for v in range(vecs):
        out += [f"    let y{v}{j} = b0[at_b + {4 * v + j}u * rb + k];" for j in range(4)]
        for s in XYZW:
            column = ", ".join(f"y{v}{j}.{s}" for j in range(4))
            out += [f"    let w{v}{s} = vec4<f32>({column});"]
    for i in range(rows):
        out += [f"    let x{i} = a[at_a + {i}u * ra + k];"]
        for v in range(vecs):
            terms = " + ".join(f"x{i}.{s} * w{v}{s}" for s in XYZW)
            out += [f"    c{i}_{v} += {terms};"]
    return out + ["  }"] + uniform_end(rows, vecs)


def uniform_nn(rows, vecs, windows):
    """B contiguous in n: `windows` windows of B, one after the other along k."""
    contract = f"""\
// A: rows of a_row, contiguous in k, in one window; B: rows of b_row, contiguous in n, k_window rows
// in each of {windows} windows; k, k_window, strides and shifts are multiples of 4 (in floats). z is the inner
// batch. One dispatch: the rows of A that one window holds, {windows} * k_window steps of k."""
    title = "C[m, n] = alpha * sum_k A[m, k] * B[k, n] (+ bias[n]) (+ C[m, n])"
    out = uniform_head(title, contract, rows, vecs, windows)
    out += ["  let at_b = (p.b_shift + (wid.z / p.b_group) * p.b_inner + n0) / 4u;"]
    out += accumulators(rows, vecs)
    for w in range(windows):
        first, past = f"{w}u * p.k_window", f"{w + 1}u * p.k_window"
        out += [f"  for (var k = {first}; k < min(p.k, {past}); k += 4u) {{"]
        out += [f"    let x{i} = a[at_a + {i}u * ra + k / 4u];" for i in range(rows)]
        out += [f"    let row = at_b + (k - {first}) * rb;"]
        for j, s in enumerate(XYZW):
            out += [f"    let y{j}{v} = b{w}[row + {j}u * rb + {v}u];" for v in range(vecs)]
            out += [f"    c{i}_{v} += x{i}.{s} * y{j}{v};" for i, v in tile(rows, vecs)]
        out += ["  }"]
    return out + uniform_end(rows, vecs)


def files():
    """Name and text of each file."""
    shaders = {
        "matmul_direct_nt": direct_nt(rows=8, vecs=2),
        "matmul_direct_nn": direct_nn(rows=8, vecs=4, fused=False),
        "matmul_direct_nn_narrow": direct_nn(rows=8, vecs=1, fused=True),
        "matmul_uniform_nt": uniform_nt(rows=16, vecs=4),
        "matmul_uniform_nn": uniform_nn(rows=8, vecs=4, windows=8),
        "matmul_uniform_nn_narrow": uniform_nn(rows=16, vecs=1, windows=2),
        **unroll_gpu.shaders(),
    }
    shaders |= unroll_texels.files()
    return {f"{name}.wgsl": "\n".join(lines) + "\n" for name, lines in shaders.items()}


def main(arguments):
    if arguments not in ([], ["--check"]):
        sys.exit(__doc__)
    stale = []
    for name, text in files().items():
        path = HERE / name
        if arguments:
            if not path.exists() or path.read_bytes() != text.encode():
                stale.append(name)
        else:
            path.write_bytes(text.encode())
    if stale:
        sys.exit(f"{', '.join(stale)}: not what shaders/unroll.py writes; change that and run it")


if __name__ == "__main__":
    main(sys.argv[1:])
