//! Steering, as the library does it and as a session answers.

mod common;

use mosaec::causal::{CausalError, Change, FeatureEdit, Steering};
use mosaec::data::{Tokenizer, embedded};
use mosaec::eval::Dictionary;
use mosaec::gpu::{Gpu, Tensor};
use mosaec::harvest::{Site, capture};
use mosaec::model::{Hooks, Model, Sampling, Tokens, Want};
use mosaec::sae::Sae;
use mosaec::session::protocol::{Event, Reply, Request};
use mosaec::session::steer::{Change as Kind, Edit, KnobsRequest, SteerRequest};
use mosaec::session::{Problem, Session, Trouble};
use pollster::block_on;

use common::session::{dictionary_files, opened};

const PROMPT: &str = "It is a truth universally acknowledged, that a";

/// The embedded model, its dictionary, and a prompt's ids.
struct Bench {
    gpu: Gpu,
    model: Model,
    sae: Sae,
    site: Site,
    ids: Vec<u32>,
}

fn bench() -> Bench {
    let gpu = common::gpu();
    let model = Model::embedded(&gpu).unwrap();
    let files = dictionary_files();
    let weights = mosaec::data::tensors::TensorFile::from_bytes("sae", files[1].1.clone()).unwrap();
    let cfg = std::str::from_utf8(&files[0].1).unwrap();
    let sae = Sae::from_parts(&gpu, "l2", cfg, &weights).unwrap();
    let site = Site::of(&sae, &model, None).unwrap();
    let t = Tokenizer::from_bytes(embedded::MODEL_NAME, embedded::MODEL_TOKENIZER).unwrap();
    let ids = t.encode(PROMPT).unwrap();
    Bench {
        gpu,
        model,
        sae,
        site,
        ids,
    }
}

impl Bench {
    /// Activations at the hook and codes, of every token.
    fn codes(&self, ids: &[u32]) -> (Tensor, Vec<f32>) {
        let tokens = Tokens::new(ids, ids.len()).unwrap();
        let x = capture(&self.gpu, &self.model, &tokens, &[self.site])
            .unwrap()
            .remove(0);
        let codes = self.sae.codes(&self.gpu, &x).unwrap();
        (x, block_on(self.gpu.read(&codes)).unwrap())
    }

    fn logits(&self, ids: &[u32], hooks: &mut Hooks) -> Vec<f32> {
        let tokens = Tokens::new(ids, ids.len()).unwrap();
        let out = self.model.run(&self.gpu, &tokens, hooks, Want::Logits);
        block_on(self.gpu.read(&out.unwrap().unwrap())).unwrap()
    }

    fn steering(&self, edits: &[FeatureEdit]) -> Steering<'_> {
        Steering::new(&self.gpu, &self.sae, edits).unwrap()
    }

    /// The feature with the largest code at the last of `ids`, and it.
    fn strongest(&self, ids: &[u32]) -> (usize, f32) {
        let (_, codes) = self.codes(ids);
        let last = &codes[codes.len() - self.sae.d_sae..];
        let (feature, code) = last
            .iter()
            .enumerate()
            .max_by(|a, b| a.1.total_cmp(b.1))
            .unwrap();
        (feature, *code)
    }
}

fn edit(feature: usize, change: Change) -> FeatureEdit {
    FeatureEdit { feature, change }
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let all = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    all.fold(0.0, f32::max)
}

