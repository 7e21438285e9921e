//! The table of cases on the best adapter there is, and on WebGPU's default limits.

use mosaec::gpu::{Gpu, GpuOptions};
use mosaec::ops::cases;

fn run(options: &GpuOptions) {
    pollster::block_on(async {
        let gpu = Gpu::open(options).await.expect("an adapter");
        let mut failed = Vec::new();
        let all = cases::all();
        let count = all.len();
        for case in all {
            let outcome = case.run(&gpu).await.expect("the case runs");
            if !outcome.passed() {
                failed.push(outcome);
            }
        }
        assert!(
            failed.is_empty(),
            "{} of {count} failed: {failed:#?}",
            failed.len()
        );
    });
}

#[test]
fn every_kernel_agrees_with_its_reference() {
    run(&GpuOptions {
        noise: true,
        default_limits: true,
        ..GpuOptions::default()
    });
}

/// As released: what the adapter has, and no run-time checks in kernels that are proven.
#[test]
fn every_kernel_agrees_without_checks_and_with_what_the_adapter_has() {
    run(&GpuOptions {
        noise: true,
        unchecked: true,
        ..GpuOptions::default()
    });
}

#[test]
fn every_kernel_has_a_case() {
    let covered: std::collections::HashSet<_> = cases::all().iter().map(|c| c.kernel).collect();
    for kernel in mosaec::ops::KERNELS {
        assert!(covered.contains(kernel.name), "{} has no case", kernel.name);
    }
}
