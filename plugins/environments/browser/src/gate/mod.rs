//! The only way from the pages to the network: a proxy of the plugin's own, which sees the address that a name stands for and
//! connects to that very address. So neither redirects nor names that change what they stand for lead past it. It also serves
//! folders.
//!
//! It listens on loopback, and hears nobody but the user that the browser runs as.
mod files;
mod forward;
mod head;
mod local;

use crate::address::Folders;
use crate::devtools::lock;
use crate::gate::head::{Head, bare, status};
use efference_sdk::{Result, ResultExt, tracing};
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use url::Url;

/// How long a connection may take to be made.
const CONNECT_LIMIT: Duration = Duration::from_secs(20);
/// How many connections there may be at once.
const CONNECTIONS: usize = 2_048;
/// How many hosts are remembered that could not be reached.
const FAILURES: usize = 64;

/// What may be reached.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    /// Whether this machine and its network may be reached.
    pub(crate) local_network: bool,
    /// Hosts and ports of the spec's own addresses, which may be reached if they were local from the beginning.
    pub(crate) named: Vec<Named>,
    pub(crate) folders: Folders,
}

/// A host and port that the spec names.
#[derive(Debug)]
pub(crate) struct Named {
    host: String,
    port: u16,
    /// Whether it was local when it was first looked up.
    local: Mutex<Option<bool>>,
}

impl Named {
    /// That of an address.
    pub(crate) fn of(url: &Url) -> Option<Named> {
        Some(Named {
            host: bare(url.host_str()?),
            port: url.port_or_known_default()?,
            local: Mutex::new(None),
        })
    }
}

/// A proxy; it ends with this value.
pub(crate) struct Gate {
    port: u16,
    /// What the browser calls it.
    name: String,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    rules: Rules,
    port: u16,
    /// Who may connect.
    user: AtomicU32,
    closing: AtomicBool,
    /// All connections, to end them, by a number.
    connections: Mutex<(u64, HashMap<u64, TcpStream>)>,
    /// Why hosts could not be reached.
    failures: Mutex<HashMap<String, String>>,
    refused: AtomicBool,
}

impl Gate {
    /// Begins to listen.
    pub(crate) fn open(rules: Rules) -> Result<Gate> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .context("the browser plugin needs a port of 127.0.0.1, through which pages reach the network")?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            rules,
            port,
            user: AtomicU32::new(rustix::process::geteuid().as_raw()),
            closing: AtomicBool::new(false),
            connections: Mutex::default(),
            failures: Mutex::default(),
            refused: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        let name = "efference-browser-gate".to_owned();
        let thread = thread::Builder::new().name(name).spawn(move || accepting.accept(&listener))?;
        Ok(Gate { port, name: secret_name(), shared, thread: Some(thread) })
    }

    /// The options by which Chromium goes through it, and no other way: but for the gate's name, which no page knows, no
    /// name and no number stands for anything, and what cannot go through a proxy, as WebTransport, goes nowhere.
    pub(crate) fn arguments(&self) -> [String; 5] {
        let Gate { port, name, .. } = self;
        [
            format!("--proxy-server=http://{name}:{port}"),
            // What Chromium would reach without it: loopback.
            "--proxy-bypass-list=<-loopback>".to_owned(),
            format!("--host-resolver-rules=MAP {name} 127.0.0.1:{port},MAP * ~NOTFOUND"),
            // The old name of the option, and its present one.
            "--force-webrtc-ip-handling-policy=disable_non_proxied_udp".to_owned(),
            "--webrtc-ip-handling-policy=disable_non_proxied_udp".to_owned(),
        ]
    }

    /// Who may connect: the user that the browser runs as.
    pub(crate) fn admit(&self, user: Option<u32>) {
        let user = user.unwrap_or_else(|| rustix::process::geteuid().as_raw());
        self.shared.user.store(user, Ordering::Relaxed);
    }

    /// Why the host of an address could not be reached, if it could not.
    pub(crate) fn failure(&self, url: &Url) -> Option<String> {
        lock(&self.shared.failures).get(&bare(url.host_str()?)).cloned()
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Release);
        for connection in lock(&self.shared.connections).1.values() {
            let _ = connection.shutdown(Shutdown::Both);
        }
        // Ends the wait for the next one.
        let own = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        if TcpStream::connect_timeout(&own, Duration::from_secs(1)).is_ok()
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join(); // a panic was reported when it happened
        }
    }
}

/// A name that cannot be guessed and never exists (RFC 2606).
fn secret_name() -> String {
    let random = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}.invalid", random(), random())
}

/// Why nothing is connected to.
enum Unreachable {
    /// It is local, and must not be reached.
    Local,
    /// There is no such name, or nobody listens there.
    Failed(io::Error),
}

