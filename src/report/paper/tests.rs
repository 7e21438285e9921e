use super::results::*;
use super::{example, html};
use crate::report::results::{
    ActivationHistogram, Example, ExampleGroup, HistogramSeries, IoiReport, PatchPoint,
};

const NASTY: &str = "</script><img src=x onerror=\"a('&')\">\u{0}\u{fffd}\n";
const IDS: [&str; 10] = [
    "toy",
    "frontier",
    "autointerp",
    "monosemanticity",
    "geometry",
    "ioi",
    "cases",
    "tree",
    "perplexity",
    "erasure",
];

/// Every text is hostile and every number is none.
fn nasty() -> PaperReport {
    let text = || NASTY.to_owned();
    let about = About {
        setting: vec![SettingRow {
            what: text(),
            paper: text(),
            ours: text(),
        }],
        verdict: Verdict {
            holds: Holds::No,
            sentence: text(),
        },
        seconds: f64::NAN,
        command: text(),
    };
    let nan = f64::NAN;
    let none = Estimate {
        mean: nan,
        lo: nan,
        hi: f64::INFINITY,
        n: 0,
    };
    let histogram = ActivationHistogram {
        max: nan,
        series: vec![HistogramSeries {
            token: Some(text()),
            counts: vec![0, 3],
        }],
    };
    let point = FrontierPoint {
        arch: text(),
        alpha: Some(nan),
        ratio: nan,
        l0: nan,
        fvu: f64::INFINITY,
        bias: Some(nan),
        ..Default::default()
    };
    let row = ScoreRow {
        dictionary: text(),
        method: text(),
        top_and_random: none,
        random: Some(none),
        detection: Some(none),
        features: vec![ScoredFeature {
            label: text(),
            top_and_random: nan,
            kurtosis: Some(nan),
            ..Default::default()
        }],
        ..Default::default()
    };
    let curve = |role| IoiCurve {
        name: text(),
        role,
        order: text(),
        points: vec![
            PatchPoint {
                kl_se: None,
                features: 0,
                kl: nan,
                edit: nan,
            },
            PatchPoint::default(),
        ],
        ..Default::default()
    };
    PaperReport {
        title: text(),
        scale: text(),
        omitted: vec![text()],
        commands: vec![text()],
        seconds: nan,
        toy: Some(ToySection {
            about: about.clone(),
            maps: vec![ToyMap {
                name: text(),
                alphas: vec![nan],
                ratios: vec![],
                mmcs: vec![vec![nan, 2.0]],
                dead: vec![vec![-1.0]],
                loss: vec![vec![nan, 0.0, 1e-9], vec![1e9]],
                mmcs_next: vec![vec![]],
            }],
        }),
        frontier: Some(FrontierSection {
            about: about.clone(),
            points: vec![point.clone()],
            training: vec![point],
        }),
        geometry: Some(GeometrySection {
            about: about.clone(),
            pairs: vec![GeometryPair {
                differs: text(),
                a: text(),
                b: text(),
                mmcs: nan,
                chance: Some(nan),
                ..Default::default()
            }],
        }),
        autointerp: Some(AutointerpSection {
            about: about.clone(),
            scores: vec![row],
            labels: vec![LabelRow {
                label: text(),
                score: Some(nan),
                ..Default::default()
            }],
            sizes: vec![SizeScore {
                ratio: nan,
                score: none,
                ..Default::default()
            }],
            moments: vec![MomentRow {
                moment: text(),
                correlation: none,
                paper: Some(nan),
            }],
        }),
        ioi: Some(IoiSection {
            about: about.clone(),
            task: Some(IoiReport::default()),
            sites: vec![IoiSite {
                hook: text(),
                kl_none: nan,
                kl_all_at_once: f64::NEG_INFINITY,
                curves: vec![curve(Role::Dictionary), curve(Role::Baseline)],
                attribution: vec![AttributionPoint {
                    exact: nan,
                    estimate: nan,
                }],
                ..Default::default()
            }],
        }),
        cases: Some(CasesSection {
            about: about.clone(),
            features: vec![CaseFeature {
                label: text(),
                why: text(),
                density: nan,
                activations: histogram.clone(),
                coordinate: Some((text(), histogram.clone())),
                effect: Some(histogram),
                tokens: vec![TokenEffect {
                    token: text(),
                    weights: nan,
                    measured: nan,
                }],
                examples: vec![ExampleGroup {
                    name: text(),
                    examples: vec![Example {
                        tokens: vec![text(); 2],
                        activations: vec![f32::NAN],
                        peak: 7,
                    }],
                }],
                ..Default::default()
            }],
            shares: vec![ShareGroup {
                name: text(),
                role: Role::Control,
                shares: vec![nan, 0.5],
            }],
        }),
        tree: Some(TreeSection {
            about: about.clone(),
            trees: vec![Tree {
                root: 9,
                contexts: 0,
                nodes: vec![
                    TreeNode {
                        label: text(),
                        density: nan,
                        ..Default::default()
                    };
                    2
                ],
                edges: vec![
                    TreeEdge {
                        parent: 0,
                        child: 1,
                        effect: nan,
                        cosine: nan,
                    },
                    TreeEdge {
                        parent: 0,
                        child: 77,
                        effect: 0.5,
                        cosine: nan,
                    },
                ],
            }],
        }),
        perplexity: Some(PerplexitySection {
            about: about.clone(),
            tokens: 0,
            original: nan,
            curves: vec![PerplexityCurve {
                name: text(),
                role: Role::Baseline,
                rows: vec![PerplexityRow {
                    perplexity: nan,
                    ..Default::default()
                }],
            }],
        }),
        monosemanticity: Some(MonosemanticitySection {
            about: about.clone(),
            points: vec![MonosemanticityPoint {
                alpha: nan,
                share: nan,
                ..Default::default()
            }],
            baselines: vec![(text(), MonosemanticityPoint::default())],
        }),
        erasure: Some(ErasureSection {
            about,
            concept: text(),
            rows: vec![ErasureRow {
                method: text(),
                before: none,
                after: none,
                edit: nan,
                kl: nan,
                ..Default::default()
            }],
        }),
        ..Default::default()
    }
}

