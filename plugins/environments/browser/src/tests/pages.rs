//! What pages have that a headless browser does not show, what they give, and where they come from.
use super::*;
use crate::Reward;

/// Moves the mouse of stream 0 to a pixel, and clicks there.
fn click(browser: &mut Browser, (x, y): (f64, f64)) {
    let event = |kind: &str, buttons: u8| serde_json::json!({ "type": kind, "x": x, "y": y, "button": "left", "buttons": buttons, "clickCount": 1 });
    for event in [event("mouseMoved", 0), event("mousePressed", 1), event("mouseReleased", 0)] {
        assert!(browser.streams[0].tab.input("Input.dispatchMouseEvent", &event).unwrap());
    }
}

/// The whole window as stream 0 sees it, through squares of 8 pixels; its mouse is in the middle.
fn whole(browser: &Browser, seen: &Seen, (x, y): (usize, usize)) -> [u8; 3] {
    let Some(observation) = seen.observations.get(&0) else { return [0; 3] };
    let picture = browser.picture(0, observation).unwrap().unwrap();
    let at = 3 * (y / 8 * picture.width + x / 8);
    [picture.rgb[at], picture.rgb[at + 1], picture.rgb[at + 2]]
}

#[test]
fn a_select_shows_its_options_and_one_can_be_chosen() {
    let Some(_turn) = turn() else { return };
    let root = serve(&[(
        "/",
        "<body style='margin:0; background:#0f0'>
         <select id=s style='position:absolute; left:40px; top:40px; width:200px; height:40px; font-size:30px'>
         <option>a<option disabled>no<option>b</select>
         <script>
         told = ''; for (const kind of ['input', 'change']) s.addEventListener(kind, () => { told += kind + s.value + ' ' });
         </script>",
    )]);
    let all = Options { view_width: 640, view_height: 480, shrink: 8, ..options(&root) };
    let mut browser = open(all);
    let below = |browser: &Browser, seen: &Seen, y| whole(browser, seen, (200, y));
    until(&mut browser, "only the page is there", |browser, seen| is_green(below(browser, seen, 150)));
    click(&mut browser, (100.0, 60.0));
    // The chosen row is blue, the others white.
    until(&mut browser, "the list is drawn", |browser, seen| {
        let ([r, g, b], [r2, g2, b2]) = (below(browser, seen, 100), below(browser, seen, 180));
        b > 180 && r < 90 && g < 150 && r2 > 200 && g2 > 200 && b2 > 200
    });
    // A disabled option cannot be chosen, and closes nothing.
    click(&mut browser, (100.0, 140.0));
    click(&mut browser, (100.0, 180.0));
    until(&mut browser, "b is chosen", |browser, _| {
        browser.streams[0].tab.evaluate("s.value + ':' + told").unwrap() == "b:inputb changeb "
    });
    until(&mut browser, "the list is gone", |browser, seen| is_green(below(browser, seen, 180)));
    // A second click at the select closes it, and so does one elsewhere.
    for elsewhere in [(100.0, 60.0), (500.0, 400.0)] {
        click(&mut browser, (100.0, 60.0));
        until(&mut browser, "the list is drawn", |browser, seen| !is_green(below(browser, seen, 180)));
        click(&mut browser, elsewhere);
        until(&mut browser, "the list is gone", |browser, seen| is_green(below(browser, seen, 180)));
    }
    assert_eq!(browser.streams[0].tab.evaluate("s.value + ':' + told").unwrap(), "b:inputb changeb ");
}

#[test]
fn raw_rewards_are_what_the_page_gives() {
    let Some(_turn) = turn() else { return };
    let root = serve(&[("/", "<script>setInterval(() => directScore(-1), 30)</script>")]);
    let mut browser = open(Options { reward: Reward::Raw, ..options(&root) });
    let range = browser.spaces().unwrap().unwrap().reward;
    assert_eq!((range.min, range.max), (-1e9, 1e9));
    let seen = until(&mut browser, "20 rewards", |_, seen| seen.rewards.len() >= 20);
    assert!(seen.rewards.iter().all(|reward| *reward == -1.0), "{:?}", seen.rewards);
    browser.streams[0].tab.evaluate("for (let i = 0; i < 9; i++) directScore(1e300); 0").unwrap();
    let seen =
        until(&mut browser, "a reward without measure", |_, seen| seen.rewards.iter().any(|r| *r > 0.0));
    assert!(seen.rewards.iter().all(|reward| *reward <= 1e9), "{:?}", seen.rewards);

    let mut browser = open(options(&root));
    let seen = until(&mut browser, "20 rewards", |_, seen| seen.rewards.len() >= 20);
    assert!(
        seen.rewards[1..].iter().all(|reward| *reward == 0.0),
        "always the same is no news: {:?}",
        seen.rewards
    );
}

#[test]
fn a_folder_is_served_with_all_that_its_pages_need() {
    let Some(_turn) = turn() else { return };
    let folder = std::env::temp_dir().join(format!("efference-pages-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("parts")).unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    write(
        "index.html",
        "<link rel=stylesheet href=parts/style.css><body><script type=module>
         import { answer } from './parts/module.js';
         const worker = new Worker('parts/worker.js');
         worker.onmessage = async e => {
           const hidden = (await fetch('.secret')).status, outside = (await fetch('..%2f')).status;
           window.done = [answer, e.data, hidden, outside, isSecureContext].join();
           directScore(0.5);
         };
         worker.postMessage(0);
         </script>",
    );
    write("parts/style.css", "body { background: #0f0 }");
    write("parts/module.js", "export const answer = 42;");
    write("parts/worker.js", "onmessage = async () => postMessage(await (await fetch('data.txt')).text())");
    write("parts/data.txt", "text");
    write(".secret", "secret");
    write("page.html", "<body style='background:#00f'>");
    let text = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    for local_network in [false, true] {
        let mut browser = open(Options { local_network, ..options(&text("")) });
        until(&mut browser, "the page has all of its parts", |browser, seen| {
            is_green(middle(browser, seen)) && !seen.rewards.is_empty()
        });
        assert_eq!(browser.streams[0].tab.evaluate("done").unwrap(), "42,text,404,404,true");
    }
    let mut browser = open(options(&text("page.html")));
    until(&mut browser, "a file is a page", |browser, seen| is_blue(middle(browser, seen)));
    std::fs::remove_dir_all(&folder).unwrap();
}
