//! A drawing surface over plotters' SVG back end whose colours follow the page's theme.
//!
//! plotters writes fixed colours and whole-pixel positions. Here a colour is an [`Ink`], encoded
//! as a marker colour and rewritten to a CSS class afterwards, so that one SVG serves light and
//! dark; positions are drawn on a grid four times finer than a pixel, so that curves stay smooth.
//! The back end is driven directly, not through plotters' chart builder: that one measures text,
//! which in a browser needs a document and would fail inside a worker.

use std::fmt::Write as _;

use plotters::backend::SVGBackend;
use plotters::prelude::{DrawingBackend, FontTransform, IntoFont, TextStyle};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, RGBColor, ShapeStyle};

/// Grid positions per pixel.
const FINE: f64 = 4.0;

/// What a mark means; the style sheet says how it looks in each theme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    /// Main text.
    Text,
    /// Secondary text.
    Muted,
    /// Axis lines and ticks.
    Axis,
    /// Grid lines.
    Grid,
    /// Baselines and fronts behind the result, dashed.
    Base,
    /// Activation, and the first series.
    Accent,
    /// The second series.
    Blue,
    /// The third series and everything else.
    Grey,
    /// Tokens, in the monospaced face.
    Token,
    /// Text on a pale cell.
    OnPale,
    /// Text on a strong cell.
    OnStrong,
}

const INKS: [(Ink, &str); 11] = [
    (Ink::Text, "text"),
    (Ink::Muted, "muted"),
    (Ink::Axis, "axis"),
    (Ink::Grid, "grid"),
    (Ink::Base, "base"),
    (Ink::Accent, "accent"),
    (Ink::Blue, "blue"),
    (Ink::Grey, "grey"),
    (Ink::Token, "token"),
    (Ink::OnPale, "on-pale"),
    (Ink::OnStrong, "on-strong"),
];

impl Ink {
    fn rgb(self) -> RGBColor {
        let index = INKS.iter().position(|(ink, _)| *ink == self).unwrap_or(0);
        RGBColor(1, 0, index as u8)
    }
}

/// Where text stands relative to its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// Begins at the point.
    Start,
    /// Centred on the point.
    Middle,
    /// Ends at the point.
    End,
}

/// The shape of a point; shape and colour both tell series apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marker {
    /// A disc.
    Circle,
    /// A square.
    Square,
    /// A triangle, point up.
    Triangle,
    /// A circle that is not filled: for controls.
    Ring,
}

/// An SVG being drawn. Positions are pixels from the upper left; what is not finite is not drawn.
pub struct Canvas<'a> {
    backend: SVGBackend<'a>,
}

/// Draws an SVG of `width` × `height` pixels; `label` is what a screen reader says.
pub fn draw(width: f64, height: f64, label: &str, paint: impl FnOnce(&mut Canvas)) -> String {
    let size = (
        ((width * FINE) as u32).max(1),
        ((height * FINE) as u32).max(1),
    );
    let mut raw = String::new();
    {
        let mut canvas = Canvas {
            backend: SVGBackend::with_string(&mut raw, size),
        };
        paint(&mut canvas);
        canvas.backend.present().ok();
    }
    themed(&raw, size, label)
}

/// A rectangle's attributes, for elements that are put into an SVG beside what is drawn.
pub fn region((x, y): (f64, f64), (w, h): (f64, f64)) -> String {
    let [x, y, w, h] = [x, y, w, h].map(|v| fine(v).unwrap_or(0));
    format!("x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\"")
}

fn fine(v: f64) -> Option<i32> {
    v.is_finite()
        .then(|| (v * FINE).round().clamp(-1e6, 1e6) as i32)
}

fn point((x, y): (f64, f64)) -> Option<(i32, i32)> {
    Some((fine(x)?, fine(y)?))
}

fn stroke(ink: Ink, alpha: f64, width: f64) -> ShapeStyle {
    ShapeStyle {
        color: ink.rgb().mix(alpha.clamp(0.02, 1.0)),
        filled: false,
        stroke_width: (width * FINE).round().max(1.0) as u32,
    }
}

fn fill(ink: Ink, alpha: f64) -> ShapeStyle {
    ShapeStyle {
        filled: true,
        ..stroke(ink, alpha, 0.0)
    }
}

