//! A training that goes on between requests, in slices short enough that reading goes on.
//!
//! A [`Training`] keeps all that it needs to go on on another device: the text's tokens, its options, the
//! curve so far, and a checkpoint on the host every few seconds. What it holds on the GPU is a function of
//! these, so that a run whose device was lost ends as one that was never disturbed.

use super::clock;
use super::library::Dictionary;
use super::problem::{Problem, Result};
use super::protocol::Event;
use super::train::{TrainRequest, TrainingState};
use super::{Out, Subject};
use crate::data::tensors::TensorFile;
use crate::data::{TextSource, TokenFeed};
use crate::eval::{EvalInput, evaluate};
use crate::gpu::Gpu;
use crate::harvest::{Pool, PoolPlan, Site};
use crate::model::HookPoint;
use crate::report::results::{CurvePoint, SaeEval};
use crate::report::web::train as view;
use crate::sae::files::Origin;
use crate::sae::median::geometric_median;
use crate::sae::run::{Cadence, Observer, Together};
use crate::sae::trainer::InitialWeights;
use crate::sae::{Arch, Member, StepMetrics, TrainConfig, Trainer};

/// What a slice aims at, ms: other requests wait that long at most (or one step, where that is longer).
const SLICE: f64 = 120.0;
/// Milliseconds from one look at the numbers to the next: each costs several readbacks.
const LOOK: f64 = 450.0;
/// Milliseconds of work that a lost device may cost.
const CHECKPOINT: f64 = 8_000.0;
/// Steps of a slice at most.
const STEPS: u64 = 16;
/// Tokens that are in the pool before the first step.
const START: usize = 2048;
/// Fewest tokens that anything can be learned from.
const FEWEST: usize = 1024;
/// Tokens of a context, or all that the model takes.
const CONTEXT: usize = 128;
/// Rows that firing frequencies and the last numbers rest on.
const MEASURED: usize = 8192;

/// What is kept on the host.
#[derive(Default)]
struct Kept {
    batch: u64,
    curve: Vec<CurvePoint>,
    /// After how many steps, and its bytes.
    checkpoint: Option<Vec<u8>>,
}

impl Observer for Kept {
    fn metrics(&mut self, m: &StepMetrics) -> crate::sae::Result<()> {
        let first = |v: &[f64]| v.first().copied().unwrap_or_default();
        self.curve.push(CurvePoint {
            step: m.step,
            tokens: (m.step + 1) * self.batch,
            loss: first(&m.loss),
            mse: first(&m.mse),
            l0: first(&m.l0),
            fvu: first(&m.fvu),
            dead: m.dead.first().copied().unwrap_or_default(),
            lr: m.lr,
        });
        Ok(())
    }

    fn checkpoint(&mut self, _step: u64, bytes: &[u8]) -> crate::sae::Result<()> {
        self.checkpoint = Some(bytes.to_vec());
        Ok(())
    }

    fn stepped(&mut self, _step: u64) -> bool {
        true
    }
}

/// When what was done last, in milliseconds, and how fast it goes.
#[derive(Default)]
struct Pace {
    step: f64,
    looked: f64,
    saved: f64,
    said: f64,
}

/// A training that goes on.
pub(super) struct Training {
    pub(super) name: String,
    gpu: Gpu,
    config: TrainConfig,
    origin: Origin,
    site: Site,
    pool: Pool,
    /// Start of b_dec; `Some` once the first activations are there.
    center: Option<Vec<f32>>,
    trainer: Option<Trainer>,
    kept: Kept,
    pace: Pace,
    pub(super) paused: bool,
}

impl Training {
    /// Checks everything that can be checked before the first activation is made.
    pub(super) fn new(
        gpu: &Gpu,
        subject: &Subject,
        text: &(String, String),
        name: String,
        request: &TrainRequest,
    ) -> Result<Training> {
        let hook: HookPoint = request.hook.parse()?;
        let site = Site {
            hook,
            center: false,
        };
        let width = site.width(&subject.model)?;
        let config = config(request, width)?;
        // Before starting values are drawn on the host, which would need as much memory.
        gpu.check_size(
            &format!("{} features of {width} coordinates", request.features),
            (4 * request.features as u64).saturating_mul(width as u64),
            "",
        )?;
        let context = CONTEXT.min(subject.model.config().max_positions);
        let contexts = (request.batch / context).clamp(1, 4096usize.div_ceil(context));
        let unit = contexts * context;
        let source = TextSource::from_bytes(&text.0, text.1.clone().into_bytes())?;
        let plan = PoolPlan {
            context,
            contexts,
            start: START.div_ceil(unit) as u64,
            tokens: request.tokens.max(FEWEST),
            seed: u64::from(request.seed),
        };
        let mut feed = TokenFeed::new(subject.tokenizer.clone(), source)?;
        while feed.tokens().len() < FEWEST.max(unit) && feed.more()? {}
        let found = feed.tokens().len();
        if found < FEWEST.max(unit) {
            return Err(Problem::input(format!(
                "{} is {found} tokens long, which is too little to train on: give at least {} (about {} words)",
                text.0,
                FEWEST.max(unit),
                FEWEST.max(unit) * 3 / 4,
            )));
        }
        Ok(Training {
            origin: Origin {
                model: subject.model.name().to_owned(),
                hook: site.hook.to_string(),
                context,
                text: text.0.clone(),
                centered: false,
                train_tokens: 0,
            },
            pool: Pool::new(gpu, subject.model.clone(), site, feed, plan)?,
            kept: Kept {
                batch: config.batch as u64,
                ..Kept::default()
            },
            name,
            gpu: gpu.clone(),
            config,
            site,
            center: None,
            trainer: None,
            pace: Pace::default(),
            paused: false,
        })
    }

