//! To another page, as an action: home, back, or by one of the page's links.
use crate::actions::Trigger;
use crate::bridge::News;
use crate::devtools::Failure;
use crate::tab::Tab;
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;
use url::Url;

/// How long the page may look for its links, in milliseconds.
const LINKS_LIMIT: u32 = 500;

/// Begins to go there; `chosen`, in 0…1, chooses the link.
pub(crate) fn follow(tab: &Tab, trigger: Trigger, home: &Url, chosen: f64) -> Result<(), Failure> {
    match trigger {
        Trigger::Homepage => tab.load(home),
        Trigger::Back => back(tab),
        Trigger::RandomLink => link(tab, chosen),
    }
}

/// Goes back by one page of the web; nowhere from the first one.
fn back(tab: &Tab) -> Result<(), Failure> {
    let Some(session) = tab.session().map(str::to_owned) else { return Ok(()) };
    let (connection, bridge, own) = (Arc::clone(&tab.connection), Arc::clone(&tab.bridge), session.clone());
    // The answer comes on the reading thread, which must not wait for another: what goes back is only sent.
    tab.send_awaited(&session, "Page.getNavigationHistory", json!({}), move |answer| {
        if let Some(entry) = answer.ok().and_then(entry_before) {
            bridge.news(&own, News::goes_elsewhere);
            let _ = connection.send(&own, "Page.navigateToHistoryEntry", json!({ "entryId": entry }));
        }
    })
}

/// The entry before the current one, if it is a page of the web.
fn entry_before(history: &str) -> Option<i64> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct History {
        current_index: usize,
        entries: Vec<Entry>,
    }
    #[derive(Deserialize)]
    struct Entry {
        id: i64,
        url: String,
    }
    let history: History = serde_json::from_str(history).ok()?;
    let entry = history.entries.get(history.current_index.checked_sub(1)?)?;
    is_of_the_web(&entry.url).then_some(entry.id)
}

fn is_of_the_web(address: &str) -> bool {
    Url::parse(address).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
}

/// Lets the page follow one of its links, which a number in 0…1 chooses. The page does it itself, so it can go nowhere where
/// it could not go by itself.
fn link(tab: &Tab, chosen: f64) -> Result<(), Failure> {
    let Some(session) = tab.session() else { return Ok(()) };
    let script = format!(
        "{{
            const here = location.href.split('#')[0];
            const links = Array.from(document.links, link => link.href).filter(
                href => /^https?:/i.test(href) && href.split('#')[0] !== here);
            if (links.length) location.assign(links[Math.floor({chosen} * links.length)]);
        }}"
    );
    let params = json!({ "expression": script, "timeout": LINKS_LIMIT, "returnByValue": true });
    tab.send_awaited(session, "Runtime.evaluate", params, |_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundled;

    #[test]
    fn back_leads_to_pages_of_the_web_only() {
        let before = |index: usize, urls: &[&str]| {
            let entries: Vec<_> =
                urls.iter().enumerate().map(|(i, url)| json!({ "id": 10 + i, "url": url })).collect();
            entry_before(&json!({ "currentIndex": index, "entries": entries }).to_string())
        };
        let pages =
            ["about:blank", bundled::ROOT, "http://a.example/", "file:///etc/passwd", "https://b.example/"];
        assert_eq!(before(0, &pages), None, "there is nothing before the first one");
        assert_eq!(before(1, &pages), None);
        assert_eq!(before(2, &pages), Some(11));
        assert_eq!(before(3, &pages), Some(12));
        assert_eq!(before(4, &pages), None);
        assert_eq!(before(9, &pages), None);
        assert_eq!(entry_before("{}"), None);
    }
}
