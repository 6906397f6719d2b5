//! Environment plugin: WebEnv, from a checkout of the user's, in Node, over its stdio protocol.
//!
//! ```toml
//! [environment]
//! plugin = "webenv"
//! checkout = "/home/me/webenv"          # the folder with webenv.js
//! interfaces = [
//!     "we.remote()",                    # a stream for each user who connects
//!     "we.imageRect(100)",              # put into the JavaScript as it is
//!     ["we.mouse", { wheel = 1 }],      # becomes we.mouse({"wheel":1})
//! ]
//! ```
//!
//! [`protocol`] has the packets, in both directions. The rest: `script` makes the program for `node -e`;
//! `process` starts Node and ends it with all that it started; `link` runs the pipes; `frame_buffer` holds what came;
//! `environment` turns it into frames.
mod environment;
mod frame_buffer;
mod link;
mod options;
mod process;
pub mod protocol;
mod script;

pub use environment::WebEnv;
pub use options::{ByteOrder, Options, ValueKind};

efference_sdk::export! { environment: WebEnv }
