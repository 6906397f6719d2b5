//! Many runs of one spec: what `efference sweep` does.
//!
//! The state of a sweep is on disk and nowhere else: the directories of its members, `runs/<name>/<id>/`, say where each
//! stands, and beside them is `runs/<name>/sweep/`:
//!
//! | file | what it is |
//! |---|---|
//! | `plan.json` | the spec as it was given, and the members with their settings |
//! | `members/<id>.toml` | the resolved spec of a member, which is what runs: an edit of the spec comes too late for it |
//! | `logs/<id>.txt` | what the run of a member printed |
//! | `set-aside/` | what members left that began anew: they were stopped, had failed, or a plugin was rebuilt |
//! | `slurm/` | the job arrays that were submitted |
//! | `lock` | held by the process that works on the sweep |
//!
//! So a sweep that was stopped or killed goes on by the same command: what is finished is skipped.

mod children;
pub(crate) mod decide;
mod folder;
mod local;
mod member;
pub(crate) mod memory;
mod plan;
mod progress;
mod rebuilt;
mod results;
mod share;
pub(crate) mod slurm;

pub(crate) use folder::SweepFolder;
pub(crate) use local::{Launch, Outcome, run_members};
pub(crate) use member::MemberState;
pub(crate) use plan::{Plan, Planned, shown_settings};
pub(crate) use rebuilt::Rebuilt;
pub(crate) use share::Share;
