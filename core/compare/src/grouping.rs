//! Which runs belong together: those that differ in nothing but their seed.
use crate::error::CompareError;
use crate::settings::Settings;
use efference_spec::nearest;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

/// Keys that say how a run is recorded and where, and not what is run. `steps` is here too: how far a run went shows
/// in its record, and it may be resumed.
const HOW: [&str; 7] = ["name", "steps", "threads", "record", "checkpoint", "evaluation", "plugins"];

/// What a group's runs have in common.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Grouping {
    /// The keys that tell the groups apart; those that follow from others are left out.
    pub(crate) keys: Vec<String>,
    /// Keys that differ with those, and say nothing more.
    pub(crate) follow: Vec<String>,
    /// Keys that differ within groups, as tasks do when runs are compared by another key.
    pub(crate) strata: Vec<String>,
    /// The values of `keys`, and the runs that have them.
    pub(crate) groups: Vec<(Vec<String>, Vec<usize>)>,
    /// Keys that differ and were not looked at, as they say how a run is recorded.
    pub(crate) ignored: Vec<String>,
}

/// What is said for a key that a run does not have.
pub(crate) const ABSENT: &str = "–";

pub(crate) fn value<'a>(settings: &'a Settings, key: &str) -> &'a str {
    settings.get(key).map_or(ABSENT, String::as_str)
}

/// Groups runs by the keys that differ among them, or by those of `by` (a section stands for its keys).
pub(crate) fn group(runs: &[&Settings], by: &[String]) -> Result<Grouping, CompareError> {
    let all: BTreeSet<&str> = runs.iter().flat_map(|settings| settings.keys()).map(String::as_str).collect();
    let differs = |key: &str| runs.iter().any(|settings| value(settings, key) != value(runs[0], key));
    let how = |key: &str| HOW.contains(&key.split('.').next().unwrap_or_default());
    let different: Vec<&str> = all.iter().copied().filter(|key| *key != "seed" && differs(key)).collect();
    let (ignored, looked_at): (Vec<&str>, Vec<&str>) = different.iter().partition(|key| how(key));

    let mut chosen: Vec<&str> = Vec::new();
    for key in by {
        if key == "seed" {
            return Err(CompareError::BySeed);
        }
        let within = |other: &&str| {
            *other == key || other.strip_prefix(key.as_str()).is_some_and(|rest| rest.starts_with('.'))
        };
        if !all.iter().any(within) {
            return Err(no_key(key, &all, &different));
        }
        chosen.extend(different.iter().copied().filter(|other| within(other)));
    }
    if by.is_empty() {
        chosen.clone_from(&looked_at);
    }
    // What names a plugin says most; a setting that follows from it says nothing more.
    chosen.sort_by_key(|key| (!key.ends_with(".plugin") && !key.ends_with(".kind"), *key));
    chosen.dedup();
    let (mut keys, mut follow): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
    for key in chosen {
        let before = partition(runs, &keys).len();
        keys.push(key);
        if partition(runs, &keys).len() == before {
            follow.extend(keys.pop());
        }
    }
    let mut groups: Vec<(Vec<String>, Vec<usize>)> = partition(runs, &keys).into_iter().collect();
    groups.sort_by(|(a, _), (b, _)| {
        a.iter().zip(b).map(|(a, b)| natural(a, b)).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    });
    let within_groups = |key: &&str| {
        groups.iter().any(|(_, members)| {
            members.iter().any(|run| value(runs[*run], key) != value(runs[members[0]], key))
        })
    };
    let rest = looked_at.iter().copied().filter(|key| !keys.contains(key) && !follow.contains(key));
    let (strata, with): (Vec<&str>, Vec<&str>) = rest.partition(within_groups);
    follow.extend(with);
    let own = |keys: Vec<&str>| keys.into_iter().map(str::to_owned).collect::<Vec<_>>();
    let ignored = ignored.into_iter().filter(|key| !keys.contains(key) && !follow.contains(key)).collect();
    Ok(Grouping { keys: own(keys), follow: own(follow), strata: own(strata), groups, ignored: own(ignored) })
}

fn partition(runs: &[&Settings], keys: &[&str]) -> BTreeMap<Vec<String>, Vec<usize>> {
    let mut parts: BTreeMap<Vec<String>, Vec<usize>> = BTreeMap::new();
    for (run, settings) in runs.iter().enumerate() {
        let values = keys.iter().map(|key| value(settings, key).to_owned()).collect();
        parts.entry(values).or_default().push(run);
    }
    parts
}

/// Numbers by size, all else by its letters.
fn natural(a: &str, b: &str) -> Ordering {
    match (a.parse::<f64>(), b.parse::<f64>()) {
        (Ok(a), Ok(b)) => a.total_cmp(&b),
        _ => a.cmp(b),
    }
}

