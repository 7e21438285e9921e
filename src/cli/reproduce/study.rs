//! What all sections share: the model, the text, the dictionaries on disk.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, Result};

use super::super::common::{load_contexts, load_model, load_tokenizer, progress, say, split};
use super::super::options::{Global, TextOption};
use super::super::training::{Job, RunConfig, model_source, train_runs};
use super::plan::{Group, Plan, Scale};
use crate::data::{Contexts, Tokenizer};
use crate::gpu::{Gpu, Tensor};
use crate::harvest::{SharedSite, Site, capture, contexts_at_once};
use crate::model::{HookPoint, Model, Tokens};
use crate::sae::run::{Activations, RunFolder};
use crate::sae::{Arch, Member, Sae, StepMetrics, TrainConfig};

/// Model, text and folder of one reproduction.
pub(super) struct Study<'a> {
    pub global: &'a Global,
    pub gpu: Gpu,
    pub plan: Plan,
    pub model_name: String,
    pub model: Rc<Model>,
    pub tokenizer: Tokenizer,
    pub text: TextOption,
    pub train: Rc<Contexts>,
    pub held: Contexts,
    pub out: PathBuf,
    /// Root mean square of an activation's coordinates at the middle layer.
    pub rms: f64,
    random: Option<Rc<Model>>,
}

/// The dictionaries of one site of a group.
pub(super) struct Trained {
    pub site: Site,
    pub saes: Vec<Sae>,
    pub metrics: Vec<StepMetrics>,
    pub config: RunConfig,
}

