"""The matrix products that read their operands as texels: what shaders/unroll.py writes of them.

A subgroup of eight lanes holds `rows` x (32 * vecs) of C. Columns lie along the lanes, four to a lane; a
row's value of A is held by one lane and handed to all by a shuffle. llvmpipe has one instruction for
that, and one 128-bit load for a texel, where a load from a buffer goes lane by lane.
"""

XYZW = "xyzw"

HEAD = """\
// C[m, n] = alpha * sum_k A(m, k) * B(k, n) (+ bias[n]) (+ C[m, n]), operands as texels
//
{contract}
// Offsets and strides of A, B in texels, of C and bias in vec4: so k or m, n and all strides are multiples
// of 4 floats. z = outer * inner_count + inner; B's inner index is divided by b_group.
// For CPU rasterisers with subgroups of at least eight lanes (Gpu::has_lanes): a texel is one 128-bit load
// there, a value of A is shuffled to all lanes (docs/performance.md). A workgroup holds {rows} rows x {cols}
// columns, four columns to a lane. Deterministic: one lane sums over k in order.
// Out-of-range rows and columns are computed from whatever lies there and never written.
// Tolerance against the f64 reference: 1e-5 * sqrt(k) relative to the sum of magnitudes.
struct Params {{
  m_begin: u32, m_end: u32, n: u32, k: u32,
  a_off: u32, a_row: u32, a_outer: u32, a_inner: u32,
  b_off: u32, b_row: u32, b_outer: u32, b_inner: u32,
  c_off: u32, c_row: u32, c_outer: u32, c_inner: u32,
  b_group: u32, inner_count: u32, z0: u32, bias_outer: u32,
  has_bias: u32, accumulate: u32, alpha: f32,
}}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var a: texture_storage_2d<rgba32float, read>;
@group(0) @binding(2) var b: texture_storage_2d<rgba32float, read>;
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> c: array<vec4<f32>>;

fn put(row: u32, col: u32, base: u32, bias_at: u32, sum: vec4<f32>) {{
  if (row >= p.m_end || 4u * col >= p.n) {{ return; }}
  var v = sum * p.alpha;
  if (p.has_bias != 0u) {{ v += bias[bias_at + col]; }}
  let at = base + row * p.c_row + col;
  if (p.accumulate != 0u) {{ v += c[at]; }}
  c[at] = v;
}}

@compute @workgroup_size(8, 1, 1)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lane: u32) {{
  let z = wid.z + p.z0;
  let outer = z / p.inner_count;
  let inner = z % p.inner_count;
  let base_a = p.a_off + outer * p.a_outer + inner * p.a_inner;
  let base_b = p.b_off + outer * p.b_outer + (inner / p.b_group) * p.b_inner;
  let base_c = p.c_off + outer * p.c_outer + inner * p.c_inner;
  let m0 = p.m_begin + wid.y * {rows}u;
  // The first of this lane's columns, in vec4.
  let n0 = wid.x * {vec_cols}u + lane;
"""

CONTRACTS = {
    "nt": "// A: rows of a_row, B: rows of b_row, both contiguous in k.",
    "nn": "// A: rows of a_row, contiguous in k. B: rows of b_row (one a k), contiguous in n.",
    "tn": "// A: rows of a_row (one a k), contiguous in m. B: rows of b_row (one a k), contiguous in n.",
}


def texel(operand, at):
    """The texel of a binding at a linear index; shaders/lib/texel.wgsl."""
    return f"textureLoad({operand}, texel({at}))"


def product(form, rows, vecs):
    """One file: form nt, nn or tn."""
    head = HEAD.format(contract=CONTRACTS[form], rows=rows, cols=32 * vecs, vec_cols=8 * vecs)
    out = head.splitlines()
    tile = [(i, v) for i in range(rows) for v in range(vecs)]
    out += [f"  var c{i}_{v} = vec4<f32>();" for i, v in tile]
    if form == "tn":
        out += ["  let am = base_a + m0 / 4u + lane;"]
    else:
        out += [f"  let a{g} = base_a + (m0 + {8 * g}u + lane) * p.a_row;" for g in range(rows // 8)]
    if form == "nt":
        out += [
            f"  let b{v}{q} = base_b + (4u * n0 + {32 * v + q}u) * p.b_row;"
            for v in range(vecs)
            for q in range(4)
        ]
    else:
        out += ["  let bn = base_b + n0;"]
    # tn takes any k: what lies past the end counts as zero.
    out += [f"  for (var k = 0u; k < {'(p.k + 3u) / 4u' if form == 'tn' else 'p.k / 4u'}; k++) {{"]
    if form == "nt":
        for v in range(vecs):
            out += [f"    let y{q} = {texel('b', f'b{v}{q} + k')};".replace("y", f"y{v}", 1) for q in range(4)]
            for s in XYZW:
                column = ", ".join(f"y{v}{q}.{s}" for q in range(4))
                out += [f"    let w{v}{s} = vec4<f32>({column});"]
    else:
        for j, s in enumerate(XYZW):
            step = f"min(4u * k + {j}u, p.k - 1u)" if form == "tn" else f"(4u * k + {j}u)"
            out += [f"    let row{j} = {step};"]
            out += [
                f"    let w{v}{s} = {texel('b', f'bn + row{j} * p.b_row + {8 * v}u')};" for v in range(vecs)
            ]
    if form == "tn":
        for g in range(rows // 32):
            for j in range(4):
                x = texel("a", f"am + row{j} * p.a_row + {8 * g}u")
                if j > 0:
                    x = f"select({x}, vec4<f32>(), 4u * k + {j}u >= p.k)"
                out += [f"    let x{g}{j} = {x};"]
    else:
        out += [f"    let x{g} = {texel('a', f'a{g} + k')};" for g in range(rows // 8)]
    for i in range(rows):
        if form == "tn":
            lane, part = (i % 32) // 4, XYZW[i % 4]
            sources = [f"x{i // 32}{j}.{part}" for j in range(4)]
        else:
            lane = i % 8
            sources = [f"x{i // 8}.{s}" for s in XYZW]
        out += [f"    let s{i}{s} = subgroupShuffle({x}, {lane}u);" for s, x in zip(XYZW, sources)]
        for v in range(vecs):
            terms = " + ".join(f"s{i}{s} * w{v}{s}" for s in XYZW)
            out += [f"    c{i}_{v} = c{i}_{v} + {terms};"]
    out += ["  }", "  let bias_at = outer * p.bias_outer;"]
    out += [f"  put(m0 + {i}u, n0 + {8 * v}u, base_c, bias_at, c{i}_{v});" for i, v in tile]
    return out + ["}"]


def files():
    """Name and lines of each file."""
    shapes = {"": (32, 2), "_narrow": (32, 1)}
    return {
        f"matmul_texel_{form}{name}": product(form, rows, vecs)
        for form in ("nt", "nn", "tn")
        for name, (rows, vecs) in shapes.items()
    } | {"matmul_texel_nt_few": product("nt", 8, 2), "matmul_texel_nn_few": product("nn", 8, 2)}
