//! How many members of a sweep fit into memory at once.
use super::Share;
use crate::forecast::forecasts;
use crate::{fail, print, report};
use efference_runs::Bytes;
use efference_runs::limits::Limits;
use efference_spec::{Spec, SweepMember};

/// The share of a sweep on this machine with as many members at once as memory allows; `asked` is how many the user wants.
///
/// # Errors
/// The exit status, if a member cannot be made, or if more are asked for than fit; problems were printed.
pub(crate) fn within_memory(
    share: Share,
    members: &[SweepMember],
    asked: Option<usize>,
) -> Result<Share, u8> {
    let specs: Vec<&Spec> = members.iter().map(|member| &member.spec).collect();
    let forecasts = match forecasts(&specs) {
        Ok(forecasts) => forecasts,
        Err(why) => {
            eprintln!("note: what the members take is not known: {why}");
            return Ok(share);
        }
    };
    for (member, forecast) in members.iter().zip(&forecasts) {
        if let Some(obstacle) = &forecast.obstacle {
            let message = format!("{}: {}", member.id, obstacle.message);
            return Err(report(&member.spec.problem(&obstacle.key, &message, obstacle.help.as_deref())));
        }
    }
    let on_cpu = forecasts.iter().filter_map(|f| f.budget.as_ref()).filter(|b| b.device == "cpu");
    let largest = on_cpu.map(|budget| budget.memory.total()).max().unwrap_or(0);
    let Some(limit) = Limits::of_this_process().memory() else { return Ok(share) };
    let at_once = usize::try_from(limit.free / largest.max(1)).unwrap_or(usize::MAX).max(1);
    let jobs = share.jobs.min(members.len());
    if at_once >= jobs {
        return Ok(share);
    }
    let why = format!("a member takes about {} of memory, and {limit}", Bytes(largest as f64));
    if asked.is_some() {
        return Err(fail(format!(
            "{jobs} members at once do not fit: {why}. Give it --jobs {at_once}, or --force"
        )));
    }
    print(&format!("{at_once} at once in place of {jobs}: {why}\n"));
    Ok(Share { jobs: at_once, ..share })
}