impl<'a> Study<'a> {
    pub(super) async fn open(
        global: &'a Global,
        gpu: Gpu,
        scale: Scale,
        (model_name, text): (&str, TextOption),
        out: &Path,
    ) -> Result<Study<'a>> {
        let plan = Plan::new(scale);
        let model = load_model(&gpu, model_name)?;
        let tokenizer = load_tokenizer(model_name, &model)?;
        let (train, held) = split(load_contexts(global, &model, &tokenizer, &text)?)?;
        let n = (plan.train_tokens / text.context).clamp(1, train.len()) * text.context;
        let train = Contexts::from_tokens(&text.text, train.tokens()[..n].to_vec(), text.context)?;
        let mut study = Study {
            global,
            gpu,
            plan,
            model_name: model_name.to_owned(),
            model,
            tokenizer,
            text,
            train: Rc::new(train),
            held,
            out: out.to_owned(),
            rms: 1.0,
            random: None,
        };
        study.rms = study.measure_rms(study.residual(study.middle())).await?;
        Ok(study)
    }

    /// Layers of the model.
    pub(super) fn n_layers(&self) -> usize {
        self.model.config().n_layers
    }

    /// All layers that dictionaries are trained on.
    pub(super) fn layers(&self) -> Vec<usize> {
        Plan::spread(self.n_layers(), self.plan.layers)
    }

    /// The layer of side experiments: the one after half of the model's, for the embedded model the one
    /// where the answer of the indirect object task arrives.
    pub(super) fn middle(&self) -> usize {
        let layers = self.layers();
        layers[layers.len() / 2]
    }

    pub(super) fn site(&self, hook: HookPoint) -> Site {
        Site {
            hook,
            center: self.plan.center,
        }
    }

    pub(super) fn residual(&self, layer: usize) -> Site {
        self.site(HookPoint::resid_post(layer))
    }

    /// The first `tokens` held-out tokens, whole contexts.
    pub(super) fn held(&self, tokens: usize) -> Result<Contexts> {
        let seq = self.held.context();
        let n = (tokens / seq).clamp(1, self.held.len()) * seq;
        let ids = self.held.tokens()[..n].to_vec();
        Ok(Contexts::from_tokens("held-out text", ids, seq)?)
    }

    /// Activations of the first `tokens` training tokens.
    pub(super) fn activations(
        &self,
        model: &Model,
        site: Site,
        tokens: usize,
    ) -> Result<Vec<Tensor>> {
        let seq = self.train.context();
        let ids = self.train.tokens();
        let ids = &ids[..((tokens / seq).max(1) * seq).min(ids.len())];
        let mut rows = Vec::new();
        for ids in ids.chunks(contexts_at_once(seq) * seq) {
            rows.extend(capture(&self.gpu, model, &Tokens::new(ids, seq)?, &[site])?);
        }
        Ok(rows)
    }

    /// Root mean square of the coordinates at `site`, on a thousand tokens.
    pub(super) async fn measure_rms(&self, site: Site) -> Result<f64> {
        let rows = self.activations(&self.model, site, 1024)?;
        let (mut sum, mut n) = (0.0, 0.0);
        for x in &rows {
            for v in self.gpu.read(x).await? {
                sum += f64::from(v) * f64::from(v);
                n += 1.0;
            }
        }
        Ok(f64::max((sum / f64::max(n, 1.0)).sqrt(), 1e-6))
    }

    /// A coefficient of the plan in the code's units, in the residual stream.
    pub(super) fn alpha(&self, of_plan: f64) -> f64 {
        self.scaled(of_plan, self.rms)
    }

    fn scaled(&self, of_plan: f64, rms: f64) -> f64 {
        if !self.plan.relative_alphas {
            return of_plan;
        }
        // Three digits are enough to name it by.
        let value = of_plan * rms;
        format!("{value:.2e}").parse().unwrap_or(value)
    }

    /// The same architecture with weights drawn at random.
    pub(super) async fn random_model(&mut self) -> Result<Rc<Model>> {
        if let Some(model) = &self.random {
            return Ok(model.clone());
        }
        let made = if self.model_name == super::super::options::EMBEDDED {
            Model::embedded_randomised(&self.gpu, 0)?
        } else {
            Model::load_randomised(&self.gpu, Path::new(&self.model_name), 0)?
        };
        let made = Rc::new(made);
        self.random = Some(made.clone());
        Ok(made)
    }

    /// The grid of tied dictionaries in the residual stream of every layer: the paper's main sweep.
    pub(super) fn grid(&self) -> Group {
        let hook = |layer: usize| HookPoint::resid_post(layer).to_string();
        Group {
            name: "tied".to_owned(),
            arch: Arch::Tied,
            ratio: self.plan.ratio,
            alphas: self.plan.alphas.to_vec(),
            ks: Vec::new(),
            seed: 0,
            hooks: self.layers().into_iter().map(hook).collect(),
            rms: self.rms,
            random_model: false,
        }
    }

    /// As the grid with fewer coefficients, at the middle layer.
    pub(super) fn side(&self, name: &str) -> Group {
        Group {
            name: name.to_owned(),
            alphas: self.plan.few_alphas.to_vec(),
            hooks: vec![HookPoint::resid_post(self.middle()).to_string()],
            ..self.grid()
        }
    }

    /// Another size at the middle layer; the grid itself has the plan's own ratio.
    pub(super) fn sized(&self, ratio: f64) -> Group {
        Group {
            ratio,
            ..self.side(&format!("tied-R{ratio}"))
        }
    }

    /// TopK dictionaries of every layer.
    pub(super) fn topk(&self) -> Group {
        let (ratio, ks) = self.plan.topk;
        Group {
            name: "topk".to_owned(),
            arch: Arch::TopK,
            ratio,
            alphas: Vec::new(),
            ks: ks.to_vec(),
            ..self.grid()
        }
    }

    /// The dictionaries of `group`: from the folder if they are there, trained (or trained on) if not.
    pub(super) async fn trained(&mut self, group: &Group) -> Result<Vec<Trained>> {
        let model = match group.random_model {
            true => self.random_model().await?,
            false => self.model.clone(),
        };
        let sites: Vec<Site> = group
            .hooks
            .iter()
            .map(|hook| Ok(self.site(hook.parse()?)))
            .collect::<Result<_>>()?;
        let mut folders = Vec::new();
        for site in &sites {
            folders.push(self.folder(group, &model, *site)?);
        }
        let members = group.alphas.len().max(group.ks.len());
        let done = |folder: &RunFolder| {
            (0..members).all(|i| folder.sae(i, members).join("cfg.json").exists())
        };
        if !folders.iter().all(|(folder, _)| done(folder)) {
            self.train(group, &model, &sites, &folders).await?;
        }
        let mut all = Vec::with_capacity(sites.len());
        for (site, (folder, config)) in sites.into_iter().zip(folders) {
            let load = |i| Ok(Sae::load(&self.gpu, &folder.sae(i, members))?);
            all.push(Trained {
                site,
                saes: (0..members).map(load).collect::<Result<_>>()?,
                metrics: folder.metrics()?,
                config,
            });
        }
        Ok(all)
    }

    fn folder(&self, group: &Group, model: &Model, site: Site) -> Result<(RunFolder, RunConfig)> {
        let path = self
            .out
            .join("runs")
            .join(&group.name)
            .join(site.hook.to_string());
        if path.join("config.toml").exists() {
            return Ok(RunFolder::open::<RunConfig>(&path)?);
        }
        let d_in = site.width(model)?;
        let d_sae = ((group.ratio * d_in as f64).round() as usize).max(1);
        let member = |l1, k| Member {
            l1,
            k,
            seed: group.seed,
        };
        let members: Vec<Member> = match group.arch {
            Arch::TopK => group
                .ks
                .iter()
                .map(|k| member(0.0, (*k).min(d_sae)))
                .collect(),
            _ => group
                .alphas
                .iter()
                .map(|a| member(self.scaled(*a, group.rms), 0))
                .collect(),
        };
        let mut train = TrainConfig::new(group.arch, d_in, d_sae, members, self.plan.steps);
        train.batch = self.plan.batch;
        train.dead_after = 100 * self.plan.batch as u64;
        train.lr = self.plan.lr;
        let config = RunConfig {
            model: match group.random_model {
                true => format!("{}, random weights", self.model_name),
                false => self.model_name.clone(),
            },
            text: self.text.text.clone(),
            activations: String::new(),
            hook: site.hook.to_string(),
            together: Vec::new(),
            context: self.text.context,
            center: self.plan.center,
            max_tokens: self.plan.steps * self.plan.batch as u64,
            seed: 0,
            log_every: (self.plan.steps / 24).max(1),
            checkpoint_every: (self.plan.steps / 4).max(1),
            train,
        };
        let folder = RunFolder::create(&path, &config)
            .with_context(|| format!("cannot begin {}", path.display()))?;
        Ok((folder, config))
    }

    async fn train(
        &self,
        group: &Group,
        model: &Rc<Model>,
        sites: &[Site],
        folders: &[(RunFolder, RunConfig)],
    ) -> Result<()> {
        let what = format!("activations ({})", group.name);
        let total = self.train.tokens().len() as u64;
        let bar = progress(self.global, &what, total, "tokens");
        let buffer = model_source(
            &self.gpu,
            model,
            self.train.clone(),
            sites,
            0,
            Some(bar.clone()),
        )?;
        let mut sources = SharedSite::all(buffer);
        if let Some(first) = sources.first_mut() {
            first
                .batch(0, 1, 1)
                .map_err(super::super::common::source_error)?;
        }
        bar.finish_and_clear();
        let mut jobs: Vec<Job<'_>> = folders
            .iter()
            .zip(&mut sources)
            .map(|((folder, config), source)| Job {
                folder,
                config,
                source,
            })
            .collect();
        train_runs(self.global, &self.gpu, &mut jobs, true).await?;
        drop(jobs);
        drop(sources);
        self.gpu.trim();
        Ok(())
    }

    /// Coefficients of the plan in words.
    pub(super) fn alphas_text(&self, of_plan: &[f64]) -> String {
        let each = of_plan
            .iter()
            .map(|a| super::about::coefficient(self.alpha(*a)));
        each.collect::<Vec<_>>().join(", ")
    }

    /// The text in words.
    pub(super) fn text_name(&self) -> String {
        match self.text.text.as_str() {
            super::super::options::EMBEDDED => "six novels by Jane Austen".to_owned(),
            name => name.to_owned(),
        }
    }

    /// A line about what goes on.
    pub(super) fn say(&self, line: &str) {
        say(self.global, line);
    }
}
