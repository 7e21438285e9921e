//! Direct labels that do not lie on each other: pushed apart in a column, or put on the free side
//! of a point.

use super::canvas::Anchor;

/// Moves label positions apart to at least `gap`, as little as possible, within `lo..=hi`.
/// The result is in the order of the input.
pub fn spread(at: &[f64], gap: f64, lo: f64, hi: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..at.len()).filter(|&i| at[i].is_finite()).collect();
    order.sort_by(|&a, &b| at[a].total_cmp(&at[b]));
    let mut out = at.to_vec();
    // Clusters of labels that touch are laid out around their common mean.
    let mut clusters: Vec<(f64, Vec<usize>)> = Vec::new();
    for i in order {
        clusters.push((at[i], vec![i]));
        while let [.., a, b] = clusters.as_slice() {
            let need = gap * (a.1.len() + b.1.len()) as f64 / 2.0;
            if b.0 - a.0 >= need {
                break;
            }
            let members: Vec<usize> = a.1.iter().chain(&b.1).copied().collect();
            let mean = members.iter().map(|&i| at[i]).sum::<f64>() / members.len() as f64;
            let half = gap * members.len() as f64 / 2.0;
            let centre = mean.min(hi + gap / 2.0 - half).max(lo - gap / 2.0 + half);
            clusters.truncate(clusters.len() - 2);
            clusters.push((centre, members));
        }
    }
    for (centre, members) in clusters {
        let first = centre - gap * (members.len() as f64 - 1.0) / 2.0;
        for (k, i) in members.into_iter().enumerate() {
            out[i] = first + gap * k as f64;
        }
    }
    out
}

/// What labels must keep clear of.
#[derive(Default)]
pub struct Clutter {
    /// Centre and half size of what must not be covered.
    marks: Vec<(f64, f64, f64, f64)>,
    /// Points along lines, which may be crossed where there is no better place.
    lines: Vec<(f64, f64)>,
}

impl Clutter {
    /// A mark of about `radius` pixels.
    pub fn mark(&mut self, (x, y): (f64, f64), radius: f64) {
        self.marks.push((x, y, radius, radius));
    }

    /// An upright bar of twice `half` pixels.
    pub fn bar(&mut self, (x, y): (f64, f64), half: f64) {
        self.marks.push((x, y, 2.0, half));
    }

    /// A line of text, `width` pixels wide.
    pub fn text(&mut self, (x, y): (f64, f64), width: f64) {
        self.marks.push((x, y, width / 2.0, 5.5));
    }

    /// A line through the points.
    pub fn line(&mut self, points: &[(f64, f64)]) {
        for pair in points.windows(2) {
            let ((ax, ay), (bx, by)) = (pair[0], pair[1]);
            let steps = ((bx - ax).hypot(by - ay) / 4.0).clamp(1.0, 400.0) as usize;
            self.lines.extend((0..=steps).map(|i| {
                let t = i as f64 / steps as f64;
                (ax + (bx - ax) * t, ay + (by - ay) * t)
            }));
        }
    }

    /// The best place for a label `width` pixels wide beside a point, or `None` if every place
    /// would cover a mark or another label. The place is taken from then on.
    pub fn place(&mut self, (x, y): (f64, f64), width: f64) -> Option<((f64, f64), Anchor)> {
        let half = width / 2.0;
        let candidates = [
            (x, y - 11.5, Anchor::Middle),
            (x, y + 12.0, Anchor::Middle),
            (x + half + 8.0, y, Anchor::Start),
            (x - half - 8.0, y, Anchor::End),
            (x + half + 4.0, y - 9.0, Anchor::Start),
            (x - half - 4.0, y + 10.0, Anchor::End),
            (x - half - 4.0, y - 9.0, Anchor::End),
            (x + half + 4.0, y + 10.0, Anchor::Start),
        ];
        let free = candidates.into_iter().filter(|&(cx, cy, _)| {
            self.marks
                .iter()
                .all(|&(mx, my, mw, mh)| (mx - cx).abs() > mw + half || (my - cy).abs() > mh + 5.5)
        });
        let crossed = |cx: f64, cy: f64| {
            self.lines
                .iter()
                .filter(|l| (l.0 - cx).abs() < half + 1.0 && (l.1 - cy).abs() < 6.0)
                .count()
        };
        let (cx, cy, anchor) = free.min_by_key(|&(cx, cy, _)| crossed(cx, cy))?;
        self.text((cx, cy), width);
        let at = match anchor {
            Anchor::Start => cx - half,
            Anchor::Middle => cx,
            Anchor::End => cx + half,
        };
        Some(((at, cy), anchor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_moved_apart_in_order() {
        let out = spread(&[10.0, 11.0, 50.0, 10.5], 12.0, 0.0, 100.0);
        assert!(out[0] < out[3] && out[3] < out[1] && (out[1] - out[3] - 12.0).abs() < 1e-9);
        assert_eq!(out[2], 50.0);
        assert!(spread(&[f64::NAN, 1.0], 12.0, 0.0, 10.0)[0].is_nan());
        assert!(spread(&[], 12.0, 0.0, 10.0).is_empty());
    }

    #[test]
    fn a_label_takes_the_free_side() {
        let mut clutter = Clutter::default();
        clutter.mark((50.0, 50.0), 4.0);
        clutter.mark((50.0, 38.0), 4.0);
        let ((_, y), _) = clutter.place((50.0, 50.0), 30.0).unwrap();
        assert!(y > 55.0, "above is taken");
        assert!(clutter.place((f64::NAN, 0.0), 30.0).is_none() || y.is_finite());
    }
}