#[test]
fn what_changes_nothing_changes_nothing() {
    let b = bench();
    let (_, codes) = b.codes(&b.ids);
    let d = b.sae.d_sae;
    let silent = (0..d).find(|j| codes.chunks(d).all(|row| row[*j] == 0.0));
    let silent = silent.unwrap();
    let plain = b.logits(&b.ids, &mut Hooks::new());
    for change in [Change::Ablate, Change::Scale(7.0), Change::Clamp(0.0)] {
        let steering = b.steering(&[edit(silent, change)]);
        let steered = b.logits(&b.ids, &mut steering.hooks(b.site));
        assert!(
            plain
                .iter()
                .zip(&steered)
                .all(|(a, b)| a.to_bits() == b.to_bits()),
            "{change:?} of a feature that does not fire"
        );
    }
    // One token, so that one value is the feature's own everywhere.
    let one = &b.ids[..1];
    let (feature, code) = b.strongest(one);
    assert!(code > 0.0);
    let plain = b.logits(one, &mut Hooks::new());
    let own = b.steering(&[edit(feature, Change::Clamp(code))]);
    let held = b.logits(one, &mut own.hooks(b.site));
    assert!(largest_difference(&plain, &held) < 1e-5);
    let other = b.steering(&[edit(feature, Change::Ablate)]);
    let ablated = b.logits(one, &mut other.hooks(b.site));
    assert!(
        largest_difference(&plain, &ablated) > 1e-2,
        "ablating one that fires does something"
    );
}

#[test]
fn a_dictionary_of_centred_activations_reads_them_centred() {
    let b = bench();
    let centred = Site {
        center: true,
        ..b.site
    };
    let tokens = Tokens::new(&b.ids, b.ids.len()).unwrap();
    let at = |site| {
        capture(&b.gpu, &b.model, &tokens, &[site])
            .unwrap()
            .remove(0)
    };
    let (raw, seen) = (at(b.site), at(centred));
    let (feature, _) = b.strongest(&b.ids);
    let steering = b.steering(&[edit(feature, Change::Scale(3.0))]);
    let mut hooks = steering.hooks(centred).capture(&[b.site.hook]);
    b.model
        .run(&b.gpu, &tokens, &mut hooks, Want::Nothing)
        .unwrap();
    let read = |t: &Tensor| block_on(b.gpu.read(t)).unwrap();
    let got = read(hooks.captured(b.site.hook).unwrap());
    let edit = read(&steering.edit(&b.gpu, &seen).unwrap());
    let want: Vec<f32> = read(&raw).iter().zip(&edit).map(|(x, e)| x + e).collect();
    assert!(largest_difference(&got, &want) < 1e-5);
    let other = read(&steering.edit(&b.gpu, &raw).unwrap());
    assert!(
        largest_difference(&edit, &other) > 1e-3,
        "centring matters here"
    );
}

#[test]
fn edits_are_what_a_direct_computation_says() {
    let b = bench();
    let (feature, _) = b.strongest(&b.ids);
    let other = (feature + 1) % b.sae.d_sae;
    let edits = [
        edit(feature, Change::Scale(-0.5)),
        edit(other, Change::Clamp(3.0)),
    ];
    let steering = b.steering(&edits);
    let (x, codes) = b.codes(&b.ids);
    let (n, d, features) = (b.ids.len(), b.sae.d_in, b.sae.d_sae);
    let mut want = block_on(b.gpu.read(&x)).unwrap();
    let directions = block_on(b.gpu.read(b.sae.directions())).unwrap();
    for t in 0..n {
        let changes = [
            (feature, -1.5 * codes[t * features + feature]),
            (other, 3.0 - codes[t * features + other]),
        ];
        for (j, change) in changes {
            for i in 0..d {
                want[t * d + i] += change * directions[j * d + i];
            }
        }
    }
    let value = b.gpu.upload(&want, &[1, n, d]).unwrap();
    let direct = b.logits(&b.ids, &mut Hooks::new().replace(b.site.hook, value));
    let steered = b.logits(&b.ids, &mut steering.hooks(b.site));
    let plain = b.logits(&b.ids, &mut Hooks::new());
    assert!(largest_difference(&direct, &steered) < 1e-3);
    assert!(largest_difference(&plain, &steered) > 0.1);
}

