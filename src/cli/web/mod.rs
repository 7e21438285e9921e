//! `mosaec web`: the page in the browser, served on this machine.

mod render;
mod serve;
mod site;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};

use super::common::{say, usage};
use super::options::Global;
use site::Site;

/// Serve the page in the browser on this machine, or write it out for a web server
///
/// The page does in a tab what this program does in the terminal: it needs no server but for its files,
/// and nothing that is typed or dropped into it leaves it. Example: mosaec web --port 8087
#[derive(clap::Args)]
pub(super) struct Args {
    /// Port on 127.0.0.1
    #[arg(long, default_value_t = 8087, value_name = "P")]
    port: u16,
    /// Serve this folder (as `scripts/web` writes it) instead of the page in this binary
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Write the page's files into this folder instead of serving them
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write DIR/index.html for the files in DIR; `scripts/web` does
    #[arg(long, value_name = "DIR", hide = true)]
    render: Option<PathBuf>,
}

pub(super) async fn run(global: &Global, args: &Args) -> Result<()> {
    if let Some(folder) = &args.render {
        return render::render(folder);
    }
    let site = match &args.folder {
        Some(folder) => Site::folder(folder)?,
        None => Site::bundle().ok_or_else(|| {
            usage(
                "this binary was built without the page: give --folder web/dist (made by scripts/web), or \
                 build it with the feature `bundle`",
            )
        })?,
    };
    if let Some(out) = &args.out {
        let files = site.write(out)?;
        say(
            global,
            &format!("written: {} ({files} files)", out.display()),
        );
        return Ok(());
    }
    let address = serve::address(args.port);
    let server = serve::start(Arc::new(site), address)
        .with_context(|| format!("port {}: give another one with --port", args.port))?;
    println!("http://{address}/");
    server.join().context("the server ended")
}
