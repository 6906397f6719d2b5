//! Whatever of the browser is killed or stopped, streams go on. EFFERENCE_KILLS says how many
//! times, by chance; else the first few kinds are tried once.
use super::*;
use crate::stream::Stream;
use efference_sdk::Random;

/// How many of the victims are tried once.
const TRIED: usize = 4;

/// What is killed, by what its command line has; empty: the browser itself.
const VICTIMS: [(&str, Signal); 8] = [
    ("--type=renderer", Signal::KILL),
    ("network.mojom.NetworkService", Signal::KILL),
    ("", Signal::KILL),
    ("--type=renderer", Signal::STOP),
    ("--type=zygote", Signal::KILL),
    ("", Signal::TERM),
    ("", Signal::INT),
    ("", Signal::STOP),
];

/// Those that a browser has started, and itself.
fn family(browser: &Browser) -> Vec<(u32, String)> {
    let mut members = vec![(browser.chromium.process().unwrap(), String::new())];
    let mut parents = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(id) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let read = |file: &str| std::fs::read_to_string(entry.path().join(file)).unwrap_or_default();
        let parent =
            read("status").lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse::<u32>().ok());
        parents.push((id, parent.unwrap_or_default(), read("cmdline")));
    }
    let mut looked_at = 0;
    while let Some(&(of, _)) = members.get(looked_at) {
        looked_at += 1;
        members.extend(parents.iter().filter(|p| p.1 == of).map(|(id, _, line)| (*id, line.clone())));
    }
    members
}

/// Whether all pages move again.
fn all_move(browser: &mut Browser, what: &str) {
    let count = browser.streams.len();
    let mut moved = vec![false; count];
    let mut first = HashMap::new();
    until(browser, what, |_, seen| {
        for (stream, observation) in &seen.observations {
            let before = first.entry(*stream).or_insert_with(|| observation.clone());
            moved[*stream as usize] |= before != observation;
        }
        moved.iter().all(|moved| *moved)
    });
}

#[test]
fn whatever_of_the_browser_is_killed_its_pages_go_on_and_nothing_stays_behind() {
    let Some(_turn) = alone() else { return };
    let wanted = std::env::var("EFFERENCE_KILLS").ok().map(|n| n.parse::<usize>().unwrap());
    let mut random = Random::new(1);
    let options = Options { streams: 2, patience: 1.0, ..options("bundled") };
    let mut browser = open(options);
    let folder = browser.chromium.folder().to_owned();
    let mut last_end: Option<Instant> = None;
    for n in 0..wanted.unwrap_or(TRIED) {
        let (kind, signal) = match wanted {
            None => VICTIMS[n % VICTIMS.len()],
            Some(_) => VICTIMS[random.below(VICTIMS.len() as u64) as usize],
        };
        // A browser that ends more than five times a minute is given up.
        if wanted.is_some()
            && let Some(end) = last_end
        {
            while end.elapsed() < Duration::from_secs(13) {
                browser.poll(Duration::from_millis(100), &mut Seen::default()).unwrap();
            }
        }
        let what = format!("{n}: {signal:?} to {}", if kind.is_empty() { "the browser" } else { kind });
        let victims = family(&browser);
        let victim = victims
            .iter()
            .filter(|(_, line)| kind.is_empty() || line.contains(kind))
            .map(|(id, _)| *id)
            .next();
        let victim = victim.unwrap_or_else(|| panic!("{what}: it has none"));
        browser.streams.iter_mut().for_each(Stream::reset_backoff);
        kill_process(Pid::from_raw(victim as i32).unwrap(), signal).unwrap();
        let began = Instant::now();
        all_move(&mut browser, &what);
        last_end = Some(began);
        eprintln!("{what}: all pages move again after {:?}", began.elapsed());
    }
    let family = family(&browser);
    assert!(family.len() > 2);
    drop(browser);
    eventually("every process has ended", || processes_of(&folder).is_empty());
    let ended = |id: u32| !Path::new(&format!("/proc/{id}")).exists();
    eventually("nothing that it had started goes on", || family.iter().all(|(id, _)| ended(*id)));
}
