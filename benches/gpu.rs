//! GFLOP/s of the matrix products on the best adapter: `cargo bench`.

use std::time::Instant;

use mosaec::gpu::{Gpu, GpuOptions};
use mosaec::ops::matmul::{Product, Variant, matmul_by};

fn main() {
    pollster::block_on(async {
        let options = GpuOptions {
            adapter: std::env::var("MOSAEC_ADAPTER").ok(),
            ..Default::default()
        };
        let gpu = match Gpu::open(&options).await {
            Ok(gpu) => gpu,
            Err(e) => return eprintln!("error: {e}"),
        };
        println!("{}", gpu.description().line());
        println!("{:<34} {:>8} {:>10}", "product", "ms", "GFLOP/s");
        for (name, q) in [
            (
                "encoder   nt 1024 x 1024 x 128",
                Product::nt(1024, 1024, 128),
            ),
            (
                "decoder   nn 1024 x 128 x 1024",
                Product::new(1024, 128, 1024),
            ),
            (
                "gradient  tn 1024 x 128 x 1024",
                Product::tn(1024, 128, 1024),
            ),
            ("mlp in    nt 4096 x 512 x 128", Product::nt(4096, 512, 128)),
            ("mlp out   nt 4096 x 128 x 512", Product::nt(4096, 128, 512)),
            (
                "square    nt 1024 x 1024 x 1024",
                Product::nt(1024, 1024, 1024),
            ),
            ("narrow    nn 1024 x 32 x 128", Product::new(1024, 32, 128)),
            (
                "mlp out   nn 4096 x 128 x 512",
                Product::new(4096, 128, 512),
            ),
            ("one row   nt 1 x 512 x 128", Product::nt(1, 512, 128)),
        ] {
            for variant in [Variant::Direct, Variant::Uniform, Variant::Tiled] {
                let run = || -> mosaec::gpu::Result<_> {
                    let a = gpu.zeros(&[q.m * q.k])?;
                    let b = gpu.zeros(&[q.k * q.n])?;
                    let c = gpu.zeros(&[q.m * q.n])?;
                    Ok((a, b, c))
                };
                let (a, b, c) = run().expect("memory");
                let once = || matmul_by(&gpu, variant, &q, &a, &b, None, &c).expect("shapes");
                once();
                gpu.settle().await.expect("device");
                let start = Instant::now();
                let mut count = 0;
                while start.elapsed().as_secs_f64() < 0.5 {
                    for _ in 0..4 {
                        once();
                    }
                    count += 4;
                    gpu.settle().await.expect("device");
                }
                let seconds = start.elapsed().as_secs_f64() / f64::from(count);
                println!(
                    "{name:<34} {:>8.2} {:>10.1} {variant:?}",
                    1e3 * seconds,
                    q.flops() / seconds / 1e9
                );
            }
        }
    });
}
