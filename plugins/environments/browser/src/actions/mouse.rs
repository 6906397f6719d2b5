//! The mouse of one stream: from actions to input events.
use crate::options::Options;
use serde_json::{Value, json};

/// How many actions a stream takes: mouse to the right, mouse down, button, scroll down.
pub(crate) const ACTIONS: usize = 4;

/// Where the mouse is, and what the page knows of it.
#[derive(Debug)]
pub(crate) struct Mouse {
    /// In pixels from the top left of the window.
    x: f64,
    y: f64,
    width: f64,
    height: f64,
    pressed: bool,
    /// Whether the page knows where the mouse is.
    placed: bool,
}

impl Mouse {
    /// A mouse in the middle of the window.
    pub(crate) fn new(options: &Options) -> Self {
        let (width, height) = (options.width as f64, options.height as f64);
        Mouse {
            x: (width / 2.0).floor(),
            y: (height / 2.0).floor(),
            width,
            height,
            pressed: false,
            placed: false,
        }
    }

    /// The pixel that it is on.
    pub(crate) fn pixel(&self) -> (i64, i64) {
        (self.x.floor() as i64, self.y.floor() as i64)
    }

    /// Where it is, as observed: −1 at the left and the top, 1 at the right and the bottom.
    pub(crate) fn observed(&self) -> [f32; 2] {
        let part = |at: f64, size: f64| (2.0 * at / (size - 1.0).max(1.0) - 1.0).clamp(-1.0, 1.0) as f32;
        [part(self.x, self.width), part(self.y, self.height)]
    }

    /// A new page does not know where the mouse is, nor of any button.
    pub(crate) fn forget(&mut self) {
        self.pressed = false;
        self.placed = false;
    }

    /// Follows the actions, and sends the events that make them; `send` returns whether one was sent. Actions are cut to
    /// −1…1; missing ones and NaN are 0.
    pub(crate) fn act<E>(
        &mut self,
        action: &[f32],
        options: &Options,
        mut send: impl FnMut(&Value) -> Result<bool, E>,
    ) -> Result<(), E> {
        let number = |i: usize| match action.get(i) {
            Some(a) if !a.is_nan() => f64::from(a.clamp(-1.0, 1.0)),
            _ => 0.0,
        };
        let x = (self.x + number(0) * options.mouse_speed).clamp(0.0, self.width - 1.0);
        let y = (self.y + number(1) * options.mouse_speed).clamp(0.0, self.height - 1.0);
        let moved = (x.floor(), y.floor()) != (self.x.floor(), self.y.floor());
        (self.x, self.y) = (x, y);
        if moved || !self.placed {
            self.placed = send(&self.event("mouseMoved"))?;
        }
        let press = number(2) >= 0.5;
        if press != self.pressed {
            let kind = if press { "mousePressed" } else { "mouseReleased" };
            if send(&self.event(kind))? {
                self.pressed = press;
            }
        }
        let scroll = (number(3) * options.scroll_speed).round();
        if scroll != 0.0 {
            let mut event = self.event("mouseWheel");
            event["deltaX"] = json!(0);
            event["deltaY"] = json!(scroll);
            send(&event)?;
        }
        Ok(())
    }

    fn event(&self, kind: &str) -> Value {
        let (x, y) = self.pixel();
        let about_button = matches!(kind, "mousePressed" | "mouseReleased");
        // `buttons` is what is held down after the event.
        let held = if kind == "mousePressed" { true } else { kind != "mouseReleased" && self.pressed };
        json!({
            "type": kind, "x": x, "y": y,
            "button": if about_button || (kind == "mouseMoved" && self.pressed) { "left" } else { "none" },
            "buttons": u8::from(held),
            "clickCount": u8::from(about_button),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn act(mouse: &mut Mouse, action: &[f32]) -> Vec<(String, i64, i64)> {
        let mut sent = Vec::new();
        let event = |e: &Value| {
            sent.push((
                e["type"].as_str().unwrap().to_owned(),
                e["x"].as_i64().unwrap(),
                e["y"].as_i64().unwrap(),
            ));
            Ok::<_, ()>(true)
        };
        mouse.act(action, &Options::default(), event).unwrap();
        sent
    }

    #[test]
    fn actions_become_events() {
        let mut mouse = Mouse::new(&Options::default());
        let event = |kind: &str, x, y| (kind.to_owned(), x, y);
        assert_eq!(act(&mut mouse, &[0.0, 0.0, 0.0, 0.0]), [event("mouseMoved", 320, 240)]);
        assert_eq!(act(&mut mouse, &[0.0, 0.0, 0.4, 0.0]), []);
        assert_eq!(
            act(&mut mouse, &[1.0, -0.5, 0.5, 1.0]),
            [event("mouseMoved", 370, 215), event("mousePressed", 370, 215), event("mouseWheel", 370, 215)]
        );
        assert_eq!(act(&mut mouse, &[0.0, 0.0, 1.0, 0.001]), []);
        assert_eq!(act(&mut mouse, &[0.0, 0.0, -1.0, 0.0]), [event("mouseReleased", 370, 215)]);
    }

    #[test]
    fn any_numbers_are_survived_and_the_mouse_stays_in_the_window() {
        let mut mouse = Mouse::new(&Options::default());
        act(&mut mouse, &[0.0; 4]);
        assert_eq!(act(&mut mouse, &[f32::NAN; 9]), []);
        assert_eq!(act(&mut mouse, &[]), []);
        for _ in 0..100 {
            act(&mut mouse, &[f32::INFINITY, f32::NEG_INFINITY, f32::INFINITY, f32::NEG_INFINITY]);
        }
        assert_eq!(mouse.pixel(), (639, 0));
        assert_eq!(mouse.observed(), [1.0, -1.0]);
    }

    #[test]
    fn a_button_whose_event_was_not_sent_is_not_held() {
        let mut mouse = Mouse::new(&Options::default());
        let options = Options::default();
        let count = |mouse: &mut Mouse, accept: bool| {
            let mut sent = 0;
            let event = |_: &Value| {
                sent += 1;
                Ok::<_, ()>(accept)
            };
            mouse.act(&[0.0, 0.0, 1.0, 0.0], &options, event).unwrap();
            sent
        };
        assert_eq!(count(&mut mouse, false), 2);
        assert_eq!(count(&mut mouse, true), 2, "both are sent again");
        assert_eq!(count(&mut mouse, true), 0);
    }
}
