//! Parameter groups, and the optimizer of each.
//!
//! Every trained parameter belongs to one group: the longest of the names that the spec gives settings to and that
//! contain it, or else the beginning of its name (`cell`, `goal`, the name of a network).
use super::elements::Elements;
use super::fingerprints::GroupFingerprint;
use super::optimizer::{Optimizer, Row, Rows, SHARED, moment_bytes};
use super::store::ParameterStore;
use efference_sdk::autograd::{count as count_of, slice};
use efference_sdk::{Result, Saved, ensure, group, split_elements};
use efference_spec::OptimizerSettings;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::rc::Rc;
use tch::Tensor;

/// Parameters of one group.
type Members = Rc<[(String, Tensor)]>;

/// The optimizers of all groups.
pub(super) struct Optimizers {
    /// Groups that the spec names, longest first.
    configured: Vec<String>,
    /// Groups that there are without the spec: `cell`, `goal`, networks.
    made: Vec<String>,
    optimizers: BTreeMap<String, Optimizer>,
    /// Those of [`descend`](Self::descend), by the name that moments are kept under.
    named: BTreeMap<String, BTreeMap<String, Optimizer>>,
    settings: BTreeMap<String, OptimizerSettings>,
    /// Whether fingerprints of updates are wanted.
    wants_fingerprints: bool,
    /// What a group that is asked for consists of: the groups of its parameters, with those in it.
    members: HashMap<String, Rc<[(String, Members)]>>,
}

/// What an update by traces is made from: see [`Agent::follow`](efference_sdk::Agent::follow).
#[derive(Clone, Copy)]
pub(super) struct Followed<'a> {
    pub(super) decay: f64,
    /// Whether errors weigh the term's value, and are not how far it is from its target.
    pub(super) weighs: bool,
    pub(super) errors: &'a [f64],
    pub(super) traces: &'a [Option<&'a Tensor>],
    pub(super) gradients: &'a [Option<&'a Tensor>],
}

/// How much an update has moved.
pub(super) struct Moved {
    /// Bytes that it read and wrote at least.
    pub(super) bytes: u64,
}

impl Optimizers {
    /// `made` are the groups that there are, with the learning rate that its maker asks for.
    pub(super) fn new(
        mut configured: Vec<String>,
        made: &[(String, Option<f64>)],
        settings: &dyn Fn(&str, Option<f64>) -> OptimizerSettings,
    ) -> Self {
        configured.sort_by_key(|name| std::cmp::Reverse(name.len()));
        let rate =
            |name: &str| made.iter().find(|(m, _)| group::contains(m, name)).and_then(|(_, rate)| *rate);
        let names = configured.iter().chain(made.iter().map(|(name, _)| name));
        let settings = names.map(|name| (name.clone(), settings(name, rate(name)))).collect();
        Optimizers {
            configured,
            made: made.iter().map(|(name, _)| name.clone()).collect(),
            optimizers: BTreeMap::new(),
            named: BTreeMap::new(),
            settings,
            wants_fingerprints: false,
            members: HashMap::new(),
        }
    }

    /// The group that a parameter belongs to.
    fn group_of(&self, parameter: &str) -> String {
        let configured = self.configured.iter().find(|g| group::contains(g, parameter));
        configured.cloned().unwrap_or_else(|| parameter.split('.').next().unwrap_or(parameter).to_owned())
    }

