//! What a stream can do, as a spec says it.
use super::keys::{self, Key};
use efference_sdk::{ActionGroup, Error, Result};

efference_sdk::options! {
    /// The mouse is put somewhere.
    pub struct MouseAbsolute {}
}

efference_sdk::options! {
    /// The mouse goes somewhere from where it is.
    pub struct MouseRelative {
        /// How far it goes in a step for an action of 1, in pixels.
        #[schemars(range(min = 0.0, max = 4096.0))]
        pub speed: f64 = 50.0,
        /// The part of its way from the middle of the window that it loses in each step.
        #[schemars(range(min = 0.0, max = 1.0))]
        pub spring: f64 = SPRING,
    }
}

efference_sdk::options! {
    /// The mouse is held away from its place.
    pub struct MouseSpringy {
        /// How far an action of 1 holds it away, in pixels.
        #[schemars(range(min = 0.0, max = 4096.0))]
        pub reach: f64 = 100.0,
    }
}

efference_sdk::options! {
    /// Where a mouse of directions can go.
    pub enum Directions {
        /// Left and right: 3 choices.
        Horizontal,
        /// Up and down: 3 choices.
        Vertical,
        /// Right, left, down and up: 5 choices.
        Four,
        /// These, and right down, right up, left down and left up: 9 choices.
        Eight,
    }
}

efference_sdk::options! {
    /// The mouse goes in one of several directions, or stays.
    pub struct MouseDirections {
        /// Where it can go.
        pub directions: Directions = Directions::Eight,
        /// How far it goes in a step, along each axis, in pixels.
        #[schemars(range(min = 0.0, max = 4096.0))]
        pub speed: f64 = 25.0,
        /// The part of its way from the middle of the window that it loses in each step.
        #[schemars(range(min = 0.0, max = 1.0))]
        pub spring: f64 = 0.0,
    }
}

efference_sdk::options! {
    /// The mouse is put into the middle of a cell of a grid over the window, or stays.
    pub struct MouseGrid {
        /// Cells in a row.
        #[schemars(range(min = 1, max = 256))]
        pub columns: usize = 8,
        /// Rows.
        #[schemars(range(min = 1, max = 256))]
        pub rows: usize = 8,
    }
}

efference_sdk::options! {
    /// A button of the mouse.
    pub enum Button {
        /// The left one.
        Left,
        /// The middle one.
        Middle,
        /// The right one.
        Right,
    }
}

efference_sdk::options! {
    /// Buttons of the mouse.
    pub struct Buttons {
        /// Which.
        #[schemars(length(min = 1, max = 3))]
        pub buttons: Vec<Button> = vec![Button::Left],
        /// Whether it is one choice (none of them, or one) in place of a value for each, which holds it from 0.5 on.
        pub choice: bool = false,
        /// Whether a button is let go within the step that presses it: each such step is a click.
        pub clicks: bool = false,
    }
}

efference_sdk::options! {
    /// The wheel.
    pub struct Wheel {
        /// How far the page is scrolled in a step for an action of 1, in pixels.
        #[schemars(range(min = 0.0, max = 4096.0))]
        pub speed: f64 = 100.0,
        /// Whether it is a choice (still, down, up) in place of a value.
        pub choice: bool = false,
    }
}

efference_sdk::options! {
    /// Keys of a keyboard.
    pub struct Keyboard {
        /// Their names, as a page sees them in `KeyboardEvent.key`: "a", "A", "Enter", "ArrowLeft", " ".
        #[schemars(length(min = 1, max = 256))]
        pub keys: Vec<String> = ["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight", "Enter", " "].map(String::from).to_vec(),
        /// How many are held at once, at most.
        #[schemars(range(min = 1, max = 16))]
        pub most: usize = 3,
        /// Whether it is `most` choices (none of them, or one) in place of a value for each, which holds it from 0.5 on.
        pub choice: bool = false,
    }
}

efference_sdk::options! {
    /// What a trigger sets off.
    pub enum Trigger {
        /// The page of `url` is loaded.
        Homepage,
        /// The page before this one is shown again.
        Back,
        /// One of the page's links to other pages (http and https only), drawn at random, is followed.
        RandomLink,
    }
}

efference_sdk::options! {
    /// Ways to another page.
    pub struct Triggers {
        /// Which.
        #[schemars(length(min = 1, max = 3))]
        pub triggers: Vec<Trigger> = vec![Trigger::Homepage, Trigger::Back, Trigger::RandomLink],
        /// Seconds after one was set off in which it cannot be again.
        #[schemars(range(min = 0.0, max = 86_400.0))]
        pub cooldown: f64 = 5.0,
        /// Seconds after which it goes off by itself if nobody set it off; 0: never.
        #[schemars(range(min = 0.0, max = 86_400.0))]
        pub interval: f64 = 0.0,
        /// Whether it is one choice (none of them, or one) in place of a value for each, which sets it off from 0.5 on.
        pub choice: bool = false,
    }
}

