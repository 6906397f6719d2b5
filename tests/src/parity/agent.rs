//! Whole trajectories of the agent.
use crate::case::Case;
use crate::network;
use crate::parts::{Options, Parts};
use crate::report::Report;
use efference_engine::agent::{AgentConfig, Model};
use efference_sdk::abi::Kind;
use efference_sdk::serde_json::{Value, json};
use efference_sdk::tch::{self, Device, Tensor};
use efference_sdk::{ActionGroup, Batch, ParamStore, Result, ensure};
use efference_spec::{OptimizerKind, OptimizerSettings};
use efference_testkit::OwnedMoment;
use std::collections::HashMap;

/// What a dozen of updates may make of rounding.
const TOLERANCE: f64 = 2e-3;

pub(crate) fn agent(case: &Case, parts: &Parts) -> Result<Report> {
    let state_size: i64 = case.setting("state_size")?;
    let optimizer = OptimizerSettings {
        kind: OptimizerKind::Adam,
        learning_rate: case.setting("lr")?,
        weight_decay: case.optional("weight_decay")?.unwrap_or(0.0),
        ..OptimizerSettings::default()
    };
    let goal = if case.setting("maximize")? { "maximize" } else { "predict" };
    let (model, mut trainer) = Model::build(&AgentConfig {
        sharing: parts.sharing,
        spaces: None,
        groups: Vec::new(),
        seed: 0,
        device: Device::Cpu,
        state_size,
        layer: parts.layer(case.layer_options()?)?,
        cell: parts.config(Kind::Cell, "mgu", network::cell_options(case)?)?,
        goal: parts.config(Kind::Goal, goal, goal_options(case, goal)?)?,
        bonus: None,
        trainer: parts.config(Kind::Trainer, "bptt", trainer_options(case)?)?,
        optimizer: &|_, learning_rate| OptimizerSettings {
            learning_rate: learning_rate.unwrap_or(optimizer.learning_rate),
            ..optimizer.clone()
        },
    })?;
    network::load(case, model.store(), "init.")?;

    let mut report = Report::new(TOLERANCE);
    let streams: u64 = case.setting("streams")?;
    let all: Vec<u64> = (0..streams).collect();
    let steps: usize = case.setting("steps")?;
    for step in 0..steps {
        let observed: Vec<(u64, Tensor)> =
            all.iter().filter_map(|b| Some((*b, case.find(&format!("step.{step}.obs.{b}"))?))).collect();
        ensure!(!observed.is_empty(), "nothing is observed in step {step}");
        let active: Vec<u64> = observed.iter().map(|(b, _)| *b).collect();
        let moment = OwnedMoment::of_streams(&active, &padded(&observed)?);
        let started: &[u64] = if step == 0 { &all } else { &[] };
        let batch = Batch { started, ..moment.batch() };
        model.set_step(step as u64);
        let state = trainer.step(&model, &batch)?;
        for (row, (b, observation)) in observed.iter().enumerate() {
            let state = state.f_narrow(0, row as i64, 1)?;
            let name = format!("step.{step}.pred.{b}");
            let prediction = state.f_narrow(1, 0, observation.size()[0])?.f_reshape(-1)?;
            report.compare(&name, &prediction, &case.tensor(&name)?)?;
            let name = format!("step.{step}.act.{b}");
            if let Some(expected) = case.find(&name) {
                let groups = vec![ActionGroup::VALUE; expected.size()[0] as usize];
                let action = model.act(&moment.get(), &state, &groups, false)?.f_reshape(-1)?;
                report.compare(&name, &action, &expected)?;
            }
        }
        let mut expected = HashMap::new();
        expected.insert("loss", case.find(&format!("step.{step}.loss")));
        // The file has the error of each stream, the goal records their mean.
        let error = case.find(&format!("step.{step}.error"));
        expected.insert("error", error.map(|e| e.f_mean(tch::Kind::Float)).transpose()?);
        let recorded = model.take_means();
        for (name, value) in recorded.loss()?.into_iter().chain(recorded.terms()?) {
            if let Some(Some(expected)) = expected.remove(&*name) {
                report.compare(&format!("step.{step}.{name}"), &Tensor::from(value), &expected)?;
            }
        }
        for (name, _) in expected.into_iter().filter(|(_, e)| e.is_some()) {
            report.fail(format!("the agent did not record '{name}' in step {step}"));
        }
    }
    for (name, tensor) in model.store().list("")? {
        let name = format!("after.{name}");
        report.compare(&name, &tensor.f_detach()?, &case.tensor(&name)?)?;
    }
    Ok(report)
}

fn goal_options(case: &Case, goal: &str) -> Result<Options> {
    let mut options = case.options(&[
        ("observation_importance", "observation_importance"),
        ("goals_for_actions", "goals_for_actions"),
        ("error_reward", "error_reward"),
    ])?;
    if let Some(kind) = case.optional::<String>("observation_loss")? {
        options.insert("observation_loss".to_owned(), Value::from(kind.to_lowercase()));
    }
    if goal == "predict" {
        // The files say how the actions would be rewarded even where nothing is.
        options.retain(|name, _| name.starts_with("observation_"));
    }
    Ok(options)
}

fn trainer_options(case: &Case) -> Result<Options> {
    let mut options = case.options(&[
        ("unroll_length", "unroll_length"),
        ("unrolls_per_step", "unrolls_per_update"),
        ("merge", "merge"),
    ])?;
    let layers: i64 = case.setting("layers")?;
    let mut synthetic =
        json!({ "enabled": case.setting::<bool>("synthetic_gradient")?, "layers": layers + 1 });
    if let Some(learning_rate) = case.optional::<f64>("synthetic_gradient_lr")? {
        synthetic["learning_rate"] = learning_rate.into();
    }
    options.insert("synthetic_gradient".to_owned(), synthetic);
    Ok(options)
}

/// Observations as rows of one tensor, with missing values behind the shorter ones.
fn padded(observed: &[(u64, Tensor)]) -> Result<Tensor> {
    let length = observed.iter().map(|(_, o)| o.size()[0]).max().unwrap_or(0);
    let rows = observed.iter().map(|(_, o)| Ok(o.f_pad([0, length - o.size()[0]], "constant", f64::NAN)?));
    Ok(Tensor::f_stack(&rows.collect::<Result<Vec<_>>>()?, 0)?)
}
