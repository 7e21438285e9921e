#!/usr/bin/env python3
"""Writes the matrix products whose register tiles are unrolled, in files beside this one.

A lane keeps a tile of C in registers. In WGSL that takes one named variable for each vec4 of the
tile: drivers' compilers do not reliably unroll loops over an indexed local array, and one that is not
unrolled lives in memory. Hence hundreds of lines that nobody should write, or edit, by hand.

    python3 shaders/unroll.py          writes the files
    python3 shaders/unroll.py --check  exits 1 if one of them differs from what would be written
"""

import sys
from pathlib import Path

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


# ---- for GPUs: 4 x 4 blocks by shaders/lib/matmul_blocks.wgsl, layout and types by override constants ----

PRODUCT = "C[m, n] = alpha * sum_k A(m, k) * B(k, n) (+ bias[n]) (+ C[m, n])"

BITS = """\
// Layouts, batches, f16 weights: lib/matmul_blocks.wgsl. m_begin is a multiple of the tile.
// Deterministic: one lane sums over k in order, by fma; all variants for GPUs give the same bits.
// Tolerance against the f64 reference: 1e-5 * sqrt(k) relative to the sum of magnitudes."""

TILE_HEAD = """\
// {product}
//
// Tiles of {tile} x {tile} in workgroup memory, k in steps of {step}; {side} x {side} lanes with {own} x {own} results each.
// Half of the lanes stage A, half stage B, a 4 x 4 block each: loaded along the contiguous axis, turned
// in registers, stored k-major as vec4s. Columns are permuted (xor) by k, so that neither storing nor
// loading has bank conflicts without padding. {bytes} bytes of workgroup memory.
// Barriers are uniform: every lane of a group walks all of k.
{bits}
var<workgroup> tile_a: array<vec4<f32>, {vecs}>;
var<workgroup> tile_b: array<vec4<f32>, {vecs}>;

@compute @workgroup_size({lanes}, 1, 1)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {{
  let tile = tile_of(flat_group(wid, groups), {tile}u, {tile}u);
  if (tile.z == 0u) {{ return; }}
  let base = bases(wid.z + p.z0);
  let ty = lane / {side}u;
  let tx = lane % {side}u;
  // The block that this lane stages.
  let e = lane % {half}u;
  let of_a = lane < {half}u;
  let along = select(b_along_n, a_along_m, of_a);
  let place = select(e / {ksteps}u, e % {quads}u, along);
  let step = select(e % {ksteps}u, e / {quads}u, along);
  let store = step * {row4}u + (place ^ (step * {swizzle}u));
"""


def lanes_of(rows, cols):
    """Named accumulators: `rows` blocks of four rows, `cols` blocks of four columns, a vec4 each row."""
    return [(r, i, v) for r in range(rows) for i in range(4) for v in range(cols)]


def products(rows, cols, indent, step=None):
    """One step of k: x{r} holds four rows of A, y{v} four columns of B; or blocks, of which one column."""
    pick = "" if step is None else f"[{step}]"
    return [
        f"{indent}c{r}{i}_{v} = fma(vec4<f32>(x{r}{pick}.{XYZW[i]}), y{v}{pick}, c{r}{i}_{v});"
        for r, i, v in lanes_of(rows, cols)
    ]


def tiled(tile, step):
    """Square tiles: as many lanes as there are 4 x 4 blocks of A and B in a step of k."""
    quads, ksteps = tile // 4, step // 4
    lanes = 2 * quads * ksteps
    side = int(lanes**0.5)
    blocks = quads // side
    out = TILE_HEAD.format(
        product=PRODUCT,
        bits=BITS,
        tile=tile,
        step=step,
        side=side,
        own=4 * blocks,
        bytes=2 * 4 * tile * step,
        vecs=quads * step,
        lanes=lanes,
        half=lanes // 2,
        ksteps=ksteps,
        quads=quads,
        row4=4 * quads,
        swizzle=8 // ksteps,
    ).splitlines()
    out += [f"  var c{r}{i}_{v} = vec4<f32>();" for r, i, v in lanes_of(blocks, blocks)]
    out += [
        f"  for (var k0 = 0u; k0 < p.k; k0 += {step}u) {{",
        "    if (of_a) {",
        "      let block = block_a(base.x, tile.x + 4u * place, k0 + 4u * step);",
    ]
    out += [f"      tile_a[store + {j * quads}u] = block[{j}];" for j in range(4)]
    out += ["    } else {", "      let block = block_b(base.y, tile.y + 4u * place, k0 + 4u * step);"]
    out += [f"      tile_b[store + {j * quads}u] = block[{j}];" for j in range(4)]
    out += [
        "    }",
        "    workgroupBarrier();",
        f"    for (var s = 0u; s < {ksteps}u; s++) {{",
        f"      let ra = s * {4 * quads}u + (ty ^ (s * {8 // ksteps}u));",
        f"      let rb = s * {4 * quads}u + (tx ^ (s * {8 // ksteps}u));",
    ]
    for j in range(4):
        out += ["      {"]
        for name, row in (("x", "ra"), ("y", "rb")):
            array = "tile_a" if name == "x" else "tile_b"
            out += [f"        let {name}{r} = {array}[{row} + {j * quads + r * side}u];" for r in range(blocks)]
        out += products(blocks, blocks, "        ")
        out += ["      }"]
    out += ["    }", "    workgroupBarrier();", "  }"]
    for r, i, v in lanes_of(blocks, blocks):
        row = f"tile.x + 4u * ty + {4 * side * r + i}u"
        out += [f"  put({row}, tile.y + 4u * tx + {4 * side * v}u, c{r}{i}_{v}, base);"]
    return out + ["}"]


