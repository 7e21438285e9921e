//! What a forward pass keeps for the way back.

use std::collections::HashSet;

use super::edit::{Cache, Edit, Hooks};
use super::hooks::{BlockHook, HookPoint};
use crate::gpu::Tensor;

/// The values that the way back needs, after their hooks, and where hooks cut it off.
pub(super) struct Tape {
    /// Nothing before this is kept.
    from: HookPoint,
    /// Kept because someone asked, or because a hook may change what could be made again.
    points: Vec<HookPoint>,
    gated: bool,
    pub(super) values: Cache,
    constants: HashSet<HookPoint>,
}

impl Tape {
    /// For gradients at `points` (in the order of the forward pass) under `hooks`.
    pub(super) fn new(points: &[HookPoint], hooks: &Hooks, gated: bool) -> Self {
        let from = match points.first() {
            Some(HookPoint::Block(layer, _)) => HookPoint::resid_pre(*layer),
            Some(point) => *point,
            None => HookPoint::FinalNormalized,
        };
        let mut kept = hooks.points();
        kept.extend_from_slice(points);
        Self {
            from,
            points: kept,
            gated,
            values: Cache::new(),
            constants: HashSet::new(),
        }
    }

    /// Whether the value at `point` is kept.
    pub(super) fn keeps(&self, point: HookPoint) -> bool {
        use BlockHook::{K, Ln2Normalized, MlpPre, Q, ResidMid, ResidPre, V};
        if self.points.contains(&point) {
            return true;
        }
        let needed = match point {
            HookPoint::Block(_, ResidPre | Q | K | V | ResidMid | MlpPre) => true,
            HookPoint::Block(_, Ln2Normalized) => self.gated,
            _ => false,
        };
        needed && point >= self.from
    }

    pub(super) fn record(&mut self, point: HookPoint, value: &Tensor, edit: Edit) {
        if edit == Edit::Constant {
            self.constants.insert(point);
        }
        self.values.insert(point, value.clone());
    }

    /// Whether a hook put a constant in the place of the value at `point`.
    pub(super) fn cuts(&self, point: HookPoint) -> bool {
        self.constants.contains(&point)
    }
}
