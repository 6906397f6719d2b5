//! Documents name only files, commands, flags and keys of a spec that exist: `*.md`, the comments of code and of
//! experiments.

use super::commands::Command;
use super::keys::Keys;
use super::lexer::Kind;
use super::snippets::{Snippet, snippets};
use super::tree::{File, Tree};
use super::violation::Violation;
use std::collections::{BTreeSet, HashSet};

/// What makes a name a file's.
const EXTENSIONS: [&str; 17] = [
    "rs",
    "md",
    "toml",
    "cpp",
    "h",
    "html",
    "js",
    "py",
    "json",
    "jsonl",
    "safetensors",
    "svg",
    "png",
    "txt",
    "lock",
    "sh",
    "yml",
];

/// Names of the reader's own files in examples.
const PLACEHOLDERS: [&str; 6] =
    ["my.toml", "base.toml", "a.toml", "b.toml", "other.toml", "my-experiment.toml"];

/// Folders whose files come with something else, or with use: libtorch's headers and libraries, builds, runs.
const ELSEWHERE: [&str; 11] = [
    "../efference/",
    "pictures/",
    "runs/",
    "target/",
    ".libtorch",
    "torch/",
    "include/torch/",
    "lib/lib",
    "ATen/",
    "c10/",
    "checkpoints/",
];

/// Code whose comments name keys of a spec by themselves.
const FOR_SPECS: [&str; 4] = ["core/cli/", "core/engine/", "core/runs/", "core/spec/"];

pub(super) fn check(tree: &Tree<'_>) -> Vec<Violation> {
    let facts = Facts::read(tree);
    let mut violations = facts.missing();
    for file in tree.files.iter().filter(|file| !file.path.starts_with("core/xtask/src/tidy/")) {
        for snippet in snippets(file) {
            let mut report = |message: String, help: String| {
                let file = file.path.to_owned();
                violations.push(Violation { file, line: snippet.line, message, help });
            };
            facts.commands(file, &snippet, &mut report);
            facts.keys(file, &snippet, &mut report);
            facts.files(file, &snippet, &mut report);
        }
    }
    violations
}

/// What documents can name.
struct Facts<'a> {
    efference: Option<Command>,
    xtask: Option<Command>,
    keys: Keys,
    files: Vec<&'a str>,
    folders: BTreeSet<&'a str>,
    /// The strings of the code, for files that a program writes.
    strings: HashSet<&'a str>,
}

type Report<'r> = &'r mut dyn FnMut(String, String);

impl<'a> Facts<'a> {
    fn read(tree: &Tree<'a>) -> Self {
        let files: Vec<&str> = tree.files.iter().map(|file| file.path).collect();
        let folders = files
            .iter()
            .flat_map(|path| path.match_indices('/').map(|(at, _)| &path[..at]).collect::<Vec<_>>());
        let tokens = tree.rust().flat_map(|(_, source)| &source.tokens);
        Facts {
            efference: Command::read(tree, "core/cli/src/"),
            xtask: Command::read(tree, "core/xtask/src/"),
            keys: Keys::read(tree),
            folders: folders.collect(),
            strings: tokens.filter(|token| token.kind == Kind::Str).map(|token| token.text).collect(),
            files,
        }
    }

    /// What this check itself did not find where it looks.
    fn missing(&self) -> Vec<Violation> {
        let sources = [
            (self.efference.is_none(), "core/cli/src/", "clap's `Parser`"),
            (self.xtask.is_none(), "core/xtask/src/", "clap's `Parser`"),
            (!self.keys.has_host(), "core/", "a struct with the spec's keys `seed`, `steps` and `optimizer`"),
        ];
        let missing = sources.into_iter().filter(|(is_missing, ..)| *is_missing);
        let missing = missing.map(|(_, folder, what)| Violation {
            file: folder.into(),
            line: 1,
            message: format!("nothing there has {what}, so documents cannot be checked"),
            help: "see core/xtask/src/tidy/documents.rs".into(),
        });
        missing.collect()
    }

