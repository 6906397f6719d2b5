//! Control: an agent that acts learns to catch.
use crate::program::Workplace;

/// A dot falls through five rows, onto a paddle of one cell or beside it: a return of 1 or −1. Random play has a mean
/// return of −0.6.
const SPEC: &str = r#"
name = "control"
device = "cpu"
threads = 1

[environment]
plugin = "worlds"
world = "catch"
size = 5
paddle = 1

[state]
size = 28

[layer]
plugin = "dense"

[goal]
plugin = "actor-critic"

[record]
every = 100
"#;

/// Runs [`SPEC`] with this behind it, and checks that its mean return is no better than chance at first, and far above
/// it in the last fifth.
#[track_caller]
fn learns(more: &str, sets: &[&str]) {
    learns_to(0.3, more, sets);
}

/// The same, with a mean return of the last fifth that it must get above.
#[track_caller]
fn learns_to(least: f64, more: &str, sets: &[&str]) {
    let place = Workplace::new();
    place.write("control.toml", format!("{SPEC}\n{more}"));
    let mut arguments = vec!["run", "control.toml", "--runs", "runs"];
    arguments.extend(sets.iter().flat_map(|set| ["--set", set]));
    place.efference(&arguments).expect(0);
    let lines = place.run("control").metrics();
    let returns: Vec<f64> = lines.iter().filter_map(|line| line["return"].as_f64()).collect();
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    // Each fifth is of some 300 episodes or more, over which the mean return of random play is −0.6 ± 0.05.
    let fifth = returns.len() / 5;
    let (first, last) = (mean(&returns[..fifth]), mean(&returns[returns.len() - fifth..]));
    assert!(first < 0.3 && last > least, "{sets:?}: {first} in the first fifth, {last} in the last");
}

const TRACES: &str = "\n[trainer]\nplugin = \"traces\"\n\n[optimizer]\nlearning_rate = 0.0003\n";

#[test]
fn an_actor_critic_learns_to_catch_by_eligibility_traces() {
    for seed in ["seed=1", "seed=2", "seed=3"] {
        learns(TRACES, &[seed, "steps=8_000"]);
    }
    learns(TRACES, &["steps=8_000", "goal.shared=true"]);
    learns(TRACES, &["steps=4_000", "environment.streams=3"]);
}

#[test]
fn it_learns_by_step_sizes_that_follow_from_their_effect() {
    for seed in ["seed=1", "seed=2"] {
        learns(TRACES, &[seed, "optimizer.groups.\"goal.value\".kind=intentional", "steps=8_000"]);
        // Slower, and of another pace with each seed.
        learns_to(0.0, TRACES, &[seed, "optimizer.kind=obgd", "steps=12_000"]);
    }
}

#[test]
fn values_of_actions_learn_to_catch_by_eligibility_traces() {
    for seed in ["seed=1", "seed=2"] {
        learns(TRACES, &[seed, "steps=8_000", "goal.plugin=q-lambda", "goal.epsilon_steps=3_000"]);
    }
}

#[test]
fn the_same_terms_learn_by_td_0_under_a_plain_trainer() {
    let bptt = "\n[trainer]\nplugin = \"bptt\"\nsynthetic_gradient.enabled = false\n";
    for seed in ["seed=1", "seed=2"] {
        let more = ["steps=2_500", "environment.streams=4"];
        learns(bptt, &[&[seed], &more[..]].concat());
    }
}
