//! Dictionaries whose likeness is known.

mod common;

use mosaec::data::CounterRng;
use mosaec::eval::Dictionary;
use mosaec::eval::baselines::LinearDictionary;
use mosaec::eval::geometry::{Sign, capacities, compare_all, compare_neighbours, likeness};
use mosaec::gpu::Tensor;
use pollster::block_on;

#[test]
fn likeness_of_shuffled_turned_and_strange_directions() {
    let gpu = common::gpu();
    let (n, d) = (120, 48);
    let rng = CounterRng::new(1, 1);
    let a: Vec<f32> = (0..n * d).map(|i| rng.normal_at(i as u64)).collect();
    let order = CounterRng::new(2, 2).permutation(n);
    let up = |v: &[f32]| -> Tensor { gpu.upload(v, &[v.len() / d, d]).unwrap() };
    // Shuffled and scaled; every third one turned round.
    let moved = |turn: bool| -> Vec<f32> {
        let rows = order.iter().enumerate();
        rows.flat_map(|(i, from)| {
            let from = *from as usize;
            let s = if turn && i % 3 == 0 { -2.0 } else { 0.5 };
            a[from * d..(from + 1) * d].iter().map(move |v| v * s)
        })
        .collect()
    };
    let alike = |b: &[f32], sign| block_on(likeness(&gpu, &up(&a), &up(b), sign)).unwrap();
    let same = alike(&moved(false), Sign::Keeps);
    assert_eq!(
        (same.features, same.near, same.matched_near),
        ([n, n], 1.0, 1.0)
    );
    for v in [same.mmcs, same.mmcs_back, same.matched] {
        assert!((v - 1.0).abs() < 1e-6, "{v}");
    }
    let turned = alike(&moved(true), Sign::Keeps);
    assert!((turned.near - 2.0 / 3.0).abs() < 1e-9, "{turned:?}");
    assert!(turned.mmcs < 0.85);
    let free = alike(&moved(true), Sign::Free);
    assert!(
        (free.matched - 1.0).abs() < 1e-6 && free.near == 1.0,
        "{free:?}"
    );

    // Half of them, many times over: every feature of b is in a, half of a's in b, and a matching takes each once.
    let half = &moved(false)[..n / 2 * d];
    let mut twice = half.to_vec();
    twice.extend_from_slice(half);
    let found = alike(&twice, Sign::Keeps);
    assert_eq!((found.near_back, found.near), (1.0, 0.5));
    assert!(found.mmcs_back > 0.999999 && found.mmcs < 0.8);
    assert_eq!(found.matched_near, 0.5, "no feature is matched twice");
    let small = alike(half, Sign::Keeps);
    assert_eq!((small.matched_near, small.features), (1.0, [n, n / 2]));
}

#[test]
fn capacities_of_equal_and_orthogonal_directions() {
    let gpu = common::gpu();
    let rows = [[3.0f32, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 2.0, 0.0]].concat();
    let found = block_on(capacities(&gpu, &gpu.upload(&rows, &[3, 3]).unwrap())).unwrap();
    for (got, want) in found.iter().zip([0.5, 0.5, 1.0]) {
        assert!((got - want).abs() < 1e-6, "{found:?}");
    }
}

#[test]
fn pairs_of_dictionaries() {
    let gpu = common::gpu();
    let made: Vec<LinearDictionary> = [(20, 1), (30, 1), (30, 2)]
        .into_iter()
        .map(|(n, seed)| LinearDictionary::random(&gpu, 16, n, seed).unwrap())
        .collect();
    let named: Vec<(String, &dyn Dictionary)> = made
        .iter()
        .enumerate()
        .map(|(i, d)| (format!("d{i}"), d as &dyn Dictionary))
        .collect();
    let all = block_on(compare_all(&gpu, &named, &mut |_| {})).unwrap();
    let names: Vec<_> = all.iter().map(|l| (l.a.as_str(), l.b.as_str())).collect();
    assert_eq!(names, [("d0", "d1"), ("d0", "d2"), ("d1", "d2")]);
    // The same seed draws the same first rows.
    assert_eq!((all[0].near, all[1].near), (1.0, 0.0));
    let mut last = 0.0;
    let next = block_on(compare_neighbours(&gpu, &named, &mut |s| last = s)).unwrap();
    assert_eq!((next.len(), &next[0], last), (2, &all[0], 1.0));
}
