//! The head of an HTTP message: read, taken apart, and written as it goes on.
use std::io::{self, Read, Write};
use std::net::TcpStream;
use url::Url;

/// Of threads that read heads and copy bytes.
pub(super) const STACK: usize = 256 << 10;
/// No head is longer.
const LIMIT: usize = 64 << 10;

/// The head of a request, and what came behind it.
pub(super) struct Head {
    pub(super) method: String,
    target: String,
    /// Names and values, as they came.
    pub(super) headers: Vec<(String, String)>,
    /// Bytes of the body that came with it.
    pub(super) rest: Vec<u8>,
}

/// Where a request goes.
pub(super) struct Place {
    pub(super) host: String,
    pub(super) port: u16,
    /// Path and query.
    pub(super) path: String,
}

/// Reads until the empty line; gives what stands before it, and what came behind it. `None` if nothing came at all.
pub(super) fn read(stream: &mut TcpStream) -> io::Result<Option<(String, Vec<u8>)>> {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4 << 10]);
    loop {
        let from = bytes.len().saturating_sub(3);
        match stream.read(&mut chunk)? {
            0 if bytes.is_empty() => return Ok(None),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => bytes.extend_from_slice(&chunk[..n]),
        }
        if let Some(end) = bytes[from..].windows(4).position(|w| w == b"\r\n\r\n") {
            let rest = bytes.split_off(from + end + 4);
            bytes.truncate(from + end);
            // Latin-1 in values goes on as it came, nearly: what is no UTF-8 in a head is no address.
            return Ok(Some((String::from_utf8_lossy(&bytes).into_owned(), rest)));
        }
        if bytes.len() > LIMIT {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
}

/// Names and values.
pub(super) fn headers<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<(String, String)> {
    lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
        .collect()
}

/// Whether a header is about one connection, and is not passed on.
pub(super) fn is_of_connection(name: &str) -> bool {
    ["connection", "proxy-connection", "keep-alive", "proxy-authorization", "upgrade", "te"]
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known))
}

impl Head {
    /// Reads the head of a request; `None` if there is none.
    pub(super) fn read(stream: &mut TcpStream) -> io::Result<Option<Head>> {
        let Some((head, rest)) = read(stream)? else { return Ok(None) };
        let mut lines = head.split("\r\n");
        let mut first = lines.next().unwrap_or_default().split(' ');
        let (Some(method), Some(target)) = (first.next(), first.next()) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let headers = headers(lines);
        Ok(Some(Head { method: method.to_owned(), target: target.to_owned(), headers, rest }))
    }

    /// A header's value.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Where it goes; `None` if it goes nowhere: only requests to a proxy name a host.
    pub(super) fn place(&self) -> Option<Place> {
        let address =
            if self.method == "CONNECT" { format!("http://{}", self.target) } else { self.target.clone() };
        let url = Url::parse(&address).ok()?;
        if url.scheme() != "http" {
            return None;
        }
        let path = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        Some(Place { host: bare(url.host_str()?), port: url.port_or_known_default()?, path })
    }
}

/// A host as it is compared: in lower case, without brackets and a last dot.
pub(super) fn bare(host: &str) -> String {
    host.trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase()
}

/// An answer without a body, which Chromium shows as an error.
pub(super) fn status(client: &mut TcpStream, status: &str) -> io::Result<()> {
    write!(client, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}
