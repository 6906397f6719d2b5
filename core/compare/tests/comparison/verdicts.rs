//! What a comparison says of runs whose figures are known.
use crate::runs::{Runs, lines, near, spec};
use efference_compare::{Axis, FigureKind, Verdict};

/// The samples A and B of the statistics' own tests, whose expected values come from scipy 1.17.
const A: [f64; 6] = [4.1, 3.7, 4.4, 3.8, 4.05, 3.9];
const B: [f64; 6] = [1.7, 1.9, 1.8, 1.5, 1.65, 2.3];

fn a_and_b() -> Runs {
    let runs = Runs::new();
    for seed in 0..6 {
        runs.unroll(1, seed, A[seed as usize]);
        runs.unroll(2, seed, B[seed as usize]);
    }
    runs
}

/// scipy.stats.ttest_rel(A, B): p 3.79e-05, interval 1.77195 to 2.59472; numpy.mean: 3.99167, 1.80833.
#[test]
fn groups_that_differ_are_found_to_differ_by_pairs_of_seeds() {
    let found = a_and_b().compare(|_| {}).unwrap();
    assert_eq!(found.metric, "error");
    assert_eq!(found.keys, ["trainer.unroll_length"]);
    let names: Vec<&str> = found.groups.iter().map(|group| &*group.name).collect();
    assert_eq!(names, ["unroll_length=1", "unroll_length=2"]);
    near(found.groups[0].mean, 3.9916666666666667);
    near(found.groups[1].interquartile_mean, 1.7625);
    assert_eq!(found.groups[1].probability_of_improvement, Some(1.0));
    near(found.groups[0].steps_per_second, 20.0);
    let pair = &found.differences[0];
    assert_eq!((pair.left, pair.right, pair.test, pair.n), (1, 0, "paired t", 6));
    near(pair.difference.unwrap().p, 3.7939745975964015e-05);
    assert_eq!(pair.verdict, Verdict::Better);
    assert_eq!(
        found.verdict,
        [
            "unroll_length=2 is better than unroll_length=1: error is lower by 2.18 (55 %), 95 % interval 1.77 to 2.59, \
          over 6 pairs of equal seeds (p < 0.0001)."
        ]
    );
    assert!(found.notes.is_empty(), "{:?}", found.notes);
}

/// Differences 0.2, -0.1, 0.4, 0.2: effect 0.175 / 0.20616 = 0.849; needed (1.96 + 0.8416)² / 0.849² + 1.96² / 2 = 12.8.
#[test]
fn too_few_seeds_are_said_with_how_many_would_do() {
    let runs = Runs::new();
    for (seed, (a, b)) in [(4.1, 3.9), (2.9, 3.0), (4.4, 4.0), (3.1, 2.9)].into_iter().enumerate() {
        runs.unroll(1, seed as u32, a);
        runs.unroll(2, seed as u32, b);
    }
    let found = runs.compare(|_| {}).unwrap();
    near(found.differences[0].difference.unwrap().p, 0.18812040437418748);
    assert_eq!(found.differences[0].verdict, Verdict::Undecided { more_seeds: Some(9.0) });
    assert_eq!(
        found.verdict,
        [
            "Not enough seeds to tell unroll_length=2 from unroll_length=1: so far unroll_length=2 looks better (error is \
          lower by 0.175 (5 %), 95 % interval -0.153 to 0.503, over 4 pairs of equal seeds; p = 0.1881). If it is what it \
          looks like, about 9 more seeds each would show it."
        ]
    );
    let two = Runs::new();
    for seed in 1..=2 {
        two.unroll(1, seed, 3.0 + f64::from(seed) / 100.0);
        two.unroll(2, seed, 1.0);
    }
    let found = two.compare(|_| {}).unwrap();
    assert_eq!(found.differences[0].verdict, Verdict::Undecided { more_seeds: None });
    assert!(found.verdict[0].contains("fewer than 3 seeds may show chance alone"), "{:?}", found.verdict);
}

