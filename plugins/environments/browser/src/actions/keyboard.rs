//! The keyboard of one stream: which keys are held, and the events that tell the page.
use super::event::Event;
use super::keys::Key;
use serde_json::json;

/// The keys that the page believes to be held, in the order in which they were pressed.
#[derive(Debug, Default)]
pub(super) struct Keyboard {
    held: Vec<Key>,
}

impl Keyboard {
    /// A new page does not know of any key.
    pub(super) fn forget(&mut self) {
        self.held.clear();
    }

    /// Holds these keys, and no others: releases first, so that never more are held than are wanted.
    pub(super) fn hold<E>(
        &mut self,
        wanted: &[&Key],
        send: &mut impl FnMut(Event) -> Result<bool, E>,
    ) -> Result<(), E> {
        let released = self.held.iter().filter(|key| !wanted.contains(key)).cloned().collect::<Vec<_>>();
        for key in released {
            if send(self.event("keyUp", &key))? {
                self.held.retain(|held| *held != key);
            }
        }
        for key in wanted {
            if !self.held.contains(key) && send(self.event("keyDown", key))? {
                self.held.push((*key).clone());
            }
        }
        Ok(())
    }

    /// As in the DevTools protocol: Alt 1, Control 2, Shift 8; of what is held beside the key.
    fn modifiers(&self, key: &Key) -> u8 {
        let bit = |held: &Key| match held.name {
            "Alt" => 1,
            "Control" => 2,
            "Shift" => 8,
            _ => 0,
        };
        self.held.iter().filter(|held| *held != key).map(bit).fold(0, |all, bit| all | bit)
    }

    fn event(&self, kind: &str, key: &Key) -> Event {
        let modifiers = self.modifiers(key);
        let (alt_or_control, shift) = (modifiers & 3 != 0, modifiers & 8 != 0);
        // With Shift a small letter is a large one; signs are named as they are meant.
        let shifted =
            |text: &str| if shift && text.len() == 1 { text.to_ascii_uppercase() } else { text.to_owned() };
        let mut params = json!({
            "type": kind, "key": shifted(key.name), "code": key.code, "modifiers": modifiers,
            "windowsVirtualKeyCode": key.number, "nativeVirtualKeyCode": key.number,
        });
        if kind == "keyDown" {
            // What types nothing is "raw": so the protocol calls it.
            if key.text.is_empty() || alt_or_control {
                params["type"] = json!("rawKeyDown");
            } else {
                params["text"] = json!(shifted(key.text));
                params["unmodifiedText"] = json!(key.text);
            }
        }
        Event { method: "Input.dispatchKeyEvent", params }
    }
}

#[cfg(test)]
mod tests {
    use super::super::keys::named;
    use super::*;

    fn hold(keyboard: &mut Keyboard, names: &[&str], accept: bool) -> Vec<String> {
        let keys: Vec<Key> = names.iter().map(|name| named(name).unwrap()).collect();
        let mut sent = Vec::new();
        let send = &mut |event: Event| {
            let text = |key: &str| event.params[key].as_str().unwrap_or("-").to_owned();
            sent.push(format!(
                "{} {} {} {}",
                text("type"),
                text("key"),
                text("text"),
                event.params["modifiers"]
            ));
            Ok::<_, ()>(accept)
        };
        keyboard.hold(&keys.iter().collect::<Vec<_>>(), send).unwrap();
        sent
    }

    #[test]
    fn keys_are_pressed_and_released_once() {
        let mut keyboard = Keyboard::default();
        assert_eq!(hold(&mut keyboard, &["a", "Enter"], true), ["keyDown a a 0", "keyDown Enter \r 0"]);
        assert_eq!(hold(&mut keyboard, &["a", "Enter"], true), [""; 0]);
        assert_eq!(hold(&mut keyboard, &["b"], true), ["keyUp a - 0", "keyUp Enter - 0", "keyDown b b 0"]);
        assert_eq!(hold(&mut keyboard, &[], false), ["keyUp b - 0"]);
        assert_eq!(hold(&mut keyboard, &[], true), ["keyUp b - 0"], "the page did not hear of it");
        assert_eq!(hold(&mut keyboard, &[], true), [""; 0]);
    }

    #[test]
    fn keys_that_change_others_do() {
        let mut keyboard = Keyboard::default();
        assert_eq!(hold(&mut keyboard, &["Shift"], true), ["rawKeyDown Shift - 0"]);
        assert_eq!(hold(&mut keyboard, &["Shift", "a"], true), ["keyDown A A 8"]);
        assert_eq!(
            hold(&mut keyboard, &["Control", "a"], true)[..2],
            ["keyUp Shift - 0", "rawKeyDown Control - 0"]
        );
        assert_eq!(hold(&mut keyboard, &["Control", "c"], true), ["keyUp a - 2", "rawKeyDown c - 2"]);
        keyboard.forget();
        assert_eq!(hold(&mut keyboard, &["ArrowLeft"], true), ["rawKeyDown ArrowLeft - 0"]);
    }
}