    fn commands(&self, file: &File<'_>, snippet: &Snippet<'_>, report: Report<'_>) {
        let words = &snippet.words;
        let mut is_command = false;
        for at in 0..words.len() {
            let (program, name, mut next) = match (words[at], words.get(at + 1)) {
                ("cargo", Some(&"xtask")) => (&self.xtask, "cargo xtask", at + 2),
                ("efference", _) if snippet.starts_command(at) => (&self.efference, "efference", at + 1),
                (word, _) if word.ends_with("/efference") && snippet.starts_command(at) => {
                    (&self.efference, "efference", at + 1)
                }
                _ => continue,
            };
            let Some(mut command) = program.as_ref() else { continue };
            is_command = true;
            let mut name = name.to_owned();
            while let Some(word) = words.get(next).filter(|word| is_command_name(word)) {
                match command.commands.get(*word) {
                    Some(inner) => command = inner,
                    None if command.commands.is_empty() => break,
                    None => {
                        let known: Vec<&str> = command.commands.keys().map(String::as_str).collect();
                        report(
                            format!("there is no command `{name} {word}`"),
                            format!("the commands of `{name}`: {}", known.join(", ")),
                        );
                        return;
                    }
                }
                name = format!("{name} {word}");
                next += 1;
            }
            let arguments = words[next.min(words.len())..].iter();
            let arguments = arguments.take_while(|word| !["--", "&&", "|", ";", "#"].contains(word));
            for flag in arguments.filter_map(|word| flag(word)).filter(|_| !command.passes_on) {
                if !command.flags.contains(flag) {
                    let known: Vec<String> = command.flags.iter().map(|flag| format!("--{flag}")).collect();
                    report(
                        format!("`{name}` has no flag `--{flag}`"),
                        format!("its flags: {}", known.join(", ")),
                    );
                }
            }
        }
        // A flag alone, where ours are meant.
        let is_ours = ["core/cli/", "core/xtask/", "experiments/"].iter().any(|f| file.path.starts_with(f))
            || file.extension() == "md";
        if let (false, true, Some(flag)) = (is_command, is_ours, words.first().and_then(|word| flag(word))) {
            let programs = [&self.efference, &self.xtask];
            let known = programs.iter().filter_map(|p| p.as_ref()).any(|p| p.all_flags().contains(flag));
            if !known && !["plot", "release", "locked", "offline", "workspace"].contains(&flag) {
                report(format!("no command has a flag `--{flag}`"), "see `efference --help`".into());
            }
        }
    }

    fn keys(&self, file: &File<'_>, snippet: &Snippet<'_>, report: Report<'_>) {
        if !self.keys.has_host() {
            return;
        }
        let mut check = |key: &str| {
            let path = parts(key);
            if let Some((wrong, section)) = self.keys.unknown(&path) {
                let place = if section.is_empty() { "a spec".into() } else { format!("[{section}]") };
                report(
                    format!("`{key}`: {place} has no key `{wrong}`"),
                    "`efference check SPEC --explain` lists the host's keys, `efference plugins show NAME` a plugin's"
                        .into(),
                );
            }
        };
        // The settings of `draw` are a layer's own options.
        let draws = snippet.words.contains(&"draw");
        for pair in snippet.words.windows(2).filter(|pair| pair[0] == "--set" && !draws) {
            if let Some((key, _)) = pair[1].split_once('=').filter(|(key, _)| is_key(key) && *key != "key") {
                check(key);
            }
        }
        let variables = snippet.words.iter().filter_map(|word| word.strip_prefix("EFFERENCE_"));
        for name in variables.filter_map(|word| word.split_once('=')).map(|(name, _)| name) {
            let key = name.to_lowercase().replace("__", ".");
            if is_key(&key) && name.chars().all(|c| c.is_ascii_uppercase() || c == '_') {
                check(&key);
            }
        }
        let first = snippet.words.first().copied().unwrap_or_default();
        let is_section = |key: &str| key.split('.').next().is_some_and(|name| self.keys.is_section(name));
        let section = first.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        if let Some(section) = section.filter(|key| is_key(key) && is_section(key)) {
            check(section);
        }
        // `trainer.unroll_length`, `trainer.unroll_length = 2` and `trainer.unroll_length=2`.
        let key = first.split_once('=').map_or(first, |(key, _)| key);
        // In a plugin's code, `layer.i` is more likely the name of a parameter.
        let names_keys =
            file.extension() != "rs" || FOR_SPECS.iter().any(|folder| file.path.starts_with(folder));
        let is_alone = snippet.words.len() == 1 || snippet.words.get(1) == Some(&"=");
        if names_keys
            && is_alone
            && key.contains('.')
            && is_key(key)
            && is_section(key)
            && extension(key).is_none()
        {
            check(key);
        }
    }

