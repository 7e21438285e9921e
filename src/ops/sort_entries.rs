//! Lists of codes sorted by feature, for gradients that are gathered per feature: four kernels, no
//! atomics, the same order every time.
//!
//! A feature's entries come in row order. Nothing of size rows x features is made: the table of counts
//! holds a few chunks of rows.

use bytemuck::{Pod, Zeroable};

use super::cases::Case;
use super::fold;
use super::sparse_decode::lists;
use super::topk::Codes;
use crate::gpu::{DType, Gpu, GpuError, Kernel, Result, Tensor};
use crate::kernel;

const PLAIN: &[(&str, f64)] = &[("WG", 64.0)];
/// CPU rasterisers: eight lanes are one vector.
const SMALL: &[(&str, f64)] = &[("WG", 8.0)];

/// The kernel; the head of its WGSL file is the contract.
pub static RANK: Kernel = kernel!("rank_entries", lib: [], variants: &[PLAIN, SMALL]);
/// The kernel; the head of its WGSL file is the contract.
pub static TALLY: Kernel = kernel!("tally_entries", lib: ["grid"]);
/// The kernel; the head of its WGSL file is the contract.
pub static SCAN: Kernel = kernel!("scan_entries", lib: []);
/// The kernel; the head of its WGSL file is the contract.
pub static PLACE: Kernel = kernel!("place_entries", lib: ["grid"]);

