//! `[sweep]`: what is in it must be what the spec could say.
use super::*;
use crate::{SweepMembers, read};

const SPEC: &str = "[environment]\nplugin = \"worlds\"\n[layer]\nplugin = \"ldl\"\nradix = 8\n[sweep]\n";

/// The axes of a spec, in a few words each.
fn axes(spec: &Spec) -> Vec<String> {
    let labels = |axis: &crate::SweepAxis| -> Vec<String> {
        axis.points.iter().map(|point| point.label.clone()).collect()
    };
    spec.sweep.iter().map(|axis| format!("{}: {}", axis.name, labels(axis).join(" "))).collect()
}

/// The axes of [`SPEC`] with this under `[sweep]`.
#[track_caller]
fn swept(text: &str) -> Vec<String> {
    let desk = Desk::new();
    desk.file("spec.toml", format!("{SPEC}{text}"));
    let spec = desk.load("spec.toml", &[], &[]);
    axes(&spec.unwrap_or_else(|diagnostics| panic!("{}", desk.plain(&diagnostics))))
}

#[track_caller]
fn members_of(desk: &Desk, file: &str, sets: &[&str]) -> Result<SweepMembers, Diagnostics> {
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    read(&desk.0.path().join(file), &sets, std::iter::empty())?.members(&Declared)
}

/// The members of this spec.
#[track_caller]
fn members(text: &str) -> SweepMembers {
    let desk = Desk::new();
    desk.file("spec.toml", text);
    members_of(&desk, "spec.toml", &[]).unwrap_or_else(|diagnostics| panic!("{}", desk.plain(&diagnostics)))
}

/// The ids, without the hashes that they end with.
fn names(members: &SweepMembers) -> Vec<&str> {
    members.members.iter().map(|member| member.id.rsplit_once('_').unwrap().0).collect()
}

#[test]
fn a_sweep_is_read_in_its_order() {
    let desk = Desk::new();
    desk.file("spec.toml", format!("{SPEC}\"trainer.unroll_length\" = [1, 2]\nseed = [3, 4]\nlayer.plugin = [\"ldl\", \"dense\"]\nsteps = [\"none\", 5]\n"));
    let spec = desk.load("spec.toml", &[], &[]).unwrap();
    assert_eq!(
        axes(&spec),
        ["trainer.unroll_length: 1 2", "seed: 3 4", "layer.plugin: ldl dense", "steps: none 5",]
    );
    assert_eq!(spec.seed, 1, "a run ignores the sweep");
}

#[test]
fn keys_and_values_of_a_sweep_are_checked_like_any_other() {
    let report = report_on(&format!(
        "{SPEC}\"trainer.unrol\" = [1]\n\"trainer.unroll_length\" = [1, 0]\nseed = 4\nsteps = []\n\"layer.plugin\" = [\"dens\"]\nplugins.path = [1]\n\
         \"a b\" = [1]\n\"device\" = [\"cpu\", \"tpu\"]\n\"environment.plugin\" = [\"page\"]\n"
    ));
    for parts in [
        &["no key `unrol` in [trainer]", "spec.toml:7:1", "did you mean `unroll_length`?"][..],
        &["`trainer.unroll_length` must be at least 1, found 0", "spec.toml:8:31"],
        &[
            "`sweep.seed`: expected a list of values, found 4",
            "spec.toml:9:8",
            "write the values of `seed` in brackets",
        ],
        &["`sweep.steps`: expected a list of values, found an empty list", "spec.toml:10:9"],
        &["there is no layer plugin `dens`", "spec.toml:11:19"],
        &["`plugins.path` can't be swept", "spec.toml:12:9"],
        &["\"a b\" is no key of a spec", "spec.toml:13:1"],
        &["`device`: expected", "spec.toml:14:20"],
        &["`environment.url` is missing", "spec.toml:15:25"],
    ] {
        assert_has(&report, parts);
    }
    assert_has(&report, &["9 problems in spec.toml"]);
}

