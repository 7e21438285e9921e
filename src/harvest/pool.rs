//! A pool of activations that grows while it is trained from: the first step needs only a little of the text
//! to have gone through the model, and no step waits for more than one unit.
//!
//! What the pool holds, and which of its rows a step draws, are functions of the seed and the step, so that a
//! run resumes in the middle without a saved state. [`super::ShuffleBuffer`] mixes better and makes its
//! reader wait until it is full.

use std::rc::Rc;

use super::capture::{Site, capture};
use super::error::Result;
use crate::data::{CounterRng, DataError, TokenFeed};
use crate::gpu::{Gpu, Tensor};
use crate::model::{Model, Tokens};
use crate::ops::gather_rows::gather_rows;
use crate::sae::run::Activations;

/// Bytes of the pool at most.
const BYTES: u64 = 64 << 20;

/// Keeps these draws apart from others of the same seed.
const DOMAIN: u64 = 0x706f_6f6c;

/// Sizes of a [`Pool`].
#[derive(Clone, Copy, Debug)]
pub struct PoolPlan {
    /// Tokens per context.
    pub context: usize,
    /// Contexts that go through the model at once: one such unit is added before each step.
    pub contexts: usize,
    /// Units that are there before the first step.
    pub start: u64,
    /// Different tokens of the text, at most.
    pub tokens: usize,
    /// Of the draws.
    pub seed: u64,
}

/// Activations of a growing part of a text. Draws are with replacement.
pub struct Pool {
    gpu: Gpu,
    model: Rc<Model>,
    site: Site,
    feed: TokenFeed,
    plan: PoolPlan,
    /// `[capacity units * rows of a unit, width]`
    rows: Tensor,
    /// Units that fit.
    capacity: u64,
    /// Units added so far, counted on through repeats of the text.
    next: u64,
    /// Units of the text, once its end or the wanted number is reached.
    total: Option<u64>,
}

impl Pool {
    /// A pool; nothing is read before [`Pool::grow`] or the first batch.
    ///
    /// # Errors
    /// A site the model does not have, a unit larger than one binding, out of memory.
    pub fn new(
        gpu: &Gpu,
        model: Rc<Model>,
        site: Site,
        feed: TokenFeed,
        plan: PoolPlan,
    ) -> Result<Pool> {
        let width = site.width(&model)?;
        let unit = plan.contexts * plan.context;
        let bytes = (4 * unit * width) as u64;
        gpu.check_size(
            &format!("activations of {unit} tokens of {width} coordinates"),
            bytes,
            "Use a smaller --batch",
        )?;
        let fits = (gpu.max_binding().min(BYTES) / bytes.max(1)).max(1);
        let wanted = (plan.tokens / unit.max(1)).max(1) as u64;
        let capacity = fits.min(wanted);
        Ok(Pool {
            rows: gpu.f32(&[capacity as usize * unit, width])?,
            gpu: gpu.clone(),
            model,
            site,
            feed,
            plan,
            capacity,
            next: 0,
            total: None,
        })
    }

    fn unit_rows(&self) -> usize {
        self.plan.contexts * self.plan.context
    }

    /// Units that have been added before `step`, which the pool's contents end with.
    fn end(&self, step: u64) -> u64 {
        let end = self.plan.start.max(1) + step;
        match self.total {
            Some(total) if total <= self.capacity => end.min(total),
            _ => end,
        }
    }

    /// The oldest unit that is still there before `step`.
    fn begin(&self, step: u64) -> u64 {
        self.end(step).saturating_sub(self.capacity)
    }

    /// Units that `step` needs and that are not there yet.
    pub fn behind(&self, step: u64) -> u64 {
        self.end(step).saturating_sub(self.next)
    }

    /// Tokens in the pool, and how many it can hold.
    pub fn tokens(&self) -> (usize, usize) {
        let rows = self.unit_rows();
        let most = self.total.map_or(self.capacity, |t| t.min(self.capacity));
        (
            self.next.min(self.capacity) as usize * rows,
            most as usize * rows,
        )
    }

    /// Does the next piece of work towards one more unit: a little tokenising, or a pass of the model.
    ///
    /// # Errors
    /// A text that is too short for a single unit, and the errors of tokenizer, model and GPU.
    pub fn grow(&mut self) -> Result<()> {
        let rows = self.unit_rows();
        let wanted = (self.plan.tokens / rows.max(1)).max(1) as u64;
        let unit = match self.total {
            Some(total) => (self.next % total) as usize,
            None => self.next as usize,
        };
        let (from, to) = (unit * rows, (unit + 1) * rows);
        if self.feed.tokens().len() < to {
            if self.feed.more()? {
                return Ok(());
            }
            // The text has ended.
            let units = (self.feed.tokens().len() / rows.max(1)) as u64;
            if units == 0 {
                return Err(DataError::TooFewTokens {
                    name: self.feed.name().to_owned(),
                    tokens: self.feed.tokens().len(),
                    context: rows,
                }
                .into());
            }
            self.total = Some(units.min(wanted));
            return Ok(());
        }
        if self.total.is_none() && self.next + 1 >= wanted {
            self.total = Some(wanted);
        }
        let tokens = Tokens::new(&self.feed.tokens()[from..to], self.plan.context)?;
        let captured = capture(&self.gpu, &self.model, &tokens, &[self.site])?;
        if let Some(x) = captured.first() {
            let at = (self.next % self.capacity) as usize * rows * self.rows.cols();
            self.gpu.copy(x, 0, &self.rows, at, x.len())?;
        }
        self.next += 1;
        self.gpu.flush();
        Ok(())
    }

    /// `count` rows that are drawn from what is there before `step`, `[count, width]`. `stream` keeps several
    /// draws of a step apart; training draws from stream 0.
    ///
    /// # Errors
    /// As [`Pool::grow`].
    pub fn draw(&mut self, step: u64, stream: u64, first: usize, count: usize) -> Result<Tensor> {
        while self.behind(step) > 0 {
            self.grow()?;
        }
        let (begin, rows) = (self.begin(step), self.unit_rows() as u64);
        let there = (self.end(step) - begin) * rows;
        let rng = CounterRng::new(self.plan.seed ^ DOMAIN ^ (stream << 40), step);
        let index: Vec<u32> = (first..first + count)
            .map(|i| {
                let row = rng.below_at(i as u64, there);
                let unit = (begin + row / rows) % self.capacity;
                (unit * rows + row % rows) as u32
            })
            .collect();
        let index = self.gpu.upload_u32(&index, &[count])?;
        let out = self.gpu.f32(&[count, self.rows.cols()])?;
        gather_rows(&self.gpu, &self.rows, 0, &index, &out)?;
        Ok(out)
    }

    /// The same pool on another device (whose model is `model`), empty, to be filled again for `step`.
    ///
    /// # Errors
    /// Out of memory.
    pub fn reopen(&mut self, gpu: &Gpu, model: Rc<Model>, step: u64) -> Result<()> {
        self.rows = gpu.f32(self.rows.shape())?;
        self.gpu = gpu.clone();
        self.model = model;
        // The last step's draws can be made again.
        self.next = self.begin(step.saturating_sub(1));
        Ok(())
    }
}

impl Activations for Pool {
    fn width(&self) -> usize {
        self.rows.cols()
    }

    fn batch(
        &mut self,
        step: u64,
        batch: usize,
        chunk: usize,
    ) -> std::result::Result<Vec<Tensor>, Box<dyn std::error::Error + Send + Sync>> {
        (0..batch)
            .step_by(chunk.max(1))
            .map(|at| Ok(self.draw(step, 0, at, chunk.min(batch - at))?))
            .collect()
    }
}
