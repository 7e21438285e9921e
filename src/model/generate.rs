//! Generation, token by token, with a cache of keys and values.

use super::Model;
use super::edit::Hooks;
use super::error::{ModelError, Result};
use super::forward::{Halt, Pass};
use super::hooks::HookPoint;
use super::run::{Tokens, Want};
use crate::data::CounterRng;
use crate::gpu::{Gpu, Tensor};
use crate::ops::attention_fused::Layout;

/// Keeps sampling apart from other users of the same seed.
const STREAM: u64 = 0x6765_6e65_7261_7465;

/// How the next token is chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// 0: always the most likely token (the lowest id among equals). Otherwise logits are divided
    /// by it before one is drawn.
    pub temperature: f32,
    /// Draw among this many most likely tokens only; `None`: among all.
    pub top_k: Option<usize>,
    /// Same seed, prompt and adapter: same text.
    pub seed: u64,
    /// Tokens to add at most.
    pub max_new: usize,
    /// Ends the text before this token (`ModelConfig::eos_token`, or none).
    pub stop: Option<u32>,
}

impl Default for Sampling {
    /// The most likely token, 64 times, no stop.
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_k: None,
            seed: 0,
            max_new: 64,
            stop: None,
        }
    }
}

impl Sampling {
    fn check(&self) -> Result<()> {
        let wrong = |option, found: String, expected| {
            Err(ModelError::Sampling {
                option,
                found,
                expected,
            })
        };
        if !self.temperature.is_finite() || self.temperature < 0.0 {
            return wrong(
                "temperature",
                self.temperature.to_string(),
                "0 or a positive number",
            );
        }
        if self.top_k == Some(0) {
            return wrong("top-k", "0".to_owned(), "at least 1");
        }
        Ok(())
    }

    /// Chooses the token number `step` from its logits.
    fn choose(&self, logits: &[f32], step: u64) -> u32 {
        let mut order: Vec<u32> = (0..logits.len() as u32).collect();
        let descending = |a: &u32, b: &u32| {
            let (x, y) = (logits[*a as usize], logits[*b as usize]);
            y.total_cmp(&x).then(a.cmp(b))
        };
        if self.temperature == 0.0 {
            return order.into_iter().min_by(descending).unwrap_or(0);
        }
        if let Some(k) = self.top_k.filter(|k| *k < order.len()) {
            order.select_nth_unstable_by(k, descending);
            order.truncate(k);
            // The draw walks the candidates, so their order must not depend on the selection's.
            order.sort_unstable();
        }
        let scaled = |id: &u32| f64::from(logits[*id as usize]) / f64::from(self.temperature);
        let most = order.iter().map(scaled).fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = order.iter().map(|id| (scaled(id) - most).exp()).collect();
        let draw = f64::from(CounterRng::new(self.seed, STREAM).uniform_at(step));
        let mut left = draw * weights.iter().sum::<f64>();
        for (id, weight) in order.iter().zip(&weights) {
            left -= weight;
            if left < 0.0 {
                return *id;
            }
        }
        // Rounding can leave a little; the last candidate with any weight takes it.
        let last = order.iter().zip(&weights).rev().find(|(_, w)| **w > 0.0);
        last.map_or(0, |(id, _)| *id)
    }
}

/// Keys (after rotation) and values of every layer, for one context.
pub struct KvCache {
    /// Per layer, each `[1, kv_heads, capacity, d_head]`.
    layers: Vec<(Tensor, Tensor)>,
    layout: Layout,
    capacity: usize,
    len: usize,
}

impl KvCache {
    /// Room for `capacity` positions of `model`.
    ///
    /// # Errors
    /// [`ModelError::ContextTooLong`] past the model's positions, or out of memory.
    pub fn new(gpu: &Gpu, model: &Model, capacity: usize) -> Result<Self> {
        let config = &model.config;
        if capacity > config.max_positions {
            return Err(ModelError::ContextTooLong {
                asked: capacity,
                limit: config.max_positions,
            });
        }
        // Made once: a table that grows on the way would be an upload in the middle of a token.
        model.rotations(gpu, capacity)?;
        let shape = [1, config.n_kv_heads, capacity, config.d_head];
        let layers = (0..config.n_layers)
            .map(|_| Ok((gpu.zeros(&shape)?, gpu.zeros(&shape)?)))
            .collect::<Result<_>>()?;
        Ok(Self {
            layers,
            layout: Layout::by_head(capacity, config.n_kv_heads, config.d_head),
            capacity,
            len: 0,
        })
    }

    /// Positions that it holds.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds nothing yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Positions that it has room for.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Where its keys and values lie.
    pub(super) fn layout(&self) -> Layout {
        self.layout
    }

    /// Keys and values of `layer`.
    pub(super) fn layer(&self, layer: usize) -> (Tensor, Tensor) {
        self.layers[layer].clone()
    }

    pub(super) fn advance(&mut self, positions: usize) {
        self.len += positions;
    }
}

