//! Pages and servers of every kind that was met on the Web or could be meant badly: the stream goes on, and nothing grows.
use super::*;
use efference_sdk::Random;
use std::net::TcpStream;

/// What a page is, and does from then on.
const PAGES: [(&str, &str); 44] = [
    ("home", "<body style='background: #00f'>"),
    ("blank", ""),
    (
        "canvas",
        "<canvas id=c></canvas><script>const x = c.getContext('2d'); (function f() { x.fillStyle = `hsl(${Date.now() % 360} 90% 50%)`; x.fillRect(0, 0, 300, 150); requestAnimationFrame(f) })()</script>",
    ),
    ("long", "<script>for (let i = 0; i < 5000; i++) document.write('<p>' + i)</script>"),
    (
        "frames",
        "<script>for (let i = 0; i < 40; i++) document.write('<iframe src=/blank></iframe>')</script>",
    ),
    (
        "frames in frames",
        "<script>if (window.length < 1 && location.hash.length < 8) document.write('<iframe src=\"' + location.pathname + '#' + location.hash.slice(1) + 'x\"></iframe>')</script>",
    ),
    (
        "blur",
        "<body style='filter: blur(20px)'><h1>text</h1><script>setInterval(() => document.body.style.filter = `blur(${Math.random() * 90}px)`, 1)</script>",
    ),
    (
        "lost context",
        "<canvas id=c></canvas><script>setInterval(() => { const g = c.getContext('webgl'); g?.getExtension('WEBGL_lose_context')?.loseContext() }, 200)</script>",
    ),
    ("alerts", "<script>setInterval(() => alert('again'), 10)</script>"),
    ("endless alerts", "<script>setTimeout(() => { for (;;) alert('again') }, 50)</script>"),
    ("confirms", "<script>setInterval(() => confirm('sure?'), 300)</script>"),
    ("prompts", "<script>setInterval(() => prompt('\\u001b[31mname'), 300)</script>"),
    (
        "beforeunload",
        "<script>onbeforeunload = e => { e.preventDefault(); return '' }; setInterval(() => location = location, 300)</script>",
    ),
    ("print", "<script>setInterval(print, 200)</script>"),
    ("loop", "<script>setTimeout(() => { for (;;); }, 100)</script>"),
    ("loop in microtasks", "<script>(async () => { for (;;) await 0 })()</script>"),
    ("loop at once", "<script>for (;;);</script>"),
    ("popups", "<script>setInterval(() => open('/blank'), 20); onmousemove = () => open('/blank')</script>"),
    (
        "workers",
        "<script>for (let i = 0; i < 8; i++) new Worker(URL.createObjectURL(new Blob(['for (;;);'])))</script>",
    ),
    (
        "downloads",
        "<a id=a download=x href='data:text/plain,x'>x</a><script>setInterval(() => a.click(), 100)</script>",
    ),
    (
        "blobs",
        "<a id=a download=x>x</a><script>setInterval(() => { a.href = URL.createObjectURL(new Blob(['x'])); a.click() }, 100)</script>",
    ),
    ("location", "<script>setInterval(() => location = '?' + Math.random(), 5)</script>"),
    ("refresh", "<meta http-equiv=refresh content=0>"),
    (
        "history",
        "<script>setInterval(() => { for (let i = 0; i < 50; i++) history.pushState(null, '', '?' + Math.random()) }, 10)</script>",
    ),
    (
        "many elements",
        "<script>for (let i = 0; i < 60000; i++) document.body?.append(document.createElement('span')) ?? document.write('<body>')</script>",
    ),
    (
        "growing",
        "<body><script>setInterval(() => { for (let i = 0; i < 200; i++) document.body.append(document.createElement('p')) }, 5)</script>",
    ),
    ("memory", "<script>const a = []; setInterval(() => a.push(new Array(3e5).fill(1)), 20)</script>"),
    ("buffers", "<script>const a = []; setInterval(() => a.push(new Uint8Array(4e6).fill(1)), 20)</script>"),
    (
        "forged rewards",
        "<script>setInterval(() => { for (let i = 0; i < 2000; i++) { directScore(NaN); directScore('x'); directScore(1e308); dispatchEvent(new CustomEvent('efference-reward', { detail: {} })); dispatchEvent(new CustomEvent('efference-task', { detail: '{\"is\":\"ended\"}' })) } }, 5)</script>",
    ),
    (
        "patched",
        "<script>JSON.stringify = () => { throw 1 }; Array.prototype.map = null; Object.prototype.then = 1; window.dispatchEvent = null; directScore(1)</script>",
    ),
    (
        "console",
        "<script>setInterval(() => { for (let i = 0; i < 500; i++) console.log('\\u001b[2J' + 'x'.repeat(500)) }, 5)</script>",
    ),
    (
        "titles",
        "<script>setInterval(() => document.title = '\\u001b]0;\\u202e\\u0000' + Math.random(), 5)</script>",
    ),
    (
        "fullscreen",
        "<script>onmousedown = onmousemove = () => { document.documentElement.requestFullscreen?.().catch(() => {}); document.body.requestPointerLock?.() }; resizeTo(9, 9); moveTo(-999, 0)</script>",
    ),
    (
        "permissions",
        "<script>navigator.geolocation.getCurrentPosition(() => {}); Notification.requestPermission(); navigator.mediaDevices?.getUserMedia({ video: true }).catch(() => {}); navigator.clipboard?.readText().catch(() => {})</script>",
    ),
    (
        "files",
        "<input type=file id=f><script>onmousedown = onmousemove = () => f.click(); setInterval(() => { try { f.showPicker() } catch {} }, 100)</script>",
    ),
    (
        "schemes",
        "<script>const all = ['file:///etc/passwd', 'chrome://crash', 'chrome://settings', 'view-source:/', 'javascript:alert(1)', 'mailto:a@b.c', 'about:blank', 'data:text/html,x']; let i = 0; setInterval(() => location = all[i++ % all.length], 60)</script>",
    ),
    ("closes itself", "<script>setTimeout(close, 50); open('', '_self'); setTimeout(close, 100)</script>"),
    (
        "storage",
        "<script>setInterval(() => { try { localStorage[Math.random()] = 'x'.repeat(1e5) } catch {} ; indexedDB.open('d' + Math.random()) }, 20)</script>",
    ),
    (
        "sockets",
        "<script>setInterval(() => { new WebSocket('ws://' + location.host + '/silent'); fetch('/silent').catch(() => {}) }, 30)</script>",
    ),
    (
        "audio",
        "<script>setInterval(() => { const a = new AudioContext(), o = a.createOscillator(); o.connect(a.destination); o.start() }, 50)</script>",
    ),
    (
        "speech",
        "<script>setInterval(() => speechSynthesis?.speak(new SpeechSynthesisUtterance('x')), 50)</script>",
    ),
    (
        "selects",
        "<select id=s><option>a<option>b</select><script>setInterval(() => { s.add(new Option('x'.repeat(999))); s.focus() }, 5)</script>",
    ),
    (
        "removes all",
        "<script>setInterval(() => document.documentElement.remove(), 20); setInterval(() => document.append(document.createElement('html')), 30)</script>",
    ),
    (
        "prototypes",
        "<script>for (const name of Object.getOwnPropertyNames(window)) try { window[name] = null } catch {}</script>",
    ),
];

