//! Which of the workspace's plugins an experiment needs: the first build takes half as long without the others.

use crate::places::Places;
use crate::spec;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// What a spec that names none gets (`core/spec/src/registry.rs`).
const BY_DEFAULT: [&str; 4] = ["ldl", "mgu", "bptt", "predict"];

/// A plugin of this workspace.
struct Plugin {
    /// What specs say.
    name: String,
    /// What cargo says.
    package: String,
}

/// The packages to build for an experiment: of the plugins that it names, of the defaults, and of those that were built before,
/// so that none is left behind that is older than the host.
pub(crate) fn needed(places: &Places, spec: &Path, arguments: &[OsString]) -> Vec<String> {
    let tables = spec::tables(spec);
    let arguments: Vec<_> = arguments.iter().map(|a| a.to_string_lossy()).collect();
    // Where names stand differs (`plugin`, a sweep's lists, `--set`), and a plugin too many costs seconds: all words count.
    let in_arguments = arguments.iter().flat_map(|a| a.split(|c: char| !c.is_alphanumeric() && c != '-'));
    let named: BTreeSet<&str> =
        tables.iter().flat_map(spec::strings).chain(in_arguments).chain(BY_DEFAULT).collect();
    let is_needed = |plugin: &Plugin| named.contains(&*plugin.name) || plugin.library(places).is_file();
    all(places).into_iter().filter(is_needed).map(|plugin| plugin.package).collect()
}

/// Those in `plugins/<kind>/<name>` whose crate is a library to be loaded.
fn all(places: &Places) -> Vec<Plugin> {
    let folders_in = |folder: &Path| -> Vec<PathBuf> {
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    };
    let kinds = folders_in(&places.root.join("plugins"));
    let mut plugins: Vec<Plugin> =
        kinds.iter().flat_map(|kind| folders_in(kind)).filter_map(|p| plugin(&p)).collect();
    plugins.sort_by(|a, b| a.package.cmp(&b.package));
    plugins
}

fn plugin(folder: &Path) -> Option<Plugin> {
    let manifest: toml::Table = toml::from_str(&fs::read_to_string(folder.join("Cargo.toml")).ok()?).ok()?;
    let types = manifest.get("lib")?.get("crate-type")?.as_array()?;
    let package = manifest.get("package")?.get("name")?.as_str()?.to_owned();
    let name = folder.file_name()?.to_str()?.to_owned();
    types.iter().any(|t| t.as_str() == Some("cdylib")).then_some(Plugin { name, package })
}

impl Plugin {
    fn library(&self, places: &Places) -> PathBuf {
        places.target.join("release").join(format!("lib{}.so", self.package.replace('-', "_")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cargo::HOST;
    use std::env;
    use std::process::Command;

    fn workspace() -> Places {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        Places { root, target: PathBuf::from("/nowhere") }
    }

    fn needed_by(text: &str, arguments: &[&str]) -> Vec<String> {
        let folder = env::temp_dir().join(format!("efference-xtask-plugins-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let spec = folder.join("spec.toml");
        fs::write(folder.join("base.toml"), "[environment]\nplugin = \"worlds\"\n").unwrap();
        fs::write(&spec, text).unwrap();
        let arguments: Vec<_> = arguments.iter().map(OsString::from).collect();
        let mut needed = needed(&workspace(), &spec, &arguments);
        fs::remove_dir_all(&folder).unwrap();
        needed.iter_mut().for_each(|package| *package = package.replace("efference-", ""));
        needed
    }

    #[test]
    fn the_plugins_of_an_experiment_are_found_wherever_it_names_them() {
        assert_eq!(needed_by("[environment", &[]), ["bptt", "ldl", "mgu", "predict"]);
        let text = "extends = \"base.toml\"\n[sweep]\n\"cell.plugin\" = [\"gru\", \"rtu\"]\n\
                    [[goal.terms]]\nplugin = \"rnd\"\n[state]\nplugin = \"unheard-of\"\n";
        let needed =
            needed_by(text, &["--set", "layer.plugin=low-rank", "--set", "trainer={plugin='sliding'}"]);
        let named = ["bptt", "gru", "ldl", "low-rank", "mgu", "predict", "rnd", "rtu", "sliding", "worlds"];
        assert_eq!(needed, named);
    }

    #[test]
    fn the_defaults_are_those_of_specs() {
        let source = include_str!("../../spec/src/registry.rs");
        let names = source.lines().filter_map(|line| line.split_once("=> Some(\"")?.1.split('"').next());
        assert_eq!(names.collect::<Vec<_>>(), BY_DEFAULT);
    }

    #[test]
    fn what_was_built_before_is_built_again() {
        let target = env::temp_dir().join(format!("efference-xtask-built-{}", std::process::id()));
        let places = Places { target: target.clone(), ..workspace() };
        fs::create_dir_all(target.join("release")).unwrap();
        fs::write(target.join("release/libefference_actor_critic.so"), "").unwrap();
        let needed = needed(&places, Path::new("nothing.toml"), &[]);
        fs::remove_dir_all(&target).unwrap();
        assert_eq!(needed[0], "efference-actor-critic");
        assert_eq!(needed.len(), 1 + BY_DEFAULT.len());
    }

    /// Otherwise those packages, and all that use them, would be built a second time when everything is built.
    #[test]
    fn the_host_alone_has_the_same_features_of_its_packages_as_everything() {
        let features = |of: &[&str]| -> BTreeSet<String> {
            let mut tree = Command::new(env!("CARGO"));
            tree.current_dir(workspace().root).args([
                "tree",
                "--offline",
                "--prefix=none",
                "--format={p} {f}",
            ]);
            let output = tree.args(["--edges=normal,build"]).args(of).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let text = String::from_utf8(output.stdout).unwrap();
            text.lines().map(|line| line.trim_end_matches(" (*)").to_owned()).collect()
        };
        let host = features(&HOST.map(|package| ["-p", package]).concat());
        assert!(host.len() > 100, "{host:?}");
        let otherwise: Vec<_> = host.difference(&features(&["--workspace"])).cloned().collect();
        let none: [String; 0] = [];
        assert_eq!(otherwise, none, "ask for the features that are missing in a package of the host");
    }
}