#[test]
fn problems_of_the_spec_are_not_reported_again_for_each_value() {
    let report =
        report_on(&format!("sede = 1\n{SPEC}seed = [1, 2, 3]\n\"layer.plugin\" = [\"ldl\", \"dense\"]\n"));
    assert_has(&report, &["no key `sede`", "1 problem in"]);
    let report = report_on(&format!(
        "{SPEC}\"environment.plugin\" = [\"worlds\", \"page\"]\n\"environment.url\" = [\"a:b\"]\n[cell]\nlayres = 1\n"
    ));
    assert_has(&report, &["no key `layres`", "1 problem in"]);
}

#[test]
fn a_range_has_both_its_ends() {
    // n equal steps from a to b: a + i (b - a) / n.
    assert_eq!(swept("seed = { from = 1, to = 4 }"), ["seed: 1 2 3 4"]);
    assert_eq!(swept("seed = { from = 1, to = 8, step = 3 }"), ["seed: 1 4 7"]);
    assert_eq!(swept("seed = { from = 0, to = 100, count = 5 }"), ["seed: 0 25 50 75 100"]);
    assert_eq!(
        swept("\"optimizer.learning_rate\" = { from = 0.1, to = 0.3, step = 0.1 }"),
        ["optimizer.learning_rate: 0.1 0.2 0.3"]
    );
    assert_eq!(swept("[sweep.goal]\nl2 = { from = 0, to = 1, count = 3 }"), ["goal.l2: 0 0.5 1"]);
    assert_eq!(swept("[sweep.seed]\nfrom = 1\nto = 2"), ["seed: 1 2"]);
}

#[test]
fn a_log_range_multiplies_by_the_same_from_value_to_value() {
    // 10^-4, 10^-3.5, 10^-3, 10^-2.5, 10^-2, to six digits
    assert_eq!(
        swept("optimizer.learning_rate = { from = 1e-4, to = 1e-2, count = 5, scale = \"log\" }"),
        ["optimizer.learning_rate: 0.0001 0.000316228 0.001 0.00316228 0.01"]
    );
    assert_eq!(
        swept("\"state.size\" = { from = 256, to = 4_096, count = 5, scale = \"log\" }"),
        ["state.size: 256 512 1024 2048 4096"]
    );
    // 1, 1.78, 3.16, 5.62, 10: whole, and no value twice.
    assert_eq!(
        swept("\"trainer.unroll_length\" = { from = 1, to = 3, count = 5, scale = \"log\" }"),
        ["trainer.unroll_length: 1 2 3"]
    );
}

#[test]
fn what_is_wrong_with_a_range_is_said_where_it_is() {
    let report = report_on(&format!(
        "{SPEC}\"trainer.unroll_length\" = {{ from = 1, too = 4 }}\nseed = {{ from = 4, to = 1 }}\n\
         steps = {{ from = 1, to = 9, step = 0 }}\n\"goal.l2\" = {{ from = 0, to = 1, count = 3, scale = \"log\" }}\n\
         \"layer.radix\" = {{ from = 2, to = 99_999_999 }}\n\"state.size\" = {{ from = 8, to = 64, scale = \"log\" }}\n\
         threads = {{ from = \"a\", to = 2 }}\n\"cell.layers\" = {{ from = 1, to = 2, count = 3 }}\n\
         \"record.every\" = {{ from = 1, to = 2, scale = \"lin\" }}\n"
    ));
    for parts in [
        &["there is no key `too` in a range", "spec.toml:7:39", "did you mean `to`?"][..],
        &["`sweep.seed` ends at 1, which is not after 4", "spec.toml:8:25"],
        &["`sweep.steps.step` must be more than 0, found 0", "spec.toml:9:36"],
        &["`sweep.\"goal.l2\".from` must be more than 0 on a log scale, found 0", "spec.toml:10:22"],
        &["`sweep.\"layer.radix\"` has more than 10000 values", "spec.toml:11:34"],
        &["`sweep.\"state.size\".count` is missing", "spec.toml:12:1", "say how many values"],
        &["`sweep.threads.from`: expected a number, found the text \"a\"", "spec.toml:13:20"],
        &["`cell.layers`: expected a whole number, found 1.5", "spec.toml:14:17"],
        &["expected \"log\" or \"linear\", found the text \"lin\"", "spec.toml:15:46"],
    ] {
        assert_has(&report, parts);
    }
    assert_has(&report, &["9 problems in"]);
}

