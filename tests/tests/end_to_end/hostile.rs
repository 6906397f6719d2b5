//! Plugins that misbehave: each ends the run with its name, the step and a help, and everything recorded until
//! then is kept.
use crate::program::{Answer, Run, SMALL, Workplace, fixtures, small_in};

/// In which step, from 0, things go wrong.
const STEP: u64 = 3;

/// Runs [`SMALL`] with the hostile plugin of `kind` and this fault.
fn run(kind: &str, fault: &str, more: &[&str]) -> (Workplace, Answer) {
    let place = Workplace::new();
    place.write("small.toml", if kind == "environment" { small_in("hostile") } else { SMALL.to_owned() });
    let mut sets = vec![
        format!("plugins.path=[{:?}]", fixtures().display().to_string()),
        format!("{kind}.plugin=hostile"),
        format!("{kind}.fault={fault}"),
        format!("{kind}.step={STEP}"),
    ];
    sets.extend(more.iter().map(|&s| s.to_owned()));
    let mut arguments = vec!["run", "small.toml", "--runs", "runs"];
    arguments.extend(sets.iter().flat_map(|set| ["--set", set]));
    let answer = place.efference(&arguments);
    (place, answer)
}

/// Checks a failed run: the sentence on standard error and all that is kept. Returns the run's directory.
#[track_caller]
fn failed(place: &Workplace, answer: Answer, plugin: &str, step: u64, texts: &[&str]) -> Run {
    let answer = answer.expect(1).says(texts).says(&[
        &format!("the run failed in step {step}: "),
        &format!("\n  plugin: {plugin}\n"),
        "\n  help:   ",
    ]);
    let run = place.run("small");
    let id = run.path.file_name().unwrap().to_str().unwrap();
    let answer = answer.says(&[&format!("is in runs/small/{id}")]);
    // It is reported once, and nothing comes behind it.
    assert_eq!(answer.stderr.matches("the run failed").count(), 1, "{answer}");

    let end = run.end();
    assert_eq!(end["how"], "failed", "{end}");
    assert_eq!(end["plugin"], plugin, "{end}");
    assert_eq!(end["step"], step, "{end}");
    assert!(end["help"].as_str().is_some_and(|help| help.len() > 20), "{end}");
    let messages: Vec<_> = end["messages"].as_array().unwrap().iter().map(|m| m.as_str().unwrap()).collect();
    assert!(messages.iter().any(|message| message.starts_with(plugin)), "{end}");

    // One line a step, all of those that were done.
    let lines = if step == 0 { Vec::new() } else { run.metrics() };
    let steps: Vec<_> = lines.iter().map(|line| line["step"].as_u64().unwrap()).collect();
    assert_eq!(steps, (1..=step).collect::<Vec<_>>());
    assert!(!run.names(".").iter().any(|name| name.ends_with(".tmp")));
    run
}

/// A plugin of `kind` with `fault` in a step.
#[track_caller]
fn fails(kind: &str, fault: &str, texts: &[&str]) {
    let (place, answer) = run(kind, fault, &[]);
    failed(&place, answer, &format!("{kind} 'hostile'"), STEP, texts);
}

#[track_caller]
fn fails_in_build(kind: &str, fault: &str, texts: &[&str]) {
    let (place, answer) = run(kind, fault, &[]);
    failed(&place, answer, &format!("{kind} 'hostile'"), 0, texts);
}

#[test]
fn without_a_fault_hostile_plugins_are_plugins_like_others() {
    for kind in ["environment", "layer", "cell", "trainer", "goal"] {
        let (place, answer) = run(kind, "none", &[]);
        let answer = answer.expect(0);
        assert!(answer.stdout.contains("Finished after 12 steps"), "{kind}: {answer}");
        let run = place.run("small");
        assert_eq!(run.end()["how"], "finished");
        assert_eq!(run.metrics().len(), 12);
    }
}

#[test]
fn panics_are_reported_with_their_text_and_place() {
    fails(
        "layer",
        "panic",
        &["panicked at ", "fixtures/hostile/network.rs:", "the 64 columns are not to my liking"],
    );
    fails("layer", "index", &["panicked at ", "index out of bounds"]);
    // The panic's own line is one of tch's, which helps nobody.
    let said = ": mat1 and mat2 shapes cannot be multiplied (";
    let (place, answer) = run("layer", "libtorch", &[]);
    assert!(!answer.stderr.contains("Exception raised from"), "{answer}");
    let texts = ["panicked in ", "hostile::network::Matrix", said];
    failed(&place, answer, "layer 'hostile'", STEP, &texts);
    fails("cell", "panic", &["cell 'hostile': panicked at "]);
    fails("environment", "panic", &["fixtures/hostile/environment.rs:", "nothing to see here"]);
    fails("environment", "panic_in_act", &["do not touch"]);
    fails("goal", "panic", &["what is the goal of all this"]);
    fails("trainer", "panic", &["no pain, no gain"]);
}