#[test]
fn the_control_is_as_long_at_every_position_and_points_elsewhere() {
    let b = bench();
    let (feature, _) = b.strongest(&b.ids);
    let edits = [
        edit(feature, Change::Ablate),
        edit((feature + 5) % b.sae.d_sae, Change::Clamp(4.0)),
    ];
    let steering = b.steering(&edits);
    let control = block_on(steering.control(&b.gpu, 1)).unwrap();
    let (x, _) = b.codes(&b.ids);
    let read = |s: &Steering| block_on(b.gpu.read(&s.edit(&b.gpu, &x).unwrap())).unwrap();
    let (real, drawn) = (read(&steering), read(&control));
    for (a, c) in real.chunks(b.sae.d_in).zip(drawn.chunks(b.sae.d_in)) {
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        let (na, nc) = (dot(a, a).sqrt(), dot(c, c).sqrt());
        assert!((na - nc).abs() < 1e-4 * na, "{na} {nc}");
        assert!(dot(a, c).abs() < 0.5 * na * nc);
    }
}

#[test]
fn the_cache_steers_as_a_whole_run_does() {
    let b = bench();
    let (feature, code) = b.strongest(&b.ids);
    let steering = b.steering(&[edit(feature, Change::Clamp(2.0 * code))]);
    let greedy = Sampling {
        max_new: 6,
        ..Sampling::default()
    };
    let mut hooks = steering.hooks(b.site);
    let mut text = b.model.generation(&b.gpu, &b.ids, &greedy).unwrap();
    while block_on(text.next(&b.gpu, &mut hooks)).unwrap().is_some() {}
    let vocab = b.model.config().vocab;
    let mut ids = b.ids.clone();
    for next in text.tokens() {
        let logits = b.logits(&ids, &mut steering.hooks(b.site));
        let last = &logits[logits.len() - vocab..];
        let best = last.iter().copied().fold(f32::MIN, f32::max);
        assert!(best - last[*next as usize] < 1e-3);
        ids.push(*next);
    }
    let whole = block_on(
        b.model
            .generate(&b.gpu, &b.ids, &greedy, &mut hooks, |_| ()),
    )
    .unwrap();
    assert_eq!(whole, text.tokens());
}

#[test]
fn wrong_edits_are_refused() {
    let b = bench();
    let new = |edits: &[FeatureEdit]| Steering::new(&b.gpu, &b.sae, edits).err().unwrap();
    assert!(matches!(
        new(&[edit(b.sae.d_sae, Change::Ablate)]),
        CausalError::NoFeature { .. }
    ));
    assert!(matches!(
        new(&[edit(3, Change::Ablate), edit(3, Change::Scale(2.0))]),
        CausalError::Twice { index: 3 }
    ));
    assert!(matches!(
        new(&[edit(3, Change::Clamp(f32::NAN))]),
        CausalError::Value { .. }
    ));
}

fn request(edits: Vec<Edit>) -> SteerRequest {
    SteerRequest {
        prompt: PROMPT.into(),
        edits,
        control: false,
        tokens: 8,
        temperature: 0.8,
        seed: 3,
    }
}