REGISTER_HEAD = """\
// {product}
//
// Direct loads: no workgroup memory and no barrier; 8 x 8 lanes with {m} x {n} results each, k in steps of
// four, a workgroup makes {tile_m} x {tile_n}. For GPUs whose caches do what tiles would (Apple's).
{bits}
@compute @workgroup_size(64, 1, 1)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {{
  let tile = tile_of(flat_group(wid, groups), {tile_m}u, {tile_n}u);
  if (tile.z == 0u) {{ return; }}
  let base = bases(wid.z + p.z0);
  let m = tile.x + lane / 8u * {m}u;
  let n = tile.y + lane % 8u * {n}u;
"""


def register(rows, cols):
    out = REGISTER_HEAD.format(
        product=PRODUCT, bits=BITS, m=4 * rows, n=4 * cols, tile_m=32 * rows, tile_n=32 * cols
    ).splitlines()
    out += [f"  var c{r}{i}_{v} = vec4<f32>();" for r, i, v in lanes_of(rows, cols)]
    out += ["  for (var k = 0u; k < p.k; k += 4u) {"]
    out += [f"    let x{r} = block_a(base.x, m + {4 * r}u, k);" for r in range(rows)]
    out += [f"    let y{v} = block_b(base.y, n + {4 * v}u, k);" for v in range(cols)]
    for step in range(4):
        out += products(rows, cols, "    ", step)
    out += ["  }"]
    out += [f"  put(m + {4 * r + i}u, n + {4 * v}u, c{r}{i}_{v}, base);" for r, i, v in lanes_of(rows, cols)]
    return out + ["}"]


SUBGROUP_HEAD = """\
// {product}
//
// Needs subgroups, of any size. 128 lanes along n, four columns and {rows} rows each. A subgroup loads as
// many steps of k of A as it has lanes, one a lane, and passes them around by shuffles, so that A
// costs no workgroup memory and no barrier; B is loaded from storage. For products of few rows.
// Which lane is where in its subgroup does not matter: columns go by local index, k by subgroup index.
{bits}
@compute @workgroup_size(128, 1, 1)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
  @builtin(subgroup_invocation_id) own: u32,
  @builtin(subgroup_size) size: u32,
) {{
  let tile = tile_of(flat_group(wid, groups), {rows}u, 512u);
  if (tile.z == 0u) {{ return; }}
  let base = bases(wid.z + p.z0);
  let n = tile.y + lane * 4u;
  let first = min(n, (p.n - 1u) & ~3u);
  let count = p.n - first;
  // Lanes past the workgroup's would not answer.
  let width = min(size, 128u);
"""


def subgroup(rows):
    out = SUBGROUP_HEAD.format(product=PRODUCT, bits=BITS, rows=rows).splitlines()
    out += [f"  let a{i} = base.x + min(tile.x + {i}u, p.m_end - 1u) * p.a_m;" for i in range(rows)]
    out += [f"  var c{i} = vec4<f32>();" for i in range(rows)]
    out += ["  for (var k0 = 0u; k0 < p.k; k0 += width) {", "    let k = min(k0 + own, p.k - 1u) * p.a_k;"]
    out += [f"    let x{i} = a_one(a{i} + k);" for i in range(rows)]
    out += [
        "    let steps = min(width, p.k - k0);",
        "    for (var s = 0u; s < steps; s++) {",
        "      let y = b_four(base.y + (k0 + s) * p.b_k + first * p.b_n, p.b_n, count);",
    ]
    out += [f"      c{i} = fma(vec4<f32>(subgroupShuffle(x{i}, s)), y, c{i});" for i in range(rows)]
    out += ["    }", "  }"]
    return out + [f"  put(tile.x + {i}u, n, c{i}, base);" for i in range(rows)] + ["}"]


