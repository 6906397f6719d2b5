//! Who may ask: whoever knows the token, by an address of this machine.
//!
//! The page is reached by loopback alone, which every program and every page in a browser of this machine can do. The token keeps
//! other users' programs out; that the host is named as loopback keeps out a page whose own name leads here (DNS rebinding).
use super::http::{Request, Response};
use std::fs::File;
use std::io::{self, Read};
use subtle::ConstantTimeEq;

/// A secret of 128 bits, as 32 hexadecimal digits.
#[derive(Clone)]
pub(super) struct Token(String);

impl Token {
    /// A new one, of the system's random numbers.
    pub(super) fn new() -> io::Result<Token> {
        let mut bytes = [0; 16];
        File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        Ok(Token(bytes.iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    pub(super) fn text(&self) -> &str {
        &self.0
    }

    /// How long that takes does not tell how much of it is right.
    fn is(&self, said: &str) -> bool {
        self.0.as_bytes().ct_eq(said.as_bytes()).into()
    }

    /// Checks a request; returns what it asks for: the path behind the token.
    pub(super) fn admit<'a>(&self, request: &'a Request) -> Result<&'a str, Response> {
        let host = request.header("host").unwrap_or_default();
        if !is_loopback(host) {
            let why = "This page is shown to this machine alone: open it by 127.0.0.1 or localhost.";
            return Err(Response::sentence(421, why));
        }
        if !matches!(request.method.as_str(), "GET" | "POST") {
            return Err(Response::sentence(405, "Only GET and POST are understood here."));
        }
        let path = request.path().strip_prefix('/').unwrap_or_default();
        let (token, asked) = path.split_once('/').unwrap_or((path, ""));
        if !self.is(token) {
            let why = "This is not the whole address: it has a token behind the port. Open the address as efference printed \
                 it; each start of a view has a new one.";
            return Err(Response::sentence(403, why));
        }
        let foreign = request.header("origin").is_some_and(|origin| origin != format!("http://{host}"));
        if request.method == "POST" && foreign {
            return Err(Response::sentence(403, "Another page may not steer the run."));
        }
        if path == token {
            // What the page asks for is relative to its address.
            return Err(Response::sentence(404, "The address ends with a slash behind the token."));
        }
        Ok(asked)
    }
}

/// Whether a host is named as this machine; its port may be another one, where a tunnel leads here.
fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    matches!(name.to_ascii_lowercase().as_str(), "127.0.0.1" | "localhost" | "[::1]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_a_host() {
        for good in ["127.0.0.1:8080", "localhost", "LocalHost:1", "[::1]:9", "127.0.0.1"] {
            assert!(is_loopback(good), "{good}");
        }
        for bad in
            ["", "example.org", "127.0.0.1.example.org:80", "localhost.example.org", "localhost:80x", "[::1"]
        {
            assert!(!is_loopback(bad), "{bad}");
        }
    }

    #[test]
    fn tokens_are_long_and_never_the_same() {
        let (one, other) = (Token::new().unwrap(), Token::new().unwrap());
        assert_eq!((one.text().len(), one.is(one.text())), (32, true));
        assert!(!one.is(other.text()) && !one.is(&one.text()[..31]) && !one.is(""));
    }
}