#[test]
fn panics_and_errors_in_build_end_the_run_before_its_first_step() {
    fails_in_build("layer", "panic_in_build", &["panicked at ", "no such luck"]);
    fails_in_build("layer", "error_in_build", &["this layer cannot be had on a Sunday"]);
    fails_in_build("cell", "panic_in_build", &["no such luck"]);
    fails_in_build("environment", "panic_in_open", &["the door is stuck"]);
    fails_in_build("environment", "error_in_open", &["ask the janitor for the key"]);
    fails_in_build("goal", "greedy", &["reserves 64 slots of a state of 64", "enlarge state.size"]);
}

#[test]
fn errors_are_reported_as_the_plugin_said_them() {
    let (place, answer) = run("layer", "error", &[]);
    let why = "the weights have gone out for lunch";
    let run = failed(&place, answer, "layer 'hostile'", STEP, &[&format!("layer 'hostile': {why}")]);
    let messages = &run.end()["messages"];
    assert_eq!(messages.as_array().unwrap().last().unwrap(), why, "{messages}");
    fails("environment", "error", &["environment 'hostile': the world has gone away; start it again"]);
    fails("trainer", "no_such_network", &["the agent has no network 'oracle'"]);
    fails("trainer", "no_such_group", &["the agent has no parameter group 'oracle'"]);
}

#[test]
fn wrong_shapes_are_reported_with_both_shapes() {
    fails("layer", "wrong_shape", &["returned a tensor of shape [1, 65] where [1, 64] was expected"]);
    fails("layer", "scalar", &["returned a tensor of shape [] where [1, 64] was expected"]);
    fails("cell", "wrong_shape", &["returned a tensor of shape [1, 65] where [1, 64] was expected"]);
    fails("goal", "wide_loss", &["the loss term 'wide' has 64 elements instead of one"]);
    fails("trainer", "extra_row", &["shape [2, 64]", "1 active stream"]);
    fails("trainer", "extra_column", &["returned states of 65 elements; a state has 64"]);
    fails("trainer", "scalar", &["shape []"]);
    let (place, answer) = run("goal", "few_actions", &["environment.world=catch"]);
    let texts = ["returned a tensor of shape [1, 2] where [1, 3] was expected"];
    failed(&place, answer, "goal 'hostile'", STEP, &texts);
}

#[test]
fn numbers_of_another_kind_are_refused() {
    for kind in ["layer", "cell"] {
        fails(
            kind,
            "half_precision",
            &["returned a tensor of kind Half where Float was expected", "f_to_kind"],
        );
    }
    fails("layer", "whole_numbers", &["returned a tensor of kind Int64 where Float was expected"]);
    fails("layer", "sparse", &["returned a sparse tensor where a dense one was expected", "f_to_dense"]);
    fails("goal", "half_loss", &["the loss term 'error' is of kind Half; it must be Float or Double"]);
    fails("goal", "whole_loss", &["the loss term 'error' is of kind Int64; it must be Float or Double"]);
    fails("trainer", "half_states", &["returned a tensor of kind Half where Float was expected"]);
}

#[test]
fn a_changed_rounding_mode_is_found_where_it_was_changed() {
    for kind in ["layer", "cell"] {
        fails(kind, "round_down", &["left the processor's floating-point mode changed"]);
    }
}

#[test]
fn a_changed_number_of_threads_is_set_back_and_reported() {
    let (_place, answer) = run("trainer", "set_threads", &["threads=1"]);
    let answer = answer.expect(0);
    let text = "in step 3 a plugin changed libtorch's number of threads from 1 to 7; it was set back";
    assert_eq!(answer.stderr.matches(text).count(), 1, "{answer}");
}

#[test]
fn what_gets_no_gradient_is_reported_once() {
    for (kind, text) in [
        ("layer", "got no gradient in 100 updates: they do not learn"),
        ("goal", "the loss term 'error' had no gradient in the first 100 steps: it trains nothing"),
    ] {
        let fault = if kind == "layer" { "detached" } else { "detached_loss" };
        let from_the_first = format!("{kind}.step=0");
        let (_place, answer) = run(kind, fault, &["steps=240", "trainer.unroll_length=2", &from_the_first]);
        let answer = answer.expect(0);
        assert_eq!(answer.stderr.matches(text).count(), 1, "{answer}");
    }
    // Where all is well nothing is said.
    let (_place, answer) = run("layer", "none", &["steps=240", "trainer.unroll_length=2"]);
    let answer = answer.expect(0);
    assert!(!answer.stderr.contains("no gradient"), "{answer}");
}

#[test]
fn a_graph_that_is_gone_is_attributed_to_the_plugin_that_kept_it() {
    for kind in ["goal", "layer", "cell"] {
        let (_place, answer) = run(kind, "keep_graph", &["trainer.unroll_length=1"]);
        answer.expect(1).says(&[
            &format!("{kind} 'hostile': uses tensors of an earlier step with their graph, which is gone"),
            &format!("\n  plugin: {kind} 'hostile'\n"),
            "In the backward pass of trainer 'bptt': ",
        ]);
    }
}

