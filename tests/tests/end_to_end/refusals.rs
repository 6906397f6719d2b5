//! Files that are no plugin for this host: each is refused with one sentence that names the file, both sides and
//! the help, and none of them takes the program down.
//!
//! All are real: a built plugin with some bytes changed, or something else that lies around on a disk.
use crate::program::{Workplace, fixtures, libtorch, plugin_file};
use efference_abi::{ABI_VERSION, MAGIC, Manifest};
use std::fs;
use std::mem::offset_of;

/// Where a plugin library's file says `e_machine`.
const E_MACHINE: usize = 18;

fn dense() -> Vec<u8> {
    let mut file = fs::read(plugin_file("dense")).unwrap();
    // What is changed here on purpose is not to be refused by its seal, which `cargo xtask build` puts at the end.
    if let Some(at) = file.len().checked_sub(48).filter(|at| file[*at..].starts_with(b"\0efference seal\n")) {
        file.truncate(at);
    }
    file
}

/// Where in a plugin library's file its manifest begins.
fn manifest_start(file: &[u8]) -> usize {
    let found: Vec<_> = file.windows(MAGIC.len()).enumerate().filter(|(_, w)| *w == MAGIC).collect();
    // The magic bytes may be somewhere in the code too; the manifest says its size.
    let is_manifest = |at: usize| {
        let size = file.get(at + offset_of!(Manifest, size)..).and_then(|b| b.first_chunk());
        size.is_some_and(|s| u32::from_ne_bytes(*s) as usize == size_of::<Manifest>())
    };
    let starts: Vec<_> = found.into_iter().map(|(at, _)| at).filter(|at| is_manifest(*at)).collect();
    assert_eq!(starts.len(), 1, "manifests in the plugin");
    starts[0]
}

/// The text at `at`, to its zero.
fn text(file: &[u8], at: usize) -> String {
    let end = file[at..].iter().position(|b| *b == 0).unwrap();
    String::from_utf8(file[at..at + end].to_vec()).unwrap()
}

/// The built `dense` with other bytes in its manifest.
fn with_manifest(field: usize, bytes: &[u8]) -> Vec<u8> {
    let mut file = dense();
    let at = manifest_start(&file) + field;
    file[at..at + bytes.len()].copy_from_slice(bytes);
    file
}

/// Checks that `file` (relative to the place, under `plugins/`) is listed as not loaded, with this sentence behind
/// its path, and that it is the only one.
#[track_caller]
fn refused(place: &Workplace, file: &str, sentence: &str) {
    let answer = place.efference(&["plugins", "--path", "plugins"]).expect(0);
    let refused: Vec<_> = answer.stdout.lines().filter(|l| l.starts_with("not loaded:")).collect();
    assert_eq!(refused, [format!("not loaded:  plugins/{file} {sentence}")], "{answer}");
    // Good plugins are listed all the same.
    assert!(answer.stdout.contains("bptt"), "{answer}");
}

/// The same for a file of these bytes.
#[track_caller]
fn bytes_refused(bytes: impl AsRef<[u8]>, sentence: &str) {
    let place = Workplace::new();
    place.write("plugins/libsome.so", bytes);
    refused(&place, "libsome.so", sentence);
}

/// Checks that asking for a plugin in a file that `efference plugins` lists ends with this sentence.
#[track_caller]
fn refused_when_loaded(place: &Workplace, plugin: &str, sentence: &str) {
    let answer = place.efference(&["plugins", "show", plugin, "--path", "plugins"]).expect(1);
    assert_eq!(answer.stderr, format!("error: {sentence}\n"), "{answer}");
    // A spec that asks for it gets the same sentence, at the line that does.
    place.write("small.toml", crate::program::SMALL);
    let set = format!("layer.plugin={plugin}");
    let checked =
        place.efference(&["check", "small.toml", "--set", "plugins.path=[\"plugins\"]", "--set", &set]);
    let unwrapped = checked.expect(2).stderr.replace("\n  | ", " ");
    let path = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let (said, wanted) = (path(&unwrapped), path(sentence));
    // The path is absolute here, so it is left out of the comparison.
    assert!(said.windows(wanted.len() - 1).any(|w| *w == wanted[1..]), "no '{sentence}' in {unwrapped}");
}

const NOT_A_LIBRARY: &str = "Give the path of a plugin's shared library (lib….so)";

