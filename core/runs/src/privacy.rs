//! What is nobody's business: who signs in to a URL, and what is asked there.
//!
//! In `scheme://user:token@host/path?key=value#part` the user info and the query often are secrets. In what a run records they
//! are masked (`scheme://…@host/path?…#part`); a file that can't be used without them is for its owner alone.

/// What stands in the place of a secret.
const MASK: &str = "…";

/// The text without user info and queries of URLs.
pub fn masked(text: &str) -> String {
    let mut to = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        to.push_str(before);
        rest = after;
        let scheme = before[..at].ends_with(|c: char| c.is_ascii_alphanumeric());
        if scheme {
            let length = rest.find(ends_url).unwrap_or(rest.len());
            push_masked(&mut to, &rest[..length]);
            rest = &rest[length..];
        }
    }
    to.push_str(rest);
    to
}

/// Whether there is something to mask.
pub fn has_secret(text: &str) -> bool {
    masked(text) != text
}

/// What comes after the scheme.
fn push_masked(to: &mut String, url: &str) {
    let authority = url.find(['/', '?', '#', '\\']).unwrap_or(url.len());
    let (authority, path) = url.split_at(authority);
    match authority.rsplit_once('@') {
        Some((_, host)) => {
            to.push_str(MASK);
            to.push('@');
            to.push_str(host);
        }
        None => to.push_str(authority),
    }
    let (path, fragment) = path.split_at(path.find('#').unwrap_or(path.len()));
    match path.split_once('?') {
        Some((path, query)) if !query.is_empty() => {
            to.push_str(path);
            to.push('?');
            to.push_str(MASK);
        }
        _ => to.push_str(path),
    }
    to.push_str(fragment);
}

/// What no URL has in it, as it stands in texts, TOML and JSON.
fn ends_url(c: char) -> bool {
    c.is_whitespace() || c.is_control() || matches!(c, '"' | '\'' | '<' | '>' | '`' | '|' | '^' | '…')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_info_and_queries_of_urls_are_masked_and_nothing_else() {
        for (text, without) in [
            ("url = \"https://me:tok@en@host:80/a?b=c&d#e\" # x", "url = \"https://…@host:80/a?…#e\" # x"),
            ("environment.url=http://t0ken@host", "environment.url=http://…@host"),
            ("ws://host?key=1, and wss://a@b/", "ws://host?… and wss://…@b/"),
            ("['http://a:b@c/', 'https://d/?e']", "['http://…@c/', 'https://d/?…']"),
            ("https://host/path@v1", "https://host/path@v1"),
            ("://a@b, what? a@b.c http:// ? file:///tmp/a", "://a@b, what? a@b.c http:// ? file:///tmp/a"),
            ("{\"a\":\"https://ü:é@host/\"}", "{\"a\":\"https://…@host/\"}"),
            ("http://", "http://"),
        ] {
            assert_eq!(masked(text), without);
            assert_eq!(masked(without), without, "once is enough");
            assert_eq!(has_secret(text), text != without);
        }
    }
}
