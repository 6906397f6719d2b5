//! Real libraries, made by the C compiler: what is listed, what is refused, and why.
use efference_abi::{ABI_VERSION, FEATURES_LEN, Kind, PLUGINS_LEN};
use efference_registry::{FileManifest, Identity, MissingPlugin, PluginFiles, Refusal};
use efference_spec::PluginPath;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

fn host() -> Identity {
    Identity { libtorch_version: "2.13.0".into(), target: "here".into() }
}

/// A library's manifest in C.
struct Manifest {
    magic: &'static str,
    abi: u32,
    libtorch: &'static str,
    target: &'static str,
    features: &'static str,
    plugins: &'static str,
}

const GOOD: Manifest = Manifest {
    magic: "EFFERENC",
    abi: ABI_VERSION,
    libtorch: "2.13.0",
    target: "here",
    features: "episodes\\n",
    plugins: "layer/ldl\\t1.2.3\\tMixes.\\ncell/mgu\\t1.0.0\\tOne gate.\\n",
};

impl Manifest {
    fn source(&self) -> String {
        let Manifest { magic, abi, libtorch, target, features, plugins } = self;
        format!(
            "struct {{ char magic[8]; unsigned abi, size; char sdk[16], libtorch[16], target[48], \
             features[{FEATURES_LEN}], plugins[{PLUGINS_LEN}]; void *entries; unsigned long count; void *init; }} efference_plugin = \
             {{ \"{magic}\", {abi}, {}, \"0.1.0\", \"{libtorch}\", \"{target}\", \"{features}\", \"{plugins}\" }};",
            size_of::<efference_abi::Manifest>()
        )
    }
}

fn library(directory: &Path, name: &str, source: &str) -> PathBuf {
    let (code, file) = (directory.join(name).with_extension("c"), directory.join(name));
    fs::write(&code, source).unwrap();
    let output = Command::new("cc")
        .args(["-shared", "-fPIC", "-Wl,--no-as-needed", "-o"])
        .args([&file, &code])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    file
}

fn refusal(source: &str) -> Refusal {
    let dir = tempfile::tempdir().unwrap();
    FileManifest::read(&library(dir.path(), "libefference_x.so", source), &host()).unwrap_err()
}

#[test]
fn directories_are_listed_in_order_and_the_first_of_a_name_counts() {
    let (near, far) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = library(near.path(), "libmine.so", &GOOD.source());
    let all = "layer/ldl\\t9.9.9\\tAnother.\\nenvironment/worlds\\t1.0.0\\tSmall.\\n";
    let second = library(far.path(), "libefference_more.so", &Manifest { plugins: all, ..GOOD }.source());
    // An earlier build of an example, as cargo leaves it, is not the one that counts.
    library(
        far.path(),
        "libefference_more-0123456789abcdef.so",
        &Manifest { libtorch: "1.0.0", ..GOOD }.source(),
    );
    library(far.path(), "libfamiliar.so", "int nothing;");
    library(far.path(), "libefference_none.so", "int nothing;");
    fs::write(far.path().join("libempty.so"), "").unwrap();

    let directories: Vec<PathBuf> = vec![near.path().into(), far.path().into(), far.path().join("missing")];
    let files = PluginFiles::in_paths(directories.iter().cloned().map(PluginPath::from).collect(), &host());
    let found: Vec<_> = files.found().iter().map(|f| (f.info.kind, &*f.info.name, &f.file)).collect();
    let expected =
        [(Kind::Environment, "worlds", &second), (Kind::Layer, "ldl", &first), (Kind::Cell, "mgu", &first)];
    assert_eq!(found, expected);
    let ldl = files.find(Kind::Layer, "ldl").unwrap();
    assert_eq!((&*ldl.info.version, &*ldl.info.description), ("1.2.3", "Mixes."));
    let needed = FileManifest::read(&ldl.file, &host()).unwrap().needed;
    assert!(needed.iter().any(|n| n.starts_with("libc.")), "{needed:?}");
    let searched = directories.iter().map(|d| d.display().to_string()).collect::<Vec<_>>().join(", ");
    assert_eq!(files.searched(), searched);

    // A library that is no plugin is passed over, unless its name says that it should be one.
    let refused: Vec<_> = files.refused().iter().map(Refusal::to_string).collect();
    assert_eq!(refused.len(), 2, "{refused:?}");
    assert!(refused[0].contains("libefference_none.so is a library, but no plugin"), "{refused:?}");
    assert!(refused[1].contains("libempty.so is not a library: it is empty"), "{refused:?}");
}

#[test]
fn a_missing_name_is_refused_with_the_nearest_and_with_all() {
    let dir = tempfile::tempdir().unwrap();
    library(dir.path(), "liba.so", &GOOD.source());
    let files = PluginFiles::in_paths(vec![dir.path().to_owned().into()], &host());
    let error = |kind, name| match files.find(kind, name) {
        Err(e @ MissingPlugin::NotFound { .. }) => e.to_string(),
        other => panic!("{other:?}"),
    };
    let searched = format!("Searched: {}", dir.path().display());
    assert_eq!(
        error(Kind::Layer, "lld"),
        format!("there is no layer plugin 'lld'; did you mean 'ldl'? There are: ldl. {searched}")
    );
    assert_eq!(
        error(Kind::Goal, "ldl"),
        format!("there is no goal plugin 'ldl'. There are: none. {searched}")
    );
}

