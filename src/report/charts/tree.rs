//! A causal tree of features as a layered graph: layers from left to right, the target at the right.

use super::super::num;
use super::super::paper::results::{Tree, TreeEdge, TreeNode};
use super::super::tokens;
use super::canvas::{Anchor, Canvas, Ink, draw};
use super::frame::{SMALL, TITLE};
use super::labels::spread;

const WIDTH: f64 = 940.0;
/// Between two layers: room for an edge's label.
const GAP: f64 = 78.0;
const BOX: f64 = 58.0;
const PITCH: f64 = 70.0;
/// Lines of a label.
const LINES: usize = 3;
const TOP: f64 = 26.0;

/// Places of the nodes: the upper left corner of each box, and its width.
struct Layout {
    corner: Vec<(f64, f64)>,
    width: f64,
    layers: Vec<usize>,
    height: f64,
}

/// Layers in columns; within a layer by the mean height of what a node acts on, so that edges
/// cross little.
fn layout(tree: &Tree) -> Layout {
    let mut layers: Vec<usize> = tree.nodes.iter().map(|n| n.layer).collect();
    layers.sort_unstable();
    layers.dedup();
    let n = layers.len().max(1) as f64;
    let width = ((WIDTH - GAP * (n - 1.0)) / n).clamp(92.0, 200.0);
    let members = |layer: usize| -> Vec<usize> {
        (0..tree.nodes.len())
            .filter(|&i| tree.nodes[i].layer == layer)
            .collect()
    };
    let tallest = layers.iter().map(|&l| members(l).len()).max().unwrap_or(0);
    let height = TOP + PITCH * tallest.max(1) as f64;
    let middle = TOP + (height - TOP) / 2.0;
    let mut corner = vec![(0.0, middle); tree.nodes.len()];
    for (column, &layer) in layers.iter().enumerate().rev() {
        let mut here = members(layer);
        let pull = |i: usize| {
            let edges = tree.edges.iter().filter(|e| e.parent == i);
            let at: Vec<f64> = edges.filter_map(|e| Some(corner.get(e.child)?.1)).collect();
            let mean = at.iter().sum::<f64>() / at.len() as f64;
            if mean.is_finite() { mean } else { middle }
        };
        let mut order: Vec<(f64, usize)> = here.iter().map(|&i| (pull(i), i)).collect();
        order.sort_by(|a, b| a.0.total_cmp(&b.0));
        here.clear();
        let wanted: Vec<f64> = order.iter().map(|o| o.0).collect();
        let placed = spread(&wanted, PITCH, TOP, height - PITCH);
        for ((_, i), y) in order.into_iter().zip(placed) {
            corner[i] = ((width + GAP) * column as f64 + 1.0, y);
        }
    }
    Layout {
        corner,
        width,
        layers,
        height,
    }
}

/// The chart. Pens are as wide as effects are large (3 v + 0.3 pixels, as in the paper).
pub fn chart(tree: &Tree) -> String {
    let l = layout(tree);
    let columns = l.layers.len().max(1) as f64;
    let width = (l.width + GAP) * columns - GAP + 4.0;
    draw(width, l.height, "causal tree of features", |c| {
        for (i, layer) in l.layers.iter().enumerate() {
            let x = (l.width + GAP) * i as f64 + 1.0;
            c.text(
                (x, 8.0),
                &format!("layer {layer}"),
                TITLE,
                Ink::Text,
                Anchor::Start,
            );
        }
        for e in &tree.edges {
            if let Some((from, to)) = ends(&l, e) {
                let ink = if e.effect < 0.0 {
                    Ink::Blue
                } else {
                    Ink::Accent
                };
                let pen = 3.0 * e.effect.abs().min(1.0) + 0.3;
                c.path(&curve(from, to), ink, 0.8, pen);
            }
        }
        for (i, node) in tree.nodes.iter().enumerate() {
            draw_node(c, node, l.corner[i], l.width, i == tree.root);
        }
        edge_labels(c, tree, &l);
    })
}

fn ends(l: &Layout, e: &TreeEdge) -> Option<((f64, f64), (f64, f64))> {
    let (a, b) = (l.corner.get(e.parent)?, l.corner.get(e.child)?);
    let finite = e.effect.is_finite();
    finite.then_some(((a.0 + l.width, a.1 + BOX / 2.0), (b.0, b.1 + BOX / 2.0)))
}

/// Leaves and arrives level.
fn curve(from: (f64, f64), to: (f64, f64)) -> Vec<(f64, f64)> {
    (0..=24)
        .map(|i| {
            let t = f64::from(i) / 24.0;
            let ease = t * t * (3.0 - 2.0 * t);
            (
                from.0 + (to.0 - from.0) * t,
                from.1 + (to.1 - from.1) * ease,
            )
        })
        .collect()
}

