//! Passing bytes on between a page and a server.
use crate::gate::head::{self, Head, Place};
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;

/// Passes on whatever either side says, until one of them ends.
pub(super) fn tunnel(client: &mut TcpStream, mut server: TcpStream, head: &Head) -> io::Result<()> {
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    server.write_all(&head.rest)?;
    both_ways(client, server)
}

/// Passes on one request and its response. Both connections end with it, so that the next request is looked at anew.
pub(super) fn request(
    client: &mut TcpStream,
    mut server: TcpStream,
    head: &Head,
    place: &Place,
) -> io::Result<()> {
    if head.header("Transfer-Encoding").is_some() {
        return head::status(client, "411 Length Required");
    }
    let mut text = format!("{} {} HTTP/1.1\r\n", head.method, place.path);
    for (name, value) in head.headers.iter().filter(|(name, _)| !head::is_of_connection(name)) {
        let _ = write!(text, "{name}: {value}\r\n"); // to a string
    }
    text.push_str("Connection: close\r\n\r\n");
    server.write_all(text.as_bytes())?;
    let length: u64 = head.header("Content-Length").and_then(|l| l.parse().ok()).unwrap_or(0);
    let rest = &head.rest[..head.rest.len().min(usize::try_from(length).unwrap_or(usize::MAX))];
    server.write_all(rest)?;
    let left = length - rest.len() as u64;
    if left > 0 {
        io::copy(&mut Read::by_ref(client).take(left), &mut server)?;
    }
    respond(client, server)
}

/// Passes on a response, telling the client that there will be no second one on this connection.
fn respond(client: &mut TcpStream, mut server: TcpStream) -> io::Result<()> {
    loop {
        let Some((head, rest)) = head::read(&mut server)? else { return Ok(()) };
        let mut lines = head.split("\r\n");
        let first = lines.next().unwrap_or_default();
        let mut text = format!("{first}\r\n");
        let interim = first.split(' ').nth(1).is_some_and(|code| code.starts_with('1'));
        for (name, value) in head::headers(lines).iter().filter(|(name, _)| !head::is_of_connection(name)) {
            let _ = write!(text, "{name}: {value}\r\n"); // to a string
        }
        text.push_str(if interim { "\r\n" } else { "Connection: close\r\n\r\n" });
        client.write_all(text.as_bytes())?;
        client.write_all(&rest)?;
        if !interim {
            return both_ways(client, server);
        }
    }
}

/// Copies both ways until the server has said everything, or the client is gone.
fn both_ways(client: &mut TcpStream, server: TcpStream) -> io::Result<()> {
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    let mut server = server;
    thread::scope(|scope| {
        thread::Builder::new().stack_size(head::STACK).spawn_scoped(scope, move || {
            let _ = io::copy(&mut from_client, &mut to_server);
            // A page that has left wants no answer.
            let _ = to_server.shutdown(Shutdown::Both);
        })?;
        let copied = io::copy(&mut server, client);
        let _ = client.shutdown(Shutdown::Both);
        copied.map(drop)
    })
}