efference_sdk::options! {
    /// A way for a stream to act.
    pub enum Do by "kind" {
        /// Two values: where the mouse is in the window, from −1 (left, top) to 1 (right, bottom).
        MouseAbsolute(MouseAbsolute),
        /// Two values: how far the mouse goes to the right and down.
        MouseRelative(MouseRelative),
        /// Two values: how far the mouse is held away from where it was put, or from the middle; it springs back at 0.
        MouseSpringy(MouseSpringy),
        /// A choice: the mouse stays or goes in one of several directions.
        MouseDirections(MouseDirections),
        /// A choice: the mouse stays or is put into one of the cells of a grid.
        MouseGrid(MouseGrid),
        /// A value for each button, or one choice: held or not.
        Buttons(Buttons),
        /// A value or a choice: the page is scrolled down, or up if it is negative.
        Wheel(Wheel),
        /// A value for each key, or choices: held or not; of too many the largest values count.
        Keyboard(Keyboard),
        /// A value for each way to another page, or one choice.
        Triggers(Triggers),
    }
}

/// How strongly a relative mouse is pulled to the middle unless the options say otherwise: half of the way in 35 steps.
pub(crate) const SPRING: f64 = 0.02;

impl Directions {
    /// To the right and down, of each choice but the first, which is to stay.
    pub(super) fn steps(self) -> &'static [(f64, f64)] {
        const STEPS: [(f64, f64); 8] = [
            (1.0, 0.0),
            (-1.0, 0.0),
            (0.0, 1.0),
            (0.0, -1.0),
            (1.0, 1.0),
            (1.0, -1.0),
            (-1.0, 1.0),
            (-1.0, -1.0),
        ];
        match self {
            Directions::Horizontal => &STEPS[..2],
            Directions::Vertical => &STEPS[2..4],
            Directions::Four => &STEPS[..4],
            Directions::Eight => &STEPS[..8],
        }
    }
}

impl MouseGrid {
    /// Where the middle of a cell is, counted row by row, from −1 to 1 along each axis.
    pub(super) fn middle(&self, cell: usize) -> [f64; 2] {
        let along = |cell: usize, cells: usize| (2 * cell + 1) as f64 / cells as f64 - 1.0;
        [along(cell % self.columns, self.columns), along(cell / self.columns, self.rows)]
    }
}

impl Do {
    /// The actions that it takes.
    pub(super) fn groups(&self) -> Vec<ActionGroup> {
        let choice = |n: usize| ActionGroup::choice(n as u32 + 1);
        let values_or_choice = |n: usize, is_choice: bool| match is_choice {
            true => vec![choice(n)],
            false => vec![ActionGroup::VALUE; n],
        };
        match self {
            Do::MouseAbsolute(_) | Do::MouseRelative(_) | Do::MouseSpringy(_) => vec![ActionGroup::VALUE; 2],
            Do::MouseDirections(m) => vec![choice(m.directions.steps().len())],
            Do::MouseGrid(m) => vec![choice(m.columns * m.rows)],
            Do::Buttons(b) => values_or_choice(b.buttons.len(), b.choice),
            Do::Wheel(Wheel { choice: false, .. }) => vec![ActionGroup::VALUE],
            Do::Wheel(Wheel { choice: true, .. }) => vec![choice(2)],
            Do::Keyboard(k) if k.choice => vec![choice(k.keys.len()); k.most],
            Do::Keyboard(k) => vec![ActionGroup::VALUE; k.keys.len()],
            Do::Triggers(t) => values_or_choice(t.triggers.len(), t.choice),
        }
    }

    /// Checks what the ranges cannot say.
    pub(super) fn check(&self) -> Result<()> {
        fn twice<T: PartialEq>(list: &[T]) -> Option<usize> {
            (1..list.len()).find(|i| list[..*i].contains(&list[*i]))
        }
        let (list, repeated) = match self {
            Do::Keyboard(keyboard) => {
                keyboard.resolve()?;
                ("keys", twice(&keyboard.keys))
            }
            Do::Buttons(buttons) => ("buttons", twice(&buttons.buttons)),
            Do::Triggers(triggers) => ("triggers", twice(&triggers.triggers)),
            _ => return Ok(()),
        };
        match repeated {
            Some(i) => Err(Error::msg("it is in the list already").in_option(format!("{list}[{i}]"))),
            None => Ok(()),
        }
    }
}

impl Keyboard {
    /// The keys that are named.
    pub(super) fn resolve(&self) -> Result<Vec<Key>> {
        let keys = self.keys.iter().enumerate();
        keys.map(|(i, name)| keys::named(name).map_err(|e| e.in_option(format!("keys[{i}]")))).collect()
    }
}
