//! A visitor's session: what is open, and the answers to the page's requests. The same code runs in the
//! browser's worker (`web`) and natively (tests compare the two).
//!
//! A session does one thing at a time. Training goes on between requests, in slices ([`Session::work`]).

mod clock;
pub mod features;
mod given;
mod library;
pub mod measure;
pub mod patch;
pub mod patch_prompts;
mod problem;
pub mod protocol;
#[cfg(test)]
mod protocol_types;
pub mod read;
pub mod state;
pub mod steer;
mod steer_effect;
mod subject;
mod survey;
pub mod train;
mod training;

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub use library::Dictionary;
pub use problem::{Problem, Result, Trouble};
pub use subject::Subject;

use crate::gpu::{Gpu, GpuOptions};
use library::Library;
use protocol::{Event, Reply, Request};
use read::Read;
use state::{Adapter, State};
use training::Training;

/// Named bytes.
pub type Files = Vec<(String, Vec<u8>)>;

/// Where events go.
pub type Out<'a> = &'a mut dyn FnMut(&Event);

/// Ends what a session is doing at its next step. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Asks for it.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// An error if it was asked for.
    ///
    /// # Errors
    /// [`Trouble::Stopped`].
    pub fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) {
            return Err(Problem::stopped());
        }
        Ok(())
    }
}

/// What is open.
#[derive(Default)]
pub struct Session {
    options: GpuOptions,
    gpu: Option<Gpu>,
    subject: Option<Subject>,
    library: Library,
    /// The text to train on and to look for examples in: its name and itself.
    text: Option<(String, String)>,
    training: Option<Training>,
    /// The text that was read last.
    kept: Option<Rc<Read>>,
    stop: Stop,
}

impl Session {
    /// Nothing is open.
    pub fn new() -> Session {
        Session::default()
    }

    /// As [`Session::new`], on another adapter than the best. Tests use it.
    pub fn with_options(options: GpuOptions) -> Session {
        Session {
            options,
            ..Session::default()
        }
    }

    /// The handle that stops what is running.
    pub fn stop(&self) -> Stop {
        self.stop.clone()
    }

    /// Answers a request; `files` are those that came with it. Gives the reply and its files.
    ///
    /// # Errors
    /// What went wrong, in words for the page. What was open stays open.
    pub async fn handle(
        &mut self,
        request: Request,
        files: Files,
        out: Out<'_>,
    ) -> Result<(Reply, Files)> {
        self.stop.0.store(false, Ordering::Relaxed);
        if request.changes_readings() {
            self.kept = None;
        }
        // An error that the driver reported late, of memory say, stays with its device. What it was for has
        // been said; for everything else there is a new one. A lost device waits for `Request::Open`.
        let broken = |e: &Problem| matches!(e.trouble, Trouble::Memory | Trouble::Internal);
        if self.failure().as_ref().is_some_and(broken) {
            self.open(&mut *out).await?;
        }
        let answer = self.answer(request, files, out).await;
        // A failed device is behind whatever else may seem wrong.
        answer.map_err(|e| self.failure().unwrap_or(e))
    }

    /// What has happened to the device, if anything.
    fn failure(&self) -> Option<Problem> {
        let failed = self.gpu.as_ref()?.check().err()?;
        Some(failed.into())
    }