fn draw_node(c: &mut Canvas, node: &TreeNode, (x, y): (f64, f64), width: f64, root: bool) {
    c.rect((x, y), (width, BOX), Ink::OnStrong, 1.0);
    c.rect(
        (x, y),
        (width, BOX),
        Ink::Grid,
        if node.outlier { 0.9 } else { 0.4 },
    );
    if root {
        let (r, b) = (x + width, y + BOX);
        let outline = [(x, y), (r, y), (r, b), (x, b), (x, y)];
        c.path(&outline, Ink::Accent, 1.0, 1.4);
    }
    let name = format!("{}/{}", node.layer, node.feature);
    c.text(
        (x + 6.0, y + 10.0),
        &name,
        SMALL,
        Ink::OnPale,
        Anchor::Start,
    );
    if node.outlier {
        let at = (x + width - 5.0, y + 10.0);
        c.text(at, "outlier", 9.5, Ink::OnPale, Anchor::End);
    }
    let room = ((width - 12.0) / 5.4) as usize;
    for (i, line) in wrap(&node.label, room, LINES).into_iter().enumerate() {
        let at = (x + 6.0, y + 23.0 + 12.5 * i as f64);
        c.text(at, &line, 10.5, Ink::OnPale, Anchor::Start);
    }
}

/// `text` in quotation marks on at most `lines` lines of `room` characters, cut with an ellipsis.
fn wrap(text: &str, room: usize, lines: usize) -> Vec<String> {
    if text.is_empty() {
        return Vec::new();
    }
    let quoted: Vec<char> = tokens::quoted(text).chars().collect();
    let mut rest = &quoted[..];
    let mut out = Vec::new();
    while !rest.is_empty() && out.len() < lines {
        if rest.len() <= room {
            out.push(rest.iter().collect());
            return out;
        }
        if out.len() + 1 == lines {
            let cut = &rest[..room.saturating_sub(2).min(rest.len())];
            let open = if quoted[0] == '“' && quoted.last() == Some(&'”') {
                "…”"
            } else {
                "…"
            };
            out.push(format!(
                "{}{open}",
                cut.iter().collect::<String>().trim_end()
            ));
            return out;
        }
        let window = &rest[..room.max(1)];
        let at = window
            .iter()
            .rposition(|c| *c == ' ')
            .filter(|i| *i > room / 3);
        let at = at.unwrap_or(window.len());
        out.push(rest[..at].iter().collect());
        rest = &rest[at..];
        while rest.first() == Some(&' ') {
            rest = &rest[1..];
        }
    }
    out
}

fn edge_labels(c: &mut Canvas, tree: &Tree, l: &Layout) {
    for column in 1..l.layers.len() {
        let x = (l.width + GAP) * column as f64 + 1.0 - GAP / 2.0;
        let here: Vec<(&TreeEdge, f64)> = tree
            .edges
            .iter()
            .filter_map(|e| {
                let (from, to) = ends(l, e)?;
                let child = tree.nodes.get(e.child)?.layer;
                (l.layers.get(column) == Some(&child)).then_some((e, (from.1 + to.1) / 2.0))
            })
            .collect();
        let at: Vec<f64> = here.iter().map(|h| h.1).collect();
        for ((e, _), y) in here.iter().zip(spread(&at, 12.0, TOP, l.height - 6.0)) {
            let text = format!(
                "{}\u{a0}% · {}",
                num::fixed(e.effect * 100.0, 0),
                num::fixed(e.cosine, 2)
            );
            c.text((x, y), &text, 9.5, Ink::Text, Anchor::Middle);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_and_edges_are_drawn_with_their_numbers() {
        let node = |layer, feature, label: &str| TreeNode {
            layer,
            feature,
            label: label.into(),
            ..Default::default()
        };
        let tree = Tree {
            root: 0,
            contexts: 20,
            nodes: vec![
                node(2, 27, "closing bracket"),
                node(
                    1,
                    3,
                    "text after an opening bracket, and many more words than ever fit into the three lines of a box, however wide it may be drawn here",
                ),
                node(1, 9, ""),
            ],
            edges: vec![
                TreeEdge {
                    parent: 1,
                    child: 0,
                    effect: 0.34,
                    cosine: 0.81,
                },
                TreeEdge {
                    parent: 2,
                    child: 0,
                    effect: -0.05,
                    cosine: -0.2,
                },
                TreeEdge {
                    parent: 7,
                    child: 0,
                    effect: 0.5,
                    cosine: 0.0,
                },
            ],
        };
        let svg = chart(&tree);
        for text in [
            "2/27",
            "1/3",
            "1/9",
            "“closing bracket”",
            "34\u{a0}% · 0.81",
            "−5\u{a0}% · −0.20",
            "layer 1",
        ] {
            assert!(svg.contains(&format!(">{text}<")), "{text}: {svg}");
        }
        assert!(svg.contains("…”"), "long labels are cut");
        assert_eq!(svg.matches("class=\"l-blue\"").count(), 1);
        assert!(chart(&Tree::default()).ends_with("</svg>"));
    }

    #[test]
    fn labels_break_between_words() {
        assert_eq!(wrap("one two three", 9, 3), ["“one two", "three”"]);
        assert_eq!(wrap("abcdefghijkl", 6, 1), ["“abc…”"]);
        assert!(wrap("", 6, 2).is_empty());
    }
}
