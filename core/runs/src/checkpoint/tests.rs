use super::*;
use std::fs;
use std::path::Path;

fn manifest(step: u64) -> Manifest {
    Manifest {
        version: Manifest::VERSION,
        step,
        seconds: 1.5,
        written: Written::Due,
        restores: Restored::Exact,
        trainer_exact: true,
        efference: "0.1.0".into(),
        libtorch: "2.13.0".into(),
        device: "cpu".into(),
        threads: 1,
        libtorch_threads: None,
        lines: 3,
        metrics: vec!["loss".into()],
        figure: Some(0.25),
        bytes: 0,
        sha256: String::new(),
    }
}

fn arrays() -> Vec<Array> {
    let array = |name: &str, dtype, shape: &[usize], data: &[u8]| Array {
        name: name.to_owned(),
        dtype,
        shape: shape.to_vec(),
        data: data.to_vec(),
    };
    vec![
        array("parameters/cell.w", Dtype::F32, &[2, 1], &[0, 0, 192, 127, 1, 2, 3, 4]), // a NaN keeps its bits
        array("host/step", Dtype::I64, &[], &[7, 0, 0, 0, 0, 0, 0, 0]),
        array("environment/state", Dtype::U8, &[0], &[]),
    ]
}

fn written(directory: &Path, steps: &[u64]) -> CheckpointFiles {
    let files = CheckpointFiles::new(directory.to_owned());
    steps.iter().for_each(|step| files.write(manifest(*step), &arrays()).unwrap());
    files
}

#[test]
fn what_is_written_is_read_back_bit_for_bit() {
    let root = tempfile::tempdir().unwrap();
    let files = written(&root.path().join("checkpoints"), &[20, 1_000_000_000_000, 5]);
    assert_eq!(files.steps().unwrap(), [5, 20, 1_000_000_000_000]);
    let read = files.read(20).unwrap();
    let mut want = arrays();
    want.sort_by(|a, b| a.name.cmp(&b.name));
    let mut got = read.arrays.clone();
    got.sort_by(|a, b| a.name.cmp(&b.name));
    assert_eq!(got, want);
    assert_eq!(
        read.manifest,
        Manifest { bytes: read.manifest.bytes, sha256: read.manifest.sha256.clone(), ..manifest(20) }
    );
    let parameters = Arrays::part(&read.arrays, "parameters");
    assert_eq!(parameters.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["cell.w"]);
    let bits: Vec<_> = parameters.elements::<f32>("cell.w").iter().map(|x| x.to_bits()).collect();
    assert_eq!(bits, [0x7fc0_0000, 0x0403_0201]);
    assert!(parameters.elements::<f64>("cell.w").is_empty());
    assert_eq!(Arrays::part(&read.arrays, "param").iter().count(), 0);
}

#[test]
fn every_flipped_bit_and_every_cut_is_found_and_the_one_before_is_offered() {
    let root = tempfile::tempdir().unwrap();
    let files = written(root.path(), &[10, 20]);
    for ending in ["safetensors", "json"] {
        let path = root.path().join(format!("step-000000000020.{ending}"));
        let good = fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            fs::write(&path, &bad).unwrap();
            // A flip that makes other white space of the same meaning would be none; there is no white space outside of what is hashed.
            let error = files.read(20).unwrap_err().to_string();
            assert!(error.contains("000000000020") && error.contains("--from 10"), "byte {at}: {error}");
        }
        for length in 0..good.len() {
            fs::write(&path, &good[..length]).unwrap();
            let error = files.read(20).unwrap_err().to_string();
            assert!(error.contains("is damaged") && error.contains("--from 10"), "{length}: {error}");
        }
        fs::write(&path, &good).unwrap();
        assert!(files.read(20).is_ok());
    }
}

#[test]
fn a_newer_one_a_foreign_one_and_a_missing_one_are_distinguished() {
    let root = tempfile::tempdir().unwrap();
    let files = written(root.path(), &[10]);
    files.write(Manifest { version: 9, ..manifest(20) }, &arrays()).unwrap();
    let error = files.read(20).unwrap_err().to_string();
    assert!(error.ends_with("is of layout 9, which a newer efference writes; this one reads layout 2. The one before it can be taken: --from 10"), "{error}");
    fs::write(root.path().join("step-000000000030.json"), "{\"steps\": 3}").unwrap();
    assert!(files.read(30).unwrap_err().to_string().contains("it is no manifest"));
    let error = files.read(40).unwrap_err().to_string();
    assert!(error.ends_with("there are 3, of steps 10 to 30"), "{error}");
    let none = CheckpointFiles::new(root.path().join("none"));
    assert!(none.read(0).unwrap_err().to_string().ends_with("there are none at all"));
}

#[test]
fn leftovers_go_and_checkpoints_stay() {
    let root = tempfile::tempdir().unwrap();
    let files = written(root.path(), &[10, 20]);
    files.write(manifest(30), &arrays()).unwrap();
    fs::remove_file(root.path().join("step-000000000030.json")).unwrap();
    fs::write(root.path().join(".x.tmp"), "").unwrap();
    fs::write(root.path().join("notes.txt"), "mine").unwrap();
    assert_eq!(files.steps().unwrap(), [10, 20], "without its manifest it is none");
    files.remove(10).unwrap();
    files.remove(10).unwrap();
    files.sweep();
    let mut names: Vec<_> =
        fs::read_dir(root.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["notes.txt", "step-000000000020.json", "step-000000000020.safetensors"]);
}

#[test]
fn a_run_goes_on_from_the_newest_checkpoint_that_lost_nothing() {
    let root = tempfile::tempdir().unwrap();
    let files = written(root.path(), &[10, 20]);
    files.write(Manifest { trainer_exact: false, written: Written::End, ..manifest(30) }, &arrays()).unwrap();
    files.write(Manifest { written: Written::Failure, ..manifest(40) }, &arrays()).unwrap();
    assert_eq!(files.newest(None).unwrap(), Some(20));
    assert_eq!(files.newest(Some(19)).unwrap(), Some(10));
    assert_eq!(files.newest(Some(9)).unwrap(), None);
    files.remove(10).unwrap();
    files.remove(20).unwrap();
    assert_eq!(files.newest(None).unwrap(), Some(30), "of two that lost something, not that of the failure");
    files.remove_after(9).unwrap();
    assert_eq!(files.newest(None).unwrap(), None);
}
