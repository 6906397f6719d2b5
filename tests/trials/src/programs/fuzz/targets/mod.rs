//! The targets: one file each, and one line here.

mod checkpoints;
mod columns;
mod fingerprints;
mod libraries;
mod metrics;
mod pictures;
mod plugins;
mod records;
mod settings;
mod specs;

use efference_trials::fuzz::{Entry, Made, entry};

/// All of them.
pub(crate) const TARGETS: &[Entry] = &[
    entry("specs", "specs with what they extend, and their sweeps", specs::make),
    entry("settings", "`--set` and `EFFERENCE_…` variables", settings::make),
    entry("libraries", "the manifests of plugin libraries", libraries::make),
    entry("metrics", "metrics.jsonl: history, last line, as it grows, cut", metrics::make),
    entry("columns", "metrics.columns", columns::make),
    entry("checkpoints", "checkpoints: manifest and arrays", checkpoints::make),
    entry("fingerprints", "fingerprints.bin", fingerprints::make),
    entry(
        "records",
        "what a run says of itself: spec.toml, end.json, provenance.json, latest",
        records::make,
    ),
    entry("pictures", "the pictures of a run", pictures::make),
    Entry {
        name: "webenv",
        reads: "packets of WebEnv, and an agent's replies",
        made: Made::By("efference-fuzz-webenv"),
    },
    Entry {
        name: "browser",
        reads: "messages and pictures of a browser",
        made: Made::By("efference-fuzz-browser"),
    },
];