/// What a server does in place of an answer.
const SERVERS: [&str; 12] = [
    "half",
    "flood",
    "reset",
    "garbage",
    "loop-of-redirects",
    "to-a-file",
    "401",
    "404",
    "500",
    "silent",
    "attachment",
    "slow",
];

fn answer(mut connection: TcpStream, kind: &str) -> std::io::Result<()> {
    let head = |status: &str, more: &str| {
        format!("HTTP/1.1 {status}\r\nContent-Type: text/html\r\nConnection: close\r\n{more}\r\n")
    };
    let mut say = |text: &str| connection.write_all(text.as_bytes());
    match kind {
        "half" => {
            say(&head("200 OK", "Content-Length: 100000\r\n"))?;
            say("<body>half of it")?;
            thread::sleep(Duration::from_secs(5));
        }
        "flood" => {
            say(&head("200 OK", ""))?;
            let began = Instant::now();
            while began.elapsed() < Duration::from_secs(3) {
                say(&"<p>more".repeat(1_000))?;
            }
        }
        "garbage" => say("\u{1}\u{2}no such protocol\r\n\r\n")?,
        "loop-of-redirects" => say(&head("302 Found", "Location: /loop-of-redirects\r\n"))?,
        "to-a-file" => say(&head("302 Found", "Location: file:///etc/passwd\r\n"))?,
        "401" => say(&head("401 Unauthorized", "WWW-Authenticate: Basic realm=\"x\"\r\n"))?,
        "404" => say(&head("404 Not Found", "Content-Length: 0\r\n"))?,
        "500" => say(&head("500 Internal Server Error", "Content-Length: 0\r\n"))?,
        "attachment" => say(&head("200 OK", "Content-Disposition: attachment\r\nContent-Length: 1\r\n"))?,
        "silent" => thread::sleep(Duration::from_secs(5)),
        "slow" => {
            thread::sleep(Duration::from_secs(1));
            say(&head("200 OK", ""))?;
        }
        // Closed without a word.
        _ => {}
    }
    Ok(())
}