/// Keys as short as they can be without being mistaken for one another: `unroll_length`, and `layer` for `layer.plugin`.
pub(crate) fn short_names(keys: &[String]) -> Vec<String> {
    let short = |key: &str| {
        let key = key.strip_suffix(".plugin").or(key.strip_suffix(".enabled")).unwrap_or(key);
        key.rsplit('.').next().unwrap_or(key).to_owned()
    };
    let shorts: Vec<String> = keys.iter().map(|key| short(key)).collect();
    let unique = |name: &String| shorts.iter().filter(|other| *other == name).count() == 1;
    keys.iter().zip(&shorts).map(|(key, short)| if unique(short) { short } else { key }.clone()).collect()
}

fn no_key(key: &str, all: &BTreeSet<&str>, different: &[&str]) -> CompareError {
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let near = nearest(key, all.iter().copied());
    // `unroll_length` for `trainer.unroll_length`.
    let near = near.or_else(|| all.iter().copied().find(|other| last(other) == last(key)));
    let near = match near {
        Some(near) => format!("; did you mean `{near}`?"),
        None if different.is_empty() => String::new(),
        None => format!("; keys that differ among these runs: {}", different.join(", ")),
    };
    CompareError::NoKey { key: key.to_owned(), near }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> Settings {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn grouped(runs: &[Settings], by: &[&str]) -> Result<Grouping, String> {
        let by: Vec<String> = by.iter().map(|key| (*key).to_owned()).collect();
        group(&runs.iter().collect::<Vec<_>>(), &by).map_err(|e| e.to_string())
    }

    #[test]
    fn runs_are_grouped_by_what_differs_apart_from_the_seed_and_the_recording() {
        let runs = [("10", "1"), ("2", "1"), ("2", "2"), ("10", "3")].map(|(unroll, seed)| {
            settings(&[
                ("trainer.unroll_length", unroll),
                ("seed", seed),
                ("name", seed),
                ("record.every", seed),
            ])
        });
        let found = grouped(&runs, &[]).unwrap();
        assert_eq!(found.keys, ["trainer.unroll_length"]);
        assert_eq!(found.groups, [(vec!["2".to_owned()], vec![1, 2]), (vec!["10".to_owned()], vec![0, 3])]);
        assert_eq!((found.ignored.len(), found.strata.len(), found.follow.len()), (2, 0, 0));
        assert_eq!(grouped(&runs, &["name"]).unwrap().groups.len(), 3);
    }

    #[test]
    fn what_follows_from_the_plugin_is_not_said_again() {
        let ldl = [("layer.plugin", "ldl"), ("layer.radix", "16"), ("optimizer.learning_rate", "0.006")];
        let dense = [("layer.plugin", "dense"), ("optimizer.learning_rate", "0.0003")];
        let found = grouped(&[settings(&ldl), settings(&dense)], &[]).unwrap();
        assert_eq!(found.keys, ["layer.plugin"]);
        assert_eq!(found.follow, ["layer.radix", "optimizer.learning_rate"]);
        assert_eq!(short_names(&found.keys), ["layer"]);
    }

    #[test]
    fn what_differs_within_groups_is_a_stratum() {
        let runs: Vec<Settings> = [("1", "bounce"), ("1", "copy"), ("2", "bounce"), ("2", "copy")]
            .iter()
            .map(|(u, w)| {
                settings(&[("trainer.unroll_length", u), ("environment.world", w), ("cell.layers", u)])
            })
            .collect();
        let found = grouped(&runs, &["trainer"]).unwrap();
        assert_eq!(
            (&found.keys[..], &found.strata[..]),
            (&["trainer.unroll_length".to_owned()][..], &["environment.world".to_owned()][..])
        );
        assert_eq!(found.follow, ["cell.layers"]);
        assert_eq!(grouped(&runs, &[]).unwrap().groups.len(), 4);
    }

    #[test]
    fn a_key_that_is_not_there_is_reported_with_what_was_meant() {
        let runs = [
            settings(&[("trainer.unroll_length", "1"), ("seed", "1")]),
            settings(&[("trainer.unroll_length", "2")]),
        ];
        assert_eq!(
            grouped(&runs, &["unroll_length"]).unwrap_err(),
            "no run has the key `unroll_length` in its spec; did you mean `trainer.unroll_length`?"
        );
        assert_eq!(
            grouped(&runs, &["colour"]).unwrap_err(),
            "no run has the key `colour` in its spec; keys that differ among these runs: trainer.unroll_length"
        );
        assert!(grouped(&runs, &["seed"]).unwrap_err().contains("tells the runs of one group apart"));
    }

    #[test]
    fn names_are_short_unless_they_would_be_mistaken() {
        let own = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>();
        assert_eq!(short_names(&own(&["a.layers", "b.layers", "c.size"])), ["a.layers", "b.layers", "size"]);
    }
}