#[test]
fn what_is_no_library_is_refused() {
    bytes_refused("Hello.\n", &format!("is not a library: it is no ELF file. {NOT_A_LIBRARY}"));
    bytes_refused("", &format!("is not a library: it is empty. {NOT_A_LIBRARY}"));
    bytes_refused("\x7fEL", &format!("is not a library: it is no ELF file. {NOT_A_LIBRARY}"));
    let script = "/* GNU ld script */ INPUT(-lm)";
    bytes_refused(script, &format!("is not a library: it is no ELF file. {NOT_A_LIBRARY}"));
    let program = fs::read(dense_object_type(1)).unwrap();
    bytes_refused(program, &format!("is not a library: it is an object file or a program. {NOT_A_LIBRARY}"));
    let mut narrow = dense();
    narrow[4] = 1;
    bytes_refused(narrow, &format!("is not a library: it is no 64-bit ELF file. {NOT_A_LIBRARY}"));

    let place = Workplace::new();
    fs::create_dir_all(place.path().join("plugins/libsome.so")).unwrap();
    refused(&place, "libsome.so", &format!("is not a library: it is not a file. {NOT_A_LIBRARY}"));
    let place = Workplace::new();
    fs::create_dir(place.path().join("plugins")).unwrap();
    std::os::unix::fs::symlink("nowhere", place.path().join("plugins/libsome.so")).unwrap();
    refused(&place, "libsome.so", "cannot be read: No such file or directory (os error 2)");
}

/// A file like the built `dense`, of another ELF type.
fn dense_object_type(kind: u8) -> tempfile::TempPath {
    let mut file = dense();
    file[16] = kind;
    let path = tempfile::NamedTempFile::new().unwrap().into_temp_path();
    fs::write(&path, file).unwrap();
    path
}

#[test]
fn what_is_cut_off_is_refused_with_both_lengths() {
    let whole = dense();
    for length in [4, 20, 63] {
        let sentence =
            format!("is cut off: it should have 64 bytes and has {length}. Copy or build it again");
        bytes_refused(&whole[..length], &sentence);
    }
    for length in [64, 4_096, whole.len() / 2, whole.len() - 1] {
        let needed = whole.len();
        let sentence =
            format!("is cut off: it should have {needed} bytes and has {length}. Copy or build it again");
        bytes_refused(&whole[..length], &sentence);
    }
}

#[test]
fn what_was_built_for_another_machine_is_refused() {
    let ours = std::env::consts::ARCH;
    for (machine, theirs) in
        [(183_u16, "aarch64"), (243, "RISC-V"), (3, "32-bit x86"), (258, "machine 258 of the ELF list")]
    {
        let mut file = dense();
        file[E_MACHINE..E_MACHINE + 2].copy_from_slice(&machine.to_le_bytes());
        let help = "Build the plugin on this machine, or for its target";
        bytes_refused(file, &format!("was built for {theirs} and this host runs on {ours}. {help}"));
    }
    let field = offset_of!(Manifest, target);
    let file = dense();
    let ours = text(&file, manifest_start(&file) + field);
    let sentence = format!(
        "was built for x86_64-unknown-linux-musl and this host runs on {ours}. Build the plugin on this machine, or \
         for its target"
    );
    bytes_refused(with_manifest(field, b"x86_64-unknown-linux-musl\0"), &sentence);
}

#[test]
fn a_library_that_is_no_plugin_is_passed_over_unless_it_calls_itself_one() {
    let sentence = "is a library, but no plugin: it exports no 'efference_plugin'. A plugin's crate has \
                    `efference_sdk::export!` in it and `crate-type = [\"cdylib\"]` in its Cargo.toml";
    for library in [libtorch().join("lib/libc10.so"), fixtures().join("libfixture_no_plugin.so")] {
        let place = Workplace::new();
        let bytes = fs::read(library).unwrap();
        place.write("plugins/libsome.so", &bytes);
        let answer = place.efference(&["plugins", "--path", "plugins"]).expect(0);
        assert!(!answer.stdout.contains("libsome.so"), "{answer}");
        place.write("plugins/libefference_some.so", &bytes);
        refused(&place, "libefference_some.so", sentence);
    }
}

#[test]
fn a_damaged_manifest_is_refused() {
    let help = "Build the plugin again";
    let bytes = with_manifest(offset_of!(Manifest, magic), b"efferenc");
    bytes_refused(bytes, &format!("has a damaged manifest: it does not begin as a manifest does. {help}"));
    let bytes = with_manifest(offset_of!(Manifest, size), &7_u32.to_ne_bytes());
    let size = size_of::<Manifest>();
    bytes_refused(bytes, &format!("has a damaged manifest: its size is not {size} bytes. {help}"));
    let bytes = with_manifest(offset_of!(Manifest, plugins), b"lawyer/dense");
    let answer_of = |bytes: &[u8]| {
        text(bytes, manifest_start(bytes) + offset_of!(Manifest, plugins)).trim_end().to_owned()
    };
    let listed = answer_of(&bytes);
    bytes_refused(bytes, &format!("has a damaged manifest: it lists '{listed}'. {help}"));
}

#[test]
fn another_boundary_is_refused_with_both_numbers() {
    let file = dense();
    let sdk = text(&file, manifest_start(&file) + offset_of!(Manifest, sdk_version));
    for theirs in [0, ABI_VERSION + 1, u32::MAX] {
        let sentence = format!(
            "speaks boundary {theirs} (efference-sdk {sdk}) and this host speaks boundary {ABI_VERSION}. Build the \
             plugin again with the efference-sdk {sdk} that belongs to this host"
        );
        bytes_refused(with_manifest(offset_of!(Manifest, abi_version), &theirs.to_ne_bytes()), &sentence);
    }
}

