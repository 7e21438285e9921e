//! The plotting area: margins, grid, ticks and axis titles, the same in every chart.

use super::canvas::{Anchor, Canvas, Ink};
use super::scale::Scale;

/// Height of tick labels and direct labels, in pixels.
pub const SMALL: f64 = 11.0;
/// Height of axis titles.
pub const TITLE: f64 = 11.5;

/// Where the axes stand, in pixels, and what they measure.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// Left end of the horizontal axis.
    pub left: f64,
    /// Right end of the horizontal axis.
    pub right: f64,
    /// Upper end of the vertical axis.
    pub top: f64,
    /// Lower end of the vertical axis.
    pub bottom: f64,
    /// Horizontal scale.
    pub x: Scale,
    /// Vertical scale.
    pub y: Scale,
}

impl Frame {
    /// Horizontal position of a value; NaN where it has none, which draws nothing.
    pub fn px(&self, v: f64) -> f64 {
        self.x
            .at(v)
            .map_or(f64::NAN, |t| self.left + t * (self.right - self.left))
    }

    /// Vertical position of a value; NaN where it has none.
    pub fn py(&self, v: f64) -> f64 {
        self.y
            .at(v)
            .map_or(f64::NAN, |t| self.bottom - t * (self.bottom - self.top))
    }

    /// Position of a point.
    pub fn at(&self, x: f64, y: f64) -> (f64, f64) {
        (self.px(x), self.py(y))
    }

    /// Grid, ticks and titles. The vertical axis' title stands above it, to be read without
    /// turning the head.
    pub fn axes(&self, c: &mut Canvas, x_title: &str, y_title: &str) {
        let room = ((self.right - self.left) / 62.0) as usize;
        for (v, label) in self.y.ticks(((self.bottom - self.top) / 38.0) as usize) {
            let y = self.py(v);
            c.line((self.left, y), (self.right, y), Ink::Grid, 1.0);
            c.text((self.left - 7.0, y), &label, SMALL, Ink::Muted, Anchor::End);
        }
        for (v, label) in self.x.ticks(room.clamp(2, 8)) {
            self.x_tick(c, self.px(v), &label);
        }
        self.base(c);
        self.titles(c, x_title, y_title);
    }

    /// One tick below the horizontal axis.
    pub fn x_tick(&self, c: &mut Canvas, x: f64, label: &str) {
        c.line((x, self.bottom), (x, self.bottom + 4.0), Ink::Axis, 1.0);
        c.text(
            (x, self.bottom + 13.0),
            label,
            SMALL,
            Ink::Muted,
            Anchor::Middle,
        );
    }

    /// The line of the horizontal axis.
    pub fn base(&self, c: &mut Canvas) {
        c.line(
            (self.left, self.bottom),
            (self.right, self.bottom),
            Ink::Axis,
            1.0,
        );
    }

    /// Both axis titles, each marked where its axis is logarithmic.
    pub fn titles(&self, c: &mut Canvas, x_title: &str, y_title: &str) {
        let x = (self.left + self.right) / 2.0;
        c.text(
            (x, self.bottom + 31.0),
            &self.x.title(x_title),
            TITLE,
            Ink::Text,
            Anchor::Middle,
        );
        c.text(
            (2.0, self.top - 15.0),
            &self.y.title(y_title),
            TITLE,
            Ink::Text,
            Anchor::Start,
        );
    }
}
