//! The mouse of one stream: where it is, which buttons are held, and the events that tell the page.
use super::config::Button;
use super::event::Event;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// After so many steps in a row in which it was pushed against an edge, the mouse begins again in the middle.
const PUSHED: u32 = 200;

/// What of a mouse no page takes away.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(into = "([u64; 4], u32)", from = "([u64; 4], u32)")]
pub(super) struct Lasting {
    /// Where it was put, in pixels from the top left of the window.
    place: [f64; 2],
    /// How far it is held away from there.
    away: [f64; 2],
    /// Steps in a row in which it was pushed against an edge.
    pushed: u32,
}

// Their bits, since a number that is read from decimal digits may be another one.
impl From<Lasting> for ([u64; 4], u32) {
    fn from(Lasting { place: [x, y], away: [right, down], pushed }: Lasting) -> Self {
        ([x, y, right, down].map(f64::to_bits), pushed)
    }
}

impl From<([u64; 4], u32)> for Lasting {
    fn from((bits, pushed): ([u64; 4], u32)) -> Self {
        let [x, y, right, down] = bits.map(f64::from_bits);
        Lasting { place: [x, y], away: [right, down], pushed }
    }
}

/// Where the mouse is, and what the page knows of it.
#[derive(Debug)]
pub(crate) struct Mouse {
    lasting: Lasting,
    size: [f64; 2],
    /// Where the page believes it to be.
    known: Option<(i64, i64)>,
    /// As in `MouseEvent.buttons`.
    held: u8,
}

impl Mouse {
    /// A mouse in the middle of the window.
    pub(super) fn new(width: usize, height: usize) -> Self {
        let size = [width as f64, height as f64];
        let lasting = Lasting { place: middle(size), away: [0.0; 2], pushed: 0 };
        Mouse { lasting, size, known: None, held: 0 }
    }

    fn at(&self) -> [f64; 2] {
        [0, 1].map(|i| (self.lasting.place[i] + self.lasting.away[i]).clamp(0.0, self.size[i] - 1.0))
    }

    /// The pixel that it is on.
    pub(crate) fn pixel(&self) -> (i64, i64) {
        let [x, y] = self.at();
        (x.floor() as i64, y.floor() as i64)
    }

    /// Where it is, as observed: −1 at the left and the top, 1 at the right and the bottom.
    pub(crate) fn observed(&self) -> [f32; 2] {
        let at = self.at();
        [0, 1].map(|i| (2.0 * at[i] / (self.size[i] - 1.0).max(1.0) - 1.0).clamp(-1.0, 1.0) as f32)
    }

    pub(super) fn lasting(&self) -> Lasting {
        self.lasting
    }

    pub(super) fn go_on_from(&mut self, lasting: Lasting) {
        self.lasting = lasting;
    }

    /// A new page does not know where the mouse is, nor of any button.
    pub(super) fn forget(&mut self) {
        self.known = None;
        self.held = 0;
    }

    /// Puts it to a place, from −1 to 1 along each axis.
    pub(super) fn put(&mut self, place: [f64; 2]) {
        self.lasting.place = [0, 1].map(|i| (place[i] + 1.0) / 2.0 * (self.size[i] - 1.0));
    }

    /// Pulls it to the middle by a part of its way from there, then moves it. It stops at the edges, and is not left there
    /// by who goes on pushing.
    pub(super) fn go(&mut self, by: [f64; 2], spring: f64) {
        let middle = middle(self.size);
        let to = [0, 1].map(|i| middle[i] + (self.lasting.place[i] - middle[i]) * (1.0 - spring) + by[i]);
        self.lasting.place = [0, 1].map(|i| to[i].clamp(0.0, self.size[i] - 1.0));
        self.lasting.pushed = if self.lasting.place == to { 0 } else { self.lasting.pushed + 1 };
        if self.lasting.pushed >= PUSHED {
            self.lasting.place = middle;
            self.lasting.pushed = 0;
        }
    }

    /// Holds it away from its place.
    pub(super) fn hold_away(&mut self, by: [f64; 2]) {
        self.lasting.away = by;
    }

    /// Tells the page where it is.
    pub(super) fn tell<E>(&mut self, send: &mut impl FnMut(Event) -> Result<bool, E>) -> Result<(), E> {
        let at = Some(self.pixel());
        if self.known != at && send(self.event("mouseMoved", None))? {
            self.known = at;
        }
        Ok(())
    }

    /// Holds these buttons, and no others.
    pub(super) fn hold<E>(
        &mut self,
        buttons: &[Button],
        send: &mut impl FnMut(Event) -> Result<bool, E>,
    ) -> Result<(), E> {
        for button in [Button::Left, Button::Middle, Button::Right] {
            let (held, wanted) = (self.held & bit(button) != 0, buttons.contains(&button));
            let kind = if wanted { "mousePressed" } else { "mouseReleased" };
            if held != wanted && send(self.event(kind, Some(button)))? {
                self.held ^= bit(button);
            }
        }
        Ok(())
    }

