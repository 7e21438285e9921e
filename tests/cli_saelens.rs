//! Dictionaries that mosaec trained, read with the Python package sae-lens: the same codes and the same
//! reconstructions. Needs a Python that has it: `MOSAEC_PYTHON=venv/bin/python cargo test --test cli_saelens`.

mod common;

use std::process::Command;

use common::cli::{checkout, ok, write_text};
use mosaec::data::tensors::{NamedTensor, serialize};
use mosaec::sae::Sae;

#[test]
fn sae_lens_computes_the_same() {
    let Some(python) = std::env::var_os("MOSAEC_PYTHON") else {
        eprintln!("skipped: MOSAEC_PYTHON names no Python with sae-lens");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    write_text(dir.path(), 60_000);
    let site = "--text text.txt --context 32 --hook blocks.1.hook_resid_post";
    ok(
        dir.path(),
        &format!("harvest {site} --max-tokens 8192 --out acts"),
    );
    let size = "--features 256 --batch 256 --lr 3e-3 --max-tokens 40960";
    let gpu = common::gpu();
    let shard = dir
        .path()
        .join("acts/blocks.1.hook_resid_post.00000.safetensors");
    let (values, shape) = common::cli::tensors(&shard).f32("activations").unwrap();
    let (rows, width) = (512, shape[1]);
    let x = &values[..rows * width];
    for (arch, option) in [
        ("topk", "--k 8"),
        ("relu", "--l1 3e-3"),
        ("tied", "--l1 3e-3"),
    ] {
        ok(
            dir.path(),
            &format!("train --activations acts --arch {arch} {option} {size} --out {arch}"),
        );
        let folder = dir.path().join(arch).join("sae");
        let sae = Sae::load(&gpu, &folder).unwrap();
        let codes = sae
            .encode(&gpu, &gpu.upload(x, &[rows, width]).unwrap())
            .unwrap();
        let recon = sae.decode(&gpu, &codes).unwrap();
        let read = |t| pollster::block_on(gpu.read(t)).unwrap();
        let file = [
            NamedTensor::f32("x", &[rows, width], x),
            NamedTensor::f32("codes", &[rows, sae.d_sae], &read(&codes)),
            NamedTensor::f32("recon", &[rows, width], &read(&recon)),
        ];
        let values = dir.path().join("values.safetensors");
        std::fs::write(&values, serialize(&file, Default::default()).unwrap()).unwrap();
        let script = checkout("tests/golden/check_sae_lens.py");
        let out = Command::new(&python)
            .arg(script)
            .arg(&folder)
            .arg(&values)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&out.stdout);
        eprintln!("{arch}\n{said}");
        assert!(
            out.status.success(),
            "{arch}: {said}{}",
            String::from_utf8_lossy(&out.stderr)
        );
        assert!(!said.contains("warning"), "{said}");
    }
}
