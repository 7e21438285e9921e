//! Patching, as a session answers: the task against the library's own experiment, own prompts against what must
//! hold exactly.

mod common;

use approx::assert_abs_diff_eq;
use mosaec::causal::{Version, logit_differences, patch_residual};
use mosaec::data::{IoiSet, Tokenizer, embedded};
use mosaec::model::Model;
use mosaec::session::patch::{PatchReply, PatchRequest};
use mosaec::session::patch_prompts::Own;
use mosaec::session::protocol::{Event, Reply, Request};
use mosaec::session::{Problem, Session, Trouble};
use pollster::block_on;

use common::session::opened;

fn patch(
    session: &mut Session,
    request: PatchRequest,
    out: &mut dyn FnMut(&Event),
) -> Result<PatchReply, Problem> {
    let (reply, _) = block_on(session.handle(Request::Patch(request), Vec::new(), out))?;
    match reply {
        Reply::Patch(reply) => Ok(reply),
        other => panic!("{other:?}"),
    }
}

fn own() -> Own {
    Own {
        clean: "When Mary and John went to the store, John gave a drink to".into(),
        corrupted: "When Mary and John went to the store, Mary gave a drink to".into(),
        answer: "Mary".into(),
        wrong: "John".into(),
    }
}

#[test]
fn the_task_is_the_native_experiment_and_comes_row_by_row() {
    let mut session = opened();
    let begin = std::time::Instant::now();
    let mut events = Vec::new();
    let request = PatchRequest::Task {
        prompts: 6,
        seed: 2,
    };
    let reply = patch(&mut session, request, &mut |e| events.push(e.clone())).unwrap();
    eprintln!("{:.2} s", begin.elapsed().as_secs_f64());

    let gpu = common::gpu();
    let model = Model::embedded(&gpu).unwrap();
    let t = Tokenizer::from_bytes(embedded::MODEL_NAME, embedded::MODEL_TOKENIZER).unwrap();
    let set = IoiSet::generate(&t, 6, 2, None).unwrap();
    let run = |version| block_on(logit_differences(&gpu, &model, &set, version)).unwrap();
    let (clean, corrupted) = (run(Version::Clean), run(Version::Corrupted));
    assert_abs_diff_eq!(reply.clean, clean.mean(), epsilon = 1e-4);
    assert_abs_diff_eq!(reply.corrupted, corrupted.mean(), epsilon = 1e-4);
    let quiet = &mut |_| ();
    let map = patch_residual(&gpu, &model, &set, &clean, &corrupted, quiet);
    let map = block_on(map).unwrap().unwrap();
    assert_eq!(reply.map.len(), map.value.len());
    for (got, want) in reply.map.iter().flatten().zip(map.value.iter().flatten()) {
        assert_abs_diff_eq!(got, want, epsilon = 1e-4);
    }
    // The heat map fills row by row.
    let empty: Vec<usize> = events
        .iter()
        .filter_map(|e| match e {
            Event::Part { slot, html } if slot == "patch-map" => Some(html.matches('–').count()),
            _ => None,
        })
        .collect();
    assert_eq!(empty.len(), map.value.len());
    assert!(empty.windows(2).all(|w| w[0] > w[1]), "{empty:?}");

    // The dictionary's curve and the baseline's begin where nothing is patched and come nearer.
    assert_eq!(reply.curves.len(), 2);
    for (name, points) in &reply.curves {
        let (first, last) = (points[0], points[points.len() - 1]);
        eprintln!("{name}: {points:.3?}");
        assert!(first.0 == 0 && first.1 > 0.5 && last.1 < first.1, "{name}");
    }
    assert_abs_diff_eq!(
        reply.curves[0].1[0].1,
        reply.curves[1].1[0].1,
        epsilon = 1e-4
    );
    assert!(reply.html.contains("data-row=\"4\"") && reply.html.contains("Numbers"));
}

