//! What a stream does: from an agent's actions to input events, and to other pages.
mod config;
mod event;
mod keyboard;
mod keys;
mod mouse;
mod triggers;

pub(crate) use config::SPRING;
pub use config::{
    Button, Buttons, Directions, Do, Keyboard, MouseAbsolute, MouseDirections, MouseGrid, MouseRelative,
    MouseSpringy, Trigger, Triggers, Wheel,
};
pub(crate) use event::Event;
pub(crate) use mouse::Mouse;

use crate::options::Options;
use efference_sdk::{ActionGroup, Result, action_width, ensure};
use keys::Key;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use triggers::Timers;

impl Options {
    /// What can be done, in order: the list of the options, or what `mouse_speed`, `mouse_spring` and `scroll_speed` say.
    fn done(&self) -> Vec<Do> {
        if !self.does.is_empty() {
            return self.does.clone();
        }
        vec![
            Do::MouseRelative(MouseRelative { speed: self.mouse_speed, spring: self.mouse_spring }),
            Do::Buttons(Buttons::default()),
            Do::Wheel(Wheel { speed: self.scroll_speed, choice: false }),
        ]
    }

    /// The actions of a stream.
    pub(crate) fn action_groups(&self) -> Vec<ActionGroup> {
        self.done().iter().flat_map(Do::groups).collect()
    }

    /// Checks what the ranges cannot say of what can be done.
    pub(crate) fn check_does(&self) -> Result<()> {
        if self.does.is_empty() {
            return Ok(());
        }
        let usual = Options::default();
        ensure!(
            (self.mouse_speed, self.mouse_spring, self.scroll_speed)
                == (usual.mouse_speed, usual.mouse_spring, usual.scroll_speed),
            "mouse_speed, mouse_spring and scroll_speed say what can be done where there is no list; beside \
             [[environment.does]], say it there: kind = \"mouse_relative\" has speed and spring, kind = \"wheel\" has speed"
        );
        for (i, does) in self.does.iter().enumerate() {
            does.check().map_err(|e| {
                let within = e.option().map(|option| format!(".{option}")).unwrap_or_default();
                e.in_option(format!("does[{i}]{within}"))
            })?;
        }
        Ok(())
    }
}

/// What all streams can do.
pub(crate) struct Abilities {
    /// Each with the elements that it takes of a vector of actions, and its keys if it is a keyboard.
    list: Vec<(Do, usize, Vec<Key>)>,
    pub(crate) groups: Vec<ActionGroup>,
}

impl Abilities {
    /// Of options that were checked.
    pub(crate) fn new(options: &Options) -> Result<Self> {
        let ability = |does: Do| {
            let keys = if let Do::Keyboard(keyboard) = &does { keyboard.resolve()? } else { Vec::new() };
            let width = action_width(&does.groups());
            Ok((does, width, keys))
        };
        let list = options.done().into_iter().map(ability).collect::<Result<_>>()?;
        Ok(Abilities { list, groups: options.action_groups() })
    }
}

/// What of [`Hands`] outlives a page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Lasting {
    mouse: mouse::Lasting,
    timers: Vec<Timers>,
}

/// What one stream acts with. It outlives pages.
#[derive(Debug)]
pub(crate) struct Hands {
    pub(crate) mouse: Mouse,
    keyboard: keyboard::Keyboard,
    /// Of each ability that is a group of triggers, in order.
    timers: Vec<Timers>,
}

impl Hands {
    /// With the mouse in the middle of the window.
    pub(crate) fn new(options: &Options) -> Self {
        let triggers = |does: &Do| if let Do::Triggers(t) = does { Some(Timers::new(t)) } else { None };
        Hands {
            mouse: Mouse::new(options.width, options.height),
            keyboard: keyboard::Keyboard::default(),
            timers: options.done().iter().filter_map(triggers).collect(),
        }
    }

    /// A new page does not know where the mouse is, nor what is held.
    pub(crate) fn forget(&mut self) {
        self.mouse.forget();
        self.keyboard.forget();
    }

    /// What of them a new page does not take away.
    pub(crate) fn lasting(&self) -> Lasting {
        Lasting { mouse: self.mouse.lasting(), timers: self.timers.clone() }
    }

