//! The heat map of residual-stream patching: layer by position, every cell with its value.

use super::super::num;
use super::super::results::PatchHeatmap;
use super::super::tokens;
use super::canvas::Ink;
use super::grid::{Grid, Shade};

/// The last row's name where the others are numbers of layers.
const OUT: &str = "out";

/// Row names without what they share, and the title of their axis.
///
/// `blocks.3.hook_resid_pre` is row `3` of an axis `layer (blocks.L.hook_resid_pre)`. What comes out of the last
/// block is row `out`, where all others go into one.
pub fn row_names(hooks: &[String]) -> (Vec<String>, String) {
    let parts = |h: &str| -> Option<(String, String)> {
        let (layer, site) = h.strip_prefix("blocks.")?.split_once('.')?;
        Some((layer.to_owned(), site.to_owned()))
    };
    let split: Option<Vec<_>> = hooks.iter().map(|h| parts(h)).collect();
    let alike = |s: &[(String, String)]| !s.is_empty() && s.windows(2).all(|w| w[0].1 == w[1].1);
    match split {
        Some(s) if alike(&s) => {
            let title = format!("layer (blocks.L.{})", s[0].1);
            (s.into_iter().map(|p| p.0).collect(), title)
        }
        Some(mut s) if s.len() > 1 && alike(&s[..s.len() - 1]) && residual(&s) => {
            if let Some(last) = s.last_mut() {
                OUT.clone_into(&mut last.0);
            }
            let title = "into layer (the last row: out of the last)".to_owned();
            (s.into_iter().map(|p| p.0).collect(), title)
        }
        _ => (hooks.to_vec(), "hook".into()),
    }
}

/// Whether these are the residual stream into each of some blocks, then out of the last of them.
fn residual(parts: &[(String, String)]) -> bool {
    let [first, .., before, last] = parts else {
        return matches!(parts, [a, b] if a.0 == b.0 && a.1 == "hook_resid_pre" && b.1 == "hook_resid_post");
    };
    first.1 == "hook_resid_pre" && last.1 == "hook_resid_post" && before.0 == last.0
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

/// A cell's place in words: `layer 2, “·John”`, the two parts joined by `join`. A name that several columns have
/// comes with its number.
pub fn place(map: &PatchHeatmap, row: usize, column: usize, join: &str) -> String {
    let (names, axis) = row_names(&map.hooks);
    let name = names.get(row).map_or_else(|| row.to_string(), Clone::clone);
    let row = match name.as_str() {
        _ if axis == "hook" => name,
        OUT => "the last layer’s output".to_owned(),
        _ => format!("layer {name}"),
    };
    let position = map.positions.get(column);
    let token = position.map_or_else(|| column.to_string(), |p| tokens::plain(p));
    let named = map.positions.iter().filter(|p| Some(*p) == position);
    if named.count() > 1 {
        format!("{row}{join}“{token}” (token {})", column + 1)
    } else {
        format!("{row}{join}“{token}”")
    }
}

/// The chart. Deep orange takes all of the difference away, blue adds to it.
pub fn chart(map: &PatchHeatmap) -> String {
    grid(map).svg()
}

/// The same with cells that can be visited one by one; `say` makes the text of one from its place and value.
pub fn with_cells(map: &PatchHeatmap, say: impl Fn(&str, f64) -> String) -> String {
    let first = strongest(map).map_or((0, 0), |(r, c, _)| (r, c));
    grid(map).svg_with_cells(first, |r, c, v| say(&place(map, r, c, ", "), v))
}

fn grid(map: &PatchHeatmap) -> Grid<'_> {
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_short_names() {
        let of = |hooks: &[&str]| {
            let hooks: Vec<String> = hooks.iter().map(|h| (*h).to_owned()).collect();
            row_names(&hooks).0
        };
        let pre = ["blocks.0.hook_resid_pre", "blocks.1.hook_resid_pre"];
        assert_eq!(of(&pre), ["0", "1"]);
        let with = |last| of(&[pre[0], pre[1], last]);
        assert_eq!(with("blocks.1.hook_resid_post"), ["0", "1", "out"]);
        assert_eq!(of(&[pre[0], "blocks.0.hook_resid_post"]), ["0", "out"]);
        let odd = with("blocks.7.hook_resid_post");
        assert_eq!(odd[2], "blocks.7.hook_resid_post");
        assert_eq!(of(&["hook_embed"]), ["hook_embed"]);
    }
}
