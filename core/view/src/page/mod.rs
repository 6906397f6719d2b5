//! A run in a browser, as it happens: pictures, errors and actions of its streams, curves, and its pause.
//!
//! ```text
//! engine ──socket──▶ link ──┐
//! metrics, pictures ────────┴──▶ routes ──▶ server ──▶ browser of this machine
//! ```
//!
//! The browser asks for each picture when it has drawn the one before: so the newest wins, nothing queues up, and a page that
//! nobody sees costs nothing. All that is held is of a bounded size. What the page needs is in this crate: it opens offline.
mod curves;
mod guard;
mod http;
mod recorded;
mod routes;
mod server;
mod status;

use efference_runs::directory::RunDirectory;
use guard::Token;
use server::Server;
use std::io;
use std::net::{Ipv4Addr, TcpListener};

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// Another program has the port.
    #[error(
        "port {0} of this machine is taken by another program: choose another with `--port`, or leave it out for any that is \
         free"
    )]
    Taken(u16),
    /// It may not be had.
    #[error(
        "port {0} is not for everyone to open: choose one from 1024 with `--port`, or leave it out for any that is free"
    )]
    Forbidden(u16),
    /// The system refuses.
    #[error("no page can be served on 127.0.0.1: {0}")]
    System(#[from] io::Error),
}

/// A page that has its address, and no run yet.
pub struct Page {
    listener: TcpListener,
    port: u16,
    token: Token,
}

impl Page {
    /// Takes a port of the loopback interface; without, any that is free.
    ///
    /// # Errors
    /// If it is taken.
    pub fn bind(port: Option<u16>) -> Result<Page, PageError> {
        let asked = port.unwrap_or(0);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, asked)).map_err(|e| match e.kind() {
            io::ErrorKind::AddrInUse => PageError::Taken(asked),
            io::ErrorKind::PermissionDenied => PageError::Forbidden(asked),
            _ => PageError::System(e),
        })?;
        let port = listener.local_addr()?.port();
        Ok(Page { listener, port, token: Token::new()? })
    }

    /// Where it is. Whoever knows this can look at the run and pause it.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}/{}/", self.port, self.token.text())
    }

    /// Shows a run from now on, by threads of its own, until what is returned is dropped.
    ///
    /// # Errors
    /// If there can be no thread.
    pub fn show(self, run: RunDirectory) -> io::Result<Serving> {
        let Page { listener, port, token } = self;
        Server::new(token, run).start(listener, port)
    }
}

pub use server::Serving;