fn steer(
    session: &mut Session,
    request: SteerRequest,
    out: &mut dyn FnMut(&Event),
) -> Result<mosaec::session::steer::SteerReply, Problem> {
    let (reply, _) = block_on(session.handle(Request::Steer(request), Vec::new(), out))?;
    match reply {
        Reply::Steer(reply) => Ok(reply),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_session_writes_both_texts() {
    let mut session = opened();
    let b = bench();
    let (feature, code) = b.strongest(&b.ids);
    let clamp = Edit {
        feature,
        change: Kind::Clamp,
        value: 6.0 * f64::from(code),
    };
    let mut events = Vec::new();
    let reply = steer(&mut session, request(vec![clamp]), &mut |e| {
        events.push(e.clone());
    })
    .unwrap();
    // The unsteered text is the model's own.
    let t = Tokenizer::from_bytes(embedded::MODEL_NAME, embedded::MODEL_TOKENIZER).unwrap();
    let sampling = Sampling {
        temperature: 0.8,
        seed: 3,
        max_new: 8,
        stop: t.end_token(),
        ..Sampling::default()
    };
    let own = block_on(
        b.model
            .generate(&b.gpu, &b.ids, &sampling, &mut Hooks::new(), |_| ()),
    );
    assert_eq!(reply.plain, t.decode(&own.unwrap()).unwrap());
    assert_ne!(reply.plain, reply.steered);
    assert!(reply.kl > 0.01, "{}", reply.kl);
    assert!(reply.html.contains("the first token that differs"));
    assert!(reply.html.contains("More probable"));
    // As they come: the frame, then each text grows.
    let parts = |slot: &str| -> Vec<usize> {
        let of = |e: &Event| match e {
            Event::Part { slot: s, html } if s == slot => Some(html.len()),
            _ => None,
        };
        events.iter().filter_map(of).collect()
    };
    assert_eq!(parts("steer-result").len(), 1);
    assert!(parts("steer-result-plain").len() == 8 && parts("steer-result-steered").len() == 8);
    assert!(parts("steer-result-plain").is_sorted());

    let control = SteerRequest {
        control: true,
        ..request(vec![clamp])
    };
    let control = steer(&mut session, control, &mut |_| ()).unwrap();
    assert_eq!(control.plain, reply.plain);
    assert!((control.edit - reply.edit).abs() < 1e-4 * reply.edit && reply.edit > 0.1);
    assert_ne!(control.kl, reply.kl);
    assert!(control.html.contains("random direction"));

    let nothing = Edit {
        feature,
        change: Kind::Scale,
        value: 1.0,
    };
    let same = steer(&mut session, request(vec![nothing]), &mut |_| ()).unwrap();
    assert_eq!(same.plain, same.steered);
    assert!(same.kl < 1e-6 && same.edit == 0.0);
    assert!(same.html.contains("No probability changes"));
}

#[test]
fn a_session_refuses_and_stops() {
    let mut session = opened();
    let ablate = Edit {
        feature: 0,
        change: Kind::Ablate,
        value: 0.0,
    };
    let mut refused = |change: &dyn Fn(&mut SteerRequest)| {
        let mut request = request(vec![ablate]);
        change(&mut request);
        let problem = steer(&mut session, request, &mut |_| ()).unwrap_err();
        assert_eq!(problem.trouble, Trouble::Input, "{}", problem.message);
        problem.message
    };
    assert!(refused(&|r| r.edits.clear()).contains("add one"));
    assert!(refused(&|r| r.prompt.clear()).contains("empty"));
    assert!(refused(&|r| r.tokens = 0).contains("1 to"));
    assert!(refused(&|r| r.prompt = "word ".repeat(400)).contains("shorten"));
    assert!(refused(&|r| r.temperature = -1.0).contains("temperature"));
    assert!(refused(&|r| r.edits[0].feature = 99_999).contains("99999"));
    let stop = session.stop();
    let mut tokens = 0;
    let stopped = steer(&mut session, request(vec![ablate]), &mut |e| {
        if matches!(e, Event::Part { slot, .. } if slot.ends_with("plain")) {
            tokens += 1;
            stop.stop();
        }
    });
    assert_eq!(stopped.unwrap_err().trouble, Trouble::Stopped);
    assert_eq!(tokens, 1);
    steer(&mut session, request(vec![ablate]), &mut |_| ()).unwrap();
}

#[test]
fn knobs_know_their_range() {
    let mut session = opened();
    let mut knobs = |request: KnobsRequest| {
        let (reply, _) =
            block_on(session.handle(Request::Knobs(request), Vec::new(), &mut |_| ())).unwrap();
        match reply {
            Reply::Knobs(reply) => reply,
            other => panic!("{other:?}"),
        }
    };
    let one = knobs(KnobsRequest {
        add: Some(5),
        ..KnobsRequest::default()
    });
    assert_eq!((one.edits.len(), one.edits[0].feature), (1, 5));
    assert!(one.edits[0].value > 0.0 && one.html.contains("data-edit=\"5\""));
    let mut edits = one.edits.clone();
    edits[0].change = Kind::Scale;
    let two = knobs(KnobsRequest {
        edits,
        reset: Some(5),
        add: Some(6),
    });
    assert_eq!(two.edits[1].feature, 6);
    assert!(two.html.contains("multiply by"));
}
