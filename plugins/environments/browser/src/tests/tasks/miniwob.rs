//! MiniWoB's pages, from the Python package: played at random, and, where that is simple, by a script that reads the page and
//! solves it by mouse and keyboard.
use super::*;
use crate::tasks::Set;
use crate::{Buttons, Do, Keyboard, MouseAbsolute, See, Viewport};
use efference_sdk::Random;
use serde_json::Value;

/// The variable that names a Python with the package; without it, `python3` is asked.
const PYTHON: &str = "EFFERENCE_MINIWOB_PYTHON";
/// What can be typed.
const KEYS: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-";

/// What the scripts know: the query, what is quoted in it, and what comes next: a click, a text to type, or nothing.
const READING: &str = r#"
 const query = document.querySelector('#query').textContent;
 const quoted = [...query.matchAll(/"([^"]*)"/g)].map(match => match[1]);
 const one = selector => document.querySelector(selector);
 const at = element => {
   const { x, y, width, height } = element.getBoundingClientRect();
   return ['click', x + width / 2, y + height / 2];
 };
 const named = (selector, text) => [...document.querySelectorAll(selector)]
   .find(element => element.textContent.trim() === text && element.getBoundingClientRect().width > 0);
 const typed = (selector, text) => {
   const element = one(selector);
   if (element.value === text) return null;
   return document.activeElement === element ? ['type', text] : at(element);
 };
 const chosen = () => query.match(/Select (.*) and click/)[1].split(', ');
 const box = name => named('#boxes label', name)?.querySelector('input');
"#;

/// What to do next in a task.
const SCRIPTS: [(&str, &str); 20] = [
    ("click-test", "at(one('#subbtn'))"),
    ("click-test-2", "at(one('#subbtn'))"),
    ("click-button", "at(named('#area button', quoted[0]))"),
    ("unicode-test", "at(named('#area button', quoted[0]))"),
    ("click-link", "at(named('#area .alink', quoted[0]))"),
    ("click-dialog", "at(one('.ui-dialog-titlebar-close'))"),
    (
        "click-dialog-2",
        "at(quoted[0] === 'x' ? one('.ui-dialog-titlebar-close') : named('.ui-dialog-buttonset button', quoted[0]))",
    ),
    ("click-option", "box(chosen()[0]).checked ? at(one('#subbtn')) : at(box(chosen()[0]))"),
    ("click-checkboxes", "at(chosen().map(box).find(box => box && !box.checked) ?? one('#subbtn'))"),
    ("click-tab", "at(named('#area ul a', query.match(/Tab #\\d/)[0]))"),
    (
        "click-collapsible",
        "at($('.ui-accordion-content:visible').length ? one('#subbtn') : one('.ui-accordion-header'))",
    ),
    ("click-button-sequence", "at(one(buttonsPushed.length ? '#subbtn2' : '#subbtn'))"),
    ("focus-text", "at(one('#area input'))"),
    ("focus-text-2", "at(one('#tt' + query.match(/\\d/)[0]))"),
    ("enter-text", "typed('#tt', quoted[0]) ?? at(one('#subbtn'))"),
    ("enter-password", "typed('#password', quoted[0]) ?? typed('#verify', quoted[0]) ?? at(one('#subbtn'))"),
    ("login-user", "typed('#username', quoted[0]) ?? typed('#password', quoted[1]) ?? at(one('#subbtn'))"),
    (
        "simple-arithmetic",
        "typed('#math-answer', String(eval(one('#math-problem').textContent.replace('x', '*').replace('=', '')))) ?? at(one('#subbtn'))",
    ),
    ("grid-coordinate", "at(document.getElementById(query.match(/\\(.*\\)/)[0]))"),
    ("click-test-transfer", "at(one(query.includes('ONE') ? '#subbtn' : '#subbtn2'))"),
];

