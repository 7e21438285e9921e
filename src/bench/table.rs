//! The report as text, for people.

use std::fmt::Write;

use super::report::{KernelRow, ProductRow, Report, TrainRow};

const MIB: f64 = (1u64 << 20) as f64;

impl Report {
    /// All of it as tables of at most 100 columns.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        // Writing to a String does not fail.
        let _ = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let a = &self.adapter;
        writeln!(out, "{} ({}, {}), {}", a.name, a.backend, a.kind, a.driver)?;
        writeln!(
            out,
            "mosaec {}, wgpu {}, {} threads{}",
            self.mosaec,
            self.wgpu,
            self.threads,
            if self.quick {
                "; --quick: the numbers mean nothing"
            } else {
                ""
            }
        )?;
        let c = &self.ceilings;
        writeln!(
            out,
            "ceilings: copy of {:.0} MiB {:.1} GB/s, best product {:.1} GFLOP/s",
            c.copy_bytes as f64 / MIB,
            c.copy_gb_s,
            c.product_gflop_s
        )?;
        self.products(out)?;
        self.kernels(out)?;
        self.train(out)?;
        if !self.forward.is_empty() {
            writeln!(
                out,
                "\n{:<24}{:>12}{:>10}{:>12}{:>12}{:>12}",
                "forward", "batch", "ms", "tokens/s", "dispatches", "peak MiB"
            )?;
            for r in &self.forward {
                writeln!(
                    out,
                    "{:<24}{:>12}{:>10.1}{:>12.0}{:>12}{:>12.1}",
                    r.shape.work,
                    format!("{} x {}", r.shape.batch, r.shape.context),
                    r.time.ms,
                    r.tokens_per_s,
                    r.dispatches,
                    r.peak_bytes as f64 / MIB
                )?;
            }
        }
        self.pipeline(out)?;
        for r in &self.skipped {
            writeln!(out, "\nskipped {}: {}", r.work, r.why)?;
        }
        Ok(())
    }

    fn products(&self, out: &mut String) -> std::fmt::Result {
        if self.products.is_empty() {
            return Ok(());
        }
        writeln!(
            out,
            "\n{:<28}{:<26}{:>10}{:>10}{:>9}{:>9}",
            "product", "shape", "ms", "GFLOP/s", "of best", "GB/s"
        )?;
        for ProductRow {
            work,
            layout,
            shape: [m, n, k],
            time,
            gflop_s,
            gb_s,
        } in &self.products
        {
            writeln!(
                out,
                "{work:<28}{:<26}{:>10.3}{gflop_s:>10.1}{:>9}{gb_s:>9.1}",
                format!("{layout} {m} x {n} x {k}"),
                time.ms,
                percent(*gflop_s, self.ceilings.product_gflop_s),
            )?;
        }
        Ok(())
    }

    fn kernels(&self, out: &mut String) -> std::fmt::Result {
        let mut work = "";
        for r in &self.kernels {
            if r.work != work {
                work = r.work;
                writeln!(
                    out,
                    "\n{:<34}{:>10}{:>7}{:>6}{:>10}{:>9}{:>9}{:>9}",
                    format!("kernels of {work}"),
                    "ms",
                    "share",
                    "n",
                    "GFLOP/s",
                    "of best",
                    "GB/s",
                    "of copy"
                )?;
            }
            self.kernel(out, r)?;
        }
        Ok(())
    }

    fn kernel(&self, out: &mut String, r: &KernelRow) -> std::fmt::Result {
        let number = |v: Option<f64>| v.map_or(String::new(), |v| format!("{v:.1}"));
        let of = |v: Option<f64>, most: f64| v.map_or(String::new(), |v| percent(v, most));
        writeln!(
            out,
            "  {:<32}{:>10.3}{:>7}{:>6.0}{:>10}{:>9}{:>9}{:>9}",
            r.kernel,
            r.ms,
            percent(r.share, 1.0),
            r.dispatches,
            number(r.gflop_s),
            of(r.gflop_s, self.ceilings.product_gflop_s),
            number(r.gb_s),
            of(r.gb_s, self.ceilings.copy_gb_s)
        )
    }

    fn train(&self, out: &mut String) -> std::fmt::Result {
        if self.train.is_empty() {
            return Ok(());
        }
        writeln!(
            out,
            "\n{:<15}{:>10}{:>11}{:>7}{:>10}{:>18}{:>20}",
            "training step",
            "ms",
            "tokens/s",
            "L0",
            "peak MiB",
            "by hand (ratio)",
            "with pre (ratio)"
        )?;
        for r in &self.train {
            let bytes = |bytes: u64| {
                format!(
                    "{:.1} ({:.2})",
                    bytes as f64 / MIB,
                    r.peak_bytes as f64 / bytes as f64
                )
            };
            writeln!(
                out,
                "{:<15}{:>10.1}{:>11.0}{:>7.1}{:>10.1}{:>18}{:>20}",
                r.shape.work,
                r.time.ms,
                r.tokens_per_s,
                r.l0,
                r.peak_bytes as f64 / MIB,
                bytes(r.hand.bytes),
                bytes(r.hand.bytes_with_pre)
            )?;
            phases(out, r)?;
        }
        Ok(())
    }

    fn pipeline(&self, out: &mut String) -> std::fmt::Result {
        for r in &self.pipeline.ensembles {
            writeln!(
                out,
                "\n{}: one {:.2} ms, {} together {:.2} ms a step: {:.2} times as fast as {} steps",
                r.work, r.single.ms_least, r.members, r.together.ms_least, r.ratio, r.members
            )?;
        }
        for r in &self.pipeline.runs {
            writeln!(
                out,
                "\n{} of {} tokens to dictionaries: model alone {:.2} s, one member {:.2} s ({:.0} tokens/s), {} together {:.2} s: {:.2} times as fast as {} runs",
                r.work,
                r.tokens,
                r.model_s,
                r.single_s,
                r.tokens_per_s,
                r.members,
                r.together_s,
                r.ratio,
                r.members
            )?;
        }
        Ok(())
    }
}

/// `encode 62.0 ms (62 %), select 11.0 ms (11 %), ...`
fn phases(out: &mut String, r: &TrainRow) -> std::fmt::Result {
    let total: f64 = r.phases.iter().map(|p| p.ms).sum();
    let parts: Vec<String> = r
        .phases
        .iter()
        .map(|p| format!("{} {:.1} ms ({})", p.phase, p.ms, percent(p.ms, total)))
        .collect();
    for line in parts.chunks(4) {
        writeln!(out, "    {}", line.join(", "))?;
    }
    Ok(())
}

fn percent(part: f64, whole: f64) -> String {
    format!("{:.0} %", 100.0 * part / whole.max(f64::MIN_POSITIVE))
}