    fn step(&self) -> u64 {
        self.trainer.as_ref().map_or(0, Trainer::step_count)
    }

    /// How it goes; with charts if something is to be shown.
    pub(super) fn state(&self, show: bool) -> TrainingState {
        let (step, steps) = (self.step(), self.config.steps);
        let per_second = |ms: f64| if ms > 0.0 { 1e3 / ms } else { 0.0 };
        let rate = per_second(self.pace.step) * self.config.batch as f64;
        let curve = &self.kept.curve;
        let mut state = TrainingState {
            name: self.name.clone(),
            step: step as u32,
            steps: steps as u32,
            paused: self.paused,
            finished: false,
            rate,
            left: (steps - step.min(steps)) as f64 * self.pace.step / 1e3,
            loss: curve
                .first()
                .zip(curve.last())
                .map(|(a, b)| (a.loss, b.loss)),
            html: None,
        };
        if show {
            let (there, most) = self.pool.tokens();
            let shown = view::Shown {
                setting: &self.setting(),
                curve,
                step,
                steps,
                rate,
                left: state.left,
                paused: self.paused,
                pool: (there as u64, most as u64),
                software: self.gpu.is_software(),
            };
            state.html = Some(view::progress(&shown).into_string());
        }
        state
    }

    /// What the charts' labels and the final numbers call it.
    fn setting(&self) -> SaeEval {
        let (c, topk) = (&self.config, self.config.arch == Arch::TopK);
        SaeEval {
            arch: c.arch.to_string(),
            d_in: c.d_in,
            d_sae: c.d_sae,
            k: topk.then(|| c.members[0].k),
            l1: (!topk).then(|| c.members[0].l1),
            ..SaeEval::default()
        }
    }

    /// Goes on on another device, from the last checkpoint (or from the start, if there was none).
    pub(super) fn reopen(
        &mut self,
        gpu: &Gpu,
        subject: Option<&Subject>,
        _out: Out<'_>,
    ) -> Result<()> {
        let subject = subject.ok_or_else(|| Problem::internal("training without a model"))?;
        let config = self.config.clone();
        self.trainer = match (&self.kept.checkpoint, &self.center) {
            (Some(bytes), _) => {
                let file = TensorFile::from_bytes("the checkpoint", bytes.clone())?;
                Some(Trainer::resume(gpu, config, &file, "the checkpoint")?)
            }
            (None, Some(center)) => {
                let start = InitialWeights::random(&config, center);
                Some(Trainer::new(gpu, config, &start)?)
            }
            (None, None) => None,
        };
        let step = self.step();
        self.kept.curve.retain(|p| p.step < step);
        self.pool.reopen(gpu, subject.model.clone(), step)?;
        self.gpu = gpu.clone();
        self.pace = Pace::default();
        Ok(())
    }

    /// Keeps where it is on the host.
    pub(super) async fn save(&mut self) -> Result<()> {
        if let Some(trainer) = &self.trainer
            && trainer.step_count() > 0
        {
            self.kept.checkpoint = Some(trainer.checkpoint().await?);
            self.pace.saved = clock::now();
        }
        Ok(())
    }

    /// The curve so far.
    pub(super) fn curve(&self) -> &[CurvePoint] {
        &self.kept.curve
    }

    /// A little more. Gives whether there is still more.
    pub(super) async fn slice(&mut self, out: Out<'_>) -> Result<bool> {
        let begun = clock::now();
        let step = self.step();
        if self.trainer.is_none() || self.pool.behind(step) > 1 {
            self.fill(begun).await?;
        } else {
            self.steps(begun).await?;
        }
        let now = clock::now();
        let new = self.pace.looked > self.pace.said || self.kept.curve.is_empty();
        if new && (now - self.pace.said > LOOK || self.kept.curve.len() == 1) {
            self.pace.said = now;
            out(&Event::Training(self.state(true)));
        }
        Ok(self.step() < self.config.steps)
    }

