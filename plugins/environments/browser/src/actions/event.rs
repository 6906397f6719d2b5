//! What is sent to a page.
use serde_json::Value;

/// An input event of the DevTools protocol.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) method: &'static str,
    pub(crate) params: Value,
}
