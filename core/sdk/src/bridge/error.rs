//! Errors cross as fields.
use super::lists::{list_with_owner, read_slice, read_str};
use crate::error::Frame;
use crate::{Error, PluginId};
use efference_abi::{self as abi, Kind, Status, Str};

/// Fills an error of the boundary.
pub(crate) fn into_raw_error(error: Error) -> abi::Error {
    let texts: Vec<Frame> = error.frames;
    let option = error.option.unwrap_or_default();
    let frames = texts
        .iter()
        .map(|frame| {
            let (kind, plugin) = match &frame.plugin {
                Some(plugin) => (plugin.kind as u32, Str::new(&plugin.name)),
                None => (0, Str::new("")),
            };
            let message = if frame.plugin.is_some() { "" } else { &frame.text };
            abi::ErrorFrame { plugin_kind: kind, plugin, message: Str::new(message) }
        })
        .collect();
    // The bytes of the texts stay where they are when the owner is moved.
    let path = Str::new(&option);
    abi::Error { frames: list_with_owner(frames, (texts, option)), option: path }
}

/// Takes over an error of the boundary.
///
/// # Safety
/// `error` was filled by a call that returned `status`, or is empty, and is taken once.
pub(crate) unsafe fn from_raw_error(error: abi::Error, status: Status) -> Error {
    // SAFETY: by the caller's promise.
    let (mut frames, option): (Vec<Frame>, String) = unsafe {
        let raw = read_slice(error.frames.ptr.cast_const(), error.frames.len);
        let frames = raw.iter().map(|frame| {
            let message = read_str(frame.message);
            match Kind::of(frame.plugin_kind) {
                Some(kind) => vec![
                    Some(Frame::plugin(PluginId { kind, name: read_str(frame.plugin) })),
                    (!message.is_empty()).then(|| Frame::message(message)),
                ],
                None => vec![Some(Frame::message(message))],
            }
        });
        (frames.flatten().flatten().collect(), read_str(error.option))
    };
    if let Some(free) = error.frames.free {
        // SAFETY: the maker's own function with the maker's own value, once.
        unsafe { free(error.frames.owner) }
    }
    if frames.is_empty() {
        frames.push(Frame::message("failed without a message".to_owned()));
    }
    let option = (!option.is_empty()).then_some(option);
    Error { panicked: status == abi::PANIC, option, frames }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_survive_the_boundary() {
        let plugin = PluginId { kind: Kind::Layer, name: "ldl".to_owned() };
        let error = Error::msg("expected x").in_option("a.b").in_plugin(&plugin).context("in step 3");
        // SAFETY: made here, taken once.
        let again = unsafe { from_raw_error(into_raw_error(error), abi::PANIC) };
        assert_eq!(format!("{again:#}"), "in step 3: layer 'ldl': expected x");
        assert_eq!((again.plugin(), again.option(), again.panicked()), (Some(&plugin), Some("a.b"), true));
        // SAFETY: nothing is in it.
        let silent = unsafe { from_raw_error(abi::Error::EMPTY, abi::ERROR) };
        assert_eq!((silent.to_string().as_str(), silent.panicked()), ("failed without a message", false));
    }
}
