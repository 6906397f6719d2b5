//! Connections of browsers: a thread each, few at once, none for ever.
use super::guard::Token;
use super::http::{Failed, Request, Response};
use super::routes::{Run, reply};
use efference_runs::directory::RunDirectory;
use efference_runs::viewing::Link;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use std::{io, thread};

/// Connections at once; a browser opens up to six.
const MOST: usize = 32;
/// How long a connection may say nothing, and how long it may leave a reply unread.
const QUIET: Duration = Duration::from_secs(30);
const UNREAD: Duration = Duration::from_secs(10);

pub(super) struct Server {
    token: Token,
    run: Run,
    connections: AtomicUsize,
    closed: AtomicBool,
}

/// A page that is being served; when this is dropped, no connection is taken any more.
pub struct Serving {
    server: Arc<Server>,
    port: u16,
}

impl Server {
    pub(super) fn new(token: Token, run: RunDirectory) -> Self {
        Server { token, run: Run::new(run), connections: AtomicUsize::new(0), closed: AtomicBool::new(false) }
    }

    pub(super) fn start(self, listener: TcpListener, port: u16) -> io::Result<Serving> {
        let server = Arc::new(self);
        let own = Arc::clone(&server);
        thread::Builder::new().name("page".to_owned()).spawn(move || own.listen(&listener))?;
        Ok(Serving { server, port })
    }

    fn listen(self: &Arc<Self>, listener: &TcpListener) {
        loop {
            let browser = listener.accept();
            if self.closed.load(Ordering::Relaxed) {
                return;
            }
            let Ok((browser, _)) = browser else {
                thread::sleep(Duration::from_millis(100)); // no descriptor is free, perhaps
                continue;
            };
            if self.connections.fetch_add(1, Ordering::Relaxed) >= MOST {
                self.connections.fetch_sub(1, Ordering::Relaxed);
                let _ = browser.set_nonblocking(true);
                let why = "There are too many connections to this page: close some of its windows.";
                let _ = Response::sentence(503, why).write(&mut &browser, true);
                continue;
            }
            let own = Arc::clone(self);
            let served = thread::Builder::new().name("page".to_owned()).spawn(move || {
                // The browser has gone, which is no error.
                let _ = own.serve(&browser);
                own.connections.fetch_sub(1, Ordering::Relaxed);
            });
            if served.is_err() {
                self.connections.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    fn serve(&self, browser: &TcpStream) -> io::Result<()> {
        browser.set_read_timeout(Some(QUIET))?;
        browser.set_write_timeout(Some(UNREAD))?;
        browser.set_nodelay(true)?;
        let (mut from, mut to) = (browser, browser);
        let (mut read, mut link) = (Vec::new(), None);
        while !self.closed.load(Ordering::Relaxed) {
            let request = match Request::read(&mut from, &mut read) {
                Ok(request) => request,
                Err(Failed::Closed) => return Ok(()),
                Err(Failed::Bad(why)) => return Response::sentence(400, why).write(&mut to, true),
            };
            let last = request.header("connection").is_some_and(|said| said.eq_ignore_ascii_case("close"));
            self.respond(&request, &mut link).write(&mut to, last)?;
            if last {
                return Ok(());
            }
        }
        Ok(())
    }

    fn respond(&self, request: &Request, link: &mut Option<Link>) -> Response {
        match self.token.admit(request) {
            Ok(asked) => reply(&self.run, asked, request, link),
            Err(refused) => refused,
        }
    }
}

impl Serving {
    /// Waits for ever: until a signal ends the process.
    pub fn wait(&self) -> ! {
        loop {
            thread::park();
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.server.closed.store(true, Ordering::Relaxed);
        // Wakes the thread that listens, which then ends.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}
