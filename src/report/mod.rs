//! Results -> HTML and SVG. Pure: no GPU and no files, so that the terminal's report and the
//! web page draw with the same code.
//!
//! [`html`] gives the whole report as one self-contained document. Its pieces can be used alone:
//! [`charts`] are functions from data to SVG, [`feature::page`], [`tokens`], [`ioi::section`] and
//! [`summary::section`] give fragments that need only [`page::CSS`] and [`charts::CSS`] around them.
//! A part that a run did not make is left out.

pub mod atlas;
pub mod browser;
pub mod charts;
pub mod dictionaries;
pub mod feature;
pub mod figure;
pub mod findings;
pub mod ioi;
pub mod num;
pub mod number;
pub mod page;
pub mod paper;
pub mod reading;
pub mod results;
pub mod scores;
pub mod summary;
pub mod terms;
pub mod tokens;

use page::Section;

/// The whole report as one HTML document that fetches nothing.
pub fn html(report: &results::RunReport) -> String {
    let mut sections = vec![section("summary", "Summary", summary::section(report))];
    let optional = [
        (
            "pareto",
            "Sparsity against fidelity",
            dictionaries::pareto(report),
        ),
        ("training", "Training", dictionaries::training(report)),
        (
            "density",
            "How often features fire",
            dictionaries::density(report),
        ),
        (
            "ioi",
            "Indirect object identification",
            report.ioi.as_ref().map(ioi::section),
        ),
        ("features", "Features", browser::section(report)),
    ];
    sections.extend(
        optional
            .into_iter()
            .filter_map(|(id, title, body)| Some(section(id, title, body?))),
    );
    sections.push(section(
        "provenance",
        "How this was made",
        summary::provenance(report),
    ));
    let title = if report.title.is_empty() {
        "mosaec report"
    } else {
        &report.title
    };
    page::document(title, &summary::lead(report), &sections)
}

fn section(id: &'static str, title: &str, body: maud::Markup) -> Section {
    Section {
        id,
        title: title.to_owned(),
        body,
    }
}

#[cfg(test)]
mod tests {
    use super::results::*;
    use super::*;

    const NASTY: &str = "</script><img src=x onerror=\"a('&')\">\u{0}\u{fffd}\n";

    fn nasty() -> RunReport {
        let point = CurvePoint {
            fvu: f64::NAN,
            ..Default::default()
        };
        let eval = SaeEval {
            arch: NASTY.into(),
            l0: f64::NAN,
            fvu: f64::INFINITY,
            loss: Some(LossEffect::default()),
            ..Default::default()
        };
        let sae = SaeReport {
            name: NASTY.into(),
            eval,
            curve: vec![point],
        };
        let example = Example {
            tokens: vec![NASTY.into(); 3],
            activations: vec![1.0, f32::NAN],
            peak: 1,
        };
        let series = vec![HistogramSeries {
            token: Some(NASTY.into()),
            counts: vec![0, 3],
        }];
        let feature = FeatureReport {
            label: Some(NASTY.into()),
            density: f64::NAN,
            top_tokens: vec![TokenCount {
                token: NASTY.into(),
                ..Default::default()
            }],
            promoted: vec![TokenLogit {
                token: NASTY.into(),
                logit: f64::NAN,
            }],
            histogram: ActivationHistogram {
                max: f64::NAN,
                series,
            },
            examples: vec![ExampleGroup {
                name: NASTY.into(),
                examples: vec![example],
            }],
            neighbours: vec![Neighbour {
                index: 0,
                cosine: f64::NAN,
            }],
            ..Default::default()
        };
        let map = PatchHeatmap {
            positions: vec![NASTY.into()],
            hooks: vec![NASTY.into()],
            value: vec![vec![f64::NAN]],
        };
        let curve = |name: &str| PatchCurve {
            name: format!("{name} {NASTY}"),
            points: vec![PatchPoint::default(); 2],
            order: None,
        };
        let patching = FeaturePatching {
            hook: NASTY.into(),
            kl_none: f64::NAN,
            curves: vec![curve("SAE"), curve("PCA")],
            ..Default::default()
        };
        RunReport {
            title: NASTY.into(),
            hook: NASTY.into(),
            saes: vec![sae.clone(), sae],
            dictionary: Some(DictionaryReport {
                sae: NASTY.into(),
                layer: Some(0),
                features: vec![feature],
            }),
            ioi: Some(IoiReport {
                residual_patching: Some(map),
                patching: Some(patching),
                ..Default::default()
            }),
            commands: vec![NASTY.into()],
            ..Default::default()
        }
    }

    #[test]
    fn nothing_in_the_data_becomes_markup() {
        let page = html(&nasty());
        assert_eq!(page.matches("</script>").count(), 1);
        assert!(!page.contains("<img") && !page.contains('\0'));
        assert!(
            !page.contains("NaN"),
            "numbers that are none are shown as a dash"
        );
    }

    #[test]
    fn an_empty_report_is_a_page_without_empty_sections() {
        let page = html(&RunReport::default());
        assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>"));
        for id in ["pareto", "training", "density", "ioi", "features"] {
            assert!(!page.contains(&format!("<section id=\"{id}\"")), "{id}");
        }
        assert!(!page.contains("<figure"));
    }

    #[test]
    fn the_page_fetches_nothing() {
        for report in [nasty(), RunReport::default()] {
            let page = html(&report);
            for forbidden in [
                "http:", "https:", "//cdn", "@import", "url(", "<link", "src=\"", "fetch(",
            ] {
                assert!(!page.contains(forbidden), "{forbidden}");
            }
        }
    }
}