    /// Goes on from there, with a new page.
    ///
    /// # Errors
    /// If these are those of other abilities.
    pub(crate) fn go_on_from(&mut self, lasting: Lasting) -> Result<()> {
        let alike = lasting.timers.len() == self.timers.len()
            && lasting.timers.iter().zip(&self.timers).all(|(a, b)| a.count() == b.count());
        ensure!(alike, "other triggers were saved than the list [[environment.does]] has");
        self.forget();
        self.mouse.go_on_from(lasting.mouse);
        self.timers = lasting.timers;
        Ok(())
    }

    /// Lets go of all buttons and keys.
    pub(crate) fn let_go<E>(&mut self, mut send: impl FnMut(Event) -> Result<bool, E>) -> Result<(), E> {
        self.mouse.hold(&[], &mut send)?;
        self.keyboard.hold(&[], &mut send)
    }

    /// Follows the actions, and sends the events that make them; `send` returns whether one was sent. Actions are cut to
    /// −1…1; missing ones and NaN are 0. `now` is how long ago the stream
    /// began. Returns which way to another page is to be taken.
    pub(crate) fn act<E>(
        &mut self,
        abilities: &Abilities,
        action: &[f32],
        now: Duration,
        mut send: impl FnMut(Event) -> Result<bool, E>,
    ) -> Result<Option<Trigger>, E> {
        let (mut buttons, mut clicked, mut keys) = (Vec::new(), Vec::new(), Vec::new());
        let (mut down, mut trigger) = (0.0, None);
        let mut rest = action;
        let mut timers = self.timers.iter_mut();
        for (does, width, named) in &abilities.list {
            let (here, after) = rest.split_at((*width).min(rest.len()));
            rest = after;
            let values = Values(here);
            match does {
                Do::MouseAbsolute(_) => self.mouse.put([values.at(0), values.at(1)]),
                Do::MouseRelative(m) => {
                    self.mouse.go([values.at(0) * m.speed, values.at(1) * m.speed], m.spring)
                }
                Do::MouseSpringy(m) => self.mouse.hold_away([values.at(0) * m.reach, values.at(1) * m.reach]),
                Do::MouseDirections(m) => {
                    let chosen = values.chosen(0, *width).and_then(|c| m.directions.steps().get(c));
                    let (x, y) = chosen.copied().unwrap_or_default();
                    self.mouse.go([x * m.speed, y * m.speed], m.spring);
                }
                Do::MouseGrid(m) => {
                    let cell = values.chosen(0, *width);
                    cell.into_iter().for_each(|c| self.mouse.put(m.middle(c)));
                }
                Do::Buttons(b) => {
                    let on = values.on(b.buttons.len(), b.choice);
                    let on = b.buttons.iter().zip(on).filter(|(_, on)| *on).map(|(button, _)| *button);
                    if b.clicks { &mut clicked } else { &mut buttons }.extend(on);
                }
                Do::Wheel(w) if w.choice => down += w.speed * (values.at(1) - values.at(2)),
                Do::Wheel(w) => down += w.speed * values.at(0),
                Do::Keyboard(k) if k.choice => {
                    let slots = (0..k.most)
                        .filter_map(|slot| values.chosen(slot * (named.len() + 1), named.len() + 1));
                    keys.extend(slots.map(|key| &named[key]));
                }
                Do::Keyboard(k) => {
                    let mut held: Vec<_> =
                        named.iter().enumerate().map(|(i, key)| (values.at(i), key)).collect();
                    held.retain(|(value, _)| *value >= HELD);
                    // Stable: of equal ones, those that come first in the list.
                    held.sort_by(|(a, _), (b, _)| b.total_cmp(a));
                    keys.extend(held.into_iter().take(k.most).map(|(_, key)| key));
                }
                Do::Triggers(t) => {
                    let on = values.on(t.triggers.len(), t.choice);
                    // One way is taken at a time; another group's waits.
                    let timers = timers.next().filter(|_| trigger.is_none());
                    trigger = trigger.or(timers.and_then(|timers| timers.fire(t, &on, now)));
                }
            }
        }
        self.mouse.tell(&mut send)?;
        if !clicked.is_empty() {
            clicked.extend(&buttons);
            self.mouse.hold(&clicked, &mut send)?;
        }
        self.mouse.hold(&buttons, &mut send)?;
        self.mouse.scroll(down, &mut send)?;
        self.keyboard.hold(&keys, &mut send)?;
        Ok(trigger)
    }
}

