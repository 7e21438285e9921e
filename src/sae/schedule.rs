//! Learning-rate schedule.

use super::config::TrainConfig;

/// The factor on the learning rate at `step` (counted from 0): linear warm-up, constant, linear decay.
/// The first step of a warm-up of n has factor 1/n, so no step is lost.
pub fn factor(config: &TrainConfig, step: u64) -> f64 {
    let up = if config.warmup == 0 {
        1.0
    } else {
        ((step + 1) as f64 / config.warmup as f64).min(1.0)
    };
    let falling = (config.decay * config.steps as f64).round();
    if falling < 1.0 {
        return up;
    }
    let left = config.steps.saturating_sub(step) as f64;
    up * (left / falling).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sae::config::{Arch, Member};

    #[test]
    fn rises_stays_and_falls() {
        let member = Member {
            l1: 0.0,
            k: 4,
            seed: 0,
        };
        let mut c = TrainConfig::new(Arch::TopK, 8, 16, vec![member], 100);
        c.warmup = 10;
        c.decay = 0.2;
        assert!((factor(&c, 0) - 0.1).abs() < 1e-12);
        assert!((factor(&c, 9) - 1.0).abs() < 1e-12);
        assert!((factor(&c, 79) - 1.0).abs() < 1e-12);
        assert!((factor(&c, 90) - 0.5).abs() < 1e-12);
        assert!((factor(&c, 99) - 0.05).abs() < 1e-12);
    }
}