impl Canvas<'_> {
    /// A straight line, `width` pixels wide.
    pub fn line(&mut self, from: (f64, f64), to: (f64, f64), ink: Ink, width: f64) {
        if let (Some(a), Some(b)) = (point(from), point(to)) {
            self.backend.draw_line(a, b, &stroke(ink, 1.0, width)).ok();
        }
    }

    /// A line through the points; a point that is not finite breaks it.
    pub fn path(&mut self, points: &[(f64, f64)], ink: Ink, alpha: f64, width: f64) {
        for run in points.split(|&p| point(p).is_none()) {
            let mut run: Vec<_> = run.iter().filter_map(|&p| point(p)).collect();
            run.dedup();
            if run.len() > 1 {
                self.backend.draw_path(run, &stroke(ink, alpha, width)).ok();
            }
        }
    }

    /// A filled rectangle.
    pub fn rect(&mut self, (x, y): (f64, f64), (w, h): (f64, f64), ink: Ink, alpha: f64) {
        if let (Some(a), Some(b)) = (point((x, y)), point((x + w, y + h)))
            && b.0 > a.0
            && b.1 > a.1
        {
            self.backend.draw_rect(a, b, &fill(ink, alpha), true).ok();
        }
    }

    /// A filled area with the given outline.
    pub fn area(&mut self, outline: &[(f64, f64)], ink: Ink, alpha: f64) {
        let points: Option<Vec<_>> = outline.iter().map(|&p| point(p)).collect();
        if let Some(mut points) = points.filter(|p| p.len() > 2) {
            points.dedup();
            self.backend.fill_polygon(points, &fill(ink, alpha)).ok();
        }
    }

    /// A point of a series.
    pub fn marker(&mut self, at: (f64, f64), shape: Marker, radius: f64, ink: Ink, alpha: f64) {
        let Some((x, y)) = point(at) else { return };
        let r = (radius * FINE).round() as i32;
        let style = fill(ink, alpha);
        match shape {
            Marker::Circle => self
                .backend
                .draw_circle((x, y), r.unsigned_abs(), &style, true)
                .ok(),
            Marker::Square => {
                let r = r * 9 / 10;
                self.backend
                    .draw_rect((x - r, y - r), (x + r, y + r), &style, true)
                    .ok()
            }
            Marker::Ring => self
                .backend
                .draw_circle((x, y), r.unsigned_abs(), &stroke(ink, alpha, 1.4), false)
                .ok(),
            Marker::Triangle => {
                let corners = [
                    (x, y - r * 6 / 5),
                    (x + r * 6 / 5, y + r),
                    (x - r * 6 / 5, y + r),
                ];
                self.backend.fill_polygon(corners, &style).ok()
            }
        };
    }

    /// One line of text, `size` pixels high, vertically centred on its point.
    pub fn text(&mut self, at: (f64, f64), text: &str, size: f64, ink: Ink, anchor: Anchor) {
        self.write(at, text, size, ink, anchor, FontTransform::None);
    }

    /// Text that runs upwards.
    pub fn text_up(&mut self, at: (f64, f64), text: &str, size: f64, ink: Ink, anchor: Anchor) {
        self.write(at, text, size, ink, anchor, FontTransform::Rotate270);
    }

    fn write(
        &mut self,
        at: (f64, f64),
        text: &str,
        size: f64,
        ink: Ink,
        anchor: Anchor,
        turn: FontTransform,
    ) {
        let Some(at) = point(at) else { return };
        let h_pos = match anchor {
            Anchor::Start => HPos::Left,
            Anchor::Middle => HPos::Center,
            Anchor::End => HPos::Right,
        };
        // plotters divides the size by 1.24 on output.
        let font = ("sans-serif", size * FINE * 1.24)
            .into_font()
            .transform(turn);
        let rgb = ink.rgb();
        let style = TextStyle::from(font)
            .color(&rgb)
            .pos(Pos::new(h_pos, VPos::Center));
        // A line break or control character would not survive inside an SVG text element.
        let text: String = text
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        self.backend.draw_text(&text, &style, at).ok();
    }
}