#[test]
fn another_libtorch_is_refused_with_both_versions() {
    let field = offset_of!(Manifest, libtorch_version);
    let file = dense();
    let ours = text(&file, manifest_start(&file) + field);
    let sentence = format!(
        "was compiled against libtorch 2.1.0 and this host runs libtorch {ours}; two cannot live in one process. \
         Build the plugin again with LIBTORCH set to the host's libtorch"
    );
    bytes_refused(with_manifest(field, b"2.1.0\0"), &sentence);
}

#[test]
fn a_plugin_that_its_library_only_claims_to_hold_is_refused() {
    let place = Workplace::new();
    place.write("plugins/libsome.so", with_manifest(offset_of!(Manifest, plugins), b"layer/tense"));
    let sentence = "plugins/libsome.so says in its manifest that it holds layer 'tense', and has no entry for it. Build \
                    the plugin again";
    refused_when_loaded(&place, "tense", sentence);
}

#[test]
fn a_library_that_refuses_to_start_is_refused_with_its_own_words() {
    let place = Workplace::new();
    let library = fs::read(fixtures().join("libfixture_bad_init.so")).unwrap();
    place.write("plugins/libsome.so", library);
    let sentence = "plugins/libsome.so failed to start: the tables cannot be read: no file 'tables.bin' beside it. The \
                    plugin's author can say why";
    refused_when_loaded(&place, "bad-init", sentence);
}

#[test]
fn a_library_that_needs_another_libtorch_is_refused() {
    let place = Workplace::new();
    let mut file = dense();
    let needed = b"\0libtorch_cpu.so\0";
    let at = file.windows(needed.len()).position(|w| w == needed).expect("dense needs libtorch_cpu.so");
    file[at..at + needed.len()].copy_from_slice(b"\0libtorch_old.so\0");
    // Under another name than the good one's, which comes first otherwise.
    let at = manifest_start(&file) + offset_of!(Manifest, plugins);
    file[at..at + 11].copy_from_slice(b"layer/older");
    place.write("plugins/libsome.so", file);
    let sentence = "plugins/libsome.so needs libtorch_old.so, which is not the libtorch that this host has loaded. \
                    Build the plugin again with LIBTORCH set to the host's libtorch";
    refused_when_loaded(&place, "older", sentence);
}

#[test]
fn a_library_that_the_system_cannot_load_is_refused() {
    let place = Workplace::new();
    let mut file = dense();
    let needed = b"\0libgcc_s.so.1\0";
    let at = file.windows(needed.len()).position(|w| w == needed).expect("dense needs libgcc_s.so.1");
    file[at..at + needed.len()].copy_from_slice(b"\0libgcc_s.so.9\0");
    let at = manifest_start(&file) + offset_of!(Manifest, plugins);
    file[at..at + 11].copy_from_slice(b"layer/older");
    place.write("plugins/libsome.so", file);
    let sentence = "plugins/libsome.so cannot be loaded: libgcc_s.so.9: cannot open shared object file: No such file \
                    or directory";
    refused_when_loaded(&place, "older", sentence);
}

#[test]
fn a_refused_plugin_that_a_spec_asks_for_is_reported_with_its_reason() {
    let place = Workplace::new();
    let mut file = with_manifest(offset_of!(Manifest, abi_version), &99_u32.to_ne_bytes());
    let at = manifest_start(&file) + offset_of!(Manifest, plugins);
    file[at..at + 11].copy_from_slice(b"layer/older");
    place.write("plugins/libolder.so", file);
    place.write("small.toml", crate::program::SMALL);
    let sets = ["--set", "plugins.path=[\"plugins\"]", "--set", "layer.plugin=older"];
    let answer = place.efference(&[&["check", "small.toml"], &sets[..]].concat()).expect(2);
    let said = answer.stderr.split_whitespace().filter(|w| *w != "|").collect::<Vec<_>>().join(" ");
    assert!(said.contains("there is no layer plugin `older`"), "{answer}");
    assert!(said.contains("libolder.so speaks boundary 99"), "{answer}");
}

#[test]
fn any_byte_of_the_headers_may_be_wrong_and_nothing_crashes() {
    let place = Workplace::new();
    let whole = dense();
    let start = manifest_start(&whole);
    // The ELF header, the manifest's front, and what tells where sections are: one byte at a time.
    let headers = (0..64).chain(start..start + 96).chain((whole.len() - 2_240..whole.len()).step_by(7));
    for (number, at) in headers.enumerate() {
        let mut file = whole.clone();
        file[at] ^= 0x55;
        place.write(&format!("plugins/lib{number:04}.so"), &file[..]);
        // Not all at once, as each has more than a megabyte.
        if number % 80 == 79 {
            listed(&place);
        }
    }
}

/// Lists the plugins of the place, and empties their directory.
#[track_caller]
fn listed(place: &Workplace) {
    let answer = place.efference(&["plugins", "--path", "plugins"]).expect(0);
    assert!(answer.stdout.contains("bptt"), "{answer}");
    fs::remove_dir_all(place.path().join("plugins")).unwrap();
}