    fn files(&self, file: &File<'_>, snippet: &Snippet<'_>, report: Report<'_>) {
        if snippet.is_block && file.extension() == "md" {
            // Lines to be typed name files of this repository; texts of files and outputs name the reader's.
            let is_ours = snippet.words.iter().any(|word| word.ends_with("/efference") || *word == "xtask");
            if !is_ours {
                return;
            }
        }
        for word in &snippet.words {
            let word = word.split('#').next().unwrap_or(word).trim_end_matches(':');
            if !snippet.is_link && (!is_path(word) || snippet.words.len() > 1 && !word.contains('/')) {
                continue;
            }
            if ELSEWHERE.iter().any(|start| word.starts_with(start))
                || PLACEHOLDERS.contains(&word)
                || word.is_empty()
            {
                continue;
            }
            let top = word.split('/').next().unwrap_or(word);
            let looks_real = snippet.is_link
                || extension(word).is_some()
                || self.folders.contains(top) && word.contains('/');
            if looks_real && !self.exists(file, word) {
                report(
                    format!("there is no file `{word}`"),
                    "name the file that is meant, or write a placeholder as `<name>`".into(),
                );
            }
        }
    }

    fn exists(&self, file: &File<'_>, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        let relative = normal(file.folder(), path);
        let path = path.trim_start_matches("./");
        let is_whole = |known: &str| known == path || known == relative;
        let is_end = |known: &str| known.strip_suffix(path).is_some_and(|before| before.ends_with('/'));
        self.files.iter().any(|known| is_whole(known) || is_end(known))
            || self.folders.iter().any(|known| is_whole(known) || is_end(known))
            || self.strings.contains(path)
            || self.strings.iter().any(|string| !path.contains('/') && string.ends_with(&format!("/{path}")))
    }
}

fn is_command_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_lowercase())
        && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

/// The name of a long flag.
fn flag(word: &str) -> Option<&str> {
    let name = word.strip_prefix("--")?;
    let name = name.split('=').next().unwrap_or(name);
    is_command_name(name).then_some(name)
}

fn is_key(key: &str) -> bool {
    let plain = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    parts(key).into_iter().all(|part| plain(part) || part.starts_with('"') && part.len() > 2)
}