/// From this value on, something is held.
const HELD: f64 = 0.5;

/// The actions for one ability.
struct Values<'a>(&'a [f32]);

impl Values<'_> {
    /// A value, in −1…1; 0 where there is none.
    fn at(&self, i: usize) -> f64 {
        match self.0.get(i) {
            Some(a) if !a.is_nan() => f64::from(a.clamp(-1.0, 1.0)),
            _ => 0.0,
        }
    }

    /// What is chosen of a choice that begins at an element: `None` for the first, which is to do nothing.
    fn chosen(&self, from: usize, choices: usize) -> Option<usize> {
        (1..choices).find(|i| self.at(from + i) >= HELD).map(|i| i - 1)
    }

    /// Which of so many are on: each by a value of its own, or one by a choice.
    fn on(&self, count: usize, choice: bool) -> Vec<bool> {
        if choice {
            let chosen = self.chosen(0, count + 1);
            (0..count).map(|i| chosen == Some(i)).collect()
        } else {
            (0..count).map(|i| self.at(i) >= HELD).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use efference_sdk::options::read;

    struct Trial {
        abilities: Abilities,
        hands: Hands,
    }

    fn trial(json: &str) -> Trial {
        let options: Options = read(json).unwrap();
        options.check_does().unwrap();
        Trial { abilities: Abilities::new(&options).unwrap(), hands: Hands::new(&options) }
    }

    impl Trial {
        /// Each event in a few words.
        fn act(&mut self, action: &[f32]) -> Vec<String> {
            let mut sent = Vec::new();
            let send = |event: Event| {
                let p = &event.params;
                sent.push(match p["key"].as_str() {
                    Some(key) => format!("{} {key}", p["type"].as_str().unwrap()),
                    None => format!("{} {},{}", p["type"].as_str().unwrap(), p["x"], p["y"]),
                });
                Ok::<_, ()>(true)
            };
            self.hands.act(&self.abilities, action, Duration::ZERO, send).unwrap();
            sent
        }
    }

    #[test]
    fn without_a_list_four_values_drive_the_mouse() {
        let mut trial = trial("{ \"mouse_spring\": 0 }");
        assert_eq!(trial.abilities.groups, [ActionGroup::VALUE; 4]);
        assert_eq!(trial.act(&[0.0; 4]), ["mouseMoved 320,240"]);
        assert_eq!(trial.act(&[0.0, 0.0, 0.4, 0.0]), [""; 0]);
        assert_eq!(
            trial.act(&[1.0, -0.5, 0.5, 1.0]),
            ["mouseMoved 370,215", "mousePressed 370,215", "mouseWheel 370,215"]
        );
        assert_eq!(trial.act(&[0.0, 0.0, 1.0, 0.001]), [""; 0]);
        assert_eq!(trial.act(&[0.0, 0.0, -1.0, 0.0]), ["mouseReleased 370,215"]);
    }

    #[test]
    fn any_numbers_are_survived_and_the_mouse_stays_in_the_window() {
        let mut trial = trial("{}");
        trial.act(&[0.0; 4]);
        assert_eq!(trial.act(&[f32::NAN; 9]), [""; 0]);
        assert_eq!(trial.act(&[]), [""; 0]);
        for _ in 0..100 {
            trial.act(&[f32::INFINITY, f32::NEG_INFINITY, f32::INFINITY, f32::NEG_INFINITY]);
        }
        assert_eq!(trial.hands.mouse.pixel(), (639, 0));
        assert_eq!(trial.hands.mouse.observed(), [1.0, -1.0]);
    }

    #[test]
    fn choices_drive_everything() {
        let mut trial = trial(
            r#"{ "does": [{ "kind": "mouse_directions", "directions": "four", "speed": 10 },
                { "kind": "buttons", "buttons": ["left", "right"], "choice": true }, { "kind": "wheel", "choice": true },
                { "kind": "keyboard", "keys": ["a", "b"], "most": 2, "choice": true },
                { "kind": "triggers", "choice": true, "triggers": ["back"] }] }"#,
        );
        let widths: Vec<u32> = trial.abilities.groups.iter().map(|group| group.choices).collect();
        assert_eq!(widths, [5, 3, 3, 3, 3, 2]);
        let one = |chosen: [usize; 6]| -> Vec<f32> {
            let hot = |(n, c): (&u32, usize)| (0..*n as usize).map(move |i| f32::from(u8::from(i == c)));
            widths.iter().zip(chosen).flat_map(hot).collect()
        };
        assert_eq!(trial.act(&one([0; 6])), ["mouseMoved 320,240"]);
        assert_eq!(
            trial.act(&one([1, 2, 1, 1, 2, 0])),
            ["mouseMoved 330,240", "mousePressed 330,240", "mouseWheel 330,240", "keyDown a", "keyDown b"]
        );
        assert_eq!(
            trial.act(&one([4, 1, 0, 1, 1, 0])),
            ["mouseMoved 330,230", "mousePressed 330,230", "mouseReleased 330,230", "keyUp b"]
        );
        let action = one([0, 0, 0, 0, 0, 1]);
        let fired =
            trial.hands.act(&trial.abilities, &action, Duration::ZERO, |_| Ok::<_, ()>(true)).unwrap();
        assert_eq!(fired, Some(Trigger::Back));
    }

    #[test]
    fn a_grid_puts_the_mouse_into_cells_and_clicks_are_over_within_a_step() {
        let mut trial = trial(
            r#"{ "does": [{ "kind": "mouse_grid", "columns": 4, "rows": 2 }, { "kind": "buttons", "clicks": true },
                { "kind": "buttons", "buttons": ["right"] }] }"#,
        );
        assert_eq!(trial.abilities.groups[0].choices, 9);
        let mut chosen = |cell: usize, click: f32, hold: f32| {
            let mut action = [0.0; 11];
            action[cell] = 1.0;
            (action[9], action[10]) = (click, hold);
            trial.act(&action)
        };
        assert_eq!(chosen(0, 0.0, 0.0), ["mouseMoved 320,240"]);
        // The middles of the first and the last cell, of 160 × 240 pixels.
        assert_eq!(chosen(1, 1.0, 0.0), ["mouseMoved 79,119", "mousePressed 79,119", "mouseReleased 79,119"]);
        assert_eq!(chosen(8, 0.0, 1.0), ["mouseMoved 559,359", "mousePressed 559,359"]);
        assert_eq!(chosen(0, 1.0, 1.0), ["mousePressed 559,359", "mouseReleased 559,359"]);
        assert_eq!(
            chosen(0, 1.0, 0.0),
            ["mousePressed 559,359", "mouseReleased 559,359", "mouseReleased 559,359"]
        );
    }

    #[test]
    fn of_too_many_keys_the_strongest_are_held() {
        let mut trial =
            trial(r#"{ "does": [{ "kind": "keyboard", "keys": ["a", "b", "c", "d"], "most": 2 }] }"#);
        assert_eq!(trial.act(&[0.6, 0.49, 0.9, 0.7])[1..], ["keyDown c", "keyDown d"]);
        assert_eq!(trial.act(&[1.0, 1.0, 1.0, 1.0]), ["keyUp c", "keyUp d", "keyDown a", "keyDown b"]);
    }

    #[test]
    fn what_cannot_be_done_is_said_with_its_place() {
        for (does, place, message) in [
            (r#""keyboard", "keys": ["a", "Entr"]"#, "does[0].keys[1]", "did you mean \"Enter\"?"),
            (r#""keyboard", "keys": ["a", "a"]"#, "does[0].keys[1]", "in the list already"),
            (
                r#""buttons", "buttons": ["left", "right", "left"]"#,
                "does[0].buttons[2]",
                "in the list already",
            ),
            (r#""triggers", "triggers": ["back", "back"]"#, "does[0].triggers[1]", "in the list already"),
        ] {
            let options: Options = read(&format!(r#"{{ "does": [{{ "kind": {does} }}] }}"#)).unwrap();
            let error = options.check_does().unwrap_err();
            assert_eq!(error.option(), Some(place), "{error:#}");
            assert!(format!("{error:#}").contains(message), "{error:#}");
        }
        let both: Options = read(r#"{ "mouse_speed": 1, "does": [{ "kind": "wheel" }] }"#).unwrap();
        assert!(both.check_does().unwrap_err().to_string().contains("where there is no list"));
    }
}
