//! The k largest of each row, as lists of (feature, value).

use bytemuck::{Pod, Zeroable};

use super::cases::{Case, values};
use super::fold;
use crate::gpu::{DType, Gpu, GpuError, Kernel, Needs, Result, Tensor};
use crate::kernel;

/// Lanes of a workgroup: on CPU rasterisers eight lanes are one vector.
const PLAIN: &[(&str, f64)] = &[("WG", 64.0)];
const SMALL: &[(&str, f64)] = &[("WG", 8.0)];

/// The kernel for rows of whole fours; the head of its WGSL file is the contract.
pub static FOURS: Kernel = kernel!("topk", named: "topk", lib: ["total_group", "grid", "x_fours"], variants: &[PLAIN, SMALL]);
/// The same with shuffles instead of trees; the head of its WGSL file is the contract.
pub static LANES: Kernel = kernel!(
    "topk", named: "topk_lanes", lib: ["total_lanes", "grid", "x_fours"],
    variants: &[SMALL], needs: Needs::Lanes
);
/// The kernel for rows of any length; the head of its WGSL file is the contract.
pub static ANY: Kernel = kernel!("topk", named: "topk_any", lib: ["total_group", "grid", "x_scalar"], variants: &[PLAIN, SMALL]);

/// Blocks whose maxima the kernel can hold.
const BLOCKS: usize = 2048;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    cols: u32,
    k: u32,
    rows_here: u32,
    row0: u32,
    base: u32,
    per_member: u32,
    masked: u32,
    limit: u32,
    block: u32,
}

/// Codes as lists: entry `j` of row `r` is a feature with its activation (0 = none). A member's lists
/// may be part of a larger tensor: they lie at `member * per_member + base + r * k + j`.
#[derive(Clone, Debug)]
pub struct Codes {
    /// u32 `[members, per_member]`
    pub index: Tensor,
    /// `[members, per_member]`
    pub value: Tensor,
    /// Entries of a list.
    pub k: usize,
    /// Members of the ensemble.
    pub members: usize,
    /// Rows of one member.
    pub rows: usize,
    /// Where the lists of a member begin.
    pub base: usize,
    /// Entries from one member to the next.
    pub per_member: usize,
    /// Entries in use of each row, u32 `[members * rows]`; `None`: all k.
    pub count: Option<Tensor>,
}

impl Codes {
    /// Lists that fill their tensors: `index` and `value` are `[members * rows, k]`.
    pub fn whole(index: Tensor, value: Tensor, members: usize) -> Codes {
        let (rows, k) = (index.rows() / members, index.cols());
        Codes {
            index,
            value,
            k,
            members,
            rows,
            base: 0,
            per_member: rows * k,
            count: None,
        }
    }
}

/// Which columns take part: those with `since[member, col] > limit`. `count` is how many there are;
/// members with none are skipped, and so is everything made from their lists.
#[derive(Clone, Copy)]
pub struct Among<'a> {
    /// u32 `[members, cols]`
    pub since: &'a Tensor,
    /// Columns above this take part.
    pub limit: u32,
    /// u32 `[members]`
    pub count: &'a Tensor,
}

/// How many each member keeps; made once, since it is read by every call.
#[derive(Clone, Debug)]
pub struct Ks {
    per_member: Tensor,
    most: usize,
    least: usize,
}

impl Ks {
    /// One k for each member.
    ///
    /// # Errors
    /// Out of memory.
    pub fn new(gpu: &Gpu, ks: &[usize]) -> Result<Ks> {
        let words: Vec<u32> = ks.iter().map(|k| *k as u32).collect();
        Ok(Ks {
            per_member: gpu.upload_u32(&words, &[words.len()])?,
            most: ks.iter().copied().max().unwrap_or(0),
            least: ks.iter().copied().min().unwrap_or(0),
        })
    }

    /// The longest list.
    pub fn most(&self) -> usize {
        self.most
    }
}

/// The largest of each row of `x` (`[members * rows, cols]`), negative ones set to 0; lists are as long
/// as the largest k.
///
/// # Errors
/// k of 0 or more than the columns, or out of memory.
pub fn topk(gpu: &Gpu, x: &Tensor, ks: &Ks, among: Option<Among<'_>>) -> Result<Codes> {
    let codes = Codes::whole(
        gpu.empty(&[x.rows(), ks.most], DType::U32)?,
        gpu.f32(&[x.rows(), ks.most])?,
        ks.per_member.len(),
    );
    topk_into(gpu, x, ks, among, &codes, 0)?;
    Ok(codes)
}

