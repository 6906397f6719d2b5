//! Members that were made with another build of a plugin than is there today.
use super::{MemberState, SweepFolder};
use crate::engine_identity;
use crate::today::found_today;
use efference_registry::PluginFiles;
use efference_runs::directory::RunDirectory;
use efference_runs::provenance::{PluginFile, sha256_of};
use efference_spec::{Spec, SweepMember};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// Members that are done, and were made with other plugin files than they would be made with today.
#[derive(Debug, Default)]
pub(crate) struct Rebuilt {
    /// Their ids.
    pub(crate) members: Vec<String>,
    /// The plugins whose files differ, such as `layer 'dense'`.
    plugins: BTreeSet<String>,
}

impl Rebuilt {
    /// Of these members, each with its id. Files that are not known, then or today, differ from none.
    pub(crate) fn of<'a>(
        folder: &SweepFolder,
        members: impl Iterator<Item = (&'a str, &'a SweepMember)>,
    ) -> Rebuilt {
        let mut today = Today::default();
        let mut rebuilt = Rebuilt::default();
        for (id, member) in members {
            if !matches!(folder.state(id), Ok(MemberState::Finished)) {
                continue;
            }
            let Some(made) = RunDirectory::open(&folder.run(id)).ok().and_then(|run| run.provenance()) else {
                continue;
            };
            let differ = made.latest().plugins.iter().filter(|was| today.differs(was, &member.spec));
            let differ: Vec<String> = differ.map(|p| format!("{} '{}'", p.kind, p.name)).collect();
            if !differ.is_empty() {
                rebuilt.members.push(id.to_owned());
                rebuilt.plugins.extend(differ);
            }
        }
        rebuilt
    }

    /// What is said of them; `None`: there are none.
    pub(crate) fn note(&self) -> Option<String> {
        const NAMED: usize = 4;
        let (members, count) = (&self.members, self.members.len());
        let named = members.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = if count > NAMED { format!(", and {} more", count - NAMED) } else { String::new() };
        let plugins = self.plugins.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let (are, were) = if count == 1 { ("member is", "was") } else { ("members are", "were") };
        (count > 0).then(|| {
            format!(
                "{count} {are} done and {were} made with another build of {plugins} than there is today: {named}{more}. \
                 `--rebuilt` makes them anew"
            )
        })
    }
}

/// The plugin files of today.
#[derive(Default)]
struct Today {
    /// What the directories hold that a spec names.
    found: BTreeMap<Vec<String>, PluginFiles>,
    hashes: BTreeMap<PathBuf, Option<String>>,
}

impl Today {
    /// Whether a plugin that made a run of this spec is another file now.
    fn differs(&mut self, was: &PluginFile, spec: &Spec) -> bool {
        let path = &spec.plugin_settings.path;
        let plugins = self.found.entry(path.clone()).or_insert_with(|| {
            let extra: Vec<_> = path.iter().map(|path| PathBuf::from(path).into()).collect();
            PluginFiles::scan(&extra, &engine_identity())
        });
        let Some(found) = found_today(was, plugins) else { return false };
        let now = self.hashes.entry(found.file.clone()).or_insert_with_key(|file| sha256_of(file));
        was.sha256.is_some() && now.is_some() && was.sha256 != *now
    }
}