/// The Python that has the package, and the names of the tasks; `None`, and a line that says so, if there is none.
fn python() -> Option<(String, Vec<String>)> {
    let python = std::env::var(PYTHON).unwrap_or_else(|_| "python3".to_owned());
    match Set::find("miniwob", &python) {
        Ok(set) => Some((python, set.names().map(str::to_owned).collect())),
        Err(error) => {
            skipped(&format!("{error:#}"));
            None
        }
    }
}

fn open(task: &str, python: &str, seed: u64) -> Browser {
    let keys = KEYS.chars().map(String::from).collect();
    let options = Options {
        tasks: "miniwob".to_owned(),
        task: OneOrMore::from(task),
        python: python.to_owned(),
        pace: Pace::LockStep,
        frames_per_second: 10.0,
        width: 160,
        height: 210,
        sees: vec![See::Viewport(Viewport { shrink: 10 })],
        does: vec![
            Do::MouseAbsolute(MouseAbsolute {}),
            Do::Buttons(Buttons::default()),
            Do::Keyboard(Keyboard { keys, most: 1, choice: false }),
        ],
        image: Image::Png,
        ..Options::default()
    };
    Browser::new(options, &EnvironmentSetup::with_seed(seed)).unwrap_or_else(|e| panic!("{task}: {e:#}"))
}

/// The actions for a mouse that is there, or not to be moved from the middle, and a key.
fn action((x, y): (f64, f64), press: bool, key: Option<char>) -> Vec<f32> {
    let mut action = vec![0.0; 3 + KEYS.len()];
    (action[0], action[1]) = ((2.0 * x / 159.0 - 1.0) as f32, (2.0 * y / 209.0 - 1.0) as f32);
    action[2] = f32::from(u8::from(press));
    if let Some(at) = key.and_then(|key| KEYS.find(key)) {
        action[3 + at] = 1.0;
    }
    action
}

/// How an episode went.
#[derive(Debug, Clone, PartialEq)]
struct Episode {
    reward: f32,
    end: StepType,
    steps: usize,
    first: Vec<f32>,
}

/// Plays one episode; the policy gives the next actions, of which there may be several, after a step.
fn play(browser: &mut Browser, mut policy: impl FnMut(&mut Browser) -> Vec<Vec<f32>>) -> Result<Episode> {
    let nothing = action((80.0, 105.0), false, None);
    let (step_type, _, first) = next(browser, &nothing)?;
    assert_eq!(step_type, StepType::FIRST);
    let (mut reward, mut steps) = (0.0, 1);
    loop {
        for action in policy(browser) {
            let (end, given, _) = next(browser, &action)?;
            steps += 1;
            reward += given.unwrap_or_default();
            if end.is_last() {
                return Ok(Episode { reward, end, steps, first });
            }
        }
    }
}

/// A policy that does what the script says.
fn scripted(script: &str) -> impl FnMut(&mut Browser) -> Vec<Vec<f32>> {
    let script = format!("{{ {READING}; {script} }}");
    let mut place = (80.0, 105.0);
    move |browser| {
        let wish = browser.streams[0].tab.evaluate(&script).unwrap();
        match (wish[0].as_str(), &wish[1], &wish[2]) {
            (Some("click"), Value::Number(x), Value::Number(y)) => {
                place = (x.as_f64().unwrap(), y.as_f64().unwrap());
                vec![action(place, false, None), action(place, true, None), action(place, false, None)]
            }
            (Some("type"), Value::String(text), _) => text
                .chars()
                .flat_map(|key| [action(place, false, Some(key)), action(place, false, None)])
                .collect(),
            _ => vec![action(place, false, None)],
        }
    }
}

/// A policy that clicks anywhere and types now and then.
fn random(seed: u64) -> impl FnMut(&mut Browser) -> Vec<Vec<f32>> {
    let mut random = Random::new(seed);
    move |_| {
        let place = (159.0 * random.unit(), 209.0 * random.unit());
        let press = random.unit() < 0.5;
        let key = KEYS.chars().nth((random.unit() * 4.0 * KEYS.len() as f64) as usize);
        vec![action(place, press, key), action(place, false, None)]
    }
}

