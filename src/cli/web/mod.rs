//! `mosaec web`: the page in the browser, served on this machine.

mod render;
mod serve;
mod site;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};

use super::common::{say, usage};
use super::options::{EMBEDDED, Global};
use crate::data::embedded;
use crate::data::tensors::write_atomically;
use crate::report::results::PageLink;
use site::Site;

/// Where the page is served unless --port says otherwise.
const PORT: u16 = 8087;

/// The page with a dictionary in it, for reports.
pub(super) fn link(sae: &Path, model: &str) -> PageLink {
    let model = if model == EMBEDDED {
        String::new()
    } else {
        format!(" --model {model}")
    };
    PageLink {
        command: format!("mosaec web --sae {}{model}", sae.display()),
        address: format!("http://{}/", serve::address(PORT)),
    }
}

/// Serve the page in the browser on this machine, or write it out for a web server
///
/// The page does in a tab what this program does in the terminal: it needs no server but for its files,
/// and nothing that is typed or dropped into it leaves it. Example: mosaec web --sae run/sae
#[derive(clap::Args)]
pub(super) struct Args {
    /// Port on 127.0.0.1
    #[arg(long, default_value_t = PORT, value_name = "P")]
    port: u16,
    /// Serve this folder (as `scripts/web` writes it) instead of the page in this binary
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// A dictionary that the page opens with the model: a folder in SAELens' layout
    #[arg(long, value_name = "DIR")]
    sae: Option<PathBuf>,
    /// The model that the page loads: a folder in Hugging Face layout, or `embedded`
    #[arg(long, default_value = EMBEDDED, value_name = "M")]
    model: String,
    /// Write the page's files into this folder instead of serving them
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write DIR/index.html for the files in DIR; `scripts/web` does
    #[arg(long, value_name = "DIR", hide = true)]
    render: Option<PathBuf>,
}

pub(super) async fn run(global: &Global, args: &Args) -> Result<()> {
    if let Some(folder) = &args.render {
        let site = Site::parts(folder)?;
        let html = render::document(&site, embedded::MODEL_NAME, None)?;
        let at = folder.join("index.html");
        return write_atomically(&at, html.as_bytes()).with_context(|| at.display().to_string());
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
    let site = with_own(site, args)?;
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

/// The site with the model and the dictionary that were asked for.
fn with_own(mut site: Site, args: &Args) -> Result<Site> {
    let own = args.sae.as_deref();
    if own.is_none() && args.model == EMBEDDED {
        return Ok(site);
    }
    let mut model = embedded::MODEL_NAME.to_owned();
    if args.model != EMBEDDED {
        let folder = Path::new(&args.model);
        site = site.with_folder("model/", folder, |name| {
            matches!(name, "config.json" | "tokenizer.json") || name.ends_with(".safetensors")
        })?;
        for name in ["config.json", "tokenizer.json"] {
            if site.get(&format!("model/{name}")).is_none() {
                bail!("{}: no {name} in it", folder.display());
            }
        }
        model = name_of(folder);
    }
    if let Some(folder) = own {
        site = site.with_folder("own/", folder, |name| {
            matches!(
                name,
                "cfg.json" | "sae_weights.safetensors" | "sparsity.safetensors"
            )
        })?;
        if site.get("own/cfg.json").is_none() {
            bail!(
                "{}: no cfg.json in it. Give the folder of a dictionary, run/sae say",
                folder.display()
            );
        }
    }
    let html = render::document(&site, &model, own.map(name_of).as_deref())?;
    Ok(site.with_file("index.html", html.into_bytes()))
}

/// `run/sae` of a path that ends so: `sae` alone says little.
fn name_of(folder: &Path) -> String {
    let whole = folder
        .canonicalize()
        .unwrap_or_else(|_| folder.to_path_buf());
    let mut parts: Vec<_> = whole
        .components()
        .rev()
        .take(2)
        .map(|c| c.as_os_str().to_string_lossy().into_owned())
        .collect();
    parts.reverse();
    if parts.last().is_some_and(|last| last.starts_with("sae")) {
        parts.join("/")
    } else {
        parts.pop().unwrap_or_default()
    }
}