/// Rewrites marker colours to classes, drops what the style sheet says, and replaces the root tag.
///
/// Text cannot be mistaken for an attribute here: the back end escapes every quotation mark in it.
fn themed(raw: &str, (w, h): (u32, u32), label: &str) -> String {
    let body = raw.split_once('>').map_or("", |(_, rest)| rest);
    let (width, height) = (f64::from(w) / FINE, f64::from(h) / FINE);
    // Below four fifths of its size the text of a chart cannot be read: then it scrolls.
    let least = width * 0.8;
    let mut out = format!(
        r#"<svg class="chart" viewBox="0 0 {w} {h}" width="{width}" height="{height}" style="min-width:{least:.0}px" font-size="44" stroke-width="4" role="img" aria-label=""#,
    );
    escape(&mut out, label);
    out.push_str("\">");
    let mut rest = body;
    while let Some(at) = rest.find("=\"") {
        let name_at = rest[..at].rfind([' ', '<']).map_or(0, |i| i + 1);
        let name = &rest[name_at..at];
        let value = rest[at + 2..].split('"').next().unwrap_or("");
        let after = &rest[at + 2 + value.len()..];
        out.extend(
            rest[..name_at]
                .trim_end_matches(' ')
                .chars()
                .filter(|&c| c != '\n'),
        );
        attribute(&mut out, name, value);
        rest = after.strip_prefix('"').unwrap_or(after);
    }
    out.extend(rest.chars().filter(|&c| c != '\n'));
    out
}

fn attribute(out: &mut String, name: &str, value: &str) {
    let class = value
        .strip_prefix("#0100")
        .and_then(|hex| u8::from_str_radix(hex, 16).ok())
        .and_then(|i| INKS.get(usize::from(i)));
    let kept = match (name, class) {
        ("fill", Some((_, ink))) => write!(out, r#" class="f-{ink}""#),
        ("stroke", Some((_, ink))) => write!(out, r#" class="l-{ink}""#),
        ("font-family", _) => Ok(()),
        ("opacity", _) if value == "1" => Ok(()),
        ("opacity", _) => write!(out, r#" opacity="{:.2}""#, value.parse().unwrap_or(1.0)),
        ("stroke", _) if value == "none" => Ok(()),
        ("text-anchor", _) if value == "start" => Ok(()),
        ("stroke-width", _) if value == "4" || value == "1" => Ok(()),
        ("font-size", _) if value.parse().is_ok_and(|v: f64| v.round() == 44.0) => Ok(()),
        ("font-size", _) => write!(out, r#" font-size="{:.0}""#, value.parse().unwrap_or(44.0)),
        ("points", _) => write!(out, r#" points="{}""#, value.trim()),
        _ => write!(out, r#" {name}="{value}""#),
    };
    kept.ok();
}

/// Appends `text` with everything escaped that HTML or XML gives a meaning to.
pub fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_become_classes_and_text_is_escaped() {
        let svg = draw(100.0, 50.0, "a \"b\" <c>", |c| {
            c.rect((0.0, 0.0), (10.0, 10.0), Ink::Accent, 0.5);
            c.line((0.0, 0.0), (9.0, 9.0), Ink::Grid, 1.0);
            c.text(
                (5.0, 5.0),
                "</text><script>\" fill=\"#010000\"\n",
                11.0,
                Ink::Token,
                Anchor::Start,
            );
            c.path(
                &[(0.0, 0.0), (f64::NAN, 1.0), (2.0, f64::INFINITY)],
                Ink::Blue,
                1.0,
                1.0,
            );
        });
        assert!(
            svg.starts_with("<svg class=\"chart\"") && svg.ends_with("</svg>"),
            "{svg}"
        );
        assert!(
            svg.contains("class=\"f-accent\"") && svg.contains("class=\"l-grid\""),
            "{svg}"
        );
        assert!(
            !svg.contains("<script") && svg.contains("&lt;script&gt;&quot; fill=&quot;#010000"),
            "{svg}"
        );
        assert!(svg.contains("a &quot;b&quot; &lt;c&gt;"));
        assert!(
            !svg.contains("polyline"),
            "a broken path draws nothing: {svg}"
        );
    }
}
