"""The matrix products for GPUs, whose register tiles are unrolled; written by unroll.py.

Operands come as blocks of 4 x 4 from lib/matmul_blocks.wgsl; layouts and types are override constants there.
"""

XYZW = "xyzw"

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
var<workgroup> lanes: u32;

@compute @workgroup_size(128, 1, 1)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
  @builtin(subgroup_invocation_id) own: u32,
) {{
  let tile = tile_of(flat_group(wid, groups), {rows}u, 512u);
  if (tile.z == 0u) {{ return; }}
  let base = bases(wid.z + p.z0);
  let n = tile.y + lane * 4u;
  let first = min(n, (p.n - 1u) & ~3u);
  let count = p.n - first;
  // How many lanes there are, counted: drivers with several sizes have told another than they ran.
  let most = subgroupMax(own);
  if (lane == 0u) {{ lanes = most + 1u; }}
  let width = workgroupUniformLoad(&lanes);
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


def shaders():
    """Name and lines of each file."""
    return {
        "matmul_tile128": tiled(tile=128, step=16),
        "matmul_tile64": tiled(tile=64, step=32),
        "matmul_tile32": tiled(tile=32, step=16),
        "matmul_register": register(rows=2, cols=1),
        "matmul_subgroup": subgroup(rows=8),
        "matmul_cooperative16": cooperative(size=16),
        "matmul_cooperative8": cooperative(size=8),
    }
