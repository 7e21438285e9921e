//! The k largest of each row, as lists of (feature, value).

use bytemuck::{Pod, Zeroable};

use super::cases::{Case, values};
use super::fold;
use crate::gpu::{DType, Gpu, GpuError, Kernel, Result, Tensor};
use crate::kernel;

/// Lanes of a workgroup and whether keys are cached: GPUs, and CPU rasterisers, where eight lanes are
/// one vector and private memory is a plain array.
const PLAIN: &[(&str, f64)] = &[("WG", 64.0), ("CACHED", 0.0)];
const SMALL: &[(&str, f64)] = &[("WG", 8.0), ("CACHED", 0.0)];
const SMALL_CACHED: &[(&str, f64)] = &[("WG", 8.0), ("CACHED", 1.0)];

/// The kernel; the head of its WGSL file is the contract.
pub static KERNEL: Kernel = kernel!("topk", lib: ["grid"], variants: &[PLAIN, SMALL, SMALL_CACHED]);

/// Columns that fit the cache: 128 a lane, eight lanes.
const CACHE: usize = 1024;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    cols: u32,
    k: u32,
    rows_per_member: u32,
    masked: u32,
    limit: u32,
}

/// Codes as lists: entry `j` of row `r` is feature `index[r, j]` with activation `value[r, j]`
/// (0 = none). Rows of an ensemble's members lie one after another.
#[derive(Clone, Debug)]
pub struct Codes {
    /// u32 `[rows, k]`
    pub index: Tensor,
    /// `[rows, k]`
    pub value: Tensor,
    /// Entries of a list.
    pub k: usize,
    /// Members of the ensemble.
    pub members: usize,
}

impl Codes {
    /// Rows of one member.
    pub fn rows_per_member(&self) -> usize {
        self.index.rows() / self.members
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
    let (rows, cols, members, k) = (x.rows(), x.cols(), ks.per_member.len(), ks.most);
    if ks.least == 0 || k > cols || rows % members != 0 {
        return Err(GpuError::Shape {
            op: "topk",
            name: "x",
            found: x.shape().to_vec(),
            expected: format!("at least k = {k} columns (and k > 0), rows for {members} members"),
        });
    }
    let index = gpu.empty(&[rows, k], DType::U32)?;
    let value = gpu.f32(&[rows, k])?;
    let params = Params {
        rows: rows as u32,
        cols: cols as u32,
        k: k as u32,
        rows_per_member: (rows / members) as u32,
        masked: u32::from(among.is_some()),
        limit: among.map_or(0, |a| a.limit),
    };
    // Bound and not read when nothing is masked.
    let dummy = gpu.empty(&[1], DType::U32)?;
    let (since, count) = among.map_or((&dummy, &dummy), |a| (a.since, a.count));
    let constants = match gpu.is_software() {
        false => PLAIN,
        true if cols <= CACHE => SMALL_CACHED,
        true => SMALL,
    };
    gpu.dispatch(
        &KERNEL,
        constants,
        &params,
        &[x, since, count, &ks.per_member, &index, &value],
        fold(rows),
    )?;
    Ok(Codes {
        index,
        value,
        k,
        members,
    })
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
    ] {
        let what = format!("{k} of {rows}x{cols}, ties {ties}, masked {masked}");
        cases.push(Case::new(KERNEL.name, what, 1e-6, move |gpu| {
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
            let half = Codes {
                index: gpu.zeros_u32(&[checked, k])?,
                value: gpu.zeros(&[checked, k])?,
                k,
                members: 1,
            };
            gpu.copy(&codes.index, 0, &half.index, 0, checked * k)?;
            gpu.copy(&codes.value, 0, &half.value, 0, checked * k)?;
            // An identity dictionary turns lists into dense rows.
            let mut eye = vec![0.0; cols * cols];
            (0..cols).for_each(|i| eye[i * cols + i] = 1.0);
            let eye = gpu.upload(&eye, &[1, cols, cols])?;
            let dense = super::sparse_decode::sparse_decode(gpu, &half, &eye, None, None, None)?;
            Ok(vec![(dense, expected)])
        }));
    }
    cases
}