impl Model {
    /// Runs `ids` behind what `cache` holds, adds them to it, and returns the logits after the last
    /// one, `[1, vocab]`. Hooks see `[1, ids.len(), ..]`.
    ///
    /// # Errors
    /// As [`Model::run`]; also more positions than the cache has room for.
    pub fn step(
        &self,
        gpu: &Gpu,
        ids: &[u32],
        cache: &mut KvCache,
        hooks: &mut Hooks,
    ) -> Result<Tensor> {
        let tokens = Tokens::new(ids, ids.len())?;
        let start = cache.len();
        self.check_tokens(&tokens, start)?;
        if start + ids.len() > cache.capacity() {
            return Err(ModelError::ContextTooLong {
                asked: start + ids.len(),
                limit: cache.capacity(),
            });
        }
        let mut pass = Pass::new(gpu, self, hooks, Want::Logits, HookPoint::Embed)?;
        pass.past = Some(cache);
        pass.ends = true;
        let outcome = pass
            .embed(&tokens, start)
            .and_then(|x| pass.blocks(0, x))
            .and_then(|stream| pass.final_norm(&stream));
        match outcome {
            // A hook of the last block or of the final norm makes them see every position.
            Ok(normed) => self.unembed_rows(gpu, &normed, normed.rows() - 1, 1),
            Err(Halt::Failed(e)) => Err(e),
            // Logits are wanted, so no pass ends early.
            Err(Halt::Done) => Err(ModelError::TokenCount { found: 0, seq: 0 }),
        }
    }

    /// Goes on from `prompt` as `sampling` says; `seen` gets each new token as it comes. Hooks act
    /// at every step (steering). Returns the new tokens.
    ///
    /// # Errors
    /// An empty prompt, prompt and new tokens past the model's positions, sampling options that make
    /// no sense, or as [`Model::run`].
    pub async fn generate(
        &self,
        gpu: &Gpu,
        prompt: &[u32],
        sampling: &Sampling,
        hooks: &mut Hooks<'_>,
        mut seen: impl FnMut(u32),
    ) -> Result<Vec<u32>> {
        let mut text = self.generation(gpu, prompt, sampling)?;
        while let Some(next) = text.next(gpu, hooks).await? {
            seen(next);
        }
        Ok(text.new)
    }

    /// As [`Model::generate`], a token at each call of [`Generation::next`].
    ///
    /// # Errors
    /// As [`Model::generate`].
    pub fn generation(
        &self,
        gpu: &Gpu,
        prompt: &[u32],
        sampling: &Sampling,
    ) -> Result<Generation<'_>> {
        sampling.check()?;
        Tokens::new(prompt, prompt.len())?;
        Ok(Generation {
            cache: KvCache::new(gpu, self, prompt.len() + sampling.max_new)?,
            model: self,
            sampling: sampling.clone(),
            prompt: prompt.to_vec(),
            new: Vec::new(),
            ended: false,
        })
    }
}

/// A text that grows token by token.
pub struct Generation<'m> {
    model: &'m Model,
    sampling: Sampling,
    cache: KvCache,
    prompt: Vec<u32>,
    new: Vec<u32>,
    ended: bool,
}

impl Generation<'_> {
    /// The next token; `None` at the end. The hooks should be the same every time.
    ///
    /// # Errors
    /// As [`Model::run`].
    pub async fn next(&mut self, gpu: &Gpu, hooks: &mut Hooks<'_>) -> Result<Option<u32>> {
        if self.ended || self.new.len() >= self.sampling.max_new {
            return Ok(None);
        }
        let ids = match self.new.last() {
            Some(last) => std::slice::from_ref(last),
            None => &self.prompt,
        };
        let logits = self.model.step(gpu, ids, &mut self.cache, hooks)?;
        let logits = gpu.read(&logits).await?;
        let next = self.sampling.choose(&logits, self.new.len() as u64);
        if self.sampling.stop == Some(next) {
            self.ended = true;
            return Ok(None);
        }
        self.new.push(next);
        Ok(Some(next))
    }

    /// The new tokens so far.
    pub fn tokens(&self) -> &[u32] {
        &self.new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices() {
        let logits = [0.0, 3.0, 3.0, -1.0];
        let greedy = Sampling::default();
        assert_eq!(greedy.choose(&logits, 0), 1, "the lowest id among equals");
        let top = Sampling {
            temperature: 1.0,
            top_k: Some(2),
            ..greedy.clone()
        };
        let drawn: Vec<u32> = (0..200).map(|i| top.choose(&logits, i)).collect();
        assert!(drawn.iter().all(|id| [1, 2].contains(id)));
        let ones = drawn.iter().filter(|id| **id == 1).count();
        assert!((60..140).contains(&ones), "{ones} of 200");
        // Frequencies are those of the softmax.
        let all = Sampling {
            temperature: 2.0,
            top_k: None,
            ..top
        };
        let zeros = (0..20_000).filter(|i| all.choose(&logits, *i) == 0).count() as f64;
        let exact = 1.0 / (1.0 + 2.0 * 1.5f64.exp() + (-0.5f64).exp());
        assert!((zeros / 20_000.0 - exact).abs() < 0.01, "{zeros} {exact}");
    }
}