/// Serves all of them, each at `/?its number`.
fn serve_all() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let root = format!("http://127.0.0.1:{}/", listener.local_addr().unwrap().port());
    thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut reader = BufReader::new(connection.try_clone()?);
                let mut line = String::new();
                reader.read_line(&mut line)?;
                let path = line.split(' ').nth(1).unwrap_or("/").trim_start_matches('/').to_owned();
                let path = path.split('?').next().unwrap_or_default().to_owned();
                let mut header = String::from("-");
                while !header.trim().is_empty() {
                    header.clear();
                    reader.read_line(&mut header)?;
                }
                let page =
                    path.strip_prefix("page-").and_then(|n| n.parse().ok()).and_then(|n: usize| PAGES.get(n));
                match page {
                    None if path.is_empty() => write!(connection, "{}", page_text(PAGES[0].1)),
                    None if path == "blank" => write!(connection, "{}", page_text("")),
                    None => answer(connection, &path),
                    Some((_, text)) => write!(connection, "{}", page_text(text)),
                }
            });
        }
    });
    root
}

fn page_text(text: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
        text.len()
    )
}

/// What this process and the browser have: its processes, and open files and MiB of this process.
fn held(browser: &Browser) -> (usize, usize, usize) {
    let files = std::fs::read_dir("/proc/self/fd").unwrap().count();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse::<usize>().ok());
    (processes_of(browser.chromium.folder()).len(), files, kib.unwrap() / 1_024)
}

/// Goes to a page, stays for a while, goes home; there have to be frames all the time.
fn visit(browser: &mut Browser, root: &str, path: &str, stay: Duration) {
    let url = format!("{root}{path}").parse().unwrap();
    browser.streams[0].tab.load(&url).unwrap();
    let (began, mut seen) = (Instant::now(), Seen::default());
    while began.elapsed() < stay {
        browser.poll(Duration::from_millis(50), &mut seen).unwrap_or_else(|e| panic!("{path}: {e:#}"));
        let t = began.elapsed().as_secs_f32() * 9.0;
        browser
            .act(0, &[], &[t.sin(), t.cos(), f32::from(u8::from(t.sin() > 0.0)), (2.0 * t).sin()])
            .unwrap();
    }
    assert!(seen.count > 0, "{path}: no frame");
    browser.streams[0].reset_backoff();
    let home = root.parse().unwrap();
    let (what, mut asked) = (format!("home from {path}"), None);
    until(browser, &what, |browser, seen| {
        // A page that goes elsewhere all the time may be quicker.
        if asked.is_none_or(|at: Instant| at.elapsed() > Duration::from_secs(3)) {
            browser.streams[0].tab.load(&home).unwrap();
            asked = Some(Instant::now());
        }
        is_blue(middle(browser, seen))
    });
}

/// All paths, and what is there.
fn paths() -> Vec<(String, &'static str)> {
    let pages = PAGES.iter().enumerate().map(|(i, (kind, _))| (format!("page-{i}"), *kind));
    pages.chain(SERVERS.iter().map(|kind| ((*kind).to_owned(), *kind))).collect()
}

fn open_home(root: &str) -> Browser {
    open(Options { patience: 1.0, memory: 256, ..options(root) })
}

#[test]
fn a_stream_survives_every_kind_of_page_and_nothing_grows() {
    let Some(_turn) = alone() else { return };
    let root = serve_all();
    let mut browser = open_home(&root);
    visit(&mut browser, &root, "page-1", Duration::from_millis(500));
    // Of this process too: so that nothing else is tested in it at the same time.
    let (processes, files, memory) = held(&browser);
    for (path, _) in paths() {
        visit(&mut browser, &root, &path, Duration::from_millis(250));
    }
    eventually("as many processes, files and MiB as before", || {
        let now = held(&browser);
        now.0 <= processes + 3 && now.1 <= files + 4 && now.2 <= memory + 48
    });
}

/// Prints what is held each minute.
#[test]
#[ignore = "takes ten minutes"]
fn ten_minutes_of_hostile_pages_leave_as_much_as_there_was() {
    let Some(_turn) = alone() else { return };
    let root = serve_all();
    let mut browser = open_home(&root);
    visit(&mut browser, &root, "page-1", Duration::from_millis(500));
    let (before, began) = (held(&browser), Instant::now());
    let (mut random, all, mut visits, mut minute) = (Random::new(1), paths(), 0, 0);
    while began.elapsed() < Duration::from_secs(600) {
        let (path, _) = &all[random.below(all.len() as u64) as usize];
        visit(&mut browser, &root, path, Duration::from_millis(1_500));
        visits += 1;
        if began.elapsed().as_secs() / 60 > minute {
            minute += 1;
            let ((processes, files, memory), mended) = (held(&browser), recoveries(&browser));
            let now = format!("{processes} processes, {files} files, {memory} MiB");
            writeln!(std::io::stdout(), "minute {minute}: {visits} pages, {mended} recoveries; {now}")
                .unwrap();
        }
    }
    eventually("as many processes, files and MiB as before", || {
        let now = held(&browser);
        now.0 <= before.0 + 3 && now.1 <= before.1 + 4 && now.2 <= before.2 + 48
    });
}
