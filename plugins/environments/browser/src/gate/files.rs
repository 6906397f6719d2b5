//! Files of a folder as a server gives them: nothing outside of it, nothing hidden, nothing that is no plain file.
use crate::gate::head::{Head, status};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};

/// What a path leads to.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    File(PathBuf),
    /// A folder, named without a slash at the end: relative addresses in its page would miss it.
    Folder,
    Nothing,
}

/// Answers a request for a file.
pub(super) fn serve(client: &mut TcpStream, head: &Head, root: &Path, path: &str) -> io::Result<()> {
    if !matches!(head.method.as_str(), "GET" | "HEAD") {
        return status(client, "405 Method Not Allowed");
    }
    let path = path.split('?').next().unwrap_or_default();
    let file = match find(root, path) {
        Found::File(file) => file,
        Found::Folder => {
            return write!(
                client,
                "HTTP/1.1 301 Moved Permanently\r\nLocation: {path}/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
        }
        Found::Nothing => return status(client, "404 Not Found"),
    };
    let mut opened = File::open(&file)?;
    let length = opened.metadata()?.len();
    let (code, from, to) = match head.header("Range").and_then(|range| part(range, length)) {
        Some((from, to)) => ("206 Partial Content", from, to),
        None => ("200 OK", 0, length),
    };
    let mut text = format!(
        "HTTP/1.1 {code}\r\nContent-Type: {}\r\nContent-Length: {}\r\nAccept-Ranges: bytes\r\nCache-Control: no-cache\r\n\
         X-Content-Type-Options: nosniff\r\nCross-Origin-Resource-Policy: same-origin\r\nConnection: close\r\n",
        content_type(&file),
        to - from
    );
    if code.starts_with("206") {
        text += &format!("Content-Range: bytes {from}-{}/{length}\r\n", to - 1);
    }
    text.push_str("\r\n");
    client.write_all(text.as_bytes())?;
    if head.method == "GET" {
        opened.seek(SeekFrom::Start(from))?;
        io::copy(&mut opened.take(to - from), client)?;
    }
    Ok(())
}

/// What a path of an address leads to.
fn find(root: &Path, path: &str) -> Found {
    let decoded = percent_decoded(path);
    let Ok(decoded) = std::str::from_utf8(&decoded) else { return Found::Nothing };
    let mut file = root.to_owned();
    for name in decoded.split('/').filter(|name| !name.is_empty()) {
        // Hidden names include `.`, `..`, and what people keep where their pages lie: `.git`, `.ssh`.
        if name.starts_with('.') || name.contains(['\0', '\\']) {
            return Found::Nothing;
        }
        file.push(name);
    }
    // Links are followed, if they stay in the folder.
    let Ok(file) = file.canonicalize() else { return Found::Nothing };
    let inside = file.strip_prefix(root);
    if !inside
        .is_ok_and(|inside| inside.components().all(|c| !c.as_os_str().as_encoded_bytes().starts_with(b".")))
    {
        return Found::Nothing;
    }
    match file.metadata() {
        Ok(found) if found.is_file() => Found::File(file),
        Ok(found) if found.is_dir() && !decoded.ends_with('/') => Found::Folder,
        Ok(found)
            if found.is_dir()
                && file
                    .join("index.html")
                    .canonicalize()
                    .is_ok_and(|i| i.starts_with(root) && i.is_file()) =>
        {
            Found::File(file.join("index.html"))
        }
        _ => Found::Nothing,
    }
}

fn percent_decoded(path: &str) -> Vec<u8> {
    let (bytes, mut decoded, mut i) = (path.as_bytes(), Vec::new(), 0);
    while let Some(byte) = bytes.get(i) {
        let code = path.get(i + 1..i + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match code {
            Some(code) if *byte == b'%' => {
                decoded.push(code);
                i += 3;
            }
            _ => {
                decoded.push(*byte);
                i += 1;
            }
        }
    }
    decoded
}

/// The first and the end of the one part that a header `Range` asks for.
fn part(range: &str, length: u64) -> Option<(u64, u64)> {
    let (from, to) = range.strip_prefix("bytes=")?.split_once('-')?;
    let (from, to) = match (from.parse::<u64>(), to.parse::<u64>()) {
        (Ok(from), Ok(last)) => (from, last.saturating_add(1).min(length)),
        (Ok(from), Err(_)) if to.is_empty() => (from, length),
        (Err(_), Ok(last)) if from.is_empty() => (length.saturating_sub(last), length),
        _ => return None,
    };
    (from < to).then_some((from, to))
}

fn content_type(file: &Path) -> &'static str {
    let ending = file.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    match ending.as_str() {
        "html" | "htm" => "text/html; charset=utf-8",
        "xhtml" => "application/xhtml+xml",
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" | "map" => "application/json",
        "xml" => "text/xml",
        "txt" | "md" | "csv" => "text/plain; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "avif" => "image/avif",
        "bmp" => "image/bmp",
        "ico" => "image/x-icon",
        "woff" => "font/woff",
        "woff2" => "font/woff2",
        "ttf" => "font/ttf",
        "otf" => "font/otf",
        "wasm" => "application/wasm",
        "mp3" => "audio/mpeg",
        "ogg" | "oga" => "audio/ogg",
        "wav" => "audio/wav",
        "flac" => "audio/flac",
        "m4a" => "audio/mp4",
        "mp4" | "m4v" => "video/mp4",
        "webm" => "video/webm",
        "ogv" => "video/ogg",
        "pdf" => "application/pdf",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn nothing_outside_of_the_folder_is_found() {
        let root = std::env::temp_dir().join(format!("efference-files-{}", std::process::id()));
        for folder in ["pages/a", "pages/.git", "outside"] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
        }
        for file in ["pages/index.html", "pages/a/b c.js", "pages/.git/config", "outside/secret"] {
            std::fs::write(root.join(file), "x").unwrap();
        }
        let pages = root.join("pages").canonicalize().unwrap();
        symlink("../outside", pages.join("link")).unwrap();
        symlink("../outside/secret", pages.join("secret")).unwrap();
        symlink("a/b c.js", pages.join("inside.js")).unwrap();
        symlink(".git", pages.join("git")).unwrap();
        for path in ["/", "/index.html", "/a/b%20c.js", "//a//b%20c.js", "/inside.js"] {
            assert!(matches!(find(&pages, path), Found::File(_)), "{path}: {:?}", find(&pages, path));
        }
        assert_eq!(find(&pages, "/a"), Found::Folder);
        for path in [
            "/a/",
            "/none",
            "/../outside/secret",
            "/%2e%2e/outside/secret",
            "/..%2foutside/secret",
            "/a/..%2f..%2foutside/secret",
            "/link/secret",
            "/secret",
            "/.git/config",
            "/git/config",
            "/index.html%00",
            "/index.html/x",
            "/%ff",
        ] {
            assert_eq!(find(&pages, path), Found::Nothing, "{path}");
        }
        std::fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn parts_of_files_are_understood() {
        for (range, expected) in [
            ("bytes=0-", Some((0, 100))),
            ("bytes=10-19", Some((10, 20))),
            ("bytes=90-900", Some((90, 100))),
            ("bytes=-5", Some((95, 100))),
            ("bytes=100-", None),
            ("bytes=0-1,5-6", None),
            ("items=0-1", None),
        ] {
            assert_eq!(part(range, 100), expected, "{range}");
        }
    }
}
