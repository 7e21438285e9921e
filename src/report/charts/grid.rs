//! A grid of values, each cell shaded by its value and written out where there is room.

use super::canvas::{Anchor, Canvas, Ink, draw, escape, region};
use super::frame::{SMALL, TITLE};

/// Height of a row in pixels.
pub const ROW: f64 = 24.0;
const TOP: f64 = 28.0;
/// Height of a value in a wide and in a narrow cell, in pixels, and where the one ends.
const TEXT: (f64, f64, f64) = (10.5, 9.0, 30.0);

/// How a value becomes a shade: 0 is the ground, 1 the full accent; negative shades are blue.
#[derive(Clone, Copy, Debug)]
pub enum Shade {
    /// The value itself, within −1 to 1.
    Plain,
    /// From 0 at the first value to 1 at the second.
    Linear(f64, f64),
    /// The same by ratios; both positive.
    Log(f64, f64),
}

impl Shade {
    /// The shade of a value.
    pub fn of(self, v: f64) -> f64 {
        let t = match self {
            Self::Plain => v,
            Self::Linear(lo, hi) => (v - lo) / (hi - lo),
            Self::Log(lo, hi) => (v / lo).ln() / (hi / lo).ln(),
        };
        if t.is_nan() { 0.0 } else { t.clamp(-1.0, 1.0) }
    }

    fn value(self, t: f64) -> f64 {
        match self {
            Self::Plain => t,
            Self::Linear(lo, hi) => lo + t * (hi - lo),
            Self::Log(lo, hi) => lo * (hi / lo).powf(t),
        }
    }
}

/// The data of a grid: `value[row][column]`, first row on top.
pub struct Grid<'a> {
    /// What a screen reader says.
    pub label: &'a str,
    /// Row names.
    pub rows: Vec<String>,
    /// What rows are.
    pub row_title: String,
    /// Column names.
    pub columns: Vec<String>,
    /// What columns are.
    pub column_title: String,
    /// Ink of the column names: tokens stand in their own face.
    pub column_ink: Ink,
    /// Values; rows may be short.
    pub value: &'a [Vec<f64>],
    /// Shading.
    pub shade: Shade,
    /// A value as text.
    pub show: fn(f64) -> String,
    /// What the colour means.
    pub legend: String,
    /// Width to fill at most, and the widest cell, in pixels.
    pub room: (f64, f64),
}

/// Characters of the longest name.
fn length(names: &[String]) -> usize {
    names.iter().map(|n| n.chars().count()).max().unwrap_or(0)
}

