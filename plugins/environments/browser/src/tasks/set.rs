//! Finding a set of tasks, and a task in it.
use crate::nearest::nearest;
use efference_sdk::{Error, Result, ResultExt, bail};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The set that is found in a Python.
const MINIWOB: &str = "miniwob";
/// Prints where that package is, and nothing if it is not there. What lies in the current directory is not it.
const WHERE: &str = "import sys; sys.path = [p for p in sys.path if p]\n\
                     import importlib.util as u; s = u.find_spec('miniwob')\n\
                     print(list(s.submodule_search_locations)[0] if s and s.submodule_search_locations else '')";
/// No more names are listed in a message.
const LISTED: usize = 12;

/// A folder of pages that are tasks.
#[derive(Debug)]
pub(crate) struct Set {
    /// What is served.
    pub(crate) root: PathBuf,
    /// The page of each task, by its name, as a path below the root.
    pages: BTreeMap<String, String>,
    said: String,
}

impl Set {
    /// The set that the option `tasks` names.
    pub(crate) fn find(tasks: &str, python: &str) -> Result<Set> {
        let folder = if tasks == MINIWOB { in_python(python)? } else { PathBuf::from(tasks) };
        Set::in_folder(tasks, &folder).map_err(|e| e.in_option("tasks"))
    }

    fn in_folder(said: &str, folder: &Path) -> Result<Set> {
        let found = folder.canonicalize().map_err(|e| {
            let here = std::env::current_dir().unwrap_or_default();
            Error::from(e).context(format!(
                "tasks = {said:?}: the folder cannot be opened, seen from {}; name a folder of pages, or \"miniwob\"",
                here.display()
            ))
        })?;
        // The package or a checkout of it, its folder `html`, or the folder of pages therein: their scripts lie beside it.
        let has_core = |folder: &Path| folder.join("core/core.js").is_file();
        let within =
            [found.join("html"), found.clone()].into_iter().find(|f| has_core(f) && f.join(MINIWOB).is_dir());
        let (root, prefix) = match (within, found.parent()) {
            (Some(root), _) => (root, format!("{MINIWOB}/")),
            (None, Some(above)) if has_core(above) => {
                let name = found.file_name().unwrap_or_default().to_string_lossy().into_owned();
                (above.to_owned(), format!("{name}/"))
            }
            _ => (found.clone(), String::new()),
        };
        let pages = pages(&root, &prefix)?;
        if pages.is_empty() {
            bail!(
                "tasks = {said:?}: there is no task in {}; each page in it is one, and each folder with an index.html",
                found.display()
            );
        }
        Ok(Set { root, pages, said: said.to_owned() })
    }

    /// The page of a task, as a path below the root.
    pub(crate) fn page(&self, task: &str) -> Result<&str> {
        if let Some(page) = self.pages.get(task) {
            return Ok(page);
        }
        let count = self.pages.len();
        let names = self.pages.keys().map(|name| (name.to_lowercase(), name.as_str()));
        let some = || {
            let names: Vec<_> = self.pages.keys().take(LISTED).map(String::as_str).collect();
            let more = if count > LISTED { ", …" } else { "" };
            format!("its {count} tasks are: {}{more}", names.join(", "))
        };
        let set = &self.said;
        let message = match (task, nearest(task, names)) {
            ("", _) => format!("tasks = {set:?} needs a task; {}", some()),
            (_, Some(near)) => format!("there is no task {task:?} in {set:?}; did you mean {near:?}?"),
            (_, None) => format!("there is no task {task:?} in {set:?}; {}", some()),
        };
        Err(Error::msg(message).in_option("task"))
    }

    /// All names.
    #[cfg(test)]
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.pages.keys().map(String::as_str)
    }
}

