//! `mosaec bench` runs and reports; no test here depends on how fast anything is.

mod common;

use common::cli::{fails, json, ok};
use mosaec::gpu::{Gpu, GpuOptions, TimeBy};
use mosaec::ops::matmul::{Product, matmul};
use mosaec::ops::row_sum::{RowSum, row_sum};

fn positive(value: &serde_json::Value) -> bool {
    value.as_f64().is_some_and(|v| v > 0.0 && v.is_finite())
}

#[test]
fn quick_bench_measures_every_suite() {
    let dir = tempfile::tempdir().unwrap();
    let report = json(dir.path(), "bench --quick --json");
    assert_eq!(report["schema"], 1);
    assert!(report["adapter"]["driver"].is_string());
    assert!(positive(&report["ceilings"]["copy_gb_s"]));
    assert!(positive(&report["ceilings"]["product_gflop_s"]));
    for layout in ["nt", "nn", "tn"] {
        let products = report["products"].as_array().unwrap();
        let row = products.iter().find(|p| p["layout"] == layout).unwrap();
        assert!(positive(&row["gflop_s"]) && positive(&row["gb_s"]));
    }
    let kernels = report["kernels"].as_array().unwrap();
    for work in ["topk_quick", "tied_quick", "forward_inkling-4l"] {
        let of: Vec<_> = kernels.iter().filter(|k| k["work"] == work).collect();
        let share: f64 = of.iter().map(|k| k["share"].as_f64().unwrap()).sum();
        assert!(
            (share - 1.0).abs() < 1e-6,
            "{work}: shares add up to {share}"
        );
    }
    for step in report["train"].as_array().unwrap() {
        assert!(positive(&step["time"]["ms"]) && positive(&step["tokens_per_s"]));
        assert!(positive(&step["l0"]));
        // What is counted by hand is needed, so the peak is at least that.
        assert!(step["peak_bytes"].as_u64() >= step["hand"]["bytes"].as_u64());
        let phases = step["phases"].as_array().unwrap();
        for phase in ["encode", "decode", "weight gradients", "optimiser"] {
            assert!(phases.iter().any(|p| p["phase"] == phase), "no {phase}");
        }
    }
    assert_eq!(report["train"][0]["l0"], 8.0);
    assert!(positive(&report["forward"][0]["tokens_per_s"]));
    assert_eq!(report["forward"][0]["hook"], "blocks.2.hook_resid_post");
    for row in report["pipeline"]["ensembles"].as_array().unwrap() {
        assert_eq!(row["members"], 8);
        assert!(positive(&row["ratio"]));
    }
    assert!(positive(&report["pipeline"]["runs"][0]["ratio"]));
}

#[test]
fn one_work_as_text_and_a_wrong_name() {
    let dir = tempfile::tempdir().unwrap();
    let text = ok(dir.path(), "bench --quick --suite train --shape tied");
    assert!(text.contains("ceilings:") && text.contains("tied_quick"));
    assert!(!text.contains("topk_quick"));
    let args = "bench --quick --suite train --shape nothing";
    fails(
        dir.path(),
        args,
        1,
        &["nothing", "topk_quick", "tied_quick"],
    );
    let args = "bench --suite everything";
    let out = common::cli::mosaec(dir.path(), args).output().unwrap();
    assert_eq!(out.status.code(), Some(2));
}

/// Time by phase and by kernel, with and without timestamp queries; results stay the same.
#[test]
fn time_is_kept_by_name() {
    pollster::block_on(async {
        let mut results = Vec::new();
        for timestamps in [true, false] {
            let options = GpuOptions {
                timestamps,
                adapter: std::env::var("MOSAEC_ADAPTER").ok(),
                ..GpuOptions::default()
            };
            let gpu = Gpu::open(&options).await.unwrap();
            let x: Vec<f32> = (0..64 * 64).map(|i| (i % 7) as f32).collect();
            let a = gpu.upload(&x, &[64, 64]).unwrap();
            let work = |gpu: &Gpu| {
                gpu.phase("one");
                let c = gpu.f32(&[64, 64]).unwrap();
                matmul(gpu, &Product::nt(64, 64, 64), &a, &a, None, &c).unwrap();
                gpu.phase("two");
                row_sum(gpu, &c, 1, RowSum::Values).unwrap()
            };
            assert!(gpu.take_time().await.unwrap().is_empty());
            gpu.start_time(TimeBy::Phase);
            // More than one submission.
            for _ in 0..99 {
                work(&gpu);
            }
            let spans = gpu.take_time().await.unwrap();
            for name in ["one", "two"] {
                let span = spans.iter().find(|s| s.name == name).unwrap();
                assert!(span.seconds > 0.0 && span.dispatches >= 99, "{span:?}");
            }
            gpu.start_time(TimeBy::Kernel);
            results.push(gpu.read(&work(&gpu)).await.unwrap());
            let spans = gpu.take_time().await.unwrap();
            assert!(
                spans
                    .iter()
                    .any(|s| s.name == "row_sum" && s.dispatches > 0)
            );
            assert!(spans.iter().any(|s| s.name.starts_with("matmul")));
            // Nothing is kept any more.
            results.push(gpu.read(&work(&gpu)).await.unwrap());
            assert!(gpu.take_time().await.unwrap().is_empty());
        }
        assert!(results.iter().all(|r| r == &results[0]));
    });
}
