//! Means with their 95 % intervals, a row per decomposition and a column per layer, with every
//! single value behind them.

use super::super::num;
use super::canvas::{Anchor, Canvas, Ink, Marker, draw};
use super::frame::{Frame, SMALL, TITLE};
use super::scale::{Kind, Scale};
use super::series::Series;

/// One cell: a mean, its interval, and the values it is the mean of (may be empty).
#[derive(Clone, Debug, Default)]
pub struct Cell {
    /// The mean.
    pub mean: f64,
    /// Its interval.
    pub interval: (f64, f64),
    /// All values.
    pub values: Vec<f64>,
    /// A value to compare this cell with: chance, or the paper's.
    pub mark: Option<f64>,
}

/// The chart's data: `cells[column][row]`.
#[derive(Clone, Debug, Default)]
pub struct Dots {
    /// What a screen reader says.
    pub label: String,
    /// What is measured.
    pub title: String,
    /// Rows, by their look; the name stands at the left.
    pub rows: Vec<Series>,
    /// Column heads.
    pub columns: Vec<String>,
    /// `[column][row]`; `None`: not measured.
    pub cells: Vec<Vec<Option<Cell>>>,
    /// A value to compare with: chance, or zero.
    pub reference: Option<f64>,
    /// Values that the axis must hold.
    pub include: Vec<f64>,
    /// Whether to leave room for a second panel beside it.
    pub narrow: bool,
}

const ROW: f64 = 23.0;
const TOP: f64 = 34.0;
/// Widths in pixels: the whole column, and half of it.
const WIDTH: (f64, f64) = (900.0, 440.0);
/// Longer row names are cut.
const NAME: usize = 44;
/// More single values than this are thinned evenly.
const MOST: usize = 300;

/// The chart.
pub fn chart(d: &Dots) -> String {
    let n = d.columns.len().max(1) as f64;
    let longest = d.rows.iter().map(|r| r.label.chars().count()).max();
    let left = 16.0 + 6.2 * longest.unwrap_or(0).clamp(6, NAME) as f64;
    let room = if d.narrow { WIDTH.1 } else { WIDTH.0 };
    let gap = 14.0;
    let column = ((room - left) / n - gap).clamp(84.0, 420.0);
    let bottom = TOP + ROW * d.rows.len().max(1) as f64;
    let width = left + (column + gap) * n + 6.0;
    let cells = || d.cells.iter().flatten().flatten();
    let values = cells()
        .flat_map(|c| {
            [c.mean, c.interval.0, c.interval.1]
                .into_iter()
                .chain(c.values.iter().copied())
                .chain(c.mark)
        })
        .chain(d.include.iter().copied())
        .chain(d.reference);
    let x = Scale::linear(values.collect::<Vec<_>>().into_iter()).padded(0.03);
    draw(width, bottom + 44.0, &d.label, |c| {
        for (r, row) in d.rows.iter().enumerate() {
            let y = TOP + ROW * (r as f64 + 0.5);
            let ink = if row.ink == Ink::Accent {
                Ink::Text
            } else {
                Ink::Muted
            };
            c.text(
                (left - 10.0, y),
                &cut(&row.label),
                SMALL + 0.5,
                ink,
                Anchor::End,
            );
        }
        for (k, name) in d.columns.iter().enumerate() {
            let from = left + (column + gap) * k as f64;
            let frame = Frame {
                left: from,
                right: from + column,
                top: TOP,
                bottom,
                x,
                y: Scale {
                    lo: 0.0,
                    hi: 1.0,
                    kind: Kind::Linear,
                },
            };
            c.text((from, TOP - 14.0), name, TITLE, Ink::Text, Anchor::Start);
            facet(c, &frame, d, k);
        }
        let middle = left + ((column + gap) * n - gap) / 2.0;
        c.text(
            (middle, bottom + 31.0),
            &d.title,
            TITLE,
            Ink::Text,
            Anchor::Middle,
        );
    })
}