    /// Fills the pool as far as the next step needs it, and makes the trainer once it is.
    async fn fill(&mut self, begun: f64) -> Result<()> {
        let step = self.step();
        while self.pool.behind(step) > 0 {
            self.pool.grow()?;
            self.gpu.settle().await?;
            if clock::now() - begun > SLICE {
                return Ok(());
            }
        }
        if self.trainer.is_some() {
            return Ok(());
        }
        let center = match &self.center {
            Some(center) => center.clone(),
            // A tied dictionary has no b_dec.
            None if self.config.arch == Arch::Tied => Vec::new(),
            None => {
                let rows = self.config.batch.min(1024);
                let first = self.pool.draw(0, 0, 0, rows)?;
                geometric_median(&self.gpu.read(&first).await?, self.config.d_in)
            }
        };
        let start = InitialWeights::random(&self.config, &center);
        self.trainer = Some(Trainer::new(&self.gpu, self.config.clone(), &start)?);
        self.center = Some(center);
        self.pace.saved = clock::now();
        Ok(())
    }

    async fn steps(&mut self, begun: f64) -> Result<()> {
        let Some(trainer) = &mut self.trainer else {
            return Ok(());
        };
        let left = self.config.steps - trainer.step_count();
        let fit = if self.pace.step > 0.0 {
            (SLICE / self.pace.step) as u64
        } else {
            1
        };
        let n = fit.clamp(1, STEPS).min(left);
        for i in 0..n {
            // The errors of a batch are texts by the time they come through the training loop.
            while self.pool.behind(trainer.step_count()) > 0 {
                self.pool.grow()?;
            }
            let at_end = i + 1 == n;
            let look = at_end && begun - self.pace.looked > LOOK;
            let save = at_end && begun - self.pace.saved > CHECKPOINT;
            let cadence = Cadence {
                log: if look { 1 } else { u64::MAX },
                checkpoint: save.into(),
            };
            let logged = self.kept.curve.len();
            let mut run = Together {
                trainer,
                source: &mut self.pool,
                observer: &mut self.kept,
            };
            run.step(cadence).await?;
            let now = clock::now();
            if self.kept.curve.len() > logged {
                self.pace.looked = now;
            }
            if save {
                self.pace.saved = now;
            }
        }
        // The GPU runs behind what is recorded: only now is the time a step's.
        self.gpu.settle().await?;
        let step = (clock::now() - begun) / n as f64;
        // The first slices compile kernels.
        self.pace.step = if self.kept.curve.len() < 3 {
            step
        } else {
            0.8 * self.pace.step + 0.2 * step
        };
        Ok(())
    }

    /// The dictionary as it is now, with the files that open it again, and its numbers.
    pub(super) async fn dictionary(&mut self, out: Out<'_>) -> Result<(Dictionary, SaeEval)> {
        let step = self.step();
        let Some(trainer) = self.trainer.as_ref().filter(|_| step > 0) else {
            return Err(Problem::input(
                "nothing is trained yet: wait for the first steps, or discard it",
            ));
        };
        let mut origin = self.origin.clone();
        origin.train_tokens = step * self.config.batch as u64;
        let sae = trainer.sae(0, &origin)?;
        let rows = sae.max_rows(&self.gpu).clamp(1, 1024);
        let pool = &mut self.pool;
        let mut batches = (0..MEASURED.div_ceil(rows) as u64)
            .map(|i| pool.draw(step.saturating_sub(1), i + 1, 0, rows));
        let found = evaluate(
            &self.gpu,
            (&sae).into(),
            EvalInput::Activations(&mut batches),
            &mut |done| {
                out(&Event::Progress {
                    what: "Measuring the dictionary".to_owned(),
                    done: (done as f64 / MEASURED as f64).min(1.0),
                });
            },
        )
        .await?;
        let files = sae.files(&self.gpu, &found.density).await?;
        let made = Dictionary::new(self.name.clone(), sae, self.site, files);
        Ok((made, found.eval))
    }
}

/// The training options of a request: those of the command line, with the learning rate of short runs.
fn config(request: &TrainRequest, width: usize) -> Result<TrainConfig> {
    let member = Member {
        l1: if request.arch == Arch::TopK {
            0.0
        } else {
            request.l1
        },
        k: if request.arch == Arch::TopK {
            request.k
        } else {
            0
        },
        seed: u64::from(request.seed),
    };
    let steps = u64::from(request.steps);
    let mut config = TrainConfig::new(request.arch, width, request.features, vec![member], steps);
    config.batch = request.batch;
    // Three times the rate of long runs, as in `mosaec demo`.
    config.lr = 3e-3;
    config.check()?;
    if request.batch > 8192 {
        return Err(Problem::input(
            "a batch of more than 8,192 activations would let the page wait too long for each step: take a smaller one",
        ));
    }
    Ok(config)
}
