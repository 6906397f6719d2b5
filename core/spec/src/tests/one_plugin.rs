//! Options of one plugin, without a spec.
use super::registry::Declared;
use super::{ReportStyle, assert_has};
use crate::{PluginChoice, plugin_options};
use efference_abi::Kind;

fn options(name: &str, sets: &[&str]) -> Result<PluginChoice, String> {
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    plugin_options(Kind::Layer, name, &sets, &Declared).map_err(|wrong| wrong.report(&ReportStyle::PLAIN))
}

#[test]
fn what_is_said_stands_over_the_defaults() {
    let choice = options("ldl", &["radix=4"]).unwrap();
    assert_eq!(choice.plugin, "ldl");
    assert_eq!(choice.options["radix"], 4);
    assert!(choice.options.len() > 1, "{:?}", choice.options);
    assert_eq!(options("ldl", &["radix=4", "radix=8"]).unwrap().options["radix"], 8, "the last one counts");
}

#[test]
fn all_that_is_wrong_is_reported_at_once_as_it_was_said() {
    let report = options("ldl", &["radx=4", "radix=none", "radix"]).unwrap_err();
    assert_has(&report, &["--set radix: this is not `key=value`", "--set radix=2"]);
    assert_has(&report, &["--set radx=4: there is no key `radx` in [layer]", "did you mean `radix`?"]);
    assert_has(&report, &["--set radix=none: `layer.radix`", "3 problems in layer ldl"]);
}

#[test]
fn a_plugin_that_is_not_there_is_reported_with_the_nearest_one() {
    let report = options("dence", &[]).unwrap_err();
    assert_has(
        &report,
        &["there is no layer plugin `dence`", "did you mean \"dense\"?", "1 problem in layer dence"],
    );
}
