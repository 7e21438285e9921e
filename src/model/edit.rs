//! What a run does at its hook points: capture, replace, add, or anything that records GPU work.

use std::collections::HashMap;

use super::error::{ModelError, Result};
use super::hooks::HookPoint;
use crate::gpu::{DType, Gpu, Tensor};
use crate::ops::combine::combine;

/// Tensors that a run captured, still on the GPU.
pub type Cache = HashMap<HookPoint, Tensor>;

/// Sees the tensor at a hook point; a tensor it hands back (same shape, f32) takes its place.
pub type HookFn<'a> = Box<dyn FnMut(&Gpu, &Tensor) -> Result<Option<Tensor>> + 'a>;

enum Action<'a> {
    Capture,
    Call(HookFn<'a>, Edit),
}

/// What the hooks of a point did to the value there, for gradients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Edit {
    /// Nothing.
    None,
    /// Something that the gradient passes as it is.
    Shift,
    /// Put something in its place that is taken as constant: no gradient passes.
    Constant,
}

/// The hooks of a run. Those at one point act in the order they were added.
#[derive(Default)]
pub struct Hooks<'a> {
    actions: Vec<(HookPoint, Action<'a>)>,
    captured: Cache,
}

impl<'a> Hooks<'a> {
    /// No hooks.
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps the tensors at these points, for [`Hooks::take_captured`].
    #[must_use]
    pub fn capture(mut self, points: &[HookPoint]) -> Self {
        self.actions
            .extend(points.iter().map(|point| (*point, Action::Capture)));
        self
    }

    /// Calls `hook` with the tensor at `point`. Errors of its own kind: [`ModelError::Hook`]. What it
    /// hands back is a constant to [`super::Model::gradients`]: none pass upstream.
    #[must_use]
    pub fn on(
        self,
        point: HookPoint,
        hook: impl FnMut(&Gpu, &Tensor) -> Result<Option<Tensor>> + 'a,
    ) -> Self {
        self.push(point, Box::new(hook), Edit::Constant)
    }

    /// As [`Hooks::on`], for a hook that adds something which is to be taken as constant: gradients
    /// pass it unchanged. So is a dictionary spliced in with its error straight through.
    #[must_use]
    pub fn shift(
        self,
        point: HookPoint,
        hook: impl FnMut(&Gpu, &Tensor) -> Result<Option<Tensor>> + 'a,
    ) -> Self {
        self.push(point, Box::new(hook), Edit::Shift)
    }

    fn push(mut self, point: HookPoint, hook: HookFn<'a>, edit: Edit) -> Self {
        self.actions.push((point, Action::Call(hook, edit)));
        self
    }

    /// Puts `value` in the place of the tensor at `point`.
    #[must_use]
    pub fn replace(self, point: HookPoint, value: Tensor) -> Self {
        self.on(point, move |_, _| Ok(Some(value.clone())))
    }

    /// Adds `scale * value`, where `value` has the shape at `point` or that of its last axes (a
    /// vector of d_model is added at every position).
    #[must_use]
    pub fn add(self, point: HookPoint, scale: f32, value: Tensor) -> Self {
        self.shift(point, move |gpu, x| {
            Ok(Some(combine(gpu, 1.0, x, scale, &value)?))
        })
    }

    /// The points that have hooks, in the order of the forward pass, each once.
    pub fn points(&self) -> Vec<HookPoint> {
        let mut points: Vec<HookPoint> = self.actions.iter().map(|(point, _)| *point).collect();
        points.sort_unstable();
        points.dedup();
        points
    }

    /// What was captured at `point`, if a run passed it.
    pub fn captured(&self, point: HookPoint) -> Option<&Tensor> {
        self.captured.get(&point)
    }

    /// Takes all that was captured.
    pub fn take_captured(&mut self) -> Cache {
        std::mem::take(&mut self.captured)
    }

    /// Runs the hooks of `point` on `value`: what goes on, and how it came from `value`.
    pub(super) fn run(
        &mut self,
        gpu: &Gpu,
        point: HookPoint,
        value: Tensor,
    ) -> Result<(Tensor, Edit)> {
        let (mut value, mut edited) = (value, Edit::None);
        for (_, action) in self.actions.iter_mut().filter(|(at, _)| *at == point) {
            match action {
                Action::Capture => {
                    self.captured.insert(point, value.clone());
                }
                Action::Call(hook, edit) => {
                    let Some(new) = hook(gpu, &value)? else {
                        continue;
                    };
                    if new.shape() != value.shape() || new.dtype() != DType::F32 {
                        return Err(ModelError::HookShape {
                            point,
                            found: new.shape().to_vec(),
                            expected: value.shape().to_vec(),
                        });
                    }
                    (value, edited) = (new, edited.max(*edit));
                }
            }
        }
        Ok((value, edited))
    }
}