fn facet(c: &mut Canvas, frame: &Frame, d: &Dots, k: usize) {
    for (v, label) in frame.x.ticks(((frame.right - frame.left) / 36.0) as usize) {
        let x = frame.px(v);
        c.line((x, frame.top), (x, frame.bottom), Ink::Grid, 1.0);
        frame.x_tick(c, x, &label);
    }
    if let Some(v) = d.reference {
        let x = frame.px(v);
        c.line((x, frame.top), (x, frame.bottom), Ink::Base, 1.0);
    }
    frame.base(c);
    let cells = d.cells.get(k).map_or(&[][..], Vec::as_slice);
    for (r, (look, cell)) in d.rows.iter().zip(cells).enumerate() {
        let y = frame.top + ROW * (r as f64 + 0.5);
        let Some(cell) = cell else {
            let x = frame.left + 4.0;
            c.text((x, y), "–", SMALL, Ink::Muted, Anchor::Start);
            continue;
        };
        let every = cell.values.len().div_ceil(MOST).max(1);
        for (i, &v) in cell.values.iter().enumerate().step_by(every) {
            let at = (frame.px(v), y + jitter(i));
            c.marker(at, Marker::Circle, 1.5, look.ink, 0.27);
        }
        if let Some(x) = cell.mark.map(|v| frame.px(v)) {
            c.path(&[(x, y - 6.0), (x, y + 6.0)], Ink::Grey, 1.0, 2.0);
        }
        let (lo, hi) = (frame.px(cell.interval.0), frame.px(cell.interval.1));
        c.path(&[(lo, y), (hi, y)], look.ink, 1.0, 2.2);
        c.marker((frame.px(cell.mean), y), look.marker, 4.0, look.ink, 1.0);
    }
}

fn cut(name: &str) -> String {
    if name.chars().count() <= NAME {
        return name.to_owned();
    }
    name.chars().take(NAME - 1).chain(['…']).collect()
}

/// A displacement within the row that is the same in every drawing: multiples of the golden ratio
/// fill an interval evenly.
fn jitter(i: usize) -> f64 {
    ((i as f64 * 0.618_033_988_75).fract() - 0.5) * (ROW - 9.0)
}

/// A mean and its interval as text: `0.31 (0.27–0.35)`.
pub fn interval(mean: f64, lo: f64, hi: f64) -> String {
    if !lo.is_finite() || !hi.is_finite() {
        return num::fixed(mean, 2);
    }
    // A dash between negative numbers reads as a sign.
    let to = if lo < 0.0 || hi < 0.0 { " to " } else { "–" };
    format!(
        "{} ({}{to}{})",
        num::fixed(mean, 2),
        num::fixed(lo, 2),
        num::fixed(hi, 2)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_intervals_and_single_values_are_drawn() {
        let look = |ink, label: &str| Series {
            ink,
            alpha: 1.0,
            marker: Marker::Circle,
            label: label.into(),
            group: 0,
        };
        let cell = |mean: f64, n: usize| {
            Some(Cell {
                mean,
                interval: (mean - 0.1, mean + 0.1),
                values: vec![mean; n],
                mark: None,
            })
        };
        let d = Dots {
            title: "score".into(),
            rows: vec![look(Ink::Accent, "SAE"), look(Ink::Grey, "PCA")],
            columns: vec!["layer 0".into(), "layer 1".into()],
            cells: vec![vec![cell(0.5, 7), cell(0.1, 0)], vec![cell(0.4, 0), None]],
            reference: Some(0.0),
            ..Default::default()
        };
        let svg = chart(&d);
        assert_eq!(svg.matches("<circle").count(), 7 + 3);
        assert_eq!(svg.matches("<polyline").count(), 3, "{svg}");
        for text in ["SAE", "PCA", "layer 0", "layer 1", "score"] {
            assert!(svg.contains(&format!(">{text}<")), "{text}");
        }
        assert!(chart(&Dots::default()).ends_with("</svg>"));
    }

    #[test]
    fn an_interval_reads_well() {
        assert_eq!(interval(0.314, 0.27, 0.35), "0.31 (0.27–0.35)");
        assert_eq!(interval(0.0, -0.1, 0.1), "0.00 (−0.10 to 0.10)");
        assert_eq!(interval(0.5, f64::NAN, 0.1), "0.50");
    }
}