#[test]
fn own_prompts_have_a_column_for_each_token() {
    let mut session = opened();
    let reply = patch(&mut session, PatchRequest::Own(own()), &mut |_| ()).unwrap();
    let t = Tokenizer::from_bytes(embedded::MODEL_NAME, embedded::MODEL_TOKENIZER).unwrap();
    let [a, b] = [own().clean, own().corrupted].map(|p| t.encode(&p).unwrap());
    let changed = (0..a.len()).find(|i| a[*i] != b[*i]).unwrap();
    assert!(reply.clean > 0.0 && reply.corrupted < 0.0);
    let (first, last) = (&reply.map[0], &reply.map[reply.map.len() - 1]);
    for column in 0..a.len() {
        // The embedding of what differs is all that differs; the last position is all that is read.
        let (into, out_of) = (
            f64::from(u8::from(column == changed)),
            f64::from(u8::from(column == a.len() - 1)),
        );
        assert_abs_diff_eq!(first[column], into, epsilon = 1e-3);
        assert_abs_diff_eq!(last[column], out_of, epsilon = 1e-3);
    }
    assert!(reply.html.contains("at differs"));

    // The other way round the same pair gives differences of the other sign.
    let turned = Own {
        clean: own().corrupted,
        corrupted: own().clean,
        answer: own().wrong,
        wrong: own().answer,
    };
    let turned = patch(&mut session, PatchRequest::Own(turned), &mut |_| ()).unwrap();
    assert_abs_diff_eq!(turned.clean, -reply.corrupted, epsilon = 1e-4);
}

#[test]
fn prompts_that_do_not_fit_are_shown_and_refused() {
    let mut session = opened();
    let longer = Own {
        corrupted: "When Mary and John went to the big store, Mary gave a drink to".into(),
        ..own()
    };
    let mut shown = String::new();
    let problem = patch(&mut session, PatchRequest::Own(longer.clone()), &mut |e| {
        if let Event::Part { slot, html } = e {
            assert_eq!(slot, "patch-tokens");
            shown = html.clone();
        }
    })
    .unwrap_err();
    assert_eq!(problem.trouble, Trouble::Input);
    assert!(problem.message.contains("same number"), "{problem:?}");
    assert!(shown.contains("at differs"));
    let checked = patch(&mut session, PatchRequest::Check(longer), &mut |_| ()).unwrap();
    assert_eq!(checked.html, shown);
    let fine = patch(&mut session, PatchRequest::Check(own()), &mut |_| ()).unwrap();
    assert!(fine.html.contains("tokens each") && !fine.html.contains("warning"));
}

#[test]
fn it_stops_between_rows_and_works_again() {
    let mut session = opened();
    let stop = session.stop();
    let mut rows = 0;
    let stopped = patch(
        &mut session,
        PatchRequest::Task {
            prompts: 2,
            seed: 0,
        },
        &mut |e| {
            if matches!(e, Event::Part { slot, .. } if slot == "patch-map") {
                rows += 1;
                if rows == 2 {
                    stop.stop();
                }
            }
        },
    );
    assert_eq!(stopped.unwrap_err().trouble, Trouble::Stopped);
    assert_eq!(rows, 2);
    let task = |prompts| PatchRequest::Task { prompts, seed: 0 };
    assert!(patch(&mut session, task(0), &mut |_| ()).is_err());
    patch(&mut session, task(1), &mut |_| ()).unwrap();
}

/// With a text at hand the baseline is principal components.
#[test]
fn with_a_text_the_baseline_is_pca() {
    let mut session = opened();
    let text: String = embedded::text().unwrap().chars().take(40_000).collect();
    let files = vec![("austen.txt".to_owned(), text.into_bytes())];
    block_on(session.handle(Request::Text, files, &mut |_| ())).unwrap();
    let begin = std::time::Instant::now();
    let request = PatchRequest::Task {
        prompts: 4,
        seed: 0,
    };
    let reply = patch(&mut session, request, &mut |_| ()).unwrap();
    eprintln!("{:.2} s", begin.elapsed().as_secs_f64());
    assert_eq!(reply.curves[1].0, "PCA");
    // Complete: with all components patched, what is left is the target.
    let last = reply.curves[1].1.last().unwrap();
    assert_eq!(last.0, 128);
    assert_abs_diff_eq!(last.1, 0.0, epsilon = 1e-3);
}
