//! `[sweep]`: each of its values must be one that the spec could have.
//!
//! ```toml
//! [sweep]
//! "trainer.unroll_length" = [1, 2, 4]                                                    # a list
//! seed = { from = 1, to = 10 }                                                           # a range, both ends in it
//! "optimizer.learning_rate" = { from = 1e-4, to = 1e-2, count = 5, scale = "log" }       # a range on a log scale
//!
//! [[sweep.paired]]                # these vary together: the first with the first, the second with the second
//! "state.size" = [256, 512]
//! "record.every" = [10, 20]
//!
//! [sweep.variants.ldl]            # settings under one name
//! "layer.plugin" = "ldl"
//! "layer.radix" = 8
//! [sweep.variants.dense]
//! "layer.plugin" = "dense"
//! ```
//!
//! `"none"` in place of any of these takes back what a spec says that this one extends.
//!
//! Lists, ranges, each of `[[sweep.paired]]` and the variants are one [`SweepAxis`] each; the members of the sweep are all
//! combinations of the points of its axes ([`members`]).
mod axis;
mod id;
mod members;
mod range;
mod read;

pub(super) use axis::{PAIRED, VARIANTS};
pub use axis::{SweepAxis, SweepPoint};
pub use members::{SweepMember, SweepMembers};

use crate::check::{Checked, check};
use crate::key_path::{KeyPath, Step};
use crate::merge::Origins;
use crate::registry::Cached;
use crate::renamed::rename_in_tree;
use crate::schema::Schema;
use crate::source::Place;
use crate::validate::KeyDiagnostic;
use serde_json::{Map, Value};

/// Keys that say where a spec and its runs are, and not what runs.
const NEVER_SWEPT: [&str; 4] = ["extends", "name", "plugins", "sweep"];

/// Reads the sweep of a merged spec, in the order in which it is written, and finds what is wrong with it.
pub(super) fn sweep(
    tree: &Value,
    origins: &Origins,
    checked: &Checked,
    registry: &Cached<'_>,
) -> (Vec<SweepAxis>, Vec<KeyDiagnostic>) {
    let mut diagnostics = Vec::new();
    let mut axes = match tree.get("sweep") {
        Some(Value::Object(table)) => read::axes(table, &mut diagnostics),
        _ => Vec::new(),
    };
    let place = |at: &KeyPath| match origins.get(at).map(|origin| origin.place(true)) {
        Some(Place::InFile { file, span }) => (file.rank(), span.start),
        _ => (usize::MAX, 0),
    };
    axes.sort_by_key(|axis| place(&axis.at));
    for axis in &mut axes {
        axis.points.sort_by_key(|point| place(&point.at));
    }
    let known_keys = Schema::new(&checked.schema);
    let mut bare = tree.clone();
    if let Some(table) = bare.as_object_mut() {
        table.shift_remove("sweep");
    }
    let mut never = Vec::new();
    for setting in axes.iter().flat_map(|axis| &axis.points).flat_map(|point| &point.settings) {
        let first = setting.key.first_key().unwrap_or_default();
        if NEVER_SWEPT.contains(&first) && known_keys.keys().contains(&first) && !never.contains(&setting.key)
        {
            let message = format!("`{}` can't be swept", setting.key);
            diagnostics.push(KeyDiagnostic::in_key(
                &setting.key_at,
                message,
                "the same for all runs".into(),
                None,
            ));
            never.push(setting.key.clone());
        }
    }
    diagnostics.extend(said_twice(&axes));
    for axis in &axes {
        for point in &axis.points {
            if !point.settings.iter().any(|setting| never.contains(&setting.key)) {
                check_point(point, &axes, &bare, checked, registry, &mut diagnostics);
            }
        }
    }
    (axes, diagnostics)
}

/// Finds what would be wrong with the spec if it said what a point says.
fn check_point(
    point: &SweepPoint,
    axes: &[SweepAxis],
    bare: &Value,
    checked: &Checked,
    registry: &Cached<'_>,
    diagnostics: &mut Vec<KeyDiagnostic>,
) {
    let mut tree = bare.clone();
    for setting in &point.settings {
        put(&mut tree, &setting.key, &setting.value);
    }
    // Of a plugin that only this point chooses, an option may have its old name; the members' specs say so.
    let mut found = check(&tree, registry);
    if rename_in_tree(&mut tree, Schema::new(&found.schema)) {
        found = check(&tree, registry);
    }
    let set_by_point = |path: &KeyPath| point.settings.iter().find(|setting| path.starts_with(&setting.key));
    // What is wrong with the spec itself was found already.
    let known = |diagnostic: &KeyDiagnostic| {
        let same = |old: &KeyDiagnostic| old.path == diagnostic.path && old.missing == diagnostic.missing;
        set_by_point(&diagnostic.path).is_none() && checked.diagnostics.iter().any(same)
    };
    // What is missing here may be there in the runs, since another axis says it.
    let comes = |diagnostic: &KeyDiagnostic| {
        diagnostic.missing.as_ref().is_some_and(|key| axes.iter().any(|axis| axis.sets(&key.to_string())))
    };
    for mut diagnostic in found.diagnostics {
        if known(&diagnostic) || comes(&diagnostic) {
            continue;
        }
        let Some(setting) = set_by_point(&diagnostic.path).or(point.settings.first()) else { continue };
        let in_key = diagnostic.in_key && diagnostic.missing.is_none();
        diagnostic.path = if in_key { setting.key_at.clone() } else { setting.value_at.clone() };
        diagnostics.push(diagnostic);
    }
}

/// A key belongs to one axis, and so does what is in it.
fn said_twice(axes: &[SweepAxis]) -> Vec<KeyDiagnostic> {
    let mut diagnostics = Vec::new();
    let mut before: Vec<(usize, &KeyPath)> = Vec::new();
    for (number, axis) in axes.iter().enumerate() {
        for setting in axis.points.iter().flat_map(|point| &point.settings) {
            let key = &setting.key;
            let both = |old: &KeyPath| old.starts_with(key) || key.starts_with(old);
            if before.iter().any(|(of, old)| *of != number && both(old)) {
                let message = format!("`{key}` is swept twice");
                diagnostics.push(KeyDiagnostic::in_key(&setting.key_at, message, "said before".into(), None));
            }
            if !before.contains(&(number, key)) {
                before.push((number, key));
            }
        }
    }
    diagnostics.dedup_by(|b, a| a.path == b.path);
    diagnostics
}

/// Puts a value into a spec, and makes the tables that lead to it.
fn put(tree: &mut Value, key: &KeyPath, value: &Value) {
    let mut at = tree;
    for step in key.steps() {
        let Step::Key(key) = step else { return };
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        at = &mut at[key.as_str()];
    }
    *at = value.clone();
}