COOPERATIVE_HEAD = """\
// {product}
//
// Cooperative matrices of {size} x {size}, operands rounded to f16, sums in f32. NOT YET RUN ON HARDWARE: it is
// validated and translated to SPIR-V and MSL by tests/shaders.rs, and off unless asked for.
// Tiles of 64 x 64, k in steps of 16, staged as f16; 128 lanes in four subgroups of 32 (the host checks
// the adapter's size), each with a quarter of 32 x 32. Sums begin as loads of zeros and leave through a
// corner of workgroup memory, where the epilogue is applied. 8,192 bytes of workgroup memory.
// Layouts, batches, f16 weights: lib/matmul_blocks.wgsl. The order of a sum is the hardware's.
// Tolerance against the f64 reference: 2e-3 relative to the largest result.
var<workgroup> tile_a: array<f16, 1024>;
var<workgroup> tile_b: array<f16, 1024>;
var<workgroup> corner: array<f32, 1024>;

fn stage_a(at: u32, v: vec4<f32>) {{
  tile_a[at] = f16(v.x);
  tile_a[at + 1u] = f16(v.y);
  tile_a[at + 2u] = f16(v.z);
  tile_a[at + 3u] = f16(v.w);
}}

fn stage_b(at: u32, v: vec4<f32>) {{
  tile_b[at] = f16(v.x);
  tile_b[at + 1u] = f16(v.y);
  tile_b[at + 2u] = f16(v.z);
  tile_b[at + 3u] = f16(v.w);
}}

@compute @workgroup_size(128, 1, 1)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
  @builtin(subgroup_id) quarter: u32,
  @builtin(subgroup_invocation_id) own: u32,
) {{
  // Past the last tile: nothing is written. No early return, which naga would not see to be uniform.
  let tile = tile_of(flat_group(wid, groups), 64u, 64u);
  let base = bases(wid.z + p.z0);
  let rows = quarter / 2u * 32u;
  let columns = quarter % 2u * 32u;
  let spare = quarter * 256u;
  let e = lane % 64u;
  for (var i = 0u; i < 8u; i++) {{ corner[spare + i * 32u + own] = 0.0; }}
  workgroupBarrier();
"""


def cooperative(size):
    across = 32 // size
    tiles = [(i, j) for i in range(across) for j in range(across)]
    out = COOPERATIVE_HEAD.format(product=PRODUCT, size=size).splitlines()
    matrix = f"coop_mat{size}x{size}"
    out += [f"  var c{i}{j} = coopLoadT<{matrix}<f32, C>>(&corner[spare], {size}u);" for i, j in tiles]
    out += [
        "  for (var k0 = 0u; k0 < p.k; k0 += 16u) {",
        "    if (lane < 64u) {",
        "      // Rows of 16 k.",
        "      let block = transpose(block_a(base.x, tile.x + e / 4u * 4u, k0 + e % 4u * 4u));",
        "      let at = e / 4u * 64u + e % 4u * 4u;",
    ]
    out += [f"      stage_a(at + {16 * i}u, block[{i}]);" for i in range(4)]
    out += [
        "    } else {",
        "      // Rows of 64 n.",
        "      let block = block_b(base.y, tile.y + e % 16u * 4u, k0 + e / 16u * 4u);",
        "      let at = e / 16u * 256u + e % 16u * 4u;",
    ]
    out += [f"      stage_b(at + {64 * i}u, block[{i}]);" for i in range(4)]
    out += ["    }", "    workgroupBarrier();"]
    for k in range(0, 16, size):
        out += ["    {"]
        out += [
            f"      let x{i} = coopLoadT<{matrix}<f16, A>>(&tile_a[(rows + {size * i}u) * 16u + {k}u], 16u);"
            for i in range(across)
        ]
        out += [
            f"      let y{j} = coopLoadT<{matrix}<f16, B>>(&tile_b[{64 * k}u + columns + {size * j}u], 64u);"
            for j in range(across)
        ]
        out += [f"      c{i}{j} = coopMultiplyAdd(x{i}, y{j}, c{i}{j});" for i, j in tiles]
        out += ["    }"]
    out += ["    workgroupBarrier();", "  }"]
    quads = size // 4
    for i, j in tiles:
        out += [
            f"  coopStoreT(c{i}{j}, &corner[spare], {size}u);",
            "  workgroupBarrier();",
            f"  for (var q = own; q < {size * quads}u; q += 32u) {{",
            "    let at = spare + q * 4u;",
            "    let v = vec4<f32>(corner[at], corner[at + 1u], corner[at + 2u], corner[at + 3u]);",
            f"    put(tile.x + rows + {size * i}u + q / {quads}u, tile.y + columns + {size * j}u + q % {quads}u * 4u, v, base);",
            "  }",
            "  workgroupBarrier();",
        ]
    return out + ["}"]


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
        "matmul_tile128": tiled(tile=128, step=16),
        "matmul_tile64": tiled(tile=64, step=32),
        "matmul_tile32": tiled(tile=32, step=16),
        "matmul_register": register(rows=2, cols=1),
        "matmul_subgroup": subgroup(rows=8),
        "matmul_cooperative16": cooperative(size=16),
        "matmul_cooperative8": cooperative(size=8),
        "matmul_direct_nt": direct_nt(rows=8, vecs=2),
        "matmul_direct_nn": direct_nn(rows=8, vecs=4, fused=False),
        "matmul_direct_nn_narrow": direct_nn(rows=8, vecs=1, fused=True),
        "matmul_uniform_nt": uniform_nt(rows=16, vecs=4),
        "matmul_uniform_nn": uniform_nn(rows=8, vecs=4, windows=8),
        "matmul_uniform_nn_narrow": uniform_nn(rows=16, vecs=1, windows=2),
    }
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