#[test]
fn paired_keys_vary_together() {
    let text = "seed = [1, 2]\n[[sweep.paired]]\nstate.size = [64, 128]\n\"optimizer.learning_rate\" = [0.01, 0.001]\n";
    let all = members(&format!("{SPEC}{text}"));
    assert_eq!(
        names(&all),
        [
            "learning_rate-size-0.01-64_seed-1",
            "learning_rate-size-0.001-128_seed-1",
            "learning_rate-size-0.01-64_seed-2",
            "learning_rate-size-0.001-128_seed-2",
        ]
    );
    assert_eq!(all.members[3].spec.optimizer.all.learning_rate, 0.001);
    assert_eq!((all.members[3].spec.seed, &all.members[3].points[..]), (2, &[1, 1][..]));

    let report = report_on(&format!(
        "{SPEC}[[sweep.paired]]\nseed = [1, 2, 3]\n\"state.size\" = [64, 0]\n[[sweep.paired]]\nseed = [1]\n"
    ));
    for parts in [
        &["`seed` has 3 values and `state.size` 2", "spec.toml:9:16", "are of one length"][..],
        &["`state.size`", "spec.toml:9:21"],
        &["`seed` is swept twice", "spec.toml:11:1"],
    ] {
        assert_has(&report, parts);
    }
    assert_has(
        &report_on(&format!("{SPEC}paired = 3\n")),
        &["`sweep.paired`: expected a table of lists, found 3"],
    );
}

#[test]
fn variants_are_settings_under_a_name() {
    let text = "seed = [1, 2]\n[sweep.variants.small]\n\"layer.plugin\" = \"ldl\"\nlayer.radix = 4\n\
                [sweep.variants.vanilla.layer]\nplugin = \"dense\"\n[sweep.variants.as-it-is]\n";
    let all = members(&format!("{SPEC}{text}"));
    assert_eq!(
        names(&all),
        [
            "small_seed-1",
            "vanilla_seed-1",
            "as-it-is_seed-1",
            "small_seed-2",
            "vanilla_seed-2",
            "as-it-is_seed-2"
        ]
        .map(str::to_owned)
    );
    let layer = |index: usize| all.members[index].spec.choice(Kind::Layer).clone();
    assert_eq!((layer(0).options["radix"].clone(), layer(2).options["radix"].clone()), (4.into(), 8.into()));
    assert_eq!(layer(1).plugin, "dense");

    let report = report_on(&format!(
        "{SPEC}\"layer.plugin\" = [\"ldl\"]\n[sweep.variants.a]\n\"trainer.unrol\" = 1\nlayer.radix = 0\n\
         [sweep.variants.b]\nlayer.plugin = \"dens\"\n[sweep.variants]\nc = 1\nname = {{}}\n"
    ));
    for parts in [
        &["there is no key `unrol` in [trainer]", "spec.toml:9:1", "did you mean `unroll_length`?"][..],
        &["`layer.radix` must be at least 2, found 0", "spec.toml:10:15"],
        &["there is no layer plugin `dens`", "spec.toml:12:16", "did you mean \"dense\"?"],
        &["`sweep.variants.c`: expected a table of settings, found 1", "spec.toml:14:5"],
    ] {
        assert_has(&report, parts);
    }
    assert_has(&report, &["`layer.plugin` is swept twice"]);
}