/// scipy.stats.ttest_ind(A, B, equal_var=False): p 5.97e-08.
#[test]
fn seeds_that_do_not_match_are_compared_without_pairs_and_some_unmatched_are_named() {
    let runs = Runs::new();
    for seed in 0..6 {
        runs.unroll(1, seed, A[seed as usize]);
        runs.unroll(2, seed + 10, B[seed as usize]);
    }
    let found = runs.compare(|_| {}).unwrap();
    assert_eq!(found.differences[0].test, "Welch's t");
    assert!((found.differences[0].difference.unwrap().p - 5.965499702481923e-08).abs() < 1e-12);
    assert!(found.verdict[0].contains("over 6 and 6 runs whose seeds do not match"), "{:?}", found.verdict);

    let runs = a_and_b();
    runs.unroll(1, 77, 4.0);
    let found = runs.compare(|_| {}).unwrap();
    assert_eq!((found.differences[0].n, found.differences[0].unmatched.len()), (6, 1));
    assert_eq!(found.notes, ["No run of the same seed on the other side, so in no pair: u1-s77."]);
}

/// By hand: of three p values the smallest is multiplied by 3, the next by 2.
#[test]
fn several_comparisons_are_corrected() {
    let runs = a_and_b();
    for seed in 0..6 {
        runs.unroll(4, seed, A[seed as usize] - 0.05 + 0.02 * f64::from(seed));
    }
    let found = runs.compare(|_| {}).unwrap();
    assert_eq!(found.differences.len(), 3);
    let mut p: Vec<(f64, f64)> = found
        .differences
        .iter()
        .map(|pair| (pair.difference.unwrap().p, pair.p_corrected.unwrap()))
        .collect();
    p.sort_by(|a, b| a.0.total_cmp(&b.0));
    near(p[0].1, 3.0 * p[0].0);
    near(p[1].1, (2.0 * p[1].0).max(p[0].1));
    near(p[2].1, p[2].0.max(p[1].1));
    assert!(found.verdict.iter().all(|sentence| sentence.contains("corrected for 3 comparisons")));
}

#[test]
fn runs_that_diverged_count_as_worse_than_any_other_and_are_named() {
    let runs = a_and_b();
    let nan = lines(10, 1.0).replace("\"error\":1.0", "\"error\":null");
    std::fs::write(runs.path().join("u2-s5/metrics.jsonl"), &nan).unwrap();
    let found = runs.compare(|_| {}).unwrap();
    let group = &found.groups[1];
    assert_eq!((group.n, group.runs.len()), (5, 6));
    assert_eq!(group.runs[5].no_figure.as_deref(), Some("diverged"));
    // 5 runs win against all 6, one loses against all.
    near(group.probability_of_improvement.unwrap(), 30.0 / 36.0);
    assert_eq!(found.differences[0].verdict, Verdict::Unreliable);
    assert!(found.verdict[0].starts_with("No verdict on unroll_length=2 and unroll_length=1: of those runs"));
    assert!(
        found.notes[0].starts_with("1 of 12 runs diverged (`error` is NaN or infinite): u2-s5;"),
        "{:?}",
        found.notes
    );
}

#[test]
fn the_same_figures_are_said_to_be_the_same() {
    let runs = Runs::new();
    for seed in 1..=4 {
        runs.unroll(1, seed, 2.0 + f64::from(seed));
        runs.unroll(2, seed, 2.0 + f64::from(seed));
    }
    let found = runs.compare(|_| {}).unwrap();
    assert_eq!(
        found.verdict,
        [
            "unroll_length=1 and unroll_length=2 are the same: error is equal in each of 4 pairs of equal seeds."
        ]
    );
}

#[test]
fn a_run_that_is_there_twice_counts_once() {
    let runs = a_and_b();
    runs.add("again", &spec(2, 3), &lines(20, 5.0));
    let found = runs.compare(|_| {}).unwrap();
    assert_eq!(found.groups[1].runs.len(), 6);
    near(found.groups[1].runs[3].figure.unwrap(), 5.0);
    assert_eq!(
        found.notes[0],
        "Left out, as they have spec and seed of a run that went on longer or is later: u2-s3."
    );
}

