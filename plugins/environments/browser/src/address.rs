//! What may stand for a page in the option `url`: a page that comes along, an address, a folder or a file.
use crate::bundled;
use efference_sdk::{Error, Result};
use std::path::{Path, PathBuf};
use url::{Host, Url};

/// Folders that are served, each at an address of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Folders(pub(crate) Vec<PathBuf>);

impl Folders {
    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The host name of a folder. Names below `localhost` never leave the machine (RFC 6761).
    fn host(number: usize) -> String {
        format!("folder-{number}.localhost")
    }

    /// The folder that a host name stands for.
    pub(crate) fn find(&self, host: &str) -> Option<&Path> {
        let number = host.strip_prefix("folder-")?.strip_suffix(".localhost")?;
        self.0.get(number.parse::<usize>().ok()?).map(PathBuf::as_path)
    }

    /// The address of a file in a folder.
    pub(crate) fn url(&mut self, folder: PathBuf, file: &str) -> Result<Url> {
        let number = self.0.iter().position(|known| *known == folder).unwrap_or_else(|| {
            self.0.push(folder);
            self.0.len() - 1
        });
        let mut url = Url::parse(&format!("http://{}/", Self::host(number)))?;
        url.set_path(file);
        Ok(url)
    }
}

/// The address of a page, as the browser gets it.
pub(crate) fn parse(text: &str, folders: &mut Folders) -> Result<Url> {
    if let Some(url) = bundled::address(text)? {
        return Ok(url);
    }
    // Before it is taken for an address: `localhost:8000` would be one of a scheme `localhost`.
    if has_port(text) {
        return web(text, &format!("http://{text}"));
    }
    if Path::new(text).exists() {
        return served(text, Path::new(text), folders);
    }
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => web(text, text),
        Ok(url) if url.scheme() == "file" => match url.to_file_path() {
            Ok(path) => served(text, &path, folders),
            Err(()) => Err(Error::msg(format!("url = {text:?} names no file of this machine"))),
        },
        Ok(url) => Err(Error::msg(format!(
            "url = {text:?}: only http and https pages, folders and files can be opened, not '{}:'",
            url.scheme()
        ))),
        Err(_) if is_this_machine(text) => web(text, &format!("http://{text}")),
        Err(_) if looks_like_a_path(text) => Err(Error::msg(format!(
            "url = {text:?}: there is no such folder or file here, in {}; if it is an address, write it in full, like \
             \"https://example.org/\"",
            std::env::current_dir().unwrap_or_default().display()
        ))),
        Err(_) => Err(Error::msg(format!(
            "url = {text:?} is no address, and there is no such folder or file; write an address in full, like \
             \"https://example.org/\", or \"bundled\""
        ))),
    }
}

fn web(text: &str, address: &str) -> Result<Url> {
    let url = Url::parse(address);
    url.map_err(|e| Error::msg(e).context(format!("url = {text:?} is no address that can be opened")))
}

/// What stands before the path.
fn authority(text: &str) -> &str {
    text.split(['/', '?', '#']).next().unwrap_or_default()
}

/// Whether it begins as `host:8000`.
fn has_port(text: &str) -> bool {
    authority(text).rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit())
    })
}

/// Whether it begins with a name or number of a machine that nobody would write a scheme before.
fn is_this_machine(text: &str) -> bool {
    let host = authority(text);
    host == "localhost" || matches!(Host::parse(host), Ok(Host::Ipv4(_) | Host::Ipv6(_)))
}

fn looks_like_a_path(text: &str) -> bool {
    text.contains('/') || [".html", ".htm", ".svg"].iter().any(|end| text.ends_with(end))
}

/// The address at which a folder or a file is served.
fn served(text: &str, path: &Path, folders: &mut Folders) -> Result<Url> {
    let found = path.canonicalize().map_err(|e| {
        Error::from(e)
            .context(format!("url = {text:?}: the folder or file {} cannot be opened", path.display()))
    })?;
    if found.is_dir() {
        if !found.join("index.html").is_file() {
            return Err(Error::msg(format!(
                "url = {text:?}: the folder {} has no index.html; name a page in it",
                found.display()
            )));
        }
        return folders.url(found, "");
    }
    let (Some(folder), Some(name), true) = (found.parent(), found.file_name(), found.is_file()) else {
        return Err(Error::msg(format!(
            "url = {text:?}: {} is neither a folder nor a file",
            found.display()
        )));
    };
    let Some(name) = name.to_str() else {
        return Err(Error::msg(format!("url = {text:?}: the file's name is no UTF-8")));
    };
    folders.url(folder.to_owned(), name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Result<String> {
        parse(text, &mut Folders::default()).map(String::from)
    }

    fn refused(text: &str) -> String {
        format!("{:#}", address(text).expect_err(text))
    }

    #[test]
    fn addresses_are_understood_as_people_write_them() {
        for (text, url) in [
            ("bundled", bundled::ROOT),
            ("HTTP://example.org", "http://example.org/"),
            ("localhost:8000", "http://localhost:8000/"),
            ("localhost:8000/page?a=1", "http://localhost:8000/page?a=1"),
            ("localhost", "http://localhost/"),
            ("localhost/page", "http://localhost/page"),
            ("127.0.0.1:8000", "http://127.0.0.1:8000/"),
            ("127.0.0.1/x", "http://127.0.0.1/x"),
            ("[::1]:8000/x", "http://[::1]:8000/x"),
            ("example.org:8080", "http://example.org:8080/"),
        ] {
            assert_eq!(address(text).unwrap(), url, "{text}");
        }
        for text in
            ["chrome://crash", "javascript:alert(1)", "data:text/html,x", "about:blank", "ftp://a.org"]
        {
            assert!(refused(text).contains("only http and https"), "{}", refused(text));
        }
        assert!(refused("example.org").contains("write an address in full"));
        assert!(refused("localhost:99999").contains("invalid port number"), "{}", refused("localhost:99999"));
    }

    #[test]
    fn folders_and_files_are_addresses_too() {
        let folder = std::env::temp_dir().join(format!("efference address {}", std::process::id()));
        std::fs::create_dir_all(folder.join("empty")).unwrap();
        std::fs::write(folder.join("index.html"), "").unwrap();
        std::fs::write(folder.join("a b.html"), "").unwrap();
        let text = |path: &str| folder.join(path).to_str().unwrap().to_owned();
        let mut folders = Folders::default();
        for (path, url) in [
            (text(""), "http://folder-0.localhost/"),
            (text("a b.html"), "http://folder-0.localhost/a%20b.html"),
            (
                Url::from_file_path(folder.join("a b.html")).unwrap().into(),
                "http://folder-0.localhost/a%20b.html",
            ),
        ] {
            assert_eq!(parse(&path, &mut folders).unwrap().as_str(), url);
        }
        assert_eq!(folders.find("folder-0.localhost"), Some(&*folder.canonicalize().unwrap()));
        assert_eq!(folders.find("folder-1.localhost"), None);
        assert!(refused(&text("empty")).contains("has no index.html"));
        assert!(refused(&text("none.html")).contains("no such folder or file"));
        assert!(refused("pages/none").contains("no such folder or file here"));
        assert!(refused("file:///nowhere/x.html").contains("cannot be opened"));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