#[test]
fn a_manifest_for_another_host_is_refused_with_both_sides() {
    let other = refusal(&Manifest { abi: 77, ..GOOD }.source());
    assert!(matches!(other, Refusal::OtherBoundary { theirs: 77, ours: ABI_VERSION, .. }), "{other:?}");
    let other = refusal(&Manifest { libtorch: "1.0.0", ..GOOD }.source());
    let Refusal::OtherLibtorch { theirs, ours, .. } = other else { panic!("{other:?}") };
    assert_eq!((&*theirs, &*ours), ("1.0.0", "2.13.0"));
    let other = refusal(&Manifest { target: "there", ..GOOD }.source());
    let Refusal::OtherMachine { theirs, ours, .. } = other else { panic!("{other:?}") };
    assert_eq!((&*theirs, &*ours), ("there", "here"));
    let other = refusal(&Manifest { features: "episodes\\ntime-travel\\n", ..GOOD }.source());
    assert!(matches!(&other, Refusal::NeedsFeature { feature, .. } if feature == "time-travel"), "{other:?}");
    assert!(other.to_string().contains("Use a newer efference"), "{other}");
}

#[test]
fn a_damaged_manifest_is_refused() {
    let damaged = [
        Manifest { magic: "EFFECTIV", ..GOOD }.source(),
        Manifest { plugins: "layer ldl", ..GOOD }.source(),
        // In the part of a library that has no bytes in its file, and one that is too small.
        "char efference_plugin[4096];".into(),
        "int efference_plugin = 1;".into(),
    ];
    for source in damaged {
        let refusal = refusal(&source);
        assert!(matches!(refusal, Refusal::DamagedManifest { .. }), "{source}: {refusal:?}");
    }
    let calls = refusal("extern int efference_plugin; int f(void) { return efference_plugin; }");
    assert!(matches!(calls, Refusal::NotAPlugin { .. }), "named, not exported: {calls:?}");
}

/// Nothing that a file can hold may end the program: with bytes turned over, and cut at every length.
#[test]
fn no_damage_is_worse_than_a_refusal() {
    let dir = tempfile::tempdir().unwrap();
    let path = library(dir.path(), "libdamaged.so", &GOOD.source());
    let whole = fs::read(&path).unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    let read = || FileManifest::read(&path, &host());
    assert!(read().is_ok());
    let mut refused = 0;
    for at in (0..whole.len()).step_by(7) {
        file.write_all_at(&[!whole[at]], at as u64).unwrap();
        refused += usize::from(read().is_err());
        file.write_all_at(&whole[at..=at], at as u64).unwrap();
    }
    assert!(refused > 10, "{refused}");
    assert!(read().is_ok());
    for length in (0..whole.len()).rev().step_by(97) {
        file.set_len(length as u64).unwrap();
        assert!(read().is_err(), "{length} bytes");
    }
}

#[test]
fn the_folder_of_a_crate_has_what_was_built_of_it_last() {
    let krate = tempfile::tempdir().unwrap();
    fs::write(krate.path().join("Cargo.toml"), "").unwrap();
    let files = || PluginFiles::in_paths(vec![krate.path().to_owned().into()], &host());
    let not_built = format!(
        "{} is the folder of a crate that was not built yet: run `cargo build` in it",
        krate.path().display()
    );
    assert_eq!(files().not_built(), [not_built]);
    let searched =
        format!("{} (a crate that was not built yet: run `cargo build` in it)", krate.path().display());
    assert_eq!(files().searched(), searched);

    let build = |profile: &str, plugins: &'static str, seconds: u64| {
        let target = krate.path().join("target").join(profile);
        fs::create_dir_all(&target).unwrap();
        let file = library(&target, "libmine.so", &Manifest { plugins, ..GOOD }.source());
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        File::open(&file).unwrap().set_modified(time).unwrap();
    };
    let version = |files: &PluginFiles| files.find(Kind::Layer, "mine").unwrap().info.version.clone();
    build("release", "layer/mine\\t1.0.0\\tMixes.\\n", 1_000);
    assert_eq!(version(&files()), "1.0.0");
    build("debug", "layer/mine\\t2.0.0\\tMixes.\\n", 2_000);
    assert_eq!(version(&files()), "2.0.0");
    build("release", "layer/mine\\t3.0.0\\tMixes.\\n", 3_000);
    assert_eq!(version(&files()), "3.0.0");
    // What was built in another profile before is the same plugin, not another one of its name.
    assert_eq!((files().notes(Kind::Layer, "mine"), files().not_built()), (vec![], vec![]));
}
