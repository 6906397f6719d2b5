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