/// Chunks of rows that are ranked side by side, each by one workgroup.
const CHUNKS: usize = 64;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Rank {
    rows: u32,
    k: u32,
    base: u32,
    per_member: u32,
    features: u32,
    chunk_rows: u32,
    chunk0: u32,
    chunks: u32,
    gated: u32,
    counted: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Tally {
    total: u32,
    features: u32,
    chunks: u32,
    main_chunks: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Scan {
    features: u32,
    per_member: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Place {
    entries: u32,
    k: u32,
    base: u32,
    per_member: u32,
    features: u32,
    chunk_rows: u32,
    chunk0: u32,
    chunks: u32,
    row0: u32,
    gated: u32,
    counted: u32,
    factor: f32,
}

/// Lists that are sorted together with others; all parts share their tensors.
#[derive(Clone, Copy)]
pub struct Part<'a> {
    /// The lists; those with counts cannot be gated.
    pub codes: &'a Codes,
    /// Added to the row number that a slot gets.
    pub row0: usize,
    /// Factor on the value that a slot gets.
    pub factor: f32,
    /// Members with 0 here have no lists in this part.
    pub gate: Option<&'a Tensor>,
}

impl Part<'_> {
    fn counted(&self) -> u32 {
        u32::from(self.codes.count.is_some() && self.gate.is_none())
    }

    /// What is bound as counts of members or rows; anything where neither is read.
    fn counts(&self) -> &Tensor {
        self.gate
            .or(self.codes.count.as_ref())
            .unwrap_or(&self.codes.index)
    }
}

/// Entries by feature.
#[derive(Clone, Debug)]
pub struct Sorted {
    /// u32 `[members, features, 2]`: first slot and number of slots of each feature.
    pub ranges: Tensor,
    /// u32 `[members * per_member, 4]`: row, value, gradient (bits of f32), 0.
    pub slots: Tensor,
    /// u32 `[members, features]`: entries in the first part, how often each feature fired.
    pub fired: Tensor,
}

/// Sorts the entries with a value above 0 of all `parts`. `gradient`: each code's, laid out as the values.
/// `fired` (u32 `[members, features]`) takes the counts of [`Sorted::fired`] if it is given.
///
/// # Errors
/// No part, parts of different tensors, or out of memory.
pub fn sort_entries(
    gpu: &Gpu,
    parts: &[Part<'_>],
    gradient: &Tensor,
    features: usize,
    fired: Option<&Tensor>,
) -> Result<Sorted> {
    let Some(first) = parts.first().map(|part| part.codes) else {
        return Err(GpuError::Shape {
            op: "sort_entries",
            name: "parts",
            found: Vec::new(),
            expected: "at least one list".to_owned(),
        });
    };
    let (members, per_member) = (first.members, first.per_member);
    for part in parts {
        let c = part.codes;
        c.value
            .expect_len("sort_entries", "value", members * per_member)?;
        c.index
            .expect_len("sort_entries", "index", members * per_member)?;
    }
    gradient.expect_len("sort_entries", "gradient", members * per_member)?;
    let chunk_rows = |codes: &Codes| codes.rows.div_ceil(CHUNKS).max(1);
    let chunks_of = |codes: &Codes| codes.rows.div_ceil(chunk_rows(codes));
    let chunks: usize = parts.iter().map(|part| chunks_of(part.codes)).sum();
    let tally = gpu.zeros_u32(&[members, chunks, features])?;
    let rank = gpu.empty(&[members, per_member], DType::U32)?;
    let mut chunk0 = 0;
    for part in parts {
        let c = part.codes;
        let params = Rank {
            rows: c.rows as u32,
            k: c.k as u32,
            base: c.base as u32,
            per_member: per_member as u32,
            features: features as u32,
            chunk_rows: chunk_rows(c) as u32,
            chunk0: chunk0 as u32,
            chunks: chunks as u32,
            gated: u32::from(part.gate.is_some()),
            counted: part.counted(),
        };
        let gate = part.counts();
        let tensors = [&c.index, &c.value, gate, &rank, &tally];
        let constants = if gpu.is_software() { SMALL } else { PLAIN };
        let grid = [chunks_of(c) as u32, members as u32, 1];
        gpu.dispatch(&RANK, constants, &params, &tensors, grid)?;
        chunk0 += chunks_of(c);
    }
    let sorted = Sorted {
        ranges: gpu.empty(&[members, features, 2], DType::U32)?,
        slots: gpu.empty(&[members * per_member, 4], DType::U32)?,
        fired: match fired {
            Some(fired) => fired.clone(),
            None => gpu.empty(&[members, features], DType::U32)?,
        },
    };
    let params = Tally {
        total: (members * features) as u32,
        features: features as u32,
        chunks: chunks as u32,
        main_chunks: chunks_of(first) as u32,
    };
    let tensors = [&tally, &sorted.ranges, &sorted.fired];
    let grid = fold((members * features).div_ceil(64));
    gpu.dispatch(&TALLY, &[], &params, &tensors, grid)?;
    let params = Scan {
        features: features as u32,
        per_member: per_member as u32,
    };
    gpu.dispatch(
        &SCAN,
        &[],
        &params,
        &[&sorted.ranges],
        [members as u32, 1, 1],
    )?;
    let mut chunk0 = 0;
    for part in parts {
        let c = part.codes;
        let params = Place {
            entries: (c.rows * c.k) as u32,
            k: c.k as u32,
            base: c.base as u32,
            per_member: per_member as u32,
            features: features as u32,
            chunk_rows: chunk_rows(c) as u32,
            chunk0: chunk0 as u32,
            chunks: chunks as u32,
            row0: part.row0 as u32,
            gated: u32::from(part.gate.is_some()),
            counted: part.counted(),
            factor: part.factor,
        };
        let tensors = [
            &c.index,
            &c.value,
            gradient,
            &rank,
            &sorted.ranges,
            &tally,
            part.counts(),
            &sorted.slots,
        ];
        let [x, y, _] = fold((c.rows * c.k).div_ceil(256));
        gpu.dispatch(&PLACE, &[], &params, &tensors, [x, y, members as u32])?;
        chunk0 += chunks_of(c);
    }
    Ok(sorted)
}

/// The same on the CPU, one member and part: the entries of each feature, by number.
pub fn reference(index: &[u32], value: &[f32], features: usize) -> Vec<Vec<u32>> {
    let mut lists = vec![Vec::new(); features];
    for (e, f) in index.iter().enumerate() {
        if value[e] > 0.0 {
            lists[*f as usize].push(e as u32);
        }
    }
    lists
}

/// Cases for the tests and `mosaec selftest`: the four kernels work as one.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for kernel in [&RANK, &TALLY, &SCAN, &PLACE] {
        for (members, rows, k, features) in [(1, 1, 1, 1), (2, 40, 4, 75), (1, 300, 12, 40)] {
            let what = format!("{members} x {rows} rows, {k} of {features}");
            cases.push(Case::new(kernel.name, what, 0.0, move |gpu| {
                let (codes, index, value) = lists(gpu, members, rows, k, features)?;
                let part = Part {
                    codes: &codes,
                    row0: 5,
                    factor: 1.0,
                    gate: None,
                };
                let sorted = sort_entries(gpu, &[part], &codes.value, features, None)?;
                let (mut ranges, mut fired, mut rows_of, mut bits) =
                    (Vec::new(), Vec::new(), Vec::new(), Vec::new());
                for m in 0..members {
                    let own = m * rows * k..(m + 1) * rows * k;
                    let mut at = own.start;
                    for entries in reference(&index[own.clone()], &value[own.clone()], features) {
                        ranges.extend([at as f64, entries.len() as f64]);
                        fired.push(entries.len() as f64);
                        at += entries.len();
                        for e in entries {
                            rows_of.push(f64::from(e / k as u32 + 5));
                            bits.push(f64::from(value[own.start + e as usize].to_bits()));
                        }
                    }
                    // What a member's slots hold past its entries is nobody's.
                    let unused = own.end - at;
                    rows_of.extend(std::iter::repeat_n(f64::NAN, unused));
                    bits.extend(std::iter::repeat_n(f64::NAN, unused));
                }
                // Only used slots are compared: they are copied out, row then value.
                let used = rows_of.iter().filter(|v| !v.is_nan()).count();
                let out = gpu.zeros_u32(&[used.max(1), 4])?;
                let mut want = Vec::new();
                for (slot, row) in rows_of.iter().enumerate().filter(|(_, v)| !v.is_nan()) {
                    gpu.copy(&sorted.slots, 4 * slot, &out, want.len(), 4)?;
                    want.extend([*row, bits[slot], bits[slot], 0.0]);
                }
                want.resize(4 * used.max(1), 0.0);
                Ok(vec![
                    (sorted.ranges, ranges),
                    (sorted.fired, fired),
                    (out, want),
                ])
            }));
        }
    }
    cases
}
