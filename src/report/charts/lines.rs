//! Series over two axes: points, joined or not, with their intervals and direct labels.

use super::super::num;
use super::canvas::{Anchor, Canvas, Ink, draw};
use super::frame::{Frame, SMALL};
use super::labels::Clutter;
use super::scale::{Kind, Scale};
use super::series::Series;
use super::training::{end_labels, text_ink};

/// One axis.
#[derive(Clone, Debug)]
pub struct Axis {
    /// What it measures, with its unit.
    pub title: String,
    /// Whether to take logarithms; `None`: where the positive values span more than a factor of 20.
    pub kind: Option<Kind>,
    /// Values that it must hold.
    pub include: Vec<f64>,
    /// Where its ticks stand; empty: at round numbers.
    pub ticks: Vec<f64>,
}

impl Axis {
    /// An axis that chooses between linear and logarithmic.
    pub fn auto(title: &str) -> Self {
        Self {
            title: title.to_owned(),
            kind: None,
            include: Vec::new(),
            ticks: Vec::new(),
        }
    }

    /// With ticks at the given values.
    #[must_use]
    pub fn ticked(mut self, at: impl IntoIterator<Item = f64>) -> Self {
        self.ticks = at.into_iter().filter(|v| v.is_finite()).collect();
        self.ticks.sort_by(f64::total_cmp);
        self.ticks.dedup();
        self
    }

    /// A linear axis that holds the given values.
    pub fn linear(title: &str, include: &[f64]) -> Self {
        Self {
            kind: Some(Kind::Linear),
            include: include.to_vec(),
            ..Self::auto(title)
        }
    }

    /// A logarithmic axis; a zero has a place of its own at its left end.
    pub fn log(title: &str) -> Self {
        Self {
            kind: Some(Kind::Log),
            ..Self::auto(title)
        }
    }

    fn scale(&self, values: impl Iterator<Item = f64> + Clone) -> Scale {
        let scale = match self.kind {
            Some(Kind::Linear) => Scale::linear(values.chain(self.include.iter().copied())),
            Some(Kind::Log) => Scale::log(values),
            None => Scale::auto(values, 20.0),
        };
        let exact = self.include.iter().fold(scale, |s, v| s.including(*v));
        let mut padded = exact.padded(0.05);
        // A zero that was asked for is the end of the axis.
        for v in &self.include {
            if *v == exact.lo {
                padded.lo = *v;
            }
            if *v == exact.hi {
                padded.hi = *v;
            }
        }
        padded
    }
}

/// One mark.
#[derive(Clone, Debug)]
pub struct Point {
    /// Horizontal value.
    pub x: f64,
    /// Vertical value.
    pub y: f64,
    /// Its interval; NaN where there is none.
    pub interval: (f64, f64),
    /// A few characters beside it, where there is room.
    pub note: String,
}

impl Point {
    /// A mark without interval or note.
    pub fn new(x: f64, y: f64) -> Self {
        Self {
            x,
            y,
            interval: (f64::NAN, f64::NAN),
            note: String::new(),
        }
    }

    /// With an interval in the vertical direction.
    #[must_use]
    pub fn between(mut self, lo: f64, hi: f64) -> Self {
        self.interval = (lo, hi);
        self
    }

    /// With a few characters beside it.
    #[must_use]
    pub fn noted(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }
}

/// One series. Its look says hue, shape and name; an empty name is not written.
#[derive(Clone, Debug)]
pub struct Line {
    /// Hue, opacity, shape, name.
    pub look: Series,
    /// By rising `x` where they are joined.
    pub points: Vec<Point>,
    /// Whether a line joins them.
    pub joined: bool,
    /// Radius of the marks in pixels.
    pub radius: f64,
}

impl Line {
    /// A joined series.
    pub fn new(look: Series, points: Vec<Point>) -> Self {
        Self {
            look,
            points,
            joined: true,
            radius: 2.8,
        }
    }

    /// Marks alone.
    pub fn cloud(look: Series, points: Vec<Point>) -> Self {
        Self {
            joined: false,
            radius: 2.2,
            ..Self::new(look, points)
        }
    }
}

/// A chart of series.
#[derive(Clone, Debug)]
pub struct Plot {
    /// What a screen reader says.
    pub label: String,
    /// Width and height in pixels.
    pub size: (f64, f64),
    /// Horizontal axis.
    pub x: Axis,
    /// Vertical axis.
    pub y: Axis,
    /// The series; the last is drawn on top.
    pub lines: Vec<Line>,
    /// Values of `y` to compare with, named.
    pub rules: Vec<(f64, String)>,
    /// Whether the line where both axes are equal is drawn.
    pub diagonal: bool,
}