/// As [`topk`], into rows `row0` and up of each member's lists.
///
/// # Errors
/// k of 0, more than the columns or than the lists hold, or more rows than these have.
pub fn topk_into(
    gpu: &Gpu,
    x: &Tensor,
    ks: &Ks,
    among: Option<Among<'_>>,
    codes: &Codes,
    row0: usize,
) -> Result<()> {
    let (rows, cols, members) = (x.rows(), x.cols(), codes.members);
    let fits = ks.per_member.len() == members
        && rows.is_multiple_of(members)
        && row0 + rows / members <= codes.rows;
    if ks.least == 0 || ks.most > cols.min(codes.k) || !fits {
        return Err(GpuError::Shape {
            op: "topk",
            name: "x",
            found: x.shape().to_vec(),
            expected: format!(
                "at least k = {} columns (and 0 < k <= {}), up to {} rows for each of {members} members",
                ks.most, codes.k, codes.rows
            ),
        });
    }
    let params = Params {
        rows: rows as u32,
        cols: cols as u32,
        k: codes.k as u32,
        rows_here: (rows / members) as u32,
        row0: row0 as u32,
        base: codes.base as u32,
        per_member: codes.per_member as u32,
        masked: u32::from(among.is_some()),
        limit: among.map_or(0, |a| a.limit),
        block: block(cols, ks.most) as u32,
    };
    // Bound and not read when nothing is masked.
    let (since, count) = among.map_or((&ks.per_member, &ks.per_member), |a| (a.since, a.count));
    let kernel = match cols.is_multiple_of(4) {
        true if gpu.has_lanes() => &LANES,
        true => &FOURS,
        false => &ANY,
    };
    let tensors = [x, since, count, &ks.per_member, &codes.index, &codes.value];
    let constants = if gpu.is_software() { SMALL } else { PLAIN };
    gpu.dispatch(kernel, constants, &params, &tensors, fold(rows))
}

/// Columns of a block: about as many as make the maxima and the keys of k blocks the fewest.
fn block(cols: usize, k: usize) -> usize {
    let best = ((cols as f64 / k as f64).sqrt() as usize).next_power_of_two();
    let fewest = cols.div_ceil(BLOCKS).next_power_of_two();
    best.clamp(4, 64).max(fewest)
}

/// The same on the CPU: for each row the chosen (column, value) by falling value, ties by column.
pub fn reference(
    x: &[f32],
    cols: usize,
    k: usize,
    allowed: impl Fn(usize, usize) -> bool,
) -> Vec<Vec<(usize, f32)>> {
    x.chunks(cols)
        .enumerate()
        .map(|(r, row)| {
            let mut order: Vec<usize> = (0..cols).filter(|c| allowed(r, *c)).collect();
            order.sort_by(|a, b| row[*b].total_cmp(&row[*a]).then(a.cmp(b)));
            order.truncate(k);
            order.into_iter().map(|c| (c, row[c].max(0.0))).collect()
        })
        .collect()
}

/// Cases for the tests and `mosaec selftest`.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (rows, cols, k, ties, masked) in [
        (1, 1, 1, false, false),
        (6, 100, 7, false, false),
        (6, 100, 7, true, false),
        (4, 1024, 16, false, false),
        (4, 1500, 40, true, false),
        (6, 200, 150, true, true),
        (4, 64, 64, false, false),
        // Blocks of which few are searched; all equal; more than are kept; long rows.
        (3, 4096, 32, false, false),
        (3, 4096, 32, true, false),
        (2, 2052, 300, false, true),
        (1, 20_000, 5, true, false),
    ] {
        let what = format!("{k} of {rows}x{cols}, ties {ties}, masked {masked}");
        // One case stands for the kernel that CPU rasterisers take instead.
        let kernel = match cols {
            4096 if ties => &LANES,
            _ if cols % 4 == 0 => &FOURS,
            _ => &ANY,
        };
        cases.push(Case::new(kernel.name, what, 1e-6, move |gpu| {
            let mut v = values(1, rows * cols);
            if ties {
                v.iter_mut().for_each(|x| *x = (*x * 4.0).round() / 4.0);
            }
            // Member 1 has no eligible column at all; its lists stay as they were.
            let members = if masked { 2 } else { 1 };
            let since: Vec<u32> = (0..members * cols)
                .map(|i| if i < cols { (i % 3) as u32 } else { 0 })
                .collect();
            let count = [since.iter().filter(|s| **s > 1).count() as u32, 0];
            let (since_t, count_t) = (
                gpu.upload_u32(&since, &[members, cols])?,
                gpu.upload_u32(&count, &[2])?,
            );
            let among = Among {
                since: &since_t,
                limit: 1,
                count: &count_t,
            };
            // Lists longer than k end in empty entries.
            let ks = Ks::new(gpu, &vec![k; members])?;
            let codes = topk(
                gpu,
                &gpu.upload(&v, &[rows, cols])?,
                &ks,
                masked.then_some(among),
            )?;
            // Order within a list is free, so lists are compared as dense rows of value + 1.
            let checked = if masked { rows / 2 } else { rows };
            let chosen = reference(&v, cols, k, |r, c| {
                !masked || since[r / (rows / members) * cols + c] > 1
            });
            let mut expected = vec![0.0; checked * cols];
            for (r, list) in chosen.iter().take(checked).enumerate() {
                for (c, x) in list {
                    expected[r * cols + c] = f64::from(*x);
                }
            }
            let half = Codes::whole(gpu.zeros_u32(&[checked, k])?, gpu.zeros(&[checked, k])?, 1);
            gpu.copy(&codes.index, 0, &half.index, 0, checked * k)?;
            gpu.copy(&codes.value, 0, &half.value, 0, checked * k)?;
            let dense = super::densify::densify(gpu, &half, cols)?;
            Ok(vec![(dense, expected)])
        }));
    }
    cases
}
