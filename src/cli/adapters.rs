//! `mosaec adapters`

use anyhow::Result;

use super::common::print_json;
use crate::gpu::adapter;

/// List the GPU adapters of this machine, best first
///
/// Example: mosaec adapters --json
#[derive(clap::Args)]
pub(super) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &Args) -> Result<()> {
    let adapters = adapter::list().await;
    if args.json {
        return print_json(&adapters);
    }
    if adapters.is_empty() {
        return Err(crate::gpu::GpuError::NoAdapter.into());
    }
    println!(
        "{:<44} {:<8} {:<10} {:>11} {:>12}  driver",
        "adapter", "backend", "kind", "buffer MiB", "binding MiB"
    );
    for a in adapters {
        let mib = |bytes: u64| (bytes >> 20).min(9_999_999);
        println!(
            "{:<44} {:<8} {:<10} {:>11} {:>12}  {}",
            a.name,
            a.backend,
            a.kind,
            mib(a.max_buffer),
            mib(a.max_binding),
            a.driver
        );
    }
    Ok(())
}