/// Width of the place of a zero left of a logarithmic axis.
const ZERO: f64 = 26.0;

impl Plot {
    /// A chart of the usual size.
    pub fn new(label: &str, x: Axis, y: Axis, lines: Vec<Line>) -> Self {
        Self {
            label: label.to_owned(),
            size: (440.0, 310.0),
            x,
            y,
            lines,
            rules: Vec::new(),
            diagonal: false,
        }
    }

    fn points(&self) -> impl Iterator<Item = &Point> + Clone {
        self.lines.iter().flat_map(|l| &l.points)
    }

    fn frame(&self) -> Frame {
        let x = self.x.scale(self.points().map(|p| p.x));
        let ends = self
            .points()
            .flat_map(|p| [p.y, p.interval.0, p.interval.1]);
        let rules = self.rules.iter().map(|r| r.0);
        let y = self.y.scale(ends.chain(rules));
        let names = self.lines.iter().map(|l| l.look.label.chars().count());
        let named = names.max().unwrap_or(0).min(26) as f64;
        let zero = x.kind == Kind::Log && self.points().any(|p| p.x == 0.0);
        Frame {
            left: 50.0 + if zero { ZERO } else { 0.0 },
            right: self.size.0
                - if named > 0.0 {
                    20.0 + 5.9 * named
                } else {
                    12.0
                },
            top: 34.0,
            bottom: self.size.1 - 42.0,
            x,
            y,
        }
    }

    /// The chart as SVG.
    pub fn svg(&self) -> String {
        let frame = self.frame();
        draw(self.size.0, self.size.1, &self.label, |c| {
            self.ground(c, &frame);
            let mut clutter = Clutter::default();
            let mut notes = Vec::new();
            let (mut ends, mut names) = (Vec::new(), Vec::new());
            for line in &self.lines {
                let at: Vec<_> = line.points.iter().map(|p| self.place(&frame, p)).collect();
                self.series(c, &frame, line, &at);
                for (p, &at) in line.points.iter().zip(&at) {
                    if at.0.is_finite() && at.1.is_finite() {
                        clutter.mark(at, line.radius);
                        let (lo, hi) = (frame.py(p.interval.0), frame.py(p.interval.1));
                        if lo.is_finite() && hi.is_finite() {
                            clutter.bar((at.0, (lo + hi) / 2.0), (lo - hi) / 2.0);
                        }
                        if !p.note.is_empty() {
                            notes.push((at, p.note.as_str()));
                        }
                    }
                }
                if line.joined {
                    clutter.line(&at);
                }
                let seen = at.iter().filter(|p| p.0.is_finite() && p.1.is_finite());
                if let Some(&end) = seen.max_by(|a, b| a.0.total_cmp(&b.0))
                    && !line.look.label.is_empty()
                {
                    if line.joined {
                        ends.push((end, &line.look));
                    } else {
                        names.push((end, &line.look));
                    }
                }
            }
            // Marks that no line joins are named beside the last of them.
            for (at, look) in names {
                let width = 6.6 * look.label.chars().count() as f64;
                match clutter.place(at, width) {
                    Some((at, anchor)) => {
                        c.text(at, &look.label, SMALL, text_ink(look.ink), anchor);
                    }
                    None => ends.push((at, look)),
                }
            }
            for (at, note) in notes {
                let width = 5.6 * note.chars().count() as f64;
                if let Some((at, anchor)) = clutter.place(at, width) {
                    c.text(at, note, 10.0, Ink::Muted, anchor);
                }
            }
            end_labels(c, &frame, &ends);
        })
    }

    fn place(&self, frame: &Frame, p: &Point) -> (f64, f64) {
        if frame.x.kind == Kind::Log && p.x == 0.0 {
            return (frame.left - ZERO + 10.0, frame.py(p.y));
        }
        frame.at(p.x, p.y)
    }

