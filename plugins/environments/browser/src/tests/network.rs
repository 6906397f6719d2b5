//! What pages reach of this machine and its network, and what they do not.
use super::*;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A server on a free port of every address of this machine that nobody is to reach: how often somebody did, by TCP and UDP.
fn forbidden() -> (u16, Arc<AtomicUsize>) {
    let reached = Arc::new(AtomicUsize::new(0));
    let listener = TcpListener::bind("[::]:0").or_else(|_| TcpListener::bind("0.0.0.0:0")).unwrap();
    let port = listener.local_addr().unwrap().port();
    let datagrams = UdpSocket::bind(SocketAddr::from(([127, 0, 0, 1], port))).unwrap();
    let count = Arc::clone(&reached);
    thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            count.fetch_add(1, Ordering::Relaxed);
            let _ = connection.write_all(
                b"HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            );
        }
    });
    let count = Arc::clone(&reached);
    thread::spawn(move || {
        while datagrams.recv(&mut [0; 2048]).is_ok() {
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    (port, reached)
}

/// Tries every way that a page has, and calls `directScore` when all of them came to something.
const TRIES: &str = "
    const at = ['127.0.0.1', 'localhost', '[::1]', '0.0.0.0', '127.1', '2130706433', 'a.localhost', '[::ffff:127.0.0.1]', HOST]
        .map(host => host + ':' + PORT);
    const tries = [];
    for (const host of at) {
        for (const kind of ['http://', 'https://']) {
            tries.push(fetch(kind + host, { mode: 'no-cors' }));
            tries.push(new Promise(r => { const i = new Image; i.onload = i.onerror = r; i.src = kind + host + '/i.png' }));
        }
        tries.push(new Promise(r => { const w = new WebSocket('ws://' + host); w.onopen = w.onerror = r }));
        navigator.sendBeacon('http://' + host, 'x');
        const f = document.createElement('iframe');
        tries.push(new Promise(r => { f.onload = r; setTimeout(r, 2000) }));
        f.src = 'http://' + host; document.body.append(f);
    }
    tries.push(fetch('/away', { mode: 'no-cors' }));
    const worker = new Worker(URL.createObjectURL(new Blob(['fetch(\"http://' + at[0] + '\", {mode:\"no-cors\"}).finally(() => postMessage(0))'])));
    tries.push(new Promise(r => { worker.onmessage = r }));
    const turn = ['udp', 'tcp'].map(t => ({ urls: 'turn:' + at[0] + '?transport=' + t, username: 'a', credential: 'b' }));
    const peer = new RTCPeerConnection({ iceServers: [{ urls: 'stun:' + at[0] }, ...turn] });
    peer.createDataChannel('a');
    peer.createOffer().then(o => peer.setLocalDescription(o));
    tries.push(new Promise(r => setTimeout(r, 3000)));
    try { new WebTransport('https://' + at[0]).ready.catch(() => {}) } catch {}
    Promise.allSettled(tries).then(() => directScore(0.5));";

#[test]
fn pages_do_not_reach_this_machine_unless_they_may() {
    let Some(_turn) = turn() else { return };
    let (port, reached) = forbidden();
    // An address of this machine that is in no special range, or may not be.
    let own =
        UdpSocket::bind("0.0.0.0:0").and_then(|s| s.connect("192.0.2.1:9").and_then(|()| s.local_addr()));
    let own = own.map_or("127.0.0.2".to_owned(), |address| address.ip().to_string());
    let tries = TRIES.replace("PORT", &port.to_string()).replace("HOST", &format!("'{own}'"));
    let body = format!("<body style='background:#00f'><script>{tries}</script>");
    let pages = Vec::leak(vec![
        ("/", body),
        ("/away", format!("location:http://127.0.0.1:{port}/")),
        ("/green", GREEN.to_owned()),
        ("/leave", format!("location:http://localhost:{port}/")),
    ]);
    let root = serve(pages);
    let mut browser = open(Options { local_network: true, ..options(&root) });
    until(&mut browser, "everything was tried", |_, seen| !seen.rewards.is_empty());
    let allowed = reached.load(Ordering::Relaxed);
    assert!(allowed > 20, "the tries do reach it where they may: {allowed}");
    drop(browser);

    eventually("what was on its way has come", || {
        let before = reached.load(Ordering::Relaxed);
        thread::sleep(Duration::from_secs(1));
        reached.load(Ordering::Relaxed) == before
    });
    reached.store(0, Ordering::Relaxed);
    let mut browser = open(options(&root));
    until(&mut browser, "everything was tried", |_, seen| !seen.rewards.is_empty());
    assert_eq!(reached.load(Ordering::Relaxed), 0);
    // By itself or by a redirect, a page that goes there is brought back.
    for away in [format!("http://127.0.0.1:{port}/"), "/leave".to_owned()] {
        browser.streams[0].reset_backoff();
        let before = recoveries(&browser);
        browser.streams[0].tab.evaluate(&format!("location = '{away}'; 0")).unwrap();
        until(&mut browser, &away, |browser, _| recoveries(browser) > before);
        until(&mut browser, "home", |browser, seen| is_blue(middle(browser, seen)));
    }
    assert_eq!(reached.load(Ordering::Relaxed), 0);
    let gate = browser.supervision.gate.as_ref().unwrap();
    let url = url::Url::parse("http://localhost/").unwrap();
    assert!(gate.failure(&url).unwrap().contains("local_network"));
}
