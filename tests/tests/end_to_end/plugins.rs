//! `efference plugins`.
use crate::program::{Workplace, fixtures, programs};

#[test]
fn plugins_are_listed_with_kind_name_version_line_and_file() {
    let place = Workplace::new();
    let answer = place.efference(&["plugins"]).expect(0);
    let lines: Vec<_> = answer.stdout.lines().collect();
    for (kind, name) in [
        ("environment", "worlds"),
        ("trainer", "bptt"),
        ("trainer", "immediate"),
        ("trainer", "rtrl"),
        ("trainer", "sliding"),
        ("goal", "predict"),
        ("goal", "maximize"),
        ("goal", "gradmax"),
        ("cell", "gru"),
        ("cell", "mgu"),
        ("cell", "mingru"),
        ("cell", "rtu"),
        ("cell", "perceiver"),
        ("layer", "ldl"),
        ("layer", "dense"),
        ("layer", "low-rank"),
        ("layer", "monarch"),
        ("layer", "rewired"),
    ] {
        let words = |line: &&str| line.split_whitespace().take(2).eq([kind, name]);
        let at = lines.iter().position(words).unwrap_or_else(|| panic!("no {name} in {answer}"));
        let line: Vec<_> = lines[at].split_whitespace().collect();
        assert!(line[2].split('.').count() == 3 && line.len() > 5, "{}", lines[at]);
        let file = programs().join(format!("libefference_{}.so", name.replace('-', "_")));
        assert_eq!(lines[at + 1].trim(), file.to_str().unwrap());
    }
    assert_eq!(answer.stderr, "");
}

#[test]
fn a_plugin_is_shown_with_its_options() {
    let place = Workplace::new();
    let answer = place.efference(&["plugins", "show", "ldl"]).expect(0);
    let text = answer.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.starts_with("layer ldl "), "{answer}");
    // Name, type, default, range and a word of the doc.
    for word in ["radix", "sharing", "\"axis\"", "\"none\"", "16", "libefference_ldl.so"] {
        assert!(text.contains(word), "no {word} in {answer}");
    }
    let answer = place.efference(&["plugins", "show", "dence"]).expect(1);
    assert!(
        answer.stderr.contains("there is no plugin 'dence'") && answer.stderr.contains("dense"),
        "{answer}"
    );
}

#[test]
fn plugins_of_other_directories_are_found_by_path_and_variable() {
    let place = Workplace::new();
    let directory = fixtures();
    let shown = |answer: crate::program::Answer| {
        let answer = answer.expect(0);
        assert!(answer.stdout.starts_with("environment visitors "), "{answer}");
        assert!(answer.stdout.contains("polls") && answer.stdout.contains("milliseconds"), "{answer}");
    };
    shown(place.efference(&["plugins", "show", "visitors", "--path", directory.to_str().unwrap()]));
    let mut command = place.command(&["plugins", "show", "visitors"]);
    shown(place.start(command.env("EFFERENCE_PLUGIN_PATH", &directory)).wait());
    place.efference(&["plugins", "show", "visitors"]).expect(1);
}

#[test]
fn a_reader_that_goes_away_is_no_failure_to_report() {
    let place = Workplace::new();
    let command = place.command(&["plugins"]);
    let program = command.get_program().to_owned();
    let output = std::process::Command::new("sh")
        .args(["-c", "\"$0\" plugins | true"])
        .arg(program)
        .current_dir(place.path())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn a_variable_without_a_directory_names_none() {
    let place = Workplace::new();
    place.write("own.so", "no library");
    for said in ["", ":"] {
        let answer =
            place.start(place.command(&["plugins"]).env("EFFERENCE_PLUGIN_PATH", said)).wait().expect(0);
        assert!(!answer.stdout.contains("own.so") && !answer.stderr.contains("own.so"), "'{said}': {answer}");
    }
    let answer = place.start(place.command(&["plugins"]).env("EFFERENCE_PLUGIN_PATH", ".")).wait();
    assert!(answer.stderr.contains("own.so") || answer.stdout.contains("own.so"), "{answer}");
}