#[test]
fn scripts_solve_simple_tasks_by_mouse_and_keyboard() {
    let Some((python, _)) = python() else { return };
    let Some(_turn) = turn_for(&Options { pace: Pace::LockStep, ..Options::default() }, 1) else { return };
    for (task, script) in SCRIPTS {
        let mut browser = open(task, &python, 3);
        let mut firsts = Vec::new();
        for _ in 0..2 {
            let episode = play(&mut browser, scripted(script)).unwrap();
            assert_eq!((episode.end, episode.reward), (StepType::TERMINATED, 1.0), "{task}: {episode:?}");
            firsts.push(episode.first);
        }
        assert!(firsts.iter().all(|first| first.iter().any(|x| *x != first[0])), "{task}: nothing is drawn");
    }
}

#[test]
fn who_does_nothing_is_timed_out_and_who_does_the_same_sees_the_same() {
    let Some((python, _)) = python() else { return };
    let Some(_turn) = turn_for(&Options { pace: Pace::LockStep, ..Options::default() }, 1) else { return };
    let idle = |_: &mut Browser| vec![action((0.0, 0.0), false, None)];
    let mut runs = Vec::new();
    for seed in [1, 1, 2] {
        let mut browser = open("click-test-2", &python, seed);
        let episode = play(&mut browser, idle).unwrap();
        assert_eq!((episode.end, episode.reward), (StepType::TRUNCATED, -1.0));
        // 10 s in steps of 100 ms.
        assert!((100..=102).contains(&episode.steps), "{}", episode.steps);
        let second = play(&mut browser, random(5)).unwrap();
        runs.push((episode.first, second.first, second.steps));
    }
    // Not by assert_eq, which would print thousands of numbers.
    assert!(runs[0] == runs[1], "the same seed, other pictures");
    assert!(runs[0].0 != runs[2].0 && runs[0].0 != runs[0].1, "seeds and episodes differ");
}

/// Every page, tried at random and by its script: prints a table.
#[test]
#[ignore = "takes a quarter of an hour, and has no verdict of its own"]
fn every_page_is_tried() {
    let Some((python, tasks)) = python() else { return };
    let Some(_turn) = turn_for(&Options { pace: Pace::LockStep, ..Options::default() }, 1) else { return };
    const EPISODES: u64 = 5;
    for task in tasks {
        let mut browser = open(&task, &python, 1);
        let mut try_with = |episodes: u64, policy: &mut dyn FnMut(&mut Browser) -> Vec<Vec<f32>>| {
            let mut rewards = Vec::new();
            for _ in 0..episodes {
                match play(&mut browser, &mut *policy) {
                    Ok(episode) => rewards.push((episode.reward, episode.end, episode.steps)),
                    Err(error) => return Err(format!("{error:#}")),
                }
            }
            Ok(rewards)
        };
        let tell = |played: &std::result::Result<Vec<(f32, StepType, usize)>, String>| match played {
            Ok(played) => {
                let won = played.iter().filter(|(reward, ..)| *reward > 0.0).count();
                let late = played.iter().filter(|(_, end, _)| *end == StepType::TRUNCATED).count();
                format!("{won} of {} ({late} timed out)", played.len())
            }
            Err(why) => why.clone(),
        };
        let at_random = try_with(EPISODES, &mut random(7));
        let by_script = SCRIPTS.iter().find(|(name, _)| *name == task);
        let by_script = by_script.map(|(_, script)| tell(&try_with(EPISODES, &mut scripted(script))));
        writeln!(
            std::io::stdout(),
            "| {task} | {} | {} |",
            tell(&at_random),
            by_script.unwrap_or_else(|| "–".to_owned())
        )
        .unwrap();
    }
}
