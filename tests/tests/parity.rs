//! The parity program: that it passes what is right, and nothing else.
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

fn own() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("parity")
}

/// The program's answer and whether it was content.
fn parity(directory: Option<&Path>) -> (String, bool) {
    let output = Command::new(env!("CARGO_BIN_EXE_efference-parity")).args(directory).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    (text, output.status.success())
}

/// Puts a case with changes into a folder of a temporary directory, and checks it.
fn changed(
    source: &str,
    folder: &str,
    change: impl FnOnce(&mut HashMap<String, String>, &mut HashMap<String, (Vec<usize>, Vec<f32>)>),
) -> (String, bool) {
    let bytes = std::fs::read(own().join(source)).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let mut settings = header.metadata().clone().unwrap();
    let mut tensors = HashMap::new();
    for (name, view) in SafeTensors::deserialize(&bytes).unwrap().iter() {
        let numbers = view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
        tensors.insert(name.to_owned(), (view.shape().to_vec(), numbers.collect::<Vec<_>>()));
    }
    change(&mut settings, &mut tensors);
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join(folder);
    std::fs::create_dir(&folder).unwrap();
    let data: Vec<(String, Vec<usize>, Vec<u8>)> = tensors
        .into_iter()
        .map(|(name, (shape, numbers))| (name, shape, numbers.iter().flat_map(|n| n.to_le_bytes()).collect()))
        .collect();
    let views =
        data.iter().map(|(n, shape, bytes)| (n, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    safetensors::serialize_to_file(views, Some(settings), &folder.join("case.safetensors")).unwrap();
    parity(Some(directory.path()))
}

#[test]
fn every_case_passes() {
    let (text, good) = parity(None);
    assert!(good, "{text}");
    let count = |folder: &str| std::fs::read_dir(own().join(folder)).unwrap().count();
    let cases: usize = ["ldl", "stack", "mgu", "split", "gradmax", "agent"].into_iter().map(count).sum();
    assert!(cases >= 35);
    assert!(text.ends_with(&format!("\n{cases} passed, 0 failed\n")), "{text}");
}

#[test]
fn an_unchanged_copy_passes() {
    let (text, good) = changed("ldl/square_256.safetensors", "ldl", |_, _| {});
    assert!(good && text.ends_with("1 passed, 0 failed\n"), "{text}");
}

#[test]
fn a_wrong_number_fails_and_is_named() {
    for (source, name, by) in [
        ("ldl/square_256.safetensors", "gx", 1e-2),
        ("split/goals_concat.safetensors", "grad.z.mult.0", 1e-1),
        ("gradmax/default.safetensors", "after.target.mult.0", 1e-2),
        ("agent/unroll_2.safetensors", "step.7.loss", 1e-1),
        ("agent/one_stream.safetensors", "after.cell.h.mult.0", f32::NAN),
    ] {
        let folder = source.split('/').next().unwrap();
        let (text, good) = changed(source, folder, |_, t| t.get_mut(name).unwrap().1[0] += by);
        assert!(!good && text.ends_with("0 passed, 1 failed\n"), "{text}");
        assert!(text.contains(&format!("       {name} is off by")), "{text}");
    }
}

#[test]
fn what_is_unknown_or_missing_fails() {
    let (text, good) = changed("ldl/square_256.safetensors", "conv", |_, _| {});
    assert!(!good && text.contains("folder 'conv'"), "{text}");
    let (text, good) = changed("mgu/square.safetensors", "mgu", |s, _| {
        s.insert("gates".into(), "3".into());
    });
    assert!(!good && text.contains("setting 'gates'"), "{text}");
    let (text, good) = changed("stack/one_layer.safetensors", "stack", |_, t| {
        t.insert("grad.other".into(), (vec![1], vec![0.0]));
    });
    assert!(!good && text.contains("tensor 'grad.other'"), "{text}");
    let (text, good) = changed("ldl/square_256.safetensors", "ldl", |_, t| {
        t.remove("weight.1");
    });
    assert!(!good && text.contains("no tensor 'weight.1'"), "{text}");
    let (text, good) = changed("ldl/square_256.safetensors", "ldl", |s, _| {
        s.insert("radix".into(), "\"many\"".into());
    });
    assert!(!good && text.contains("0 passed, 1 failed"), "{text}");
}

#[test]
fn a_folder_without_cases_and_a_file_that_is_none_fail() {
    let directory = tempfile::tempdir().unwrap();
    let (text, good) = parity(Some(directory.path()));
    assert!(!good && text.contains("no .safetensors file"), "{text}");
    std::fs::create_dir(directory.path().join("ldl")).unwrap();
    std::fs::write(directory.path().join("ldl/broken.safetensors"), "no such thing").unwrap();
    let (text, good) = parity(Some(directory.path()));
    assert!(!good && text.contains("not a safetensors file"), "{text}");
    let (text, good) = parity(Some(&directory.path().join("nowhere")));
    assert!(!good && text.contains("cannot read"), "{text}");
}