    fn ground(&self, c: &mut Canvas, frame: &Frame) {
        let zero = frame.x.kind == Kind::Log && self.points().any(|p| p.x == 0.0);
        let wide = Frame {
            left: frame.left - if zero { ZERO } else { 0.0 },
            ..*frame
        };
        for (v, label) in frame.y.ticks(((frame.bottom - frame.top) / 38.0) as usize) {
            let y = frame.py(v);
            c.line((wide.left, y), (frame.right, y), Ink::Grid, 1.0);
            c.text((wide.left - 7.0, y), &label, SMALL, Ink::Muted, Anchor::End);
        }
        let room = ((frame.right - frame.left) / 56.0) as usize;
        if self.x.ticks.is_empty() {
            for (v, label) in frame.x.ticks(room.clamp(2, 8)) {
                frame.x_tick(c, frame.px(v), &label);
            }
        }
        for v in &self.x.ticks {
            frame.x_tick(c, frame.px(*v), &num::short(*v));
        }
        frame.base(c);
        if zero {
            let x = wide.left + 10.0;
            c.line(
                (wide.left, frame.bottom),
                (x + 6.0, frame.bottom),
                Ink::Axis,
                1.0,
            );
            frame.x_tick(c, x, "0");
        }
        wide.titles(c, &self.x.title, &self.y.title);
        if self.diagonal {
            let (lo, hi) = (frame.x.lo.max(frame.y.lo), frame.x.hi.min(frame.y.hi));
            if lo < hi {
                c.line(frame.at(lo, lo), frame.at(hi, hi), Ink::Base, 1.0);
            }
        }
        for (v, name) in &self.rules {
            let y = frame.py(*v);
            c.line((wide.left, y), (frame.right, y), Ink::Base, 1.0);
            let above = if y - frame.top > 16.0 { -8.0 } else { 9.0 };
            // Curves mostly fall to the right: a low rule is named at the left, a high one at the right.
            let low = y > (frame.top + frame.bottom) / 2.0;
            let (x, anchor) = if low {
                (frame.left + 3.0, Anchor::Start)
            } else {
                (frame.right - 2.0, Anchor::End)
            };
            c.text((x, y + above), name, SMALL, Ink::Muted, anchor);
        }
    }

    fn series(&self, c: &mut Canvas, frame: &Frame, line: &Line, at: &[(f64, f64)]) {
        let look = &line.look;
        for (p, &(x, _)) in line.points.iter().zip(at) {
            let (lo, hi) = (frame.py(p.interval.0), frame.py(p.interval.1));
            c.path(&[(x, lo), (x, hi)], look.ink, 0.55 * look.alpha, 2.0);
        }
        if line.joined {
            // What stands in the place of zero is not joined to the logarithmic part.
            let joined: Vec<_> = line
                .points
                .iter()
                .zip(at)
                .map(|(p, &at)| match frame.x.kind {
                    Kind::Log if p.x == 0.0 => (f64::NAN, f64::NAN),
                    _ => at,
                })
                .collect();
            c.path(&joined, look.ink, look.alpha, 1.6);
        }
        for &at in at {
            c.marker(at, look.marker, line.radius, look.ink, look.alpha);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::canvas::Marker;
    use super::*;

    fn look(label: &str) -> Series {
        Series {
            ink: Ink::Accent,
            alpha: 1.0,
            marker: Marker::Circle,
            label: label.into(),
            group: 0,
        }
    }

    #[test]
    fn every_finite_point_and_every_name_is_drawn() {
        let points = [(0.0, 1.0), (1e-3, 2.0), (1e-2, f64::NAN), (1e-1, 4.0)];
        let points = points.map(|(x, y)| Point::new(x, y).between(y - 0.5, y + 0.5));
        let mut plot = Plot::new(
            "a plot",
            Axis::log("coefficient"),
            Axis::linear("score", &[0.0]),
            vec![Line::new(look("the series"), points.into())],
        );
        plot.rules.push((3.0, "chance".into()));
        let svg = plot.svg();
        assert_eq!(svg.matches("<circle").count(), 3, "{svg}");
        assert_eq!(
            svg.matches("opacity=\"0.55\"").count(),
            3,
            "intervals: {svg}"
        );
        for text in [
            "the series",
            "chance",
            "coefficient (log)",
            ">0<",
            ">score<",
        ] {
            assert!(svg.contains(text), "{text}: {svg}");
        }
    }

    #[test]
    fn nothing_and_nonsense_still_draw() {
        let wild = vec![
            Point::new(f64::INFINITY, f64::NAN).noted("</text>"),
            Point::new(-1.0, 1e308),
        ];
        for axis in [
            Axis::log("x"),
            Axis::auto("x"),
            Axis::linear("x", &[f64::NAN]),
        ] {
            for lines in [vec![], vec![Line::new(look("<b>"), wild.clone())]] {
                let svg = Plot::new("", axis.clone(), axis.clone(), lines).svg();
                assert!(svg.ends_with("</svg>") && !svg.contains("NaN") && !svg.contains("<b>"));
            }
        }
    }
}