/// Sections that were made and hold nothing.
fn hollow() -> PaperReport {
    PaperReport {
        toy: Some(ToySection::default()),
        frontier: Some(FrontierSection::default()),
        geometry: Some(GeometrySection::default()),
        autointerp: Some(AutointerpSection::default()),
        ioi: Some(IoiSection::default()),
        cases: Some(CasesSection::default()),
        tree: Some(TreeSection::default()),
        perplexity: Some(PerplexitySection::default()),
        monosemanticity: Some(MonosemanticitySection::default()),
        erasure: Some(ErasureSection::default()),
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
    for id in IDS {
        assert!(page.contains(&format!("<section id=\"{id}\"")), "{id}");
    }
}

#[test]
fn a_partial_run_is_a_page() {
    let empty = html(&PaperReport::default());
    assert!(empty.starts_with("<!DOCTYPE html>") && empty.ends_with("</html>"));
    for id in IDS {
        assert!(!empty.contains(&format!("<section id=\"{id}\"")), "{id}");
    }
    let page = html(&hollow());
    for id in IDS {
        assert!(page.contains(&format!("<section id=\"{id}\"")), "{id}");
    }
    assert!(!page.contains("<figure"), "no empty figures");
    assert!(page.contains("Here: undecided."));
}

#[test]
fn the_page_fetches_nothing() {
    for report in [nasty(), hollow(), example::report()] {
        let page = html(&report);
        for forbidden in [
            "http:", "https:", "//cdn", "@import", "url(", "<link", "src=\"", "fetch(",
        ] {
            assert!(!page.contains(forbidden), "{forbidden}");
        }
    }
}

#[test]
fn every_section_shows_claim_verdict_settings_and_numbers() {
    let report = example::report();
    let page = html(&report);
    for id in IDS {
        let start = page.find(&format!("<section id=\"{id}\"")).unwrap();
        let body = &page[start..start + page[start..].find("</section>").unwrap()];
        for part in [
            "class=\"claim\"",
            "class=\"verdict\"",
            "<figure",
            "<svg",
            "<summary>Numbers",
            "class=\"setting\"",
            "<code>mosaec reproduce",
        ] {
            assert!(body.contains(part), "{id}: {part}");
        }
    }
    // At a glance, in the section, and nowhere else.
    let sentence = &report.ioi.unwrap().about.verdict.sentence;
    assert_eq!(page.matches(sentence.as_str()).count(), 2);
    for text in [
        "SAE α=3e-4",
        "PCA, non-negative",
        "ICA, oriented",
        "closing parenthesis",
        "coordinate 21",
        "LEACE",
        "Pythia-70M, 2023",
    ] {
        assert!(page.contains(text), "{text}");
    }
}

#[test]
fn titles_say_what_the_numbers_say() {
    let page = html(&example::report());
    for title in [
        "SAE is above the best baseline in 2 of 4 layers, with intervals apart in 1",
        "Without 4/3138 phrases, dates, acronyms after “(”, predicts “)”, 5/2027 “closing parenthesis” loses 61\u{a0}% of its activation",
        "4/556: 99.0\u{a0}% of the firings in the upper half of its range are on “’”",
        "Layer 2, half of the effect of patching everything: SAE α=1e-3 needs",
        "Of the moments, skew and kurtosis are correlated with the score",
    ] {
        assert!(page.contains(title), "{title}");
    }
}

#[test]
fn results_survive_json() {
    let report = example::report();
    let text = serde_json::to_string(&report).unwrap();
    let back: PaperReport = serde_json::from_str(&text).unwrap();
    assert_eq!(html(&report), html(&back));
    // Numbers that are none come back as such. Activations of examples (f32) are never none.
    let mut report = nasty();
    report.cases.as_mut().unwrap().features[0].examples.clear();
    let text = serde_json::to_string(&report).unwrap();
    let back: PaperReport = serde_json::from_str(&text).unwrap();
    assert!(back.ioi.as_ref().unwrap().sites[0].kl_none.is_nan());
    assert!(back.toy.unwrap().maps[0].mmcs[0][0].is_nan());
    let partial: PaperReport =
        serde_json::from_str("{\"title\":\"t\",\"ioi\":{\"sites\":[{}]}}").unwrap();
    assert!(html(&partial).contains("<section id=\"ioi\""));
}

#[test]
fn another_order_of_the_same_features_is_named_once() {
    let mut report = example::report();
    let named = |r: &PaperReport| html(r).matches(">SAE α=1e-3</text>").count();
    let once = named(&report);
    let site = &mut report.ioi.as_mut().unwrap().sites[0];
    let mut again = site.curves[0].clone();
    again.seed = 1;
    site.curves.push(again);
    assert_eq!(named(&report), once);
    assert_eq!(once, 4, "two axes, two orders");
}