impl Shared {
    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for client in listener.incoming() {
            if self.closing.load(Ordering::Acquire) {
                return;
            }
            let Ok(client) = client else {
                // Too many open files, say: others may close some.
                thread::sleep(Duration::from_millis(20));
                continue;
            };
            let shared = Arc::clone(self);
            let builder =
                thread::Builder::new().name("efference-browser-page".to_owned()).stack_size(head::STACK);
            // If it fails, the connection is closed, which a page survives.
            let _ = builder.spawn(move || {
                if shared.is_browser(&client) {
                    // What fails fails for a page, which sees it.
                    let _ = shared.serve(client);
                }
            });
        }
    }

    /// Whether the other end belongs to the browser's user. Where the system does not tell, anyone on this machine may
    /// connect.
    fn is_browser(&self, client: &TcpStream) -> bool {
        let Ok(SocketAddr::V4(peer)) = client.peer_addr() else { return false };
        let Ok(table) = std::fs::read_to_string("/proc/net/tcp") else { return true };
        let user = self.user.load(Ordering::Relaxed);
        owner(&table, peer.port(), self.port).is_some_and(|owner| owner == user || owner == 0)
    }

    fn serve(&self, mut client: TcpStream) -> io::Result<()> {
        let registered = self.register(&client)?;
        let done = self.respond(&mut client);
        self.forget(registered);
        done
    }

    fn register(&self, connection: &TcpStream) -> io::Result<u64> {
        let mut connections = lock(&self.connections);
        if self.closing.load(Ordering::Acquire) || connections.1.len() >= CONNECTIONS {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        connections.0 += 1;
        let number = connections.0;
        connections.1.insert(number, connection.try_clone()?);
        Ok(number)
    }

    fn forget(&self, number: u64) {
        lock(&self.connections).1.remove(&number);
    }

    fn respond(&self, client: &mut TcpStream) -> io::Result<()> {
        client.set_read_timeout(Some(Duration::from_secs(30)))?;
        let Some(head) = Head::read(client)? else { return Ok(()) };
        client.set_read_timeout(None)?;
        client.set_nodelay(true)?;
        let Some(place) = head.place() else { return status(client, "400 Bad Request") };
        if head.method != "CONNECT"
            && let Some(folder) = self.rules.folders.find(&place.host)
        {
            return files::serve(client, &head, folder, &place.path);
        }
        let server = match self.connect(&place.host, place.port) {
            Ok(server) => server,
            Err(Unreachable::Local) => {
                self.tell_refused();
                self.failed(
                    &place.host,
                    "it is of this machine or its network; see the option local_network",
                );
                return status(client, "403 Forbidden");
            }
            Err(Unreachable::Failed(error)) => {
                self.failed(&place.host, &error.to_string());
                return status(client, "502 Bad Gateway");
            }
        };
        let registered = self.register(&server)?;
        let done = match head.method.as_str() {
            "CONNECT" => forward::tunnel(client, server, &head),
            _ => forward::request(client, server, &head, &place),
        };
        self.forget(registered);
        done
    }

    fn failed(&self, host: &str, why: &str) {
        let mut failures = lock(&self.failures);
        if failures.len() < FAILURES {
            failures.insert(host.to_owned(), why.to_owned());
        }
    }

    fn tell_refused(&self) {
        if !self.refused.swap(true, Ordering::Relaxed) {
            tracing::info!(
                "a page wanted to reach this machine or its network, which was refused; local_network = true would allow it"
            );
        }
    }

    /// Connects to a host, if it may be reached.
    fn connect(&self, host: &str, port: u16) -> Result<TcpStream, Unreachable> {
        let named = self.rules.named.iter().find(|named| named.host == host && named.port == port);
        let found = (host, port).to_socket_addrs();
        let is_local = |a: &SocketAddr| local::is_local(a.ip());
        let allowed = self.rules.local_network
            || named.is_some_and(|named| {
                let look_up = || {
                    local::is_local_name(host)
                        || found.as_ref().is_ok_and(|f| f.as_slice().iter().all(is_local))
                };
                *lock(&named.local).get_or_insert_with(look_up)
            });
        if !allowed && local::is_local_name(host) {
            return Err(Unreachable::Local);
        }
        let found = found.map_err(Unreachable::Failed)?;
        let mut last = Unreachable::Failed(io::ErrorKind::AddrNotAvailable.into());
        for address in found {
            // The gate itself leads to nothing.
            if address.ip() == IpAddr::V4(Ipv4Addr::LOCALHOST) && address.port() == self.port {
                return Err(Unreachable::Local);
            }
            if !allowed && is_local(&address) {
                last = Unreachable::Local;
                continue;
            }
            match TcpStream::connect_timeout(&address, CONNECT_LIMIT) {
                Ok(server) => {
                    let _ = server.set_nodelay(true);
                    lock(&self.failures).remove(host);
                    return Ok(server);
                }
                Err(error) => last = Unreachable::Failed(error),
            }
        }
        Err(last)
    }
}

/// Who owns the socket of this machine that is connected from one port to another.
fn owner(table: &str, from: u16, to: u16) -> Option<u32> {
    let (from, to) = (format!("0100007F:{from:04X}"), format!("0100007F:{to:04X}"));
    table.lines().find_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let found = fields.get(1) == Some(&from.as_str()) && fields.get(2) == Some(&to.as_str());
        if found { fields.get(7)?.parse().ok() } else { None }
    })
}
