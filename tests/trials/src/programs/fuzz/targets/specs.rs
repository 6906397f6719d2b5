//! Specs: files that extend each other, with all options of the bundled plugins.
use super::plugins::plugins;
use efference_registry::KnownPlugins;
use efference_spec::{Diagnostics, ReportStyle, Spec, load, read};
use efference_trials::fuzz::{Failure, Scratch, Target, equal, files, holds, is_plain, write};
use std::fs;
use std::path::{Path, PathBuf};

/// The files that an input may have; the first is the spec that is read.
const NAMES: &[&str] = &["main.toml", "a.toml", "b.toml", "c.toml"];
/// A report is for a person, in bytes.
pub(super) const LONGEST_REPORT: usize = 256 << 10;
/// More members than these are counted, not made.
const MEMBERS: usize = 24;

/// Words of specs.
pub(super) const WORDS: &[&[u8]] = &[
    b"=== main.toml\n",
    b"=== a.toml\n",
    b"=== b.toml\n",
    b"extends = \"a.toml\"\n",
    b"extends = [\"a.toml\", \"b.toml\"]\n",
    b"extends = \"/dev/zero\"\n",
    b"name",
    b"seed",
    b"steps",
    b"device",
    b"threads",
    b"[environment]",
    b"[layer]",
    b"[cell]",
    b"[trainer]",
    b"[goal]",
    b"[state]",
    b"[optimizer]",
    b"[record]",
    b"[checkpoint]",
    b"[evaluation]",
    b"[plugins]",
    b"[sweep]",
    b"[optimizer.groups.\"cell.z\"]",
    b"[trainer.synthetic_gradient]",
    b"plugin",
    b"size",
    b"every",
    b"keep",
    b"best",
    b"\"none\"",
    b"\"auto\"",
    b"\"all\"",
    b"= ",
    b"\"",
    b"'''\n",
    b"\"\"\"\n",
    b"[[",
    b"]]",
    b"{ ",
    b" }",
    b"# ",
    b"true",
    b"false",
    b"nan",
    b"-inf",
    b"1979-05-27T07:32:00Z",
    b"0x",
    b"\\u0000",
    b"\\U0001F600",
    b"\x1b[2J",
    b"\xc2\x9b",
    b"\xe2\x80\xae",
    b"\xff",
    b"\r\n",
    b"\t",
    b"\0",
    b"{ from = 1, to = 9, steps = 3 }",
    b"range",
    b"seed = [1, 2, 3]",
    b"\"trainer.unroll_length\" = [1, 2]",
    b"a.b.c.d.e.f.g.h.i.j",
    b"plugin = \"dense\"",
    b"plugin = \"webenv\"",
    b"plugin = \"browser\"",
    b"plugin = \"labels\"",
    b"plugin = \"maximize\"",
    b"plugin = \"gradmax\"",
    b"path = [\".\"]",
];

pub(crate) fn make(scratch: &Scratch) -> Result<Box<dyn Target>, String> {
    Ok(Box::new(Specs { directory: scratch.directory("specs"), plugins: plugins()? }))
}

struct Specs {
    directory: PathBuf,
    plugins: &'static KnownPlugins<'static>,
}

impl Target for Specs {
    fn seeds(&self) -> Vec<Vec<u8>> {
        let experiments = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../experiments");
        let mut paths: Vec<PathBuf> =
            fs::read_dir(experiments).into_iter().flatten().flatten().map(|e| e.path()).collect();
        paths.sort();
        let texts = paths.iter().filter(|path| path.extension().is_some_and(|e| e == "toml"));
        texts.filter_map(|path| Some([&b"=== main.toml\n"[..], &fs::read(path).ok()?].concat())).collect()
    }

    fn words(&self) -> &'static [&'static [u8]] {
        WORDS
    }

    fn check(&mut self, input: &[u8]) -> Result<bool, Failure> {
        for name in NAMES {
            let text: Vec<&[u8]> =
                files(input, NAMES).iter().filter(|file| file.0 == *name).map(|file| file.1).collect();
            match text.as_slice() {
                [] => drop(fs::remove_file(self.directory.join(name))),
                texts => write(&self.directory.join(name), texts.concat()),
            }
        }
        let main = self.directory.join(NAMES[0]);
        let parsed = match read(&main, &[], std::iter::empty()) {
            Ok(parsed) => parsed,
            Err(refused) => return report(&refused).map(|()| false),
        };
        parsed.plugin_paths();
        let spec = match parsed.clone().resolve(self.plugins) {
            Ok(spec) => spec,
            Err(refused) => return report(&refused).map(|()| false),
        };
        report(&spec.notes)?;
        reads_back(&spec, &self.directory.join("again.toml"), self.plugins)?;
        if spec.sweep.iter().map(|axis| axis.points.len()).product::<usize>() <= MEMBERS {
            match parsed.members(self.plugins) {
                Ok(all) => {
                    for member in &all.members {
                        reads_back(&member.spec, &self.directory.join("again.toml"), self.plugins)?;
                    }
                }
                Err(refused) => report(&refused)?,
            }
        }
        Ok(true)
    }
}

/// A report must be fit for a terminal, and say something.
pub(super) fn report(refused: &Diagnostics) -> Result<(), Failure> {
    let text = refused.report(&ReportStyle::PLAIN);
    is_plain("a report has control characters", &text)?;
    let ended = refused.iter().find(|diagnostic| diagnostic.to_string().contains("ended the engine"));
    holds("options end the engine", ended.is_none(), || format!("{ended:?}"))?;
    holds("a report is too long", text.len() <= LONGEST_REPORT, || format!("{} bytes", text.len()))
}

/// A spec that is written out and read again is the same.
pub(super) fn reads_back(spec: &Spec, file: &Path, plugins: &KnownPlugins<'static>) -> Result<(), Failure> {
    let text = spec.to_toml();
    write(file, &text);
    let again = load(file, &[], std::iter::empty(), plugins).map_err(|refused| {
        Failure::new("a resolved spec is refused", format!("{}\n{text}", refused.report(&ReportStyle::PLAIN)))
    })?;
    equal("a resolved spec reads back as another", spec.tree(), again.tree())?;
    equal("the name of a resolved spec is another", &spec.name, &again.name)
}