#[test]
fn numbers_that_are_none_are_traced_to_the_plugin_that_made_them() {
    fails(
        "layer",
        "not_a_number",
        &["turned finite numbers into others (NaN or infinity)", "lower the learning rate"],
    );
    fails("cell", "not_a_number", &["turned finite numbers into others (NaN or infinity)"]);
    fails("goal", "nan_loss", &["the loss term 'error' is NaN"]);
    fails("trainer", "not_a_number", &["the new states are not finite (NaN or infinity)"]);
    fails("trainer", "nan_input", &["the numbers that the trainer passes to the cell are not finite"]);
    let (place, answer) = run("goal", "nan_actions", &["environment.world=catch"]);
    failed(&place, answer, "goal 'hostile'", STEP, &["chose actions that are not finite (NaN or infinity)"]);
}

#[test]
fn a_leaked_no_grad_guard_is_found_where_it_was_left() {
    for kind in ["layer", "cell", "goal", "trainer"] {
        fails(kind, "leak_no_grad", &["left gradients switched off", "`tch::no_grad(|| …)`"]);
    }
}

#[test]
fn what_a_plugin_prints_never_reaches_standard_output() {
    for kind in ["layer", "environment"] {
        let (place, answer) = run(kind, "print", &[]);
        assert!(!answer.stdout.contains("here I am"), "{answer}");
        let texts = ["printed to standard output", "\"here I am\"", "tracing::info!", "stdout = \"log\""];
        failed(&place, answer, &format!("{kind} 'hostile'"), STEP, &texts);

        // The help that it names is one.
        let (place, answer) = run(kind, "print", &["plugins.stdout=log"]);
        let answer = answer.expect(0);
        assert!(!answer.stdout.contains("here I am"), "{answer}");
        let log = place.run("small").read("log.txt");
        assert!(log.contains(&format!("{kind} 'hostile' printed: \"here I am\"")), "{log}");
    }
}

#[test]
fn frames_that_do_not_fit_are_refused() {
    fails("environment", "two_frames", &["two frames of stream 0 in one poll"]);
    fails("environment", "wide_frame", &["observes 100000 values", "Set `size` under [state] to 1000"]);
    fails("environment", "many_actions", &["wants 4294967295 actions"]);
    fails("environment", "choice_of_one", &["stream 0 asks for a choice among 1"]);
    fails("environment", "middle_after_last", &["stream 0 that is not the first of an episode"]);
}

#[test]
fn numbers_out_of_range_are_limited_and_reported_once() {
    for (fault, text) in [
        ("outside_observation", "the environment observes 1.5 in stream 0"),
        ("infinite_reward", "the environment sends a reward of inf in stream 0; its range is -1…1"),
    ] {
        let (place, answer) = run("environment", fault, &[]);
        let answer = answer.expect(0);
        assert_eq!(answer.stderr.matches(text).count(), 1, "{answer}");
        let lines = place.run("small").metrics();
        let rewards: Vec<_> = lines.iter().filter_map(|line| line["reward"].as_f64()).collect();
        assert!(rewards.iter().all(|reward| *reward == 1.0), "{rewards:?}");
        assert_eq!(rewards.is_empty(), fault == "outside_observation", "{rewards:?}");
    }
}

#[test]
fn a_picture_of_the_wrong_size_ends_the_run_that_draws_it() {
    let (place, answer) = run("environment", "bad_picture", &["record.pictures_every=2"]);
    failed(&place, answer, "environment 'hostile'", 2, &["5 bytes", "2 × 2"]);
}

#[test]
fn a_panic_while_a_layer_is_dropped_takes_nothing_away() {
    let (place, answer) = run("layer", "panic_in_drop", &[]);
    assert_eq!(answer.code, Some(0), "{answer}");
    assert!(answer.stderr.contains("when it was dropped it panicked"), "{answer}");
    let run = place.run("small");
    assert_eq!(run.end()["how"], "finished");
    assert_eq!(run.metrics().len(), 12);
}

#[test]
fn the_spec_of_a_failed_run_makes_it_again() {
    for (kind, fault) in [("layer", "panic"), ("environment", "error_in_open")] {
        let (place, answer) = run(kind, fault, &[]);
        let said = answer.expect(1).stderr;
        let spec = place.run("small").path.join("spec.toml");
        place.efference(&["check", spec.to_str().unwrap()]).expect(0);
        let again = place.efference(&["run", spec.to_str().unwrap()]).expect(1).stderr;
        // All but where it is kept, and that a file names the library now, which `--set` did before.
        let same = |line: &&str| !line.contains("kept:") && !line.starts_with("note: ");
        let told = |text: &str| text.lines().filter(same).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(told(&again), told(&said));
    }
}

#[test]
fn a_failed_run_keeps_its_last_checkpoint() {
    let (place, answer) = run("layer", "panic", &["checkpoint.every=2"]);
    let run = failed(&place, answer, "layer 'hostile'", STEP, &["panicked"]);
    // Of the last step that was made there are the parameters.
    let names = run.names("checkpoints");
    let steps: Vec<_> = names.iter().filter_map(|name| name.strip_suffix(".json")).collect();
    assert_eq!(steps, ["step-000000000002", "step-000000000003"]);
}
