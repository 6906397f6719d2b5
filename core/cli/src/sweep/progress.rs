//! All members of a sweep in one view: bars on a terminal, a line for each event elsewhere.
use super::{Planned, SweepFolder};
use crate::print;
use efference_runs::metric::in_progress;
use efference_runs::{Grouped, Lasting, ThreeDigits};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::collections::HashMap;
use std::io::{IsTerminal, stdout};
use std::time::{Duration, Instant};

/// How often the members' files are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

pub(super) struct SweepProgress<'a> {
    folder: &'a SweepFolder,
    began: Instant,
    looked: Instant,
    members: usize,
    done: usize,
    failed: usize,
    /// Steps that are to be made, without those of members that are done; `None` if a member has no end.
    to_make: Option<u64>,
    /// Steps that members made which ended meanwhile.
    made: u64,
    running: Vec<&'a Planned>,
    steps: HashMap<String, u64>,
    bars: Option<Bars>,
}

struct Bars {
    all: MultiProgress,
    total: ProgressBar,
    rows: HashMap<String, ProgressBar>,
}

impl<'a> SweepProgress<'a> {
    pub(super) fn new(folder: &'a SweepFolder, members: &[&'a Planned]) -> Self {
        let now = Instant::now();
        let to_make = members.iter().map(|member| member.steps).sum();
        SweepProgress {
            folder,
            began: now,
            looked: now,
            members: members.len(),
            done: 0,
            failed: 0,
            to_make,
            made: 0,
            running: Vec::new(),
            steps: HashMap::new(),
            bars: stdout().is_terminal().then(|| Bars::new(members.len())),
        }
    }

    /// A sentence among what is shown.
    pub(super) fn say(&self, text: &str) {
        match &self.bars {
            // A terminal that went away is no error.
            Some(bars) => drop(bars.all.println(text)),
            None => print(&format!("{text}\n")),
        }
    }

    pub(super) fn is_done_already(&mut self, member: &Planned) {
        self.done += 1;
        self.skip(member);
    }

    pub(super) fn started(&mut self, member: &'a Planned) {
        self.running.push(member);
        match &mut self.bars {
            Some(bars) => bars.add(member),
            None => self.say(&format!("{}  started", member.id)),
        }
    }

    pub(super) fn finished(&mut self, member: &Planned) {
        let (step, values) = self.folder.last_line(&member.id).unwrap_or_default();
        self.made += member.steps.unwrap_or(step);
        self.done += 1;
        self.remove(member);
        let shown = shown(&values);
        self.say(&format!("{}  done  {}{shown}  ({})", member.id, steps(step), self.summary()));
    }

    pub(super) fn failed(&mut self, member: &Planned, why: &str) {
        self.failed += 1;
        self.skip(member);
        self.remove(member);
        self.say(&format!("{}  failed: {why}", member.id));
    }

    pub(super) fn stopped(&mut self, member: &Planned) {
        let step = self.folder.last_line(&member.id).map_or(0, |(step, _)| step);
        self.remove(member);
        self.say(&format!("{}  stopped  {}", member.id, steps(step)));
    }

    /// Looks where the members are, if that is due.
    pub(super) fn update(&mut self) {
        if self.looked.elapsed() < LOOK_EVERY {
            return;
        }
        self.looked = Instant::now();
        for member in &self.running {
            let Some((step, values)) = self.folder.last_line(&member.id) else { continue };
            self.steps.insert(member.id.clone(), step);
            if let Some(row) = self.bars.as_ref().and_then(|bars| bars.rows.get(&member.id)) {
                row.set_position(step);
                row.set_message(format!("{}{}", steps(step), shown(&values)));
            }
        }
        if let Some(bars) = &self.bars {
            bars.total.set_position((self.done + self.failed) as u64);
            bars.total.set_message(self.summary());
        }
    }

    /// Takes the bars away.
    pub(super) fn finish(self) {
        if let Some(bars) = self.bars {
            bars.rows.values().chain([&bars.total]).for_each(ProgressBar::finish_and_clear);
        }
    }

    /// `3 of 8 done, 1 failed, 2 running, 4 min 10 s left`
    fn summary(&self) -> String {
        let mut text = format!("{} of {} done", self.done, self.members);
        if self.failed > 0 {
            text += &format!(", {} failed", self.failed);
        }
        if !self.running.is_empty() {
            text += &format!(", {} running", self.running.len());
        }
        if let Some(left) = self.seconds_left() {
            text += &format!(", {} left", Lasting(left));
        }
        text
    }

    /// What is left to make, at the speed so far of all members together.
    fn seconds_left(&self) -> Option<f64> {
        let made = self.made + self.steps.values().sum::<u64>();
        let left = self.to_make?.saturating_sub(made);
        (made > 0 && left > 0).then(|| left as f64 * self.began.elapsed().as_secs_f64() / made as f64)
    }

    /// Its steps are not to be made.
    fn skip(&mut self, member: &Planned) {
        self.to_make = self.to_make.map(|all| all.saturating_sub(member.steps.unwrap_or(0)));
    }

    fn remove(&mut self, member: &Planned) {
        self.running.retain(|one| one.id != member.id);
        self.steps.remove(&member.id);
        if let Some(row) = self.bars.as_mut().and_then(|bars| bars.rows.remove(&member.id)) {
            row.finish_and_clear();
        }
    }
}

impl Bars {
    fn new(members: usize) -> Bars {
        let all = MultiProgress::new();
        let total = all.add(ProgressBar::new(members as u64));
        total.set_style(style("{bar:30} {msg}"));
        Bars { all, total, rows: HashMap::new() }
    }

    fn add(&mut self, member: &Planned) {
        let row = match member.steps {
            Some(steps) => ProgressBar::new(steps),
            None => ProgressBar::no_length(),
        };
        let row = self.all.add(row);
        row.set_style(style("{bar:16} {prefix}  {msg}"));
        row.set_prefix(member.id.clone());
        row.tick();
        self.rows.insert(member.id.clone(), row);
    }
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.progress_chars("█▉▊▋▌▍▎▏ ")
}

fn steps(step: u64) -> String {
    format!("step {}", Grouped(step))
}

/// `  error 1.23  skill 0.2`
fn shown(values: &[(String, f64)]) -> String {
    in_progress(values)
        .iter()
        .take(3)
        .map(|(name, value, _)| format!("  {name} {}", ThreeDigits(*value)))
        .collect()
}