/// The values are those that the lines were made of: 9 until 80 % of a run, then the figure; 0.5 s a line of 10 steps.
#[test]
fn a_figure_is_taken_where_it_is_asked_for() {
    let runs = a_and_b();
    let first = |figure, axis| {
        let found = runs.compare(|request| (request.figure, request.axis) = (figure, axis)).unwrap();
        (found.groups[1].runs[0].figure, found.better.name())
    };
    assert_eq!(first(FigureKind::At(50.0), Axis::Step), (Some(9.0), "lower"));
    assert_eq!(first(FigureKind::At(81.0), Axis::Step), (Some(1.7), "lower"));
    assert_eq!(first(FigureKind::At(4.5), Axis::Seconds), (Some(1.7), "lower"));
    assert_eq!(first(FigureKind::At(6.0), Axis::Seconds), (None, "lower"));
    assert_eq!(first(FigureKind::Until(2.0), Axis::Step), (Some(90.0), "lower"));
    assert_eq!(first(FigureKind::Until(2.0), Axis::Seconds), (Some(4.5), "lower"));
    // Trapezoids: 7 · 9 · 10, (9 + 1.7) / 2 · 10, 1.7 · 10, by 90.
    near(first(FigureKind::Area, Axis::Step).0.unwrap(), (630.0 + 53.5 + 17.0) / 90.0);
    let never = runs.compare(|request| request.figure = FigureKind::Until(0.1)).unwrap();
    assert_eq!(
        never.verdict,
        [
            "step until error 0.1 can't be compared: 0 of 6 runs of unroll_length=1 and 0 of 6 runs of unroll_length=2 have \
          such a figure."
        ]
    );
}

#[test]
fn flop_are_an_axis_where_they_are_recorded() {
    let runs = Runs::new();
    let with_flop = lines(10, 2.0).replace("\"loss\":1.0", "\"loss\":1.0,\"flop\":1e9");
    runs.add("a", &spec(1, 1), &with_flop);
    let found =
        runs.compare(|request| (request.figure, request.axis) = (FigureKind::At(1e9), Axis::Flop)).unwrap();
    assert_eq!(found.groups[0].runs[0].figure, Some(9.0));
}

/// Seeds 1 to 3 of two worlds: paired within a world. scipy.stats.ttest_rel of the six differences 1, 1.1, 0.9, 1.2, 1, 0.8:
/// mean 1, sd 0.1414, t 17.32, p 1.18e-5.
#[test]
fn what_differs_within_groups_is_compared_within_equal_values() {
    let runs = Runs::new();
    let differences = [1.0, 1.1, 0.9, 1.2, 1.0, 0.8];
    for (at, difference) in differences.into_iter().enumerate() {
        let (world, seed) = (["bounce", "copy"][at / 3], at as u32 % 3);
        let of_world = [2.0, 6.0][at / 3];
        for (unroll, error) in [(1, of_world + difference), (2, of_world)] {
            let spec = format!("{}[environment]\nworld = \"{world}\"\n", spec(unroll, seed));
            runs.add(&format!("{world}-{unroll}-{seed}"), &spec, &lines(10, error));
        }
    }
    let found = runs.compare(|request| request.by = vec!["trainer".into()]).unwrap();
    assert_eq!(found.strata, ["environment.world"]);
    let pair = &found.differences[0];
    near(pair.difference.unwrap().mean, -1.0);
    assert!((pair.difference.unwrap().p - 1.1753e-05).abs() < 1e-8, "{}", pair.difference.unwrap().p);
    assert_eq!(pair.probability_of_improvement, 1.0);
    assert_eq!(found.groups.len(), 2);
    assert_eq!(runs.compare(|_| {}).unwrap().groups.len(), 4);
}

#[test]
fn of_many_groups_that_can_not_be_distinguished_one_sentence_is_said() {
    let runs = Runs::new();
    for unroll in 1..=6 {
        for (seed, noise) in [0.5, -0.4, 0.1].into_iter().enumerate() {
            let turned = noise * (if unroll % 2 == 0 { 1.0 } else { -1.0 }) * (1.0 + 0.5 * f64::from(unroll));
            runs.unroll(unroll, seed as u32, 3.0 + turned + if unroll == 3 { -0.2 } else { 0.0 });
        }
    }
    let found = runs.compare(|_| {}).unwrap();
    assert_eq!(found.differences.len(), 15);
    let open = found.verdict.last().unwrap();
    let begins = "Not enough seeds to tell unroll_length=3, which looks best, from any of: unroll_length=";
    assert!(open.starts_with(begins), "{open}");
}
