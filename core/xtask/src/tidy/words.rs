//! The words that are not used here, and those that the field has for the same thing; data for `wording.rs`.

/// One line of the table.
pub(super) struct Rule {
    /// What is not written, as the reader of a message is to know it.
    pub(super) not: &'static str,
    /// What is written instead.
    pub(super) but: &'static str,
    /// The names of code that are refused.
    pub(super) names: &'static [Name],
    /// What is refused in prose: comments, documents, messages. `#` stands for a figure or a name in backticks. Names
    /// of five words and more, as tests have them, count as prose.
    pub(super) phrases: &'static [&'static str],
    /// Words behind which a phrase may stand.
    pub(super) after: &'static [&'static str],
    /// Whether tests are looked at too.
    pub(super) in_tests: bool,
}

/// Which names of code a rule refuses.
pub(super) enum Name {
    /// This name.
    Exact(&'static str),
    /// A name with this among its words: `score` also refuses `page_score` and `ScoreRelay`.
    Word(&'static str),
    /// A type with this among its words: `Part` also refuses `PartKeys`, not `part`.
    Type(&'static str),
    /// A function where it is declared, and where it is called as `raw::NAME`.
    Function(&'static str),
}

use Name::{Exact, Function, Type, Word};

const fn rule(
    not: &'static str,
    but: &'static str,
    names: &'static [Name],
    phrases: &'static [&'static str],
) -> Rule {
    Rule { not, but, names, phrases, after: &[], in_tests: true }
}

pub(super) const RULES: &[Rule] = &[
    rule("score", "reward", &[Word("score"), Word("scores")], &["score", "scores", "scored"]),
    rule(
        "episode end",
        "first, last, terminated or truncated",
        &[Word("episode_end"), Word("episode_ends"), Word("episode_ended")],
        &["episode end"],
    ),
    rule(
        "live stream",
        "active stream",
        &[Word("live_stream"), Word("live_streams"), Exact("live")],
        &["live stream", "live streams"],
    ),
    rule(
        "numbers",
        "elements (of a tensor) or features (of a row)",
        &[],
        &["# numbers", "many numbers", "numbers of a tensor", "numbers of the state", "numbers of a state"],
    ),
    Rule {
        after: &["SIMD"],
        ..rule(
            "lane",
            "gradient path (or SIMD lane, which \"lane\" means and nothing else)",
            &[Word("lane"), Word("lanes")],
            &["lane", "lanes"],
        )
    },
    Rule {
        in_tests: false,
        ..rule(
            "kept",
            "saved tensors",
            &[Exact("kept"), Exact("kept_count"), Exact("add_kept"), Type("Kept")],
            &["kept tensor", "kept tensors", "tensors kept", "tensors that are kept", "kept numbers"],
        )
    },
    rule(
        "part",
        "parameter group",
        &[Type("Part"), Exact("part_named"), Exact("has_part")],
        &[
            "parameters of a part",
            "parameters of one part",
            "parameters of all parts",
            "part of the parameters",
            "parts of the parameters",
            "part's parameters",
            "optimizer parts",
            "parameter part",
            "parameter parts",
        ],
    ),
    rule(
        "guarded, watch, health",
        "checked, call monitor",
        &[Word("guarded"), Exact("watch"), Type("Watch"), Word("health")],
        &["guarded"],
    ),
    rule(
        "blame, cure",
        "attribution, help",
        &[Word("blame"), Word("blames"), Word("blamed"), Word("cure"), Word("cures")],
        &["blame", "blames", "blamed", "cure", "cures"],
    ),
    rule("catalogue", "registry", &[Word("catalogue"), Word("catalogues")], &["catalogue", "catalogues"]),
    rule(
        "Blueprint, Choice, Prepared",
        "config, loaded spec",
        &[Type("Blueprint"), Exact("Choice"), Exact("Prepared"), Exact("blueprint")],
        &[],
    ),
    rule(
        "lend, see, give, take",
        "as_raw, borrow_raw, into_raw, from_raw",
        &[Function("lend"), Function("see"), Function("see_slice"), Function("see_str"), Function("give")],
        &[],
    ),
    rule("hole", "missing value (NaN)", &[Word("hole"), Word("holes")], &["hole", "holes"]),
    rule("fool", "baseline (`error_last`, `error_mean`)", &[Word("fool"), Word("fools")], &["fool", "fools"]),
    Rule { in_tests: false, ..rule("got", "target", &[Exact("got")], &[]) },
    rule("reserved numbers", "reserved slots", &[Word("reserved_numbers")], &["reserved numbers"]),
    rule(
        "passes",
        "custom VJP: forward and backward",
        &[Type("Passes"), Type("Passing"), Exact("passes"), Exact("has_passes"), Exact("knows_passes")],
        &["own passes", "passes of its own", "passes of their own", "layer's passes", "stack's passes"],
    ),
    rule(
        "incoming, outgoing",
        "grad_output, grad_input",
        &[Word("incoming"), Word("outgoing")],
        &["incoming gradient", "incoming gradients", "outgoing gradient", "outgoing gradients"],
    ),
    rule("Store, each", "ParamStore, for_each", &[Exact("Store"), Function("each")], &[]),
    rule("Work, Cost", "op count, cost model", &[Exact("Work"), Exact("Cost")], &[]),
    rule(
        "stamp",
        "manifest",
        &[Word("stamp"), Word("stamps"), Word("stamped")],
        &["stamp", "stamps", "stamped"],
    ),
    rule(
        "mistake, finding",
        "diagnostic",
        &[Word("mistake"), Word("mistakes"), Word("finding"), Word("findings")],
        &[],
    ),
    rule(
        "Inbox, Stepped, figures",
        "frame buffer, step outcome, step stats",
        &[Word("inbox"), Type("Stepped"), Word("figures")],
        &["inbox"],
    ),
    rule("answers with", "returns", &[], &["answers with", "answer with", "answered with", "answering with"]),
    rule(
        "is told, is handed",
        "reports, receives, gets",
        &[],
        &[
            "is told",
            "are told",
            "was told",
            "were told",
            "be told",
            "been told",
            "being told",
            "is handed",
            "are handed",
            "was handed",
            "were handed",
            "be handed",
            "been handed",
            "being handed",
        ],
    ),
];

/// Where a word may stand; a comment says why.
pub(super) struct Exception {
    /// A file, a folder with `/` at its end, or `*` and the end of a path.
    pub(super) path: &'static str,
    /// The rule's `not`.
    pub(super) rule: &'static str,
    /// Only this name or word; empty for all that the rule refuses.
    pub(super) word: &'static str,
}

impl Exception {
    /// The line of this file's text that it stands on.
    pub(super) fn line_in(&self, text: &str) -> usize {
        let Self { path, rule, word } = self;
        let written = format!("except(\"{path}\", \"{rule}\", \"{word}\")");
        text.lines().position(|line| line.contains(&written)).map_or(1, |at| at + 1)
    }
}

const fn except(path: &'static str, rule: &'static str, word: &'static str) -> Exception {
    Exception { path, rule, word }
}

pub(super) const EXCEPTIONS: &[Exception] = &[
    // WebEnv's own name in pages, which its users write.
    except("*", "score", "directScore"),
    // The script that gives pages `directScore`, and an option of WebEnv's own `directScore`.
    except("plugins/environments/browser/src/set_up.rs", "score", "direct_score"),
    except("plugins/environments/webenv/src/script.rs", "score", "scoreFile"),
    // How many lanes a SIMD vector has.
    except("*", "lane", "LANES"),
    // The part of libtorch that is for CUDA.
    except("*", "part", "NoCudaPart"),
    // A listener's connections, as std calls them.
    except("plugins/environments/browser/", "incoming, outgoing", "incoming"),
    // The value `choice` of an option: an action that chooses one of several.
    except("plugins/environments/worlds/", "Blueprint, Choice, Prepared", "Choice"),
    // The command `efference watch`, which people type.
    except("core/cli/src/commands/", "guarded, watch, health", ""),
    except("core/view/src/terminal/mod.rs", "guarded, watch, health", ""),
    except("tests/tests/end_to_end/seeing.rs", "guarded, watch, health", ""),
    // Kernels that are written for the lanes of SIMD vectors.
    except("*/simd.rs", "lane", ""),
    except("core/runs/src/baselines.rs", "lane", ""),
    except("*/native/avx2.rs", "lane", ""),
    except("*/native/packing.rs", "lane", ""),
    except("*/native/backward.rs", "lane", ""),
    except("*/native/dispatch.rs", "lane", ""),
    except("*/native/forward.rs", "lane", ""),
    except("*/native/geometry.rs", "lane", ""),
    except("*/native/kernels.rs", "lane", ""),
    except("*/native/products.rs", "lane", ""),
];
