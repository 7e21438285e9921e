//! A visitor's session without a browser: one request a line on standard input, one answer a line on
//! standard output. What the page's worker does, this does on a native adapter.
//!
//! A line is a request of `session::protocol` as JSON; `files` beside it names files to send with it, and
//! `{"kind":"work","slices":30}` lets a training go on. Files of an answer are written into `--out DIR`.
//!
//! ```text
//! cargo run --release --example session -- --out saved < requests.jsonl
//! ```
#[cfg(target_arch = "wasm32")]
fn main() {}

#[cfg(not(target_arch = "wasm32"))]
fn main() -> anyhow::Result<()> {
    pollster::block_on(native::run())
}

#[cfg(not(target_arch = "wasm32"))]
mod native {
    use std::io::BufRead;
    use std::path::{Path, PathBuf};
    use std::time::Instant;

    use anyhow::{Context, Result};
    use mosaec::session::protocol::{Event, Request};
    use mosaec::session::{Files, Session};
    use serde_json::{Value, json};

    pub(super) async fn run() -> Result<()> {
        let out = out_folder();
        let mut session = Session::new();
        for line in std::io::stdin().lock().lines() {
            let line = line?;
            if line.trim().is_empty() {
                continue;
            }
            let request: Value = serde_json::from_str(&line).context(line)?;
            let started = Instant::now();
            let mut answer = if request["kind"] == "work" {
                work(&mut session, request["slices"].as_u64().unwrap_or(1)).await
            } else {
                ask(&mut session, request, out.as_deref()).await?
            };
            answer["ms"] = json!(started.elapsed().as_millis() as u64);
            println!("{answer}");
        }
        Ok(())
    }

    fn out_folder() -> Option<PathBuf> {
        let mut arguments = std::env::args().skip_while(|a| a != "--out");
        arguments.nth(1).map(PathBuf::from)
    }

    async fn ask(session: &mut Session, mut request: Value, out: Option<&Path>) -> Result<Value> {
        let files = match request.as_object_mut().and_then(|r| r.remove("files")) {
            Some(names) => read(&serde_json::from_value::<Vec<PathBuf>>(names)?)?,
            None => Files::new(),
        };
        let request: Request = serde_json::from_value(request)?;
        let mut events = 0;
        let answer = session
            .handle(request, files, &mut |_: &Event| events += 1)
            .await;
        Ok(match answer {
            Ok((reply, files)) => {
                for (name, bytes) in &files {
                    if let Some(out) = out {
                        std::fs::create_dir_all(out)?;
                        std::fs::write(out.join(name), bytes)?;
                    }
                }
                let sizes: Vec<_> = files.iter().map(|(n, b)| json!([n, b.len()])).collect();
                json!({ "reply": reply, "files": sizes, "events": events })
            }
            Err(problem) => json!({ "problem": problem }),
        })
    }

    /// Slices of training; gives the last event.
    async fn work(session: &mut Session, slices: u64) -> Value {
        let mut last = Value::Null;
        let mut more = true;
        for _ in 0..slices {
            let slice = session.work(&mut |e: &Event| last = json!(e)).await;
            match slice {
                Ok(go_on) => more = go_on,
                Err(problem) => return json!({ "problem": problem }),
            }
            if !more {
                break;
            }
        }
        json!({ "event": last, "more": more })
    }

    fn read(paths: &[PathBuf]) -> Result<Files> {
        let one = |path: &PathBuf| {
            let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            Ok((name.into_owned(), bytes))
        };
        paths.iter().map(one).collect()
    }
}
