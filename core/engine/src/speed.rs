//! What one step does, where its time goes, how that is measured, and how it grows with the state.
//!
// Only documentation reads the page: a change to it, or a picture that is being drawn anew, is nothing to build.
#![cfg_attr(doc, doc = include_str!("../docs/speed.md"))]
#![cfg_attr(doc, doc = "")]
#![cfg_attr(doc, doc = include_str!("../docs/step-time.svg"))]
