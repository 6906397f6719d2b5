//! What is sent to a page before it loads anything: its size, and the scripts that make it a page for an agent.
use crate::bridge::BINDING;
use crate::bundled;
use crate::lock_step::Pace;
use crate::options::Options;
use serde_json::{Value, json};
use url::Url;

/// The world of the scripts that pages cannot reach.
const WORLD: &str = "efference";

/// What a page gets before it loads anything.
pub(crate) fn messages(
    options: &Options,
    url: &Url,
    number: usize,
    pace: Option<Pace>,
) -> Vec<(&'static str, Value)> {
    let size =
        json!({ "width": options.width, "height": options.height, "deviceScaleFactor": 1, "mobile": false });
    let relay = json!({ "source": include_str!("page/reward_relay.js"), "worldName": WORLD });
    let select = json!({ "source": include_str!("page/select.js"), "worldName": WORLD });
    let pickers = json!({ "source": include_str!("page/pickers.js"), "worldName": WORLD });
    let page_script = json!({ "source": include_str!("page/direct_score.js") });
    let mut messages = vec![
        ("Inspector.enable", json!({})),
        ("Page.enable", json!({})),
        ("Runtime.enable", json!({})),
        ("Emulation.setDeviceMetricsOverride", size),
        ("Emulation.setFocusEmulationEnabled", json!({ "enabled": true })),
        ("Page.setInterceptFileChooserDialog", json!({ "enabled": true })),
        ("Runtime.addBinding", json!({ "name": BINDING, "executionContextName": WORLD })),
        ("Page.addScriptToEvaluateOnNewDocument", relay),
        ("Page.addScriptToEvaluateOnNewDocument", select),
        ("Page.addScriptToEvaluateOnNewDocument", pickers),
        ("Page.addScriptToEvaluateOnNewDocument", page_script),
    ];
    if let Some(pace) = pace {
        messages.push(("HeadlessExperimental.enable", json!({})));
        let script = json!({ "source": pace.script(number) });
        messages.push(("Page.addScriptToEvaluateOnNewDocument", script));
    }
    for channel in options.channels() {
        let binding = json!({ "name": channel.binding, "executionContextName": WORLD });
        messages.push(("Runtime.addBinding", binding));
        for script in
            [json!({ "source": channel.relay, "worldName": WORLD }), json!({ "source": channel.page })]
        {
            messages.push(("Page.addScriptToEvaluateOnNewDocument", script));
        }
    }
    if let Some(tasks) = options.task_scripts(pace.is_none()) {
        let binding = json!({ "name": tasks.binding, "executionContextName": WORLD });
        messages.push(("Runtime.addBinding", binding));
        for script in [json!({ "source": tasks.relay, "worldName": WORLD }), json!({ "source": tasks.page })]
        {
            messages.push(("Page.addScriptToEvaluateOnNewDocument", script));
        }
    }
    if url.as_str().starts_with(bundled::ROOT) {
        let patterns = json!({ "patterns": [{ "urlPattern": format!("{}*", bundled::ROOT) }] });
        messages.push(("Fetch.enable", patterns));
    }
    messages
}
