//! As much of HTTP/1.1 as a browser needs that shows one page: requests without a body, replies of a known length.
use std::io::{self, Read, Write};

/// Bytes of a request, at most; a browser sends a thousand.
const LARGEST: usize = 8 << 10;
const HEADERS: usize = 64;

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) method: String,
    /// The path and what is behind it.
    pub(super) target: String,
    /// By names in small letters.
    headers: Vec<(String, String)>,
}

/// Why there is no request.
#[derive(Debug)]
pub(super) enum Failed {
    /// The browser has closed the connection, or sends nothing.
    Closed,
    /// What came is no request that is understood here.
    Bad(&'static str),
}

impl From<io::Error> for Failed {
    fn from(_: io::Error) -> Self {
        Failed::Closed
    }
}

impl Request {
    /// Reads the next one. `read` has what came behind the one before.
    pub(super) fn read(from: &mut impl Read, read: &mut Vec<u8>) -> Result<Request, Failed> {
        loop {
            let mut headers = [httparse::EMPTY_HEADER; HEADERS];
            let mut parsed = httparse::Request::new(&mut headers);
            match parsed.parse(read) {
                Ok(httparse::Status::Complete(length)) => {
                    let request = Request {
                        method: parsed.method.unwrap_or_default().to_owned(),
                        target: parsed.path.unwrap_or_default().to_owned(),
                        headers: parsed
                            .headers
                            .iter()
                            .map(|h| {
                                (h.name.to_lowercase(), String::from_utf8_lossy(h.value).trim().to_owned())
                            })
                            .collect(),
                    };
                    read.drain(..length);
                    let has_body = request.header("content-length").is_some_and(|length| length != "0");
                    if has_body || request.header("transfer-encoding").is_some() {
                        return Err(Failed::Bad("No request with a body is taken here."));
                    }
                    return Ok(request);
                }
                Ok(httparse::Status::Partial) if read.len() >= LARGEST => {
                    return Err(Failed::Bad("The request is too long."));
                }
                Ok(httparse::Status::Partial) => {}
                Err(_) => return Err(Failed::Bad("This is no request of a browser.")),
            }
            let mut piece = [0; 2 << 10];
            match from.read(&mut piece)? {
                0 => return Err(Failed::Closed),
                length => read.extend_from_slice(&piece[..length]),
            }
        }
    }

    /// A header that is there once. Where it is there twice, none can be trusted.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.headers.iter().filter(|(known, _)| known == name);
        match (all.next(), all.next()) {
            (Some((_, value)), None) => Some(value),
            _ => None,
        }
    }

    /// The path, without what is behind a `?`.
    pub(super) fn path(&self) -> &str {
        self.target.split_once('?').map_or(&self.target, |(path, _)| path)
    }

    /// Of `?name=value&…`, the value. Nothing in it is decoded: what is asked for here consists of digits and commas.
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        let (_, query) = self.target.split_once('?')?;
        query.split('&').filter_map(|pair| pair.split_once('=')).find(|(n, _)| *n == name).map(|(_, v)| v)
    }

    /// The numbers of such a value: `0,3`.
    pub(super) fn numbers<T: std::str::FromStr>(&self, name: &str) -> Vec<T> {
        self.query(name).unwrap_or_default().split(',').filter_map(|number| number.parse().ok()).collect()
    }
}

/// What is replied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) kind: &'static str,
    pub(super) body: Vec<u8>,
}

/// What a browser may do with the page: run the scripts that come from here and ask here, and nothing else. It is kept nowhere,
/// shown in no other page, and its address, which has the token, is given to nobody.
const ALWAYS: &str = "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
     img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n\
     X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\nCache-Control: no-store\r\n\
     Cross-Origin-Resource-Policy: same-origin\r\nCross-Origin-Opener-Policy: same-origin\r\n";

impl Response {
    pub(super) fn new(kind: &'static str, body: impl Into<Vec<u8>>) -> Response {
        Response { status: 200, kind, body: body.into() }
    }

    /// A sentence for a person.
    pub(super) fn sentence(status: u16, sentence: impl Into<String>) -> Response {
        let body = (sentence.into() + "\n").into_bytes();
        Response { status, kind: "text/plain; charset=utf-8", body }
    }

    /// There is nothing new.
    pub(super) fn nothing_new() -> Response {
        Response { status: 204, kind: "text/plain; charset=utf-8", body: Vec::new() }
    }

    /// Writes it; `last` if the connection is closed then.
    pub(super) fn write(&self, to: &mut impl Write, last: bool) -> io::Result<()> {
        let Response { status, kind, body } = self;
        let reason = match status {
            200 => "OK",
            204 => "No Content",
            400 => "Bad Request",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            409 => "Conflict",
            421 => "Misdirected Request",
            503 => "Service Unavailable",
            _ => "Internal Server Error",
        };
        let connection = if last { "close" } else { "keep-alive" };
        let mut head = format!("HTTP/1.1 {status} {reason}\r\n{ALWAYS}Connection: {connection}\r\n");
        if *status == 405 {
            head += "Allow: GET, POST\r\n";
        }
        if *status != 204 {
            head += &format!("Content-Type: {kind}\r\nContent-Length: {}\r\n", body.len());
        }
        head += "\r\n";
        // In one piece where it is small: a second packet would wait for the first one's receipt.
        let mut whole = head.into_bytes();
        if body.len() <= 64 << 10 {
            whole.extend_from_slice(body);
            return to.write_all(&whole);
        }
        to.write_all(&whole)?;
        to.write_all(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_come_one_after_another_in_pieces_of_any_size() {
        let text =
            b"GET /t/live?streams=0,3&x= HTTP/1.1\r\nHost: localhost:1\r\n\r\nPOST /t/pause HTTP/1.1\r\n\
            Host: a\r\nHost: b\r\nContent-Length: 0\r\n\r\n";
        struct Pieces<'a>(&'a [u8]);
        impl Read for Pieces<'_> {
            fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
                let length = self.0.len().min(3);
                to[..length].copy_from_slice(&self.0[..length]);
                self.0 = &self.0[length..];
                Ok(length)
            }
        }
        let (mut from, mut read) = (Pieces(text), Vec::new());
        let first = Request::read(&mut from, &mut read).unwrap();
        assert_eq!((first.path(), first.numbers::<u64>("streams")), ("/t/live", vec![0, 3]));
        assert_eq!((first.header("host"), first.query("y")), (Some("localhost:1"), None));
        let second = Request::read(&mut from, &mut read).unwrap();
        assert_eq!((second.method.as_str(), second.header("host")), ("POST", None), "which of the two?");
        assert!(matches!(Request::read(&mut from, &mut read), Err(Failed::Closed)));
    }

    #[test]
    fn what_is_no_request_is_refused_within_bounds() {
        let refused = |text: &[u8]| match Request::read(&mut &text[..], &mut Vec::new()) {
            Err(Failed::Bad(why)) => why,
            other => panic!("{other:?}"),
        };
        assert!(refused(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n").contains("no request"), "TLS");
        assert!(refused(b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n").contains("body"));
        let endless = [b"GET / HTTP/1.1\r\nX: ".to_vec(), vec![b'x'; 1 << 20]].concat();
        let mut read = Vec::new();
        assert!(matches!(Request::read(&mut &endless[..], &mut read), Err(Failed::Bad(_))));
        assert!(read.len() <= LARGEST + (2 << 10), "{}", read.len());
    }
}
