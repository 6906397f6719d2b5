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
//! WebEnv's own server asks nobody for a password. By default it listens on 127.0.0.1 only; `listen = "everywhere"` lets people
//! on other machines connect. Errors that WebEnv does not catch itself, as when a tab disconnects at a bad moment, are logged
//! and end nothing, unless there are very many.
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
pub use options::{ByteOrder, Listen, Options, ValueKind};

efference_sdk::export! { environment: WebEnv }