    /// Turns its wheel, so that the page is scrolled down by so many pixels.
    pub(super) fn scroll<E>(
        &mut self,
        down: f64,
        send: &mut impl FnMut(Event) -> Result<bool, E>,
    ) -> Result<(), E> {
        let down = down.round();
        if down != 0.0 {
            let mut event = self.event("mouseWheel", None);
            event.params["deltaX"] = json!(0);
            event.params["deltaY"] = json!(down);
            send(event)?;
        }
        Ok(())
    }

    /// `button` is the one that is pressed or released.
    fn event(&self, kind: &str, button: Option<Button>) -> Event {
        let (x, y) = self.pixel();
        let dragged =
            [Button::Left, Button::Middle, Button::Right].into_iter().find(|b| self.held & bit(*b) != 0);
        let named = button.or(dragged.filter(|_| kind == "mouseMoved"));
        let name = match named {
            None => "none",
            Some(Button::Left) => "left",
            Some(Button::Middle) => "middle",
            Some(Button::Right) => "right",
        };
        // `buttons` is what is held down after the event.
        let after = button.map_or(self.held, |button| self.held ^ bit(button));
        Event {
            method: "Input.dispatchMouseEvent",
            params: json!({
                "type": kind, "x": x, "y": y, "button": name, "buttons": after,
                "clickCount": u8::from(button.is_some()),
            }),
        }
    }
}

fn middle(size: [f64; 2]) -> [f64; 2] {
    size.map(|length| (length / 2.0).floor())
}

/// As in `MouseEvent.buttons`.
fn bit(button: Button) -> u8 {
    match button {
        Button::Left => 1,
        Button::Right => 2,
        Button::Middle => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(mouse: &mut Mouse) -> Option<(i64, i64)> {
        let mut at = None;
        let send = &mut |event: Event| {
            at = Some((event.params["x"].as_i64().unwrap(), event.params["y"].as_i64().unwrap()));
            Ok::<_, ()>(true)
        };
        mouse.tell(send).unwrap();
        at
    }

    #[test]
    fn the_mouse_goes_is_put_and_springs_back() {
        let mut mouse = Mouse::new(640, 480);
        assert_eq!(told(&mut mouse), Some((320, 240)));
        assert_eq!(told(&mut mouse), None, "the page knows");
        mouse.go([50.0, -25.5], 0.0);
        assert_eq!(told(&mut mouse), Some((370, 214)));
        mouse.hold_away([10.0, 1000.0]);
        assert_eq!(told(&mut mouse), Some((380, 479)));
        mouse.hold_away([0.0; 2]);
        assert_eq!(told(&mut mouse), Some((370, 214)));
        mouse.put([-1.0, 1.0]);
        assert_eq!((mouse.pixel(), mouse.observed()), ((0, 479), [-1.0, 1.0]));
        mouse.put([0.0, 0.0]);
        assert_eq!(mouse.pixel(), (319, 239));
    }

    #[test]
    fn a_spring_holds_a_weakly_pushed_mouse_within_the_window() {
        let mut mouse = Mouse::new(640, 480);
        for _ in 0..1000 {
            mouse.go([5.0, -2.0], 0.02);
        }
        assert_eq!(mouse.pixel(), (569, 140), "where 2 % of the way from the middle are what it is pushed");
        for _ in 0..35 {
            mouse.go([0.0, 0.0], 0.02);
        }
        assert_eq!(mouse.pixel(), (443, 190), "half of the way back");
    }

    #[test]
    fn who_pushes_the_mouse_against_an_edge_does_not_leave_it_there() {
        let mut mouse = Mouse::new(640, 480);
        let mut at_edge = 0;
        for _ in 0..10_000 {
            mouse.go([50.0, 0.0], 0.0);
            at_edge = if mouse.pixel().0 == 639 { at_edge + 1 } else { 0 };
            assert!(at_edge < 200);
        }
        // Being at an edge without pushing is no reason.
        mouse.put([1.0, 1.0]);
        for _ in 0..1000 {
            mouse.go([0.0, 0.0], 0.0);
        }
        assert_eq!(mouse.pixel(), (639, 479));
    }

    #[test]
    fn buttons_are_sent_once_and_again_if_they_were_not_sent() {
        let mut mouse = Mouse::new(640, 480);
        let hold = |mouse: &mut Mouse, buttons: &[Button], accept: bool| {
            let mut sent = Vec::new();
            let send = &mut |event: Event| {
                let text = |key: &str| event.params[key].as_str().unwrap().to_owned();
                sent.push((text("type"), text("button"), event.params["buttons"].as_u64().unwrap()));
                Ok::<_, ()>(accept)
            };
            mouse.hold(buttons, send).unwrap();
            sent
        };
        let event = |kind: &str, button: &str, buttons| (kind.to_owned(), button.to_owned(), buttons);
        let both = [Button::Right, Button::Left];
        assert_eq!(hold(&mut mouse, &both, false).len(), 2);
        assert_eq!(
            hold(&mut mouse, &both, true),
            [event("mousePressed", "left", 1), event("mousePressed", "right", 3)]
        );
        assert_eq!(hold(&mut mouse, &both, true), []);
        assert_eq!(hold(&mut mouse, &[Button::Right], true), [event("mouseReleased", "left", 2)]);
        mouse.forget();
        assert_eq!(hold(&mut mouse, &[Button::Middle], true), [event("mousePressed", "middle", 4)]);
    }
}
