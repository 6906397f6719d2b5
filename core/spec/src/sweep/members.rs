//! The members of a sweep: all combinations of what its axes take, each a whole spec.
use super::axis::{Setting, SweepAxis};
use super::id::id;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::key_path::{KeyPath, Step};
use crate::layer::{ConfigLayer, Origin, Source};
use crate::registry::{Cached, PluginRegistry};
use crate::renamed::LABEL;
use crate::resolve::ParsedSpec;
use crate::resolved::Spec;
use crate::source::Place;
use crate::values::{Span, Spans, from_json};
use figment::value::{Dict, Tag, Value as Said};
use serde_json::Value;

/// Most members of a sweep.
const MOST_MEMBERS: usize = 10_000;

/// One run of a sweep.
#[derive(Debug, Clone)]
pub struct SweepMember {
    /// Names the run: what differs from the others, and a hash of all of its spec.
    pub id: String,
    /// The whole [`Spec::digest`].
    pub digest: String,
    /// Of each axis of the sweep, which point it takes.
    pub points: Vec<usize>,
    /// What it sets.
    pub settings: Vec<(KeyPath, Value)>,
    /// Its spec.
    pub spec: Spec,
}

/// The runs of a sweep.
#[derive(Debug, Clone)]
pub struct SweepMembers {
    /// The spec itself, as `efference run` reads it.
    pub spec: Spec,
    /// Its members. Those with the first seed come first, then those with the second: so what is compared goes on side by
    /// side.
    pub members: Vec<SweepMember>,
    /// Members that would be the same run as one before, such as those that differ in an option that another plugin has:
    /// their settings, and the id of the one that stays.
    pub same: Vec<(Vec<(KeyPath, Value)>, String)>,
}

impl ParsedSpec {
    /// Checks everything, and makes the spec of each member of the sweep; none without a `[sweep]`.
    ///
    /// # Errors
    /// All that is wrong with the spec, or with any member.
    pub fn members(self, registry: &dyn PluginRegistry) -> Result<SweepMembers, Diagnostics> {
        let registry = Cached::new(registry);
        let spec = self.clone().resolve_cached(&registry, true)?;
        let mut all = SweepMembers { spec, members: Vec::new(), same: Vec::new() };
        let axes = &all.spec.sweep;
        let (mut diagnostics, mut notes) = (Vec::new(), Vec::new());
        if axes
            .iter()
            .try_fold(1_usize, |n, axis| n.checked_mul(axis.points.len()))
            .is_none_or(|n| n > MOST_MEMBERS)
        {
            let message = format!("{}: the sweep has more than {MOST_MEMBERS} members", self.name());
            let help = "make some list or range in [sweep] shorter".to_owned();
            diagnostics.push(Diagnostic::new(Place::Nowhere, message, "", Some(help)));
            return Err(Diagnostics::new(&self.name(), diagnostics));
        }
        for points in combinations(axes) {
            let taken = || axes.iter().zip(&points).map(|(axis, point)| (axis, &axis.points[*point]));
            let settings: Vec<&Setting> = taken().flat_map(|(_, point)| &point.settings).collect();
            let mut parsed = self.clone();
            parsed.add(settings.iter().map(|setting| layer(setting, &all.spec)));
            let spec = match parsed.resolve_cached(&registry, false) {
                Ok(spec) => spec,
                Err(wrong) => {
                    diagnostics.extend(wrong.iter().cloned());
                    continue;
                }
            };
            let settings =
                settings.iter().map(|setting| (setting.key.clone(), setting.value.clone())).collect();
            // Of a plugin that only members choose, an option may have its old name.
            notes.extend(spec.notes.iter().filter(|note| note.label == LABEL).cloned());
            let digest = spec.digest();
            match all.members.iter().find(|member| member.digest == digest) {
                Some(first) => all.same.push((settings, first.id.clone())),
                None => {
                    let parts: Vec<(&str, &str)> =
                        taken().map(|(axis, point)| (axis.name.as_str(), point.label.as_str())).collect();
                    all.members.push(SweepMember { id: id(&parts, &digest), digest, points, settings, spec });
                }
            }
        }
        notes.extend(all.spec.notes.iter().cloned());
        all.spec.notes = Diagnostics::new(&self.name(), notes);
        if diagnostics.is_empty() { Ok(all) } else { Err(Diagnostics::new(&self.name(), diagnostics)) }
    }
}

/// All combinations of points, the last axis varying fastest, but for the seed, which is slowest.
fn combinations(axes: &[SweepAxis]) -> Vec<Vec<usize>> {
    if axes.is_empty() {
        return Vec::new();
    }
    let mut order: Vec<usize> = (0..axes.len()).collect();
    order.sort_by_key(|axis| axes[*axis].name != "seed");
    let mut all = vec![vec![0; axes.len()]];
    for axis in order {
        let with = |points: Vec<usize>| {
            (0..axes[axis].points.len()).map(move |point| {
                let mut points = points.clone();
                points[axis] = point;
                points
            })
        };
        all = all.into_iter().flat_map(with).collect();
    }
    all
}

/// A setting as if it were written in the spec, where the sweep says it.
fn layer(setting: &Setting, spec: &Spec) -> ConfigLayer {
    let mut value = from_json(&setting.value);
    let mut values = Dict::new();
    for (depth, step) in setting.key.steps().iter().enumerate().rev() {
        let Step::Key(key) = step else { continue };
        let table = Dict::from([(key.clone(), value)]);
        if depth == 0 {
            values = table;
            break;
        }
        value = Said::Dict(Tag::Default, table);
    }
    let (source, spans) = match spec.origins.get(&setting.value_at) {
        Some(Origin::File { file, key, value }) => {
            let is_table = setting.value.is_object();
            let span = Span { key: key.clone(), value: value.clone(), is_table };
            (Source::File(file.clone()), Spans::from([(setting.key.clone(), span)]))
        }
        Some(Origin::Variable(name)) => (Source::Variable(name.clone()), Spans::new()),
        Some(Origin::Set(text)) => (Source::Set(text.clone()), Spans::new()),
        Some(Origin::Default) | None => (Source::Set(setting.value_at.to_string()), Spans::new()),
    };
    ConfigLayer { source, values, spans, said: None }
}
