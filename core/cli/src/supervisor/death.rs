//! In which way an engine has died, and what can be done about it.
use super::memory::OutOfMemory;
use super::words::during;
use efference_runs::Bytes;
use efference_supervision::{Doing, Usage};
use rustix::process::{Resource, getrlimit};
use signal_hook::consts::{
    SIGABRT, SIGALRM, SIGBUS, SIGFPE, SIGILL, SIGKILL, SIGQUIT, SIGSEGV, SIGSYS, SIGTRAP, SIGXCPU,
};
use signal_hook::low_level::signal_name;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// The end of a process that had more to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Death {
    /// A signal ended it.
    Signal(i32),
    /// Something called `exit`.
    Exit(i32),
}

impl Death {
    pub(super) fn of(status: ExitStatus) -> Death {
        match status.signal() {
            Some(signal) => Death::Signal(signal),
            None => Death::Exit(status.code().unwrap_or_default()),
        }
    }

    /// Whether it is the doing of the code that ran, and not of someone who sent a signal.
    fn is_by_what_ran(self) -> bool {
        const BY_ITSELF: [i32; 7] = [SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE, SIGTRAP, SIGSYS];
        match self {
            Death::Exit(_) => true,
            Death::Signal(signal) => BY_ITSELF.contains(&signal),
        }
    }

    /// The exit status of this program, which a shell would show of the engine: never that of a success.
    pub(super) fn status(self) -> u8 {
        match self {
            Death::Signal(signal) => (128 + signal) as u8,
            Death::Exit(0) => 1,
            Death::Exit(code) => code as u8,
        }
    }

    /// `died of SIGSEGV (segmentation fault)`
    pub(super) fn verb(self) -> String {
        match self {
            Death::Exit(code) => format!("ended the process by exit({code})"),
            Death::Signal(signal) => {
                let name = signal_name(signal).map_or_else(|| format!("signal {signal}"), str::to_owned);
                match described(signal) {
                    "" => format!("died of {name}"),
                    described => format!("died of {name} ({described})"),
                }
            }
        }
    }

    /// What can be done, as far as that is known.
    pub(super) fn help(self, doing: &Doing, memory: &OutOfMemory) -> String {
        let who = doing.call.as_ref().map_or("a plugin, or a library that it uses,", |(plugin, _)| plugin);
        match self {
            Death::Exit(_) => format!(
                "{who} called `exit`, or a library did that it uses: a plugin returns an error instead, which ends the \
                 run with its record whole"
            ),
            Death::Signal(SIGKILL) => killed(memory),
            Death::Signal(SIGSEGV) => format!(
                "{who} used memory that is not there, or more of the stack than there is: mend it there, or choose \
                 another plugin in the spec"
            ),
            Death::Signal(SIGBUS) => format!(
                "{who} used a file in memory that is no longer what it was: a library or a file that was written over \
                 or cut while the run went on, or a disk that failed"
            ),
            Death::Signal(SIGABRT) => format!(
                "see what it printed above: a stack that overflowed, an exception that nobody caught, memory that could \
                 not be had and a check that failed end a process so. Mend {} there, or choose another one in the spec",
                doing.call.as_ref().map_or("the plugin", |(plugin, _)| plugin)
            ),
            Death::Signal(SIGILL) => format!(
                "{who} was compiled for another processor, or has come to an end that its compiler took for impossible"
            ),
            Death::Signal(SIGXCPU) => "the limit of processor time (`ulimit -t`) was reached".to_owned(),
            Death::Signal(_) => {
                "someone sent it this signal, or a plugin did; those that end a run with its record whole are SIGINT, \
                 SIGTERM, SIGHUP and SIGUSR1"
                    .to_owned()
            }
        }
    }
}

fn described(signal: i32) -> &'static str {
    match signal {
        SIGSEGV => "segmentation fault",
        SIGBUS => "bus error",
        SIGABRT => "abort",
        SIGILL => "illegal instruction",
        SIGFPE => "arithmetic error",
        SIGKILL => "killed",
        SIGQUIT => "quit",
        SIGALRM => "alarm clock",
        SIGTRAP => "trap",
        SIGSYS => "a system call that is not allowed",
        SIGXCPU => "processor time",
        _ => "",
    }
}

fn killed(memory: &OutOfMemory) -> String {
    let usage = Usage::of_children();
    let used = usage.map_or(String::new(), |usage| {
        format!("; it had had {} of memory at most", Bytes(usage.peak_memory as f64))
    });
    if memory.killed_one() {
        return format!(
            "the system had no memory left and killed it (out-of-memory killer){used}. Take a smaller `state.size` or \
             fewer streams, or give it more memory"
        );
    }
    let limit = getrlimit(Resource::Cpu).maximum;
    if let (Some(limit), Some(usage)) = (limit, usage)
        && usage.processor_seconds + 1.0 >= limit as f64
    {
        return format!("its limit of {limit} s of processor time (`ulimit -Ht`) was reached");
    }
    format!("someone killed it (`kill -9`), or the system did, for lack of memory{used}")
}

/// The plugin at fault, if it is one's doing; and what went wrong, the outermost message first.
pub(super) fn messages(death: Death, doing: &Doing) -> (Option<String>, Vec<String>) {
    let verb = death.verb();
    match &doing.call {
        Some((plugin, method)) if death.is_by_what_ran() => {
            (Some(plugin.clone()), vec![plugin.clone(), format!("{verb} in {method}")])
        }
        Some(call) => (None, vec![format!("the engine {verb} ({})", during(call))]),
        None => (None, vec![format!("the engine {verb} outside of any call of a plugin")]),
    }
}

/// What is said of an engine that had only to end.
pub(super) fn after_the_end(death: Death, doing: &Doing) -> String {
    let where_ = doing.call.as_ref().map_or(String::new(), |call| format!(" ({})", during(call)));
    format!("the engine {}{where_} when the run had ended: nothing of it is lost", death.verb())
}

#[cfg(test)]
mod tests {
    use super::*;
    use efference_supervision::Activity;

    #[test]
    fn no_death_is_a_success() {
        assert_eq!(Death::Exit(0).status(), 1);
        assert_eq!(Death::Exit(3).status(), 3);
        assert_eq!(Death::Signal(SIGSEGV).status(), 139);
    }

    #[test]
    fn the_plugin_and_the_call_are_named() {
        let call = Some(("layer 'x'".to_owned(), "forward".to_owned()));
        let doing = Doing { call, ..Activity::new().doing() };
        let death = Death::Signal(SIGSEGV);
        let (plugin, said) = messages(death, &doing);
        assert_eq!(plugin.as_deref(), Some("layer 'x'"));
        assert_eq!(said, ["layer 'x'", "died of SIGSEGV (segmentation fault) in forward"]);
        // Whoever was called just then has not killed it.
        let (plugin, said) = messages(Death::Signal(SIGKILL), &doing);
        assert_eq!(plugin, None);
        assert_eq!(said, ["the engine died of SIGKILL (killed) (layer 'x', in forward)"]);
        let (_, said) = messages(Death::Exit(0), &Doing { call: None, ..doing });
        assert_eq!(said, ["the engine ended the process by exit(0) outside of any call of a plugin"]);
    }
}