    async fn answer(
        &mut self,
        request: Request,
        files: Files,
        out: Out<'_>,
    ) -> Result<(Reply, Files)> {
        let reply = match request {
            Request::State => self.state(),
            Request::Open => {
                self.open(out).await?;
                self.state()
            }
            Request::Atlas => {
                self.library.add_atlas(&files)?;
                self.state()
            }
            Request::Model { name } => {
                self.open_model(name, files).await?;
                self.state()
            }
            Request::Dictionary { name } => {
                self.open_dictionary(&name, files)?;
                self.state()
            }
            Request::Use { dictionary } => {
                self.library.choose(&dictionary)?;
                self.state()
            }
            Request::Text => {
                self.take_text(files)?;
                self.state()
            }
            Request::Read(request) => Reply::Read(self.read(&request).await?),
            Request::List(request) => Reply::List(self.list(&request, out).await?),
            Request::Feature(request) => Reply::Feature(self.feature(&request, out).await?),
            Request::Test(request) => Reply::Html {
                html: self.test(&request).await?,
            },
            Request::Export(request) => {
                let files = self.export(&request, out).await?;
                return Ok((self.state(), files));
            }
            Request::Steer(request) => Reply::Steer(self.steer(&request, out).await?),
            Request::Knobs(request) => Reply::Knobs(self.knobs(&request).await?),
            Request::Patch(request) => Reply::Patch(self.patch(&request, out).await?),
            Request::Train(request) => Reply::Training(self.train(&request, out).await?),
            Request::Pause => Reply::Training(self.pause(true).await?),
            Request::Resume => Reply::Training(self.pause(false).await?),
            Request::Finish => {
                self.finish(out).await?;
                self.state()
            }
            Request::Discard => {
                self.training = None;
                if let Some(gpu) = &self.gpu {
                    gpu.trim();
                }
                self.state()
            }
            Request::Save => {
                let files = self.save().await?;
                return Ok((self.state(), files));
            }
            Request::SelfTest(request) => Reply::SelfTest(self.self_test(&request, out).await?),
            Request::Measure(request) => Reply::Measure(self.measure(&request).await?),
            Request::Lose => {
                self.gpu()?.destroy();
                self.state()
            }
        };
        Ok((reply, Files::new()))
    }

    /// Goes on with training for a moment. Gives whether there is more to do.
    ///
    /// # Errors
    /// What went wrong; a training that failed has ended.
    pub async fn work(&mut self, out: Out<'_>) -> Result<bool> {
        self.train_slice(out).await
    }

    fn state(&self) -> Reply {
        Reply::State(State {
            adapter: self.gpu.as_ref().map(|gpu| Adapter {
                line: gpu.description().line(),
                software: gpu.is_software(),
            }),
            model: self.subject.as_ref().map(Subject::described),
            dictionaries: self.library.described(),
            dictionary: self.library.chosen_name().map(str::to_owned),
            text: self.text.as_ref().map(|(name, _)| name.clone()),
            training: self.training.as_ref().map(|t| t.state(true)),
            memory: self
                .gpu
                .as_ref()
                .map_or(0.0, |gpu| gpu.memory().in_use as f64),
        })
    }

    /// The GPU, which must be open and not lost.
    fn gpu(&self) -> Result<&Gpu> {
        let gpu = self
            .gpu
            .as_ref()
            .ok_or_else(|| Problem::input("load the model first: the GPU is not open yet"))?;
        gpu.check()?;
        Ok(gpu)
    }

    fn subject(&self) -> Result<&Subject> {
        self.subject
            .as_ref()
            .ok_or_else(|| Problem::input("load the model first"))
    }

    async fn open(&mut self, out: Out<'_>) -> Result<()> {
        if self.gpu().is_ok() {
            return Ok(());
        }
        let gpu = Gpu::open(&self.options).await?;
        // What was on a lost device is made again from the bytes that are kept.
        if let Some(subject) = &mut self.subject {
            subject.reopen(&gpu)?;
        }
        self.library.reopen(&gpu)?;
        if let Some(training) = &mut self.training {
            training.reopen(&gpu, self.subject.as_ref(), out)?;
        }
        self.kept = None;
        self.gpu = Some(gpu);
        Ok(())
    }

    async fn open_model(&mut self, name: String, files: Files) -> Result<()> {
        if self.training.is_some() {
            return Err(Problem::input(
                "a dictionary is being trained: end the training first",
            ));
        }
        let gpu = self.gpu()?.clone();
        let subject = Subject::open(&gpu, name, files)?;
        gpu.settle().await?;
        self.library.follow(&gpu, &subject);
        self.subject = Some(subject);
        Ok(())
    }

    fn open_dictionary(&mut self, name: &str, files: Files) -> Result<()> {
        let gpu = self.gpu()?.clone();
        let files = given::dictionary(files)?;
        let subject = self.subject.as_ref();
        self.library.add_files(&gpu, subject, name, files)
    }

    fn take_text(&mut self, files: Files) -> Result<()> {
        let Some((name, bytes)) = files.into_iter().next() else {
            return Err(Problem::input("no text came with the request"));
        };
        let bytes = library::inflated(&name, bytes)?;
        let text = String::from_utf8(bytes)
            .map_err(|_| Problem::input(format!("{name} is not a text in UTF-8")))?;
        self.text = Some((name.trim_end_matches(".gz").to_owned(), text));
        Ok(())
    }
}