fn pages(root: &Path, prefix: &str) -> Result<BTreeMap<String, String>> {
    let folder = root.join(prefix);
    let entries =
        folder.read_dir().with_context(|| format!("the folder {} cannot be read", folder.display()))?;
    let mut pages = BTreeMap::new();
    for entry in entries {
        let path = entry?.path();
        // Names that are no UTF-8 cannot be written into a spec.
        let Some(name) =
            path.file_name().and_then(|name| name.to_str()).filter(|name| !name.starts_with('.'))
        else {
            continue;
        };
        if let Some(stem) = name.strip_suffix(".html").filter(|stem| *stem != "index" && path.is_file()) {
            pages.insert(stem.to_owned(), format!("{prefix}{name}"));
        } else if path.join("index.html").is_file() {
            pages.insert(name.to_owned(), format!("{prefix}{name}/index.html"));
        }
    }
    Ok(pages)
}

/// Where the package of that name is in a Python.
fn in_python(python: &str) -> Result<PathBuf> {
    let ask = Command::new(python).args(["-c", WHERE]).stdin(Stdio::null()).output().map_err(|e| {
        let message = format!(
            "cannot start '{python}', the Python in which tasks = \"miniwob\" looks for its pages; say where it is by python, \
             or name a folder of pages by tasks"
        );
        Error::from(e).context(message).in_option("python")
    })?;
    let said = String::from_utf8_lossy(&ask.stdout);
    match said.trim() {
        "" => {
            let message = format!(
                "the Python '{python}' has no package 'miniwob', whose pages tasks = \"miniwob\" is. Install it:\n  \
                 {python} -m pip install --no-deps miniwob\nor name a folder of pages by tasks"
            );
            Err(Error::msg(message).in_option("python"))
        }
        folder => Ok(PathBuf::from(folder)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn tasks_are_pages_and_folders_with_an_index() {
        let root = std::env::temp_dir().join(format!("efference-tasks-{}", std::process::id()));
        for file in
            ["set/a-b.html", "set/two/index.html", "set/other/page.js", "set/.hidden.html", "empty/page.js"]
        {
            fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
            fs::write(root.join(file), "x").unwrap();
        }
        let named = |folder: &str| Set::find(root.join(folder).to_str().unwrap(), "no-python");
        let set = named("set").unwrap();
        assert_eq!(set.names().collect::<Vec<_>>(), ["a-b", "two"]);
        assert_eq!((set.page("a-b").unwrap(), set.page("two").unwrap()), ("a-b.html", "two/index.html"));
        let refused = |task: &str| set.page(task).unwrap_err();
        assert!(refused("a_b").to_string().contains("did you mean \"a-b\"?"), "{}", refused("a_b"));
        assert!(refused("xyz").to_string().contains("its 2 tasks are: a-b, two"), "{}", refused("xyz"));
        assert!(refused("").to_string().contains("needs a task"), "{}", refused(""));
        assert_eq!(refused("").option(), Some("task"));
        let empty = named("empty").unwrap_err();
        assert!(empty.to_string().contains("there is no task in"), "{empty}");
        let gone = named("gone").unwrap_err();
        assert!(
            gone.option() == Some("tasks") && format!("{gone:#}").contains("cannot be opened"),
            "{gone:#}"
        );
        // As MiniWoB lies there, named at any of its levels.
        for file in ["package/html/core/core.js", "package/html/miniwob/click.html"] {
            fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
            fs::write(root.join(file), "x").unwrap();
        }
        for level in ["package", "package/html", "package/html/miniwob"] {
            let set = named(level).unwrap();
            assert_eq!(
                (set.page("click").unwrap(), set.root.ends_with("html")),
                ("miniwob/click.html", true),
                "{level}"
            );
        }
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn a_python_that_is_not_there_or_has_no_package_is_named_with_the_help() {
        let error = Set::find("miniwob", "/no/such/python").unwrap_err();
        assert_eq!(error.option(), Some("python"));
        assert!(error.to_string().contains("/no/such/python"), "{error}");
        // A program that prints nothing is a Python without the package.
        let error = Set::find("miniwob", "true").unwrap_err();
        assert!(error.to_string().contains("true -m pip install --no-deps miniwob"), "{error}");
    }
}
