//! Parts of the contract that no plugin of this repository uses, by the whole program.
use crate::program::{Workplace, fixtures};

const SPEC: &str = r#"
name = "contract"
steps = 12
device = "cpu"
threads = 1

[environment]
plugin = "worlds"
world = "bounce"
size = 4

[layer]
plugin = "counting"

[cell]
plugin = "remembering"

[trainer]
plugin = "slow"

[goal]
plugin = "bonus"

[optimizer]
kind = "sgd"
learning_rate = 0.001

[record]
every = 1
"#;

#[test]
fn a_memory_a_slow_cell_a_bonus_and_calls_after_updates() {
    let place = Workplace::new();
    place.write("contract.toml", format!("{SPEC}\n[plugins]\npath = [{:?}]\n", fixtures()));
    place.efference(&["run", "contract.toml", "--runs", "runs"]).expect(0);
    let lines = place.run("contract").metrics();
    assert_eq!(lines.len(), 12);
    for (step, line) in lines.iter().enumerate() {
        let metric = |name: &str| line[name].as_f64().unwrap_or_else(|| panic!("no '{name}' in {line}"));
        assert_eq!(metric("memory"), 0.5 + 5.0 * (step as f64 + 1.0), "{line}");
        // The world sends no reward, so that the bonus is all of it.
        for name in ["bonus", "reward_with_bonus", "reward_slot"] {
            assert_eq!(metric(name), 0.25, "{line}");
        }
        assert_eq!(metric("updated_in_step"), step as f64);
        // The copy begins as the cell, and stays behind once that learns.
        assert_eq!(metric("slow_gap") > 0.0, step > 0, "{line}");
    }
    // From step 6 on the cell stays as it is, and half of what was between them goes with each update.
    let gap = |step: usize| lines[step]["slow_gap"].as_f64().unwrap();
    assert!(gap(11) < 0.2 * gap(7), "{} in step 7, {} in step 11", gap(7), gap(11));
}

#[test]
fn what_is_only_predicted_is_never_shown_and_what_is_only_seen_adds_to_no_error() {
    let place = Workplace::new();
    let spec = format!(
        "name = \"parted\"\nsteps = 60\nthreads = 1\n[environment]\nplugin = \"parted\"\n[state]\nsize = 32\n[layer]\n\
         plugin = \"dense\"\n[goal]\nplugin = \"witness\"\n[trainer]\nplugin = \"bptt\"\nunroll_length = 2\n[record]\nevery \
         = 1\n[plugins]\npath = [{:?}]\n",
        fixtures()
    );
    place.write("parted.toml", spec);
    place.efference(&["run", "parted.toml", "--runs", "runs"]).expect(0);
    let lines = place.run("parted").metrics();
    assert_eq!(lines.len(), 60);
    const MISSING: f64 = 9.0;
    for line in &lines {
        let metric = |name: &str| line[name].as_f64().unwrap_or_else(|| panic!("no '{name}' in {line}"));
        // Wherever a goal looks, it sees the first two elements alone.
        for where_to in ["seen", "acted_on", "rewarded_for"] {
            let shown = [0, 1, 2].map(|element| metric(&format!("{where_to}_{element}")));
            assert_eq!(shown, [0.5, 0.25, MISSING], "{line}");
        }
        // The first and the third are to be predicted; the second is whatever the state is.
        let state = [0, 1, 2].map(|element| metric(&format!("state_{element}")));
        let target = [0, 1, 2].map(|element| metric(&format!("target_{element}")));
        assert_eq!(target, [0.5, state[1], -0.75], "{line}");
    }
    for (before, line) in lines.iter().zip(&lines[1..]) {
        let metric = |name: &str| line[name].as_f64().unwrap_or_else(|| panic!("no '{name}' in {line}"));
        let off = |element: &str, value: f64| 0.5 * (metric(element).clamp(-1.0, 1.0) - value).powi(2);
        let error = off("state_0", 0.5) + off("state_2", -0.75);
        assert!((metric("error") - error).abs() < 1e-6, "{error} in {line}");
        // All values are the same, so that every baseline is perfect; none is recorded before there is a prediction.
        for baseline in ["error_last", "error_mean", "error_linear", "error_period"] {
            assert_eq!(metric(baseline), 0.0, "{line}");
        }
        assert!(before.get("skill").is_none(), "{before}");
    }
    let error = |line: &serde_json::Value| line["error"].as_f64().unwrap();
    assert!(error(&lines[59]) < 0.5 * error(&lines[1]), "it learns to predict what it never sees");
}
