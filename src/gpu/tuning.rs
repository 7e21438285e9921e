//! Measuring on the device, and remembering what was measured.

use super::choices::{BUDGET, Choice};
use super::{Gpu, Needs, Result, Tune, lock};

impl Gpu {
    /// Whether this device was opened with what a kernel needs.
    pub fn supports(&self, needs: Needs) -> bool {
        self.0.extras.has(needs)
    }

    /// Whether kernels made for GPUs run here: everywhere but on CPU rasterisers.
    pub fn runs_gpu_kernels(&self) -> bool {
        !self.is_software() || self.0.tune == Tune::Always
    }

    /// Whether matrices of a language model are held as f16.
    pub fn half_weights(&self) -> bool {
        self.0.half_weights
    }

    /// Operations in one dispatch: about 100 ms on a slow adapter of its kind (20 GFLOP/s on two
    /// cores, 0.2 TFLOP/s on integrated graphics, 1 TFLOP/s on a card), lest a watchdog end it. `gflops`:
    /// what was measured; then 50 ms of that.
    pub fn operations_per_dispatch(&self, gflops: Option<f64>) -> f64 {
        let by_kind = match self.description().kind.as_str() {
            "software" => 2e9,
            "discrete" | "virtual" => 1e11,
            // A browser does not say what it runs on.
            _ => 2e10,
        };
        match gflops {
            Some(rate) if !self.is_software() => (rate * 5e7).clamp(2e9, 1e12),
            _ => by_kind,
        }
    }

    /// What was chosen for a class of work, now or by an earlier process on this adapter.
    pub fn choice(&self, class: &str) -> Option<Choice> {
        self.0
            .choices
            .as_ref()
            .and_then(|choices| lock(choices).get(class).cloned())
    }

    /// Keeps what was chosen.
    pub fn remember(&self, class: String, choice: Choice) {
        if let Some(choices) = &self.0.choices {
            lock(choices).put(class, choice);
        }
    }

    /// Whether there is still time for measuring in this process.
    pub fn may_measure(&self) -> bool {
        self.0
            .choices
            .as_ref()
            .is_some_and(|choices| lock(choices).spent < BUDGET)
    }

    /// Seconds that `work` takes from submission to completion, everything before it done. In a
    /// browser, which cannot wait, always zero.
    ///
    /// # Errors
    /// Whatever `work` reports, or a lost device.
    pub fn time(&self, work: impl FnOnce() -> Result<()>) -> Result<f64> {
        self.flush();
        self.wait();
        #[cfg(not(target_arch = "wasm32"))]
        let start = std::time::Instant::now();
        work()?;
        self.flush();
        self.wait();
        #[cfg(not(target_arch = "wasm32"))]
        let seconds = start.elapsed().as_secs_f64();
        #[cfg(target_arch = "wasm32")]
        let seconds = 0.0;
        if let Some(choices) = &self.0.choices {
            lock(choices).spent += seconds;
        }
        self.check()?;
        Ok(seconds)
    }

    fn wait(&self) {
        // A lost device is found by `check`.
        let _ = self.0.device.poll(wgpu::PollType::wait_indefinitely());
    }

    /// Lines for the user about how this device was opened; none as a rule.
    pub fn notes(&self) -> Vec<String> {
        let choices = self.0.choices.as_ref();
        choices
            .and_then(|choices| lock(choices).note.clone())
            .into_iter()
            .collect()
    }
}