#[test]
fn every_member_is_checked_whole() {
    // `worlds` accepts each of these by itself: that there is no such world, only the plugin can say.
    let desk = Desk::new();
    desk.file("spec.toml", format!("{SPEC}\"environment.world\" = [\"catch\", \"cacth\"]\nseed = [1, 2]\n"));
    let diagnostics = members_of(&desk, "spec.toml", &[]).unwrap_err();
    assert_has(
        &desk.plain(&diagnostics),
        &["`environment.world`: there is no world 'cacth'", "spec.toml:7:33", "1 problem in"],
    );
}

#[test]
fn an_id_is_of_what_runs_and_not_of_how_it_is_said() {
    let all = members(&format!("{SPEC}seed = [1, 2]\n\"trainer.unroll_length\" = [1, 4]\n"));
    assert_eq!(
        names(&all),
        [
            "unroll_length-1_seed-1",
            "unroll_length-4_seed-1",
            "unroll_length-1_seed-2",
            "unroll_length-4_seed-2"
        ]
    );
    let ids = |all: &SweepMembers| {
        let mut ids: Vec<String> = all.members.iter().map(|member| member.id.clone()).collect();
        ids.sort();
        ids
    };
    // Another file, another order, other places, what changes nothing.
    let desk = Desk::new();
    desk.file("deep/base.toml", "[environment]\nplugin = \"worlds\"\n[plugins]\npath = [\"x\"]\n");
    desk.file(
        "other.toml",
        "extends = \"deep/base.toml\"\nname = \"other\"\nseed = 7\n[optimizer]\nlearning_rate = 1e-3\nmomentum = 0\n\
         [record]\nconsole_every_seconds = 9\n\
         [sweep]\ntrainer.unroll_length = [4, 1]\n",
    );
    let sets = ["layer.radix=8", "sweep.seed={from=1,to=2}"];
    let again = members_of(&desk, "other.toml", &sets).unwrap();
    assert_eq!(ids(&again), ids(&all));
    // What changes a run changes all ids.
    for set in ["steps=9", "layer.bias=false", "record.every=3", "optimizer.learning_rate=0.002", "threads=2"]
    {
        let other = members_of(&desk, "other.toml", &[&sets[..], &[set]].concat()).unwrap();
        assert!(ids(&other).iter().all(|id| !ids(&all).contains(id)), "{set}");
    }
    // A member is the spec that would say so itself.
    let alone =
        desk.load("other.toml", &["layer.radix=8", "seed=2", "trainer.unroll_length=4"], &[]).unwrap();
    assert_eq!(alone.digest(), all.members[3].digest);
    assert!(all.members[3].id.ends_with(&format!("_{}", &alone.digest()[..6])));
    for member in &all.members {
        assert_eq!(crate::check_name(&member.id), Ok(()));
    }
}

#[test]
fn two_ways_to_say_one_run_are_one_member() {
    let all = members(&format!("{SPEC}\"layer.plugin\" = [\"ldl\", \"dense\"]\n\"layer.radix\" = [8, 16]\n"));
    assert_eq!(names(&all), ["plugin-ldl_radix-8", "plugin-ldl_radix-16", "plugin-dense_radix-8"]);
    assert_eq!(all.same.len(), 1);
    assert_eq!(all.same[0].1, all.members[2].id);
}

#[test]
fn a_spec_without_a_sweep_has_no_members() {
    assert!(members("[environment]\nplugin = \"worlds\"\n").members.is_empty());
}

#[test]
fn none_takes_back_what_the_spec_below_varies() {
    let desk = Desk::new();
    let text = format!(
        "{SPEC}seed = [1, 2]\n\"trainer.unroll_length\" = [1, 2]\n[sweep.variants.a]\n[sweep.variants.b]\nsteps = 2\n"
    );
    desk.file("base.toml", text);
    desk.file(
        "spec.toml",
        "extends = \"base.toml\"\n[sweep]\n\"trainer.unroll_length\" = \"none\"\nvariants = \"none\"\n",
    );
    assert_eq!(axes(&desk.load("spec.toml", &[], &[]).unwrap()), ["seed: 1 2"]);
    assert_eq!(axes(&desk.load("spec.toml", &["sweep.seed=none"], &[]).unwrap()), Vec::<String>::new());
}
