//! `efference compare` as people type it.
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

fn run(arguments: &[&str], directory: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_efference"))
        .arg("compare")
        .args(arguments)
        .current_dir(directory)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Four runs in `runs/x`, two of each layer.
fn runs() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (layer, error) in [("ldl", 1.0), ("dense", 2.0)] {
        for seed in 1..=4 {
            let run = root.path().join(format!("runs/x/{layer}-{seed}"));
            fs::create_dir_all(&run).unwrap();
            fs::write(run.join("spec.toml"), format!("seed = {seed}\n[layer]\nplugin = \"{layer}\"\n"))
                .unwrap();
            let error = error
                + f64::from(seed) / 10.0
                + if layer == "ldl" { 0.01 * f64::from(seed * seed) } else { 0.0 };
            fs::write(
                run.join("metrics.jsonl"),
                format!("{{\"step\":10,\"seconds\":1.0,\"error\":{error}}}\n"),
            )
            .unwrap();
        }
    }
    root
}

#[test]
fn the_verdict_is_printed_and_the_files_are_written() {
    let root = runs();
    let arguments = ["x", "--plot", "a.svg", "--plot", "a.PNG", "--html", "a.html", "--tensorboard", "tb"];
    let output = run(&arguments, root.path());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("layer=ldl is better than layer=dense: error is lower by "));
    assert_eq!(text(&output.stderr).lines().filter(|line| line.starts_with("Written: ")).count(), 4);
    let begins = |name: &str, with: &[u8]| {
        assert!(fs::read(root.path().join(name)).unwrap().starts_with(with), "{name}")
    };
    begins("a.svg", b"<svg");
    begins("a.PNG", b"\x89PNG");
    begins("a.html", b"<!doctype html>");
    assert!(root.path().join("tb/layer=ldl/mean").is_dir());

    let json = run(&["runs/x", "--format", "json"], root.path());
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["groups"][0]["name"], "layer=dense");
    assert_eq!(json["groups"][1]["n"], 4);
}

#[test]
fn what_is_wrong_is_an_error_and_no_verdict_is_none() {
    let root = runs();
    let none = run(&["y"], root.path());
    assert_eq!(none.status.code(), Some(1));
    assert!(
        text(&none.stderr)
            .starts_with("error: 'y' is not there, and neither is 'runs/y'; name the directory")
    );
    let undecided = run(&["x/ldl-1", "x/dense-1"], root.path());
    assert_eq!(undecided.status.code(), Some(0));
    assert!(
        text(&undecided.stdout)
            .contains("Not enough seeds to tell layer=ldl from layer=dense: 1 pair of equal seeds.")
    );
    for (wrong, says) in [
        (["x", "--last", "20"], "give a share of the run, above 0 and at most 1, such as 0.2"),
        (["x", "--at", "-1"], "give a number above 0, such as 5_000"),
        (["x", "--plot", "a.jpg"], "name a file that ends in .svg or .png"),
    ] {
        let wrong = run(&[wrong[0], &format!("{}={}", wrong[1], wrong[2])], root.path());
        assert_eq!(wrong.status.code(), Some(2));
        assert!(text(&wrong.stderr).contains(says), "{}", text(&wrong.stderr));
    }
    let both = run(&["x", "--auc", "--at", "5"], root.path());
    assert!(text(&both.stderr).contains("cannot be used with"), "{}", text(&both.stderr));
    let nowhere = run(&["x", "--html", "no/such/a.html"], root.path());
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(text(&nowhere.stderr).contains("a directory above it is missing"), "{}", text(&nowhere.stderr));
}

#[test]
fn that_environments_differ_is_noted_where_it_makes_figures_incomparable() {
    let root = runs();
    for run in fs::read_dir(root.path().join("runs/x")).unwrap() {
        let run = run.unwrap().path();
        let (spec, metrics) = (run.join("spec.toml"), run.join("metrics.jsonl"));
        let world = fs::read_to_string(&spec).unwrap().replace("[layer]", "[environment]");
        fs::write(spec, world).unwrap();
        let line = fs::read_to_string(&metrics).unwrap().replace('}', ",\"skill\":0.5}");
        fs::write(metrics, line).unwrap();
    }
    let said = |arguments: &[&str]| text(&run(arguments, root.path()).stdout).replace('\n', " ");
    let note = "The environments differ (`environment.plugin`)";
    assert!(said(&["x"]).contains(note), "{}", said(&["x"]));
    assert!(!said(&["x", "--metric", "skill"]).contains(note));
    assert!(!text(&run(&["x"], runs().path()).stdout).contains("environments differ"));
}
