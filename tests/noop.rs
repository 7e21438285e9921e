//! wgpu's own validation at WebGPU's default limits, on the back end that executes nothing: layouts,
//! pipelines, bind groups, dispatch sizes, copies.

use mosaec::gpu::{Gpu, GpuOptions, WINDOW};
use mosaec::ops::{KERNELS, cases};

fn open() -> Gpu {
    let options = GpuOptions {
        noop: true,
        default_limits: true,
        ..GpuOptions::default()
    };
    let gpu = pollster::block_on(Gpu::open(&options)).expect("the noop back end");
    assert_eq!(gpu.description().backend, "noop");
    gpu
}

#[test]
fn every_case_records_without_a_validation_error() {
    let gpu = open();
    for case in cases::all() {
        (case.build)(&gpu)
            .map(drop)
            .and_then(|()| {
                gpu.flush();
                gpu.check()
            })
            .unwrap_or_else(|e| panic!("{} {}: {e}", case.kernel, case.what));
    }
    assert!(gpu.recorded().0 > 0, "nothing was recorded");
}

/// The cases choose kernels by adapter, so some never run on noop: one bare dispatch of each.
#[test]
fn every_kernel_and_variant_builds_and_binds() {
    let gpu = open();
    for kernel in KERNELS {
        // noop at default limits has no optional features.
        if !gpu.supports(kernel.needs) {
            continue;
        }
        let tensors: Vec<_> = kernel
            .accesses()
            .iter()
            .map(|_| gpu.f32(&[WINDOW as usize / 4]).expect("memory"))
            .collect();
        let bound: Vec<_> = tensors.iter().collect();
        for variant in kernel.variants {
            gpu.dispatch(kernel, variant, &[0u32; 64], &bound, [1, 1, 1])
                .and_then(|()| {
                    gpu.flush();
                    gpu.check()
                })
                .unwrap_or_else(|e| panic!("{} {variant:?}: {e}", kernel.name));
        }
    }
}
