//! Data to SVG. Each chart is a function from results to one `<svg>` element that takes its
//! colours from the page; [`standalone`] turns it into a file of its own.
//!
//! No chart panics, whatever the numbers: what is empty gives an empty frame, what is not finite
//! is not drawn.

pub mod activation;
pub mod canvas;
pub mod density;
pub mod dots;
pub mod frame;
pub mod grid;
pub mod heatmap;
pub mod labels;
pub mod lines;
pub mod pareto;
pub mod patching;
pub mod scale;
pub mod series;
pub mod training;
pub mod tree;

/// How charts look. Every variable has the light theme's colour to fall back on, so that a saved
/// chart needs no page around it.
pub const CSS: &str = include_str!("../assets/chart.css");

/// `svg` as a file: with its name space and its style inside.
pub fn standalone(svg: &str) -> String {
    let open = "<svg xmlns=\"http://www.w3.org/2000/svg\"";
    match svg
        .strip_prefix("<svg")
        .and_then(|rest| rest.split_once('>'))
    {
        Some((attributes, body)) => format!("{open}{attributes}><style>{CSS}</style>{body}"),
        None => format!("{open}/>"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::results::*;
    use super::*;

    #[test]
    fn empty_and_broken_data_still_draw() {
        let nan = CurvePoint {
            fvu: f64::NAN,
            loss: f64::INFINITY,
            l0: -1.0,
            ..Default::default()
        };
        let one = SaeReport {
            curve: vec![nan],
            ..Default::default()
        };
        let point = PatchPoint {
            kl_se: None,
            features: 0,
            kl: f64::NAN,
            edit: f64::INFINITY,
        };
        let curves = vec![
            PatchCurve {
                name: "<PCA>".into(),
                points: vec![point],
                order: None,
            },
            PatchCurve::default(),
        ];
        let patching = FeaturePatching {
            kl_none: f64::NAN,
            kl_all_at_once: f64::NEG_INFINITY,
            curves,
            ..Default::default()
        };
        let map = PatchHeatmap {
            value: vec![vec![f64::NAN, 7.0], vec![], vec![-1e308]],
            ..Default::default()
        };
        let zero = HistogramSeries {
            token: Some("</svg>".into()),
            counts: vec![0, 0],
        };
        let activation = ActivationHistogram {
            max: f64::NAN,
            series: vec![zero, HistogramSeries::default()],
        };
        let density = DensityHistogram {
            edges: vec![f64::NAN, 1.0],
            counts: vec![3, 4, 5],
            never: u32::MAX,
        };
        let mut all = vec![
            heatmap::chart(&map),
            heatmap::chart(&PatchHeatmap::default()),
            activation::chart(&activation),
            activation::chart(&ActivationHistogram::default()),
            density::chart(&density, "a", (f64::NAN, 0.0)),
            density::chart(
                &DensityHistogram::default(),
                "a",
                density::common_range([].into_iter()),
            ),
        ];
        for saes in [
            &[][..],
            &[one.clone()][..],
            &[one, SaeReport::default()][..],
        ] {
            all.extend(
                [
                    training::Quantity::Fvu,
                    training::Quantity::Loss,
                    training::Quantity::L0,
                    training::Quantity::Dead,
                ]
                .map(|q| training::chart(saes, q)),
            );
            all.extend(
                [pareto::Fidelity::Fvu, pareto::Fidelity::CeRecovered]
                    .map(|f| pareto::chart(saes, f)),
            );
        }
        for p in [&patching, &FeaturePatching::default()] {
            all.extend(
                [patching::Against::Features, patching::Against::Edit]
                    .map(|a| patching::chart(p, a)),
            );
        }
        for svg in all {
            assert!(
                svg.starts_with("<svg")
                    && svg.ends_with("</svg>")
                    && svg.matches("</svg>").count() == 1
            );
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            assert!(standalone(&svg).contains("xmlns"));
        }
    }
}
