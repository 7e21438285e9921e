//! The heat map of residual-stream patching: layer by position, every cell with its value.

use super::super::num;
use super::super::results::PatchHeatmap;
use super::super::tokens;
use super::canvas::{Anchor, Canvas, Ink, draw};
use super::frame::{SMALL, TITLE};

const ROW: f64 = 24.0;
const TOP: f64 = 28.0;
/// A cell narrower than this has no room for its value.
const READABLE: f64 = 27.0;

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
    let columns = map
        .value
        .iter()
        .map(Vec::len)
        .max()
        .unwrap_or(0)
        .max(map.positions.len())
        .max(1);
    let rows = map.value.len();
    let (names, axis) = row_names(&map.hooks);
    let longest = names.iter().map(|n| n.chars().count()).max().unwrap_or(0);
    let left = 14.0 + 7.0 * longest.clamp(2, 34) as f64;
    let cell = ((880.0 - left) / columns as f64).clamp(18.0, 62.0);
    let titles: Vec<String> = map.positions.iter().map(|p| tokens::plain(p)).collect();
    let upright = titles
        .iter()
        .all(|t| (t.chars().count() as f64) * 7.0 < cell);
    let tail = if upright {
        20.0
    } else {
        12.0 + 7.0
            * titles
                .iter()
                .map(|t| t.chars().count())
                .max()
                .unwrap_or(0)
                .min(16) as f64
    };
    let right = left + cell * columns as f64;
    let bottom = TOP + ROW * rows as f64;
    let height = bottom + tail + 62.0;
    let width = right.max(430.0) + 10.0;
    let label = "share of the logit difference that patching takes away, by layer and position";
    let lowest = map
        .value
        .iter()
        .flatten()
        .copied()
        .filter(|v| v.is_finite())
        .fold(0.0, f64::min);
    draw(width, height, label, |c| {
        c.text((2.0, 10.0), &axis, TITLE, Ink::Text, Anchor::Start);
        for (r, row) in map.value.iter().enumerate() {
            let y = TOP + ROW * r as f64;
            let name = names.get(r).map_or("", String::as_str);
            c.text(
                (left - 7.0, y + ROW / 2.0),
                name,
                SMALL,
                Ink::Muted,
                Anchor::End,
            );
            for (k, &v) in row.iter().enumerate() {
                draw_cell(c, (left + cell * k as f64, y), cell, v);
            }
        }
        for (k, title) in titles.iter().enumerate() {
            let x = left + cell * (k as f64 + 0.5);
            let short: String = title.chars().take(16).collect();
            if upright {
                c.text(
                    (x, bottom + 13.0),
                    &short,
                    SMALL,
                    Ink::Token,
                    Anchor::Middle,
                );
            } else {
                c.text_up((x, bottom + 8.0), &short, SMALL, Ink::Token, Anchor::End);
            }
        }
        let y = bottom + tail;
        c.text(
            ((left + right) / 2.0, y + 10.0),
            "position in the prompt",
            TITLE,
            Ink::Text,
            Anchor::Middle,
        );
        colour_bar(c, (left, y + 32.0), lowest < -0.05);
    })
}

fn shade(v: f64) -> (Ink, f64) {
    (
        if v < 0.0 { Ink::Blue } else { Ink::Accent },
        v.abs().min(1.0),
    )
}

fn draw_cell(c: &mut Canvas, (x, y): (f64, f64), cell: f64, v: f64) {
    let (w, h) = (cell - 1.5, ROW - 1.5);
    if !v.is_finite() {
        c.text(
            (x + w / 2.0, y + h / 2.0),
            "–",
            10.5,
            Ink::Muted,
            Anchor::Middle,
        );
        return;
    }
    let (ink, alpha) = shade(v);
    c.rect((x, y), (w, h), Ink::Grid, 0.55);
    if alpha >= 0.02 {
        c.rect((x, y), (w, h), ink, alpha);
    }
    if cell >= READABLE {
        let text_ink = if alpha > 0.7 {
            Ink::OnStrong
        } else {
            Ink::OnPale
        };
        c.text(
            (x + w / 2.0, y + h / 2.0),
            &num::fixed(v, 2),
            10.5,
            text_ink,
            Anchor::Middle,
        );
    }
}

fn colour_bar(c: &mut Canvas, (left, y): (f64, f64), negative: bool) {
    const STEPS: i32 = 10;
    let from = if negative { -STEPS } else { 0 };
    let step = 12.0;
    for i in from..=STEPS {
        let v = f64::from(i) / f64::from(STEPS);
        let x = left + step * f64::from(i - from);
        let (ink, alpha) = shade(v);
        c.rect((x, y), (step, 9.0), Ink::Grid, 0.55);
        if alpha > 0.0 {
            c.rect((x, y), (step, 9.0), ink, alpha);
        }
        if i % STEPS == 0 {
            c.text(
                (x + step / 2.0, y + 18.0),
                &i32::to_string(&(i / STEPS)).replace('-', "−"),
                10.0,
                Ink::Muted,
                Anchor::Middle,
            );
        }
    }
    let end = left + step * f64::from(STEPS - from + 1) + 8.0;
    c.text(
        (end, y + 5.0),
        "share of the logit difference taken away",
        SMALL,
        Ink::Muted,
        Anchor::Start,
    );
}