/// The names of a dotted key; one in quotation marks is one name.
fn parts(key: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut quoted) = (0, false);
    for (at, c) in key.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '.' if !quoted => {
                parts.push(&key[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&key[start..]);
    parts
}

fn extension(word: &str) -> Option<&str> {
    let (before, extension) = word.rsplit_once('.')?;
    (!before.is_empty() && EXTENSIONS.contains(&extension)).then_some(extension)
}

/// Whether a word can be the relative path of one file.
fn is_path(word: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./+".contains(c);
    word.chars().all(plain)
        && !word.starts_with(['/', '-', '+'])
        && !word.contains("//")
        && !word.starts_with("../..")
}

/// A path relative to a folder, without `.` and `..`.
pub(super) fn normal(folder: &str, path: &str) -> String {
    let mut folders: Vec<&str> = folder.split('/').filter(|folder| !folder.is_empty()).collect();
    for part in path.split('/').filter(|part| *part != ".") {
        match part {
            ".." => drop(folders.pop()),
            part => folders.push(part),
        }
    }
    folders.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLI: &str = "#[derive(Parser)] struct Cli { #[command(subcommand)] command: Command }\n\
        #[derive(Subcommand)] enum Command { Run { spec: PathBuf, #[arg(long)] set: Vec<String> }, \
        Plugins { #[command(subcommand)] what: Option<What> } }\n#[derive(Subcommand)] enum What { Show { name: String } }";
    const XTASK: &str = "#[derive(Parser)] struct Arguments { #[command(subcommand)] task: Task }\n\
        #[derive(Subcommand)] enum Task { Setup { #[arg(long)] cpu: bool }, \
        Run { #[arg(trailing_var_arg = true)] rest: Vec<OsString> } }";
    const KEYS: &str = "struct HostKeys { seed: u64, steps: u64, optimizer: Optimizer }\n\
        struct Optimizer { clip: f64 }\nconst FILE: &str = \"metrics.jsonl\";";
    const BPTT: &str = "options! { pub struct Options { pub unroll_length: i64 = 1 } }";

    fn refused(path: &str, text: &str) -> Vec<(usize, String)> {
        let found = check(&Tree::new([
            ("core/cli/src/main.rs", CLI),
            ("core/xtask/src/main.rs", XTASK),
            ("core/spec/src/keys.rs", KEYS),
            ("plugins/trainers/bptt/src/lib.rs", BPTT),
            ("experiments/one.toml", "seed = 1"),
            (path, text),
        ]));
        found.into_iter().map(|v| (v.line, v.message)).collect()
    }

    #[test]
    fn what_does_not_exist_is_refused() {
        for (text, message) in [
            ("see `core/spec/src/kees.rs`", "there is no file `core/spec/src/kees.rs`"),
            ("see `kees.rs`", "there is no file `kees.rs`"),
            ("see `core/spek`", "there is no file `core/spek`"),
            ("[a page](docs/a.md#top)", "there is no file `docs/a.md`"),
            (
                "    target/release/efference run experiments/two.toml",
                "there is no file `experiments/two.toml`",
            ),
            ("`cargo xtask set-up`", "there is no command `cargo xtask set-up`"),
            ("`cargo xtask setup --gpu`", "`cargo xtask setup` has no flag `--gpu`"),
            ("`efference walk`", "there is no command `efference walk`"),
            ("`efference plugins list`", "there is no command `efference plugins list`"),
            ("```\ntarget/release/efference run x --sett a=1\n```", "`efference run` has no flag `--sett`"),
            ("`--explain`", "no command has a flag `--explain`"),
            ("`--set trainer.unroll=1`", "`trainer.unroll`: [trainer] has no key `unroll`"),
            ("`optimizer.clap`", "`optimizer.clap`: [optimizer] has no key `clap`"),
            ("`optimizer.clap = 1`", "`optimizer.clap`: [optimizer] has no key `clap`"),
            ("`[optimizer.clap]`", "`optimizer.clap`: [optimizer] has no key `clap`"),
            ("`EFFERENCE_OPTIMIZER__CLAP=1`", "`optimizer.clap`: [optimizer] has no key `clap`"),
            ("`EFFERENCE_SEAD=1`", "`sead`: a spec has no key `sead`"),
        ] {
            let found = refused("README.md", &format!("# Title\n\n{text}\n"));
            assert_eq!(found.iter().map(|f| f.1.as_str()).collect::<Vec<_>>(), [message], "{text}");
        }
        assert_eq!(refused("core/x/src/a.rs", "//! See `b.rs`.\n")[0].0, 1);
        assert_eq!(refused("experiments/b.toml", "# Run `efference walk`.\n#   efference walk\n").len(), 2);
    }

    #[test]
    fn what_exists_is_meant_to_come_or_is_the_readers_passes() {
        for text in [
            "`core/spec/src/keys.rs`, `keys.rs`, `src/keys.rs`, `core/spec/`, `metrics.jsonl` and `core/<name>/src`",
            "`runs/<name>/a.json`, `runs/x.json`, `my.toml`, `target/release/efference`, `and/or`, `torch/torch.h`",
            "[the spec](core/spec/src/keys.rs), [a site](https://x.org/a.md), [above](#title)",
            "`cargo xtask setup --cpu`, `cargo xtask …`, `cargo xtask run one.toml --anything`, `--set`",
            "`efference run my.toml --set seed=2`, `efference plugins`, `efference plugins show NAME`",
            "`EFFERENCE_TRAINER__UNROLL_LENGTH=2 efference run a.toml`",
            "`trainer.unroll_length = 2`, `trainer.plugin`, `sweep.\"a.b\"`, `optimizer`, `batch.rows`, `trainer.step()`",
            "    cd efference && ls\n",
            "efference runs experiments; `cargo build --release`",
        ] {
            assert_eq!(refused("README.md", &format!("# Title\n\n{text}\n")), [], "{text}");
        }
        assert_eq!(
            refused(
                "core/x/src/a.rs",
                "//! `--remote-debugging-pipe`, `layer.i`, \"`b.rs`\"\nfn f() { \"c.rs\" }\n"
            ),
            [(1, "there is no file `b.rs`".to_owned())]
        );
    }

    #[test]
    fn a_check_that_finds_no_declarations_says_so() {
        assert_eq!(check(&Tree::new([("README.md", "`efference walk`")])).len(), 3);
    }
}