    /// Configured groups that no parameter belongs to.
    pub(super) fn unused<'a>(&'a self, store: &ParameterStore) -> impl Iterator<Item = &'a str> {
        let used: Vec<String> = store.trained("").iter().map(|(name, _)| self.group_of(name)).collect();
        self.configured.iter().map(String::as_str).filter(move |name| !used.iter().any(|u| u == name))
    }

    fn members(&mut self, asked: &str, store: &ParameterStore) -> Result<Rc<[(String, Members)]>> {
        if let Some(members) = self.members.get(asked) {
            return Ok(members.clone());
        }
        let mut groups: BTreeMap<String, Vec<(String, Tensor)>> = BTreeMap::new();
        for (name, parameter) in store.trained("").iter().filter(|(name, _)| group::contains(asked, name)) {
            groups.entry(self.group_of(name)).or_default().push((name.clone(), parameter.shallow_clone()));
        }
        let known = asked == group::ALL || !groups.is_empty() || self.made.iter().any(|name| name == asked);
        ensure!(known, "the agent has no parameter group '{asked}'");
        let members: Rc<[_]> = groups.into_iter().map(|(name, all)| (name, all.into())).collect();
        self.members.insert(asked.to_owned(), members.clone());
        Ok(members)
    }

    /// Bytes of moments that will be kept of all parameters; `descents` are the names that some are kept under, each with
    /// its group.
    pub(super) fn moment_bytes(&self, store: &ParameterStore, descents: &[(String, String)]) -> u64 {
        let of_one = |(name, parameter): &(String, Tensor)| {
            let named = descents.iter().filter(|(_, asked)| group::contains(asked, name)).count() as u64;
            let each = self.settings.get(&self.group_of(name)).map_or(0, moment_bytes);
            parameter.numel() as u64 * each * named.max(1)
        };
        store.trained("").iter().map(of_one).fold(0, u64::saturating_add)
    }

    /// Trained parameters that never had a gradient.
    pub(super) fn without_gradient(&self, store: &ParameterStore) -> Vec<String> {
        let named = self.named.values().flat_map(BTreeMap::values);
        let all: Vec<_> = self.optimizers.values().chain(named).collect();
        let trained = store.trained("");
        let without = trained.iter().filter(|(name, _)| !all.iter().any(|o| o.has_updated(name)));
        without.map(|(name, _)| name.clone()).collect()
    }

    /// All parameters of a group.
    pub(super) fn parameters(&mut self, asked: &str, store: &ParameterStore) -> Result<Saved> {
        let members = self.members(asked, store)?;
        let mut all: Saved = Vec::new();
        for (_, parameters) in members.iter() {
            all.extend(parameters.iter().map(|(name, p)| (name.clone(), p.shallow_clone())));
        }
        Ok(all)
    }

    /// Uses the gradients gathered in the parameters, and clears them.
    pub(super) fn update(&mut self, asked: &str, store: &ParameterStore) -> Result<Moved> {
        let members = self.members(asked, store)?;
        let mut bytes = 0;
        for (name, parameters) in members.iter() {
            let wanted = self.wants_fingerprints;
            let optimizer = self
                .optimizers
                .entry(name.clone())
                .or_insert_with(|| Optimizer::new(self.settings[name].clone()));
            optimizer.fingerprint = optimizer.fingerprint.take().or(wanted.then(GroupFingerprint::default));
            bytes += optimizer.update(parameters)? * optimizer.bytes_a_number();
        }
        Ok(Moved { bytes })
    }

    /// Uses these gradients, in the order of [`parameters`](Self::parameters), with moments kept under `name`.
    pub(super) fn descend(
        &mut self,
        name: &str,
        asked: &str,
        gradients: &[Option<&Tensor>],
        store: &ParameterStore,
    ) -> Result<Moved> {
        self.named(name, asked, gradients.len(), store, |optimizer, parameters, own| {
            optimizer.descend(parameters, &gradients[own])
        })
    }

    /// Uses the traces of a loss term `name`, in the order of [`parameters`](Self::parameters), with moments kept under its
    /// name.
    pub(super) fn follow(
        &mut self,
        name: &str,
        asked: &str,
        followed: &Followed<'_>,
        store: &ParameterStore,
    ) -> Result<Moved> {
        let Followed { decay, weighs, errors, traces, gradients } = *followed;
        let count = traces.len() / errors.len().max(1);
        ensure!(
            traces.len() == count * errors.len() && gradients.len() == traces.len(),
            "{} errors, {} traces and {} gradients of the term '{name}' do not go together",
            errors.len(),
            traces.len(),
            gradients.len()
        );
        let members = self.members(asked, store)?;
        let of_group: usize = members.iter().map(|(_, members)| members.len()).sum();
        if count == 1 && of_group > 1 {
            let all: usize =
                members.iter().flat_map(|(_, members)| members.iter().map(|(_, p)| count_of(p))).sum();
            let fits = |of: &Option<&Tensor>| of.is_none_or(|of| count_of(of) == all);
            ensure!(
                traces.iter().chain(gradients).all(fits),
                "a trace of the term '{name}' stands for the {all} elements of all parameters of '{asked}', and has another \
                 number of them"
            );
            return self.follow_elements(name, asked, followed, of_group, store);
        }
        self.named(name, asked, count, store, |optimizer, parameters, own| {
            let of_rows = traces.chunks_exact(count).zip(gradients.chunks_exact(count));
            let rows = errors.iter().zip(of_rows).map(|(error, (traces, gradients))| Row {
                error: *error,
                traces: Elements::Each(&traces[own.clone()]),
                gradients: Elements::Each(&gradients[own.clone()]),
            });
            optimizer.follow(parameters, &Rows { rows: rows.collect(), decay, weighs })
        })
    }

    /// The same where a row's trace and gradient are one tensor each, which [stands for all](efference_sdk::split_elements).
    fn follow_elements<'a>(
        &mut self,
        name: &str,
        asked: &str,
        followed: &Followed<'a>,
        of_group: usize,
        store: &ParameterStore,
    ) -> Result<Moved> {
        let Followed { decay, weighs, errors, traces, gradients } = *followed;
        let mut end = 0;
        self.named(name, asked, of_group, store, |optimizer, parameters, _| {
            let start = end;
            end += parameters.iter().map(|(_, p)| count_of(p)).sum::<usize>();
            let rows = || errors.iter().zip(traces.iter().zip(gradients));
            if !optimizer.takes_elements_of_all(errors.len()) {
                let all: Vec<&Tensor> = parameters.iter().map(|(_, p)| p).collect();
                let each = |of: Option<&Tensor>| -> Result<Vec<Option<Tensor>>> {
                    let Some(of) = of else { return Ok(all.iter().map(|_| None).collect()) };
                    let own = of.f_narrow(0, start as i64, (end - start) as i64)?;
                    Ok(split_elements(&own, &all)?.into_iter().map(Some).collect())
                };
                let each = rows().map(|(_, (trace, gradient))| Ok([each(*trace)?, each(*gradient)?]));
                let each = each.collect::<Result<Vec<_>>>()?;
                let lent: Vec<[Vec<Option<&Tensor>>; 2]> = each
                    .iter()
                    .map(|both| both.each_ref().map(|of| of.iter().map(Option::as_ref).collect()))
                    .collect();
                let rows = errors.iter().zip(&lent).map(|(error, [traces, gradients])| Row {
                    error: *error,
                    traces: Elements::Each(traces),
                    gradients: Elements::Each(gradients),
                });
                return optimizer.follow(parameters, &Rows { rows: rows.collect(), decay, weighs });
            }
            let none = vec![None; parameters.len()];
            let elements = |of: Option<&'a Tensor>| -> Result<Elements<'_>> {
                let Some(of) = of else { return Ok(Elements::Each(&none)) };
                Ok(Elements::All(&slice(of)?[start..end]))
            };
            let rows = rows().map(|(error, (trace, gradient))| {
                Ok(Row { error: *error, traces: elements(*trace)?, gradients: elements(*gradient)? })
            });
            let rows = rows.collect::<Result<Vec<_>>>()?;
            optimizer.follow(parameters, &Rows { rows, decay, weighs })
        })
    }

    /// Has the optimizers that keep moments under `name` update the groups that one consists of. `update` gets an optimizer,
    /// its parameters, and their places among all `count` that were passed; it returns how many elements it updated.
    fn named(
        &mut self,
        name: &str,
        asked: &str,
        count: usize,
        store: &ParameterStore,
        mut update: impl FnMut(&mut Optimizer, &[(String, Tensor)], Range<usize>) -> Result<u64>,
    ) -> Result<Moved> {
        let members = self.members(asked, store)?;
        let all: usize = members.iter().map(|(_, parameters)| parameters.len()).sum();
        ensure!(
            count == all,
            "the parameter group '{asked}' has {all} parameters, and {count} gradients were passed"
        );
        let wanted = self.wants_fingerprints;
        let optimizers = self.named.entry(name.to_owned()).or_default();
        let (mut bytes, mut start) = (0, 0);
        for (group, parameters) in members.iter() {
            let own = start..start + parameters.len();
            start = own.end;
            let optimizer = optimizers
                .entry(group.clone())
                .or_insert_with(|| Optimizer::new(self.settings[group].clone()));
            optimizer.fingerprint = optimizer.fingerprint.take().or(wanted.then(GroupFingerprint::default));
            bytes += update(optimizer, parameters, own)? * optimizer.bytes_a_number();
        }
        Ok(Moved { bytes })
    }

    /// The names of all groups, for [`take_fingerprints`](Self::take_fingerprints), which are wanted from now on.
    pub(super) fn record_fingerprints(&mut self) -> Vec<String> {
        self.wants_fingerprints = true;
        self.settings.keys().cloned().collect()
    }

    /// Two fingerprints a group, of the gradient and of the parameters, of the updates since the last call; 0 where there was
    /// none.
    pub(super) fn take_fingerprints(&mut self, to: &mut Vec<u32>) {
        for group in self.settings.keys() {
            let named = self.named.values_mut().filter_map(|optimizers| optimizers.get_mut(group));
            let all = self.optimizers.get_mut(group).into_iter().chain(named);
            let updated = all.filter_map(|o| o.fingerprint.take()).filter(|print| print.updated);
            let [mut gradient, mut parameters] = [0u32; 2];
            for print in updated {
                gradient = gradient.rotate_left(1) ^ print.gradient.finish();
                parameters = parameters.rotate_left(1) ^ print.parameters.finish();
            }
            to.extend([gradient, parameters]);
        }
    }

    /// Takes up what [`save`](Self::save) returned, as far as it fits the parameters. Returns what did not.
    pub(super) fn restore(
        &mut self,
        saved: &[(String, Tensor)],
        store: &ParameterStore,
    ) -> Result<Vec<String>> {
        let parameters: BTreeMap<String, Tensor> =
            store.trained("").iter().map(|(name, p)| (name.clone(), p.shallow_clone())).collect();
        let find = |name: &str| saved.iter().find(|(n, _)| n == name).map(|(_, t)| t);
        let mut misfits = Vec::new();
        self.optimizers.clear();
        self.named.clear();
        for (full, steps) in saved.iter().filter_map(|(n, t)| Some((n.strip_suffix(".steps")?, t))) {
            // `PARAMETER`, or `NAME:PARAMETER` of moments that are kept under a name.
            let own = |parameter: &str| match full.strip_suffix(parameter) {
                Some("") => Some(None),
                Some(name) => name.strip_suffix(':').map(Some),
                None => None,
            };
            let found = parameters.iter().find_map(|(parameter, p)| Some((parameter, p, own(parameter)?)));
            let moments: Vec<_> = (0..).map_while(|i: usize| find(&format!("{full}.moment.{i}"))).collect();
            let Some((parameter, p, name)) =
                found.filter(|(_, p, _)| moments.iter().all(|m| m.size() == p.size()))
            else {
                misfits.push(format!("what the optimizer kept of '{full}' has no place"));
                continue;
            };
            let group = self.group_of(parameter);
            let Some(settings) = self.settings.get(&group) else {
                misfits.push(format!("there is no parameter group '{group}'"));
                continue;
            };
            let optimizers = match name {
                None => &mut self.optimizers,
                Some(name) => self.named.entry(name.to_owned()).or_default(),
            };
            let optimizer = optimizers.entry(group).or_insert_with(|| Optimizer::new(settings.clone()));
            optimizer.restore((parameter, p), i64::try_from(steps)?, &moments)?;
        }
        for (full, shared) in saved.iter().filter_map(|(n, t)| Some((n.strip_suffix(SHARED)?, t))) {
            let (optimizers, group) = match full.rsplit_once(':') {
                Some((name, group)) => (self.named.get_mut(name), group),
                None => (Some(&mut self.optimizers), full),
            };
            match optimizers.and_then(|optimizers| optimizers.get_mut(group)) {
                Some(optimizer) => optimizer.restore_shared(Vec::try_from(shared)?),
                None => misfits.push(format!("what the optimizer kept of the group '{full}' has no place")),
            }
        }
        Ok(misfits)
    }

    /// All that the optimizers keep.
    pub(super) fn save(&self) -> Saved {
        let plain = self.optimizers.iter().flat_map(|(group, o)| o.save("", group));
        let named = self.named.iter().flat_map(|(name, optimizers)| {
            optimizers.iter().flat_map(move |(group, o)| o.save(&format!("{name}:"), group))
        });
        plain.chain(named).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use efference_sdk::{ParamStore, Random};
    use efference_spec::OptimizerKind;
    use tch::Device;

    /// The parameters after two steps of two groups together, whose rows come as a tensor for each parameter, or as one for all.
    fn after(settings: &OptimizerSettings, rows: usize, one_for_all: bool) -> Vec<f32> {
        let store = ParameterStore::new(1, Device::Cpu);
        let mut random = Random::new(4);
        let shapes: [(&str, &[i64]); 3] = [("goal.a.w", &[2, 3]), ("goal.a.b", &[2]), ("goal.b.w", &[4])];
        for (name, shape) in shapes {
            let _ = store.add(name, random.normal(shape, 1.0), true).unwrap();
        }
        let made = [("goal".to_owned(), None)];
        let groups = vec!["goal.a".to_owned(), "goal.b".to_owned()];
        let mut optimizers = Optimizers::new(groups, &made, &|_, _| settings.clone());
        for _ in 0..2 {
            let mut each = || -> Vec<Tensor> {
                (0..rows).flat_map(|_| shapes.map(|(_, shape)| random.normal(shape, 1.0))).collect()
            };
            let [mut traces, mut gradients] = [each(), each()];
            if one_for_all {
                for all in [&mut traces, &mut gradients] {
                    let row = |row: &[Tensor]| {
                        Tensor::cat(&row.iter().map(|t| t.view([-1])).collect::<Vec<_>>(), 0)
                    };
                    *all = all.chunks(shapes.len()).map(row).collect();
                }
            }
            let lend = |all: &'_ [Tensor]| -> Vec<Option<Tensor>> {
                all.iter().map(|t| Some(t.shallow_clone())).collect()
            };
            let (traces, gradients) = (lend(&traces), lend(&gradients));
            let followed = Followed {
                decay: 0.5,
                weighs: false,
                errors: &[0.5, -2.0][..rows],
                traces: &traces.iter().map(Option::as_ref).collect::<Vec<_>>(),
                gradients: &gradients.iter().map(Option::as_ref).collect::<Vec<_>>(),
            };
            optimizers.follow("term", "goal", &followed, &store).unwrap();
        }
        let all = store.trained("");
        all.iter().flat_map(|(_, p)| slice(p).unwrap().to_vec()).collect()
    }

    #[test]
    fn one_tensor_for_all_parameters_does_what_one_for_each_does() {
        use OptimizerKind::{Adam, Adamw, Intentional, Obgd, Rmsprop, Sgd};
        for kind in [Adam, Adamw, Intentional, Obgd, Rmsprop, Sgd] {
            for (rows, clip) in [(1, None), (2, None), (1, Some(0.5))] {
                let settings =
                    OptimizerSettings { kind, clip, weight_decay: 0.01, momentum: 0.5, ..Default::default() };
                let each = after(&settings, rows, false);
                assert_eq!(each, after(&settings, rows, true), "{kind:?}, {rows} rows, clip {clip:?}");
            }
        }
    }

    #[test]
    fn one_tensor_of_another_size_is_refused() {
        let store = ParameterStore::new(1, Device::Cpu);
        for name in ["goal.a", "goal.b"] {
            let _ = store.add(name, Random::new(1).normal(&[2], 1.0), true).unwrap();
        }
        let mut optimizers =
            Optimizers::new(Vec::new(), &[("goal".to_owned(), None)], &|_, _| OptimizerSettings::default());
        let trace = Random::new(2).normal(&[5], 1.0);
        let all = [Some(&trace)];
        let followed = Followed { decay: 0.5, weighs: true, errors: &[1.0], traces: &all, gradients: &all };
        let said = optimizers.follow("term", "goal", &followed, &store).err().unwrap().to_string();
        assert!(said.contains("stands for the 4 elements of all parameters of 'goal'"), "{said}");
    }
}
