//! Causal trees: which features of earlier layers a feature depends on.

use maud::{Markup, html};

use super::frame::Claim;
use super::results::{Tree, TreeNode, TreeSection};
use crate::report::charts::tree;
use crate::report::figure::{Figure, Table};
use crate::report::{findings, num, tokens};

/// What is tested.
pub const CLAIM: Claim = Claim {
    id: "tree",
    title: "Causal trees of features",
    source: "section 5, figure 5",
    text: "A feature can be traced through earlier layers by ablating their features one at a time; what it depends on is often the same meaning a layer earlier.",
    quoted: false,
};

/// The figures.
pub fn figures(s: &TreeSection) -> Markup {
    html! { @for t in s.trees.iter().filter(|t| !t.nodes.is_empty()) { (figure(t)) } }
}

fn name(n: &TreeNode) -> String {
    format!("{}/{}", n.layer, n.feature)
}

fn figure(t: &Tree) -> Markup {
    let labelled = |n: &TreeNode| {
        if n.label.is_empty() {
            name(n)
        } else {
            format!("{} {}", name(n), tokens::quoted(&n.label))
        }
    };
    let strongest = t
        .edges
        .iter()
        .filter(|e| e.child == t.root && e.effect.is_finite())
        .max_by(|a, b| a.effect.total_cmp(&b.effect));
    let title = match (t.nodes.get(t.root), strongest) {
        (Some(root), Some(e)) => match t.nodes.get(e.parent) {
            Some(parent) => format!(
                "Without {}, {} loses {} of its activation",
                labelled(parent),
                labelled(root),
                num::short_percent(e.effect)
            ),
            None => labelled(root),
        },
        (Some(root), None) => format!("What does {} depend on?", labelled(root)),
        _ => "A causal tree".into(),
    };
    let near = t.edges.iter().filter(|e| e.cosine > 0.9).count();
    let median = findings::median(t.edges.iter().map(|e| e.cosine));
    let head = [
        "parent",
        "label",
        "child",
        "label",
        "effect",
        "cosine",
        "parent’s density",
    ]
    .map(|s| ("", s.to_owned()));
    let rows = t.edges.iter().filter_map(|e| {
        let (p, c) = (t.nodes.get(e.parent)?, t.nodes.get(e.child)?);
        Some(vec![
            name(p),
            p.label.clone(),
            name(c),
            c.label.clone(),
            num::percent(e.effect),
            num::fixed(e.cosine, 2),
            num::sig(p.density),
        ])
    });
    Figure {
        title,
        subtitle: format!(
            "Each feature of the layer before ablated at all positions; on an edge: mean loss of the child’s activation over {} contexts, and the cosine of the two decoder directions. Pen width follows the effect; blue: the child grows. Boxes marked “outlier” write to outlier dimensions.",
            num::int(t.contexts as u64)
        ),
        panels: vec![tree::chart(t)],
        note: median.map(|m| html! {
            "The median cosine along edges is " (num::fixed(m, 2)) "; " (near) " of " (t.edges.len()) " edges have one above 0.9, where parent and child are nearly the same direction."
        }),
        table: Some(Table {
            head: head.into(),
            texts: 4,
            rows: rows.collect(),
        }),
    }
    .html()
}
