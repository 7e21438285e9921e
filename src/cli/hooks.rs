//! `mosaec hooks`

use anyhow::Result;

use super::common::{load_model, open_gpu};
use super::options::{Global, ModelOption};
use crate::model::HookPoint;

/// List a model's hook points with their shapes
///
/// Example: mosaec hooks --model embedded
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    model: ModelOption,
}

pub(super) async fn run(global: &Global, args: &Args) -> Result<()> {
    let gpu = open_gpu(global).await?;
    let model = load_model(&gpu, &args.model.model)?;
    let config = model.config();
    println!("{:<40} shape", "hook point");
    for hook in HookPoint::all(config) {
        let mut shape: Vec<String> = hook
            .shape(config, 1, 1)
            .iter()
            .map(ToString::to_string)
            .collect();
        // The leading axes and, for patterns, the last two are those of the input.
        if hook.width(config).is_some() {
            shape[0] = "batch".to_owned();
            shape[1] = "position".to_owned();
        } else {
            shape = vec![
                "batch".into(),
                shape[1].clone(),
                "query".into(),
                "key".into(),
            ];
        }
        println!("{:<40} [{}]", hook.to_string(), shape.join(", "));
    }
    Ok(())
}
