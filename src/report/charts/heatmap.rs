//! The heat map of residual-stream patching: layer by position, every cell with its value.

use super::super::num;
use super::super::results::PatchHeatmap;
use super::super::tokens;
use super::canvas::Ink;
use super::grid::{Grid, Shade};

/// Row names without what they share, and the title of their axis.
///
/// `blocks.3.hook_resid_pre` is row `3` of an axis `layer (blocks.L.hook_resid_pre)`.
pub fn row_names(hooks: &[String]) -> (Vec<String>, String) {
    let parts = |h: &str| -> Option<(String, String)> {
        let (layer, site) = h.strip_prefix("blocks.")?.split_once('.')?;
        Some((layer.to_owned(), site.to_owned()))
    };
    let split: Option<Vec<_>> = hooks.iter().map(|h| parts(h)).collect();
    match split {
        Some(s) if s.windows(2).all(|w| w[0].1 == w[1].1) && !s.is_empty() => {
            let title = format!("layer (blocks.L.{})", s[0].1);
            (s.into_iter().map(|p| p.0).collect(), title)
        }
        _ => (hooks.to_vec(), "hook".into()),
    }
}

/// The strongest finite cell, as (row, column, value).
pub fn strongest(map: &PatchHeatmap) -> Option<(usize, usize, f64)> {
    let cells = map
        .value
        .iter()
        .enumerate()
        .flat_map(|(r, row)| row.iter().enumerate().map(move |(c, v)| (r, c, *v)));
    cells
        .filter(|c| c.2.is_finite())
        .max_by(|a, b| a.2.total_cmp(&b.2))
}

/// The chart. Deep orange takes all of the difference away, blue adds to it.
pub fn chart(map: &PatchHeatmap) -> String {
    let (rows, row_title) = row_names(&map.hooks);
    Grid {
        label: "share of the logit difference that patching takes away, by layer and position",
        rows,
        row_title,
        columns: map.positions.iter().map(|p| tokens::plain(p)).collect(),
        column_title: "position in the prompt".into(),
        column_ink: Ink::Token,
        value: &map.value,
        shade: Shade::Plain,
        show: |v| num::fixed(v, 2),
        legend: "share of the logit difference taken away".into(),
        room: (880.0, 62.0),
    }
    .svg()
}