impl Grid<'_> {
    fn columns(&self) -> usize {
        let columns = self.value.iter().map(Vec::len).max().unwrap_or(0);
        columns.max(self.columns.len()).max(1)
    }

    /// Where the cells begin, and how wide one is.
    fn cells(&self) -> (f64, f64) {
        let left = 14.0 + 7.0 * length(&self.rows).clamp(2, 34) as f64;
        let room = (self.room.0 - left) / self.columns() as f64;
        (left, room.clamp(18.0, self.room.1.max(18.0)))
    }

    /// The chart with a focusable, invisible element over each cell that has a value: class `cell`, its text in
    /// `aria-label`, row and column in `data-row` and `data-column`. One of them, `first`, is reached by Tab.
    pub fn svg_with_cells(
        &self,
        first: (usize, usize),
        say: impl Fn(usize, usize, f64) -> String,
    ) -> String {
        let (left, cell) = self.cells();
        let mut over = String::new();
        for (r, row) in self.value.iter().enumerate() {
            for (k, v) in row.iter().enumerate().filter(|(_, v)| v.is_finite()) {
                let at = (left + cell * k as f64, TOP + ROW * r as f64);
                let reached = if (r, k) == first { 0 } else { -1 };
                let rect = region(at, (cell - 1.5, ROW - 1.5));
                over.push_str(&format!("<rect tabindex=\"{reached}\" class=\"cell\" role=\"img\" {rect} fill=\"none\" pointer-events=\"all\" data-row=\"{r}\" data-column=\"{k}\" aria-label=\""));
                escape(&mut over, &say(r, k, *v));
                over.push_str("\"/>");
            }
        }
        let svg = self.svg().replacen("role=\"img\"", "role=\"group\"", 1);
        match svg.strip_suffix("</svg>") {
            Some(open) => format!("{open}{over}</svg>"),
            None => svg,
        }
    }

    /// The chart.
    pub fn svg(&self) -> String {
        let columns = self.columns();
        let (left, cell) = self.cells();
        let upright = (length(&self.columns) as f64) * 7.0 < cell;
        let tail = if upright {
            20.0
        } else {
            12.0 + 7.0 * length(&self.columns).min(16) as f64
        };
        let right = left + cell * columns as f64;
        let bottom = TOP + ROW * self.value.len() as f64;
        let values = self.value.iter().flatten().copied();
        let negative = values.fold(0.0, |low, v| self.shade.of(v).min(low)) < -0.05;
        draw(
            right.max(430.0).max(left + self.bar_width(negative)) + 10.0,
            bottom + tail + 62.0,
            self.label,
            |c| {
                c.text(
                    (2.0, 10.0),
                    &self.row_title,
                    TITLE,
                    Ink::Text,
                    Anchor::Start,
                );
                for (r, row) in self.value.iter().enumerate() {
                    let y = TOP + ROW * r as f64;
                    let name = self.rows.get(r).map_or("", String::as_str);
                    c.text(
                        (left - 7.0, y + ROW / 2.0),
                        name,
                        SMALL,
                        Ink::Muted,
                        Anchor::End,
                    );
                    for (k, &v) in row.iter().enumerate() {
                        self.cell(c, (left + cell * k as f64, y), cell, v);
                    }
                }
                for (k, title) in self.columns.iter().enumerate() {
                    let x = left + cell * (k as f64 + 0.5);
                    let short: String = title.chars().take(16).collect();
                    if upright {
                        c.text(
                            (x, bottom + 13.0),
                            &short,
                            SMALL,
                            self.column_ink,
                            Anchor::Middle,
                        );
                    } else {
                        c.text_up(
                            (x, bottom + 8.0),
                            &short,
                            SMALL,
                            self.column_ink,
                            Anchor::End,
                        );
                    }
                }
                let y = bottom + tail;
                let middle = (left + right) / 2.0;
                c.text(
                    (middle, y + 10.0),
                    &self.column_title,
                    TITLE,
                    Ink::Text,
                    Anchor::Middle,
                );
                self.colour_bar(c, (left, y + 32.0), negative);
            },
        )
    }

    fn cell(&self, c: &mut Canvas, (x, y): (f64, f64), cell: f64, v: f64) {
        let (w, h) = (cell - 1.5, ROW - 1.5);
        let middle = (x + w / 2.0, y + h / 2.0);
        if !v.is_finite() {
            c.text(middle, "–", 10.5, Ink::Muted, Anchor::Middle);
            return;
        }
        let alpha = self.paint((x, y), (w, h), v, c);
        let text = (self.show)(v);
        let size = if cell < TEXT.2 { TEXT.1 } else { TEXT.0 };
        // A digit is about 0.57 as wide as it is high, a point half of that.
        let width = |c| size * if c == '.' { 0.29 } else { 0.57 };
        if text.chars().map(width).sum::<f64>() <= w {
            let ink = if alpha > 0.7 {
                Ink::OnStrong
            } else {
                Ink::OnPale
            };
            c.text(middle, &text, size, ink, Anchor::Middle);
        }
    }

    fn paint(&self, at: (f64, f64), size: (f64, f64), v: f64, c: &mut Canvas) -> f64 {
        let t = self.shade.of(v);
        c.rect(at, size, Ink::Grid, 0.55);
        if t.abs() >= 0.02 {
            let ink = if t < 0.0 { Ink::Blue } else { Ink::Accent };
            c.rect(at, size, ink, t.abs());
        }
        t.abs()
    }

    /// The bar of shades with what it says beside it; a letter is at most 6.4 wide.
    fn bar_width(&self, negative: bool) -> f64 {
        let steps = if negative { 21.0 } else { 11.0 };
        12.0 * steps + 8.0 + 6.4 * self.legend.chars().count() as f64
    }

    fn colour_bar(&self, c: &mut Canvas, (left, y): (f64, f64), negative: bool) {
        const STEPS: i32 = 10;
        let from = if negative { -STEPS } else { 0 };
        let step = 12.0;
        for i in from..=STEPS {
            let v = self.shade.value(f64::from(i) / f64::from(STEPS));
            let x = left + step * f64::from(i - from);
            self.paint((x, y), (step, 9.0), v, c);
            if i % STEPS == 0 {
                let at = (x + step / 2.0, y + 18.0);
                let text = match self.shade {
                    Shade::Plain => (i / STEPS).to_string().replace('-', "−"),
                    _ => (self.show)(v),
                };
                c.text(at, &text, 10.0, Ink::Muted, Anchor::Middle);
            }
        }
        let end = left + step * f64::from(STEPS - from + 1) + 8.0;
        c.text(
            (end, y + 5.0),
            &self.legend,
            SMALL,
            Ink::Muted,
            Anchor::Start,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_written_and_shaded() {
        let value = vec![vec![0.25, 1.0], vec![f64::NAN]];
        let svg = Grid {
            label: "a grid",
            rows: vec!["one".into(), "two".into()],
            row_title: "rows".into(),
            columns: vec!["a".into(), "b".into()],
            column_title: "columns".into(),
            column_ink: Ink::Muted,
            value: &value,
            shade: Shade::Linear(0.0, 2.0),
            show: |v| format!("{v:.2}"),
            legend: "what it is".into(),
            room: (400.0, 60.0),
        }
        .svg();
        for text in [
            "0.25",
            "1.00",
            "–",
            "one",
            "two",
            "a",
            "b",
            "rows",
            "columns",
            "what it is",
        ] {
            assert!(svg.contains(&format!(">{text}<")), "{text}: {svg}");
        }
        assert!(
            svg.contains("opacity=\"0.50\""),
            "1 of 2 is half the accent: {svg}"
        );
    }

    #[test]
    fn shades_run_from_end_to_end() {
        for s in [Shade::Linear(2.0, 4.0), Shade::Log(0.1, 10.0)] {
            for t in [0.0, 0.5, 1.0] {
                assert!((s.of(s.value(t)) - t).abs() < 1e-12);
            }
        }
        assert_eq!(Shade::Linear(1.0, 1.0).of(1.0), 0.0);
        assert_eq!(Shade::Log(0.0, 1.0).of(-1.0), 0.0);
    }
}
