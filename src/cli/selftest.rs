//! `mosaec selftest`

use anyhow::{Result, bail};

use super::common::{open_gpu, print_json, progress, usage};
use super::options::Global;
use crate::ops::cases;

/// Prove on this adapter that every kernel agrees with its CPU reference
///
/// Runs the table of cases that mosaec's own tests run: each kernel against an f64 reference, twice,
/// which must give the same bits. Example: mosaec selftest
#[derive(clap::Args)]
pub(super) struct Args {
    /// Print every case as JSON
    #[arg(long)]
    json: bool,
    /// Only kernels with this in their name
    #[arg(long, value_name = "PART")]
    kernel: Option<String>,
    /// List the cases, run none
    #[arg(long)]
    list: bool,
}

pub(super) async fn run(global: &Global, args: &Args) -> Result<()> {
    let mut all = cases::all();
    if let Some(part) = &args.kernel {
        all.retain(|case| case.kernel.contains(part.as_str()));
        if all.is_empty() {
            return Err(usage(format!(
                "--kernel {part}: no kernel has that in its name; without it all are listed"
            )));
        }
    }
    if args.list {
        return list(&all, args.json);
    }
    let gpu = open_gpu(global).await?;
    let bar = progress(global, "self-test", all.len() as u64, "cases");
    let mut outcomes = Vec::new();
    for case in all {
        outcomes.push(case.run(&gpu).await?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let failed: Vec<_> = outcomes.iter().filter(|o| !o.passed()).collect();
    if args.json {
        print_json(&outcomes)?;
    } else {
        println!(
            "{:<26} {:>6} {:>12} {:>12}",
            "kernel", "cases", "worst error", "allowed"
        );
        let mut kernels: Vec<&str> = outcomes.iter().map(|o| o.kernel.as_str()).collect();
        // Cases of one kernel need not stand together.
        let mut seen = std::collections::HashSet::new();
        kernels.retain(|kernel| seen.insert(*kernel));
        for kernel in kernels {
            let of: Vec<_> = outcomes.iter().filter(|o| o.kernel == kernel).collect();
            let worst = of.iter().max_by(|a, b| {
                (a.error / a.tolerance.max(1e-12)).total_cmp(&(b.error / b.tolerance.max(1e-12)))
            });
            if let Some(worst) = worst {
                println!(
                    "{kernel:<26} {:>6} {:>12.1e} {:>12.1e}",
                    of.len(),
                    worst.error,
                    worst.tolerance
                );
            }
        }
        for f in &failed {
            let why = if f.reproducible {
                "wrong"
            } else {
                "differs from run to run"
            };
            println!(
                "FAILED {} ({}): {why}, error {:.1e} (allowed {:.1e})",
                f.kernel, f.what, f.error, f.tolerance
            );
        }
    }
    if failed.is_empty() {
        if !args.json {
            println!(
                "{} cases agree with their references, bit for bit the same twice",
                outcomes.len()
            );
        }
        return Ok(());
    }
    bail!(
        "{} of {} cases failed on {}: do not trust results of this adapter, and please report it",
        failed.len(),
        outcomes.len(),
        gpu.description().name
    );
}

fn list(all: &[cases::Case], json: bool) -> Result<()> {
    if json {
        let listed = |c: &cases::Case| serde_json::json!({ "kernel": c.kernel, "what": c.what });
        return print_json(&all.iter().map(listed).collect::<Vec<_>>());
    }
    for case in all {
        println!("{:<26} {}", case.kernel, case.what);
    }
    Ok(())
}
