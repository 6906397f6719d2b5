//! What is written: the files of `core/cli/templates`, in which the plugin is called `my-plugin`.
use super::building::Package;
use super::kind::NewKind;
use super::name::Name;

/// A folder.
pub(super) struct Template {
    pub(super) files: &'static [TemplateFile],
    /// What to type in it.
    pub(super) next: &'static [&'static str],
}

/// A file.
pub(super) struct TemplateFile {
    pub(super) path: &'static str,
    /// What it is.
    pub(super) what: &'static str,
    template: &'static str,
}

impl TemplateFile {
    pub(super) fn text(&self, name: &Name) -> String {
        name.put(self.template)
    }
}

const NEXT: &[&str] = &[
    "cargo test",
    "cargo build",
    "efference plugins check .",
    "efference run my-plugin.toml",
    "efference sweep my-plugin.toml && efference compare runs/my-plugin",
];

macro_rules! rust {
    ($folder:literal) => {
        Template {
            files: &[
                TemplateFile {
                    path: "src/lib.rs",
                    what: "the plugin, and its tests",
                    template: include_str!(concat!("../../templates/", $folder, "/lib.rs")),
                },
                TemplateFile {
                    path: "my-plugin.toml",
                    what: "an experiment with it",
                    template: include_str!(concat!("../../templates/", $folder, "/spec.toml")),
                },
            ],
            next: NEXT,
        }
    };
}

/// A crate.
pub(super) fn rust(kind: NewKind) -> Template {
    match kind {
        NewKind::Layer => rust!("layer"),
        NewKind::Cell => rust!("cell"),
        NewKind::Trainer => rust!("trainer"),
        NewKind::Goal => rust!("goal"),
        NewKind::Environment => rust!("environment"),
    }
}

/// A layer in C++.
pub(super) fn cpp() -> Template {
    Template {
        files: &[
            TemplateFile {
                path: "my_plugin.cpp",
                what: "the plugin",
                template: include_str!("../../templates/cpp/layer.cpp"),
            },
            TemplateFile {
                path: "Makefile",
                what: "how it is built",
                template: include_str!("../../templates/cpp/Makefile.in"),
            },
            TemplateFile {
                path: "efference.h",
                what: "the boundary; its first page has the rules",
                template: include_str!("../../../abi/include/efference.h"),
            },
            TemplateFile {
                path: "my-plugin.toml",
                what: "an experiment with it",
                template: include_str!("../../templates/cpp/spec.toml"),
            },
        ],
        next: &[
            "make",
            "efference plugins check .",
            "efference run my-plugin.toml",
            "efference sweep my-plugin.toml && efference compare runs/my-plugin",
        ],
    }
}

/// An environment in Python.
pub(super) fn python() -> Template {
    Template {
        files: &[
            TemplateFile {
                path: "my_plugin.py",
                what: "the world",
                template: include_str!("../../templates/python/world.py"),
            },
            TemplateFile {
                path: "test_my_plugin.py",
                what: "its tests",
                template: include_str!("../../templates/python/test_world.py"),
            },
            TemplateFile {
                path: "my-plugin.toml",
                what: "an experiment in it",
                template: include_str!("../../templates/python/spec.toml"),
            },
        ],
        next: &[
            "python3 test_my_plugin.py",
            "efference plugins check my_plugin.py",
            "efference run my-plugin.toml",
            "efference sweep my-plugin.toml && efference compare runs/my-plugin",
        ],
    }
}

/// `Cargo.toml`
pub(super) fn manifest(name: &Name, packages: &[Package]) -> String {
    let lines = |for_tests: bool| -> String {
        let chosen: Vec<_> = packages.iter().filter(|package| package.for_tests == for_tests).collect();
        chosen.iter().map(|package| package.line()).collect::<Vec<_>>().join("\n")
    };
    name.put(include_str!("../../templates/Cargo.toml.in"))
        .replace("DEV_DEPENDENCIES", &lines(true))
        .replace("DEPENDENCIES", &lines(false))
}
