//! Steps of the reward model and its slow copy.
use crate::case::Case;
use crate::network;
use crate::parts::Parts;
use crate::report::Report;
use efference_engine::agent::ParameterStore;
use efference_sdk::tch::{Device, Kind, Tensor, no_grad_guard};
use efference_sdk::{ParamStore, Params, Result, ensure};
use efference_testkit::with_loss_input;

pub(crate) fn gradmax(case: &Case, parts: &Parts) -> Result<Report> {
    let ins = case.setting("ins")?;
    let learning_rate: f64 = case.setting("sgd_lr")?;
    let options = case.options(&[
        ("layers", "layers"),
        ("nonlinearity", "nonlinearity"),
        ("momentum", "momentum"),
        ("strength", "strength"),
        ("pred_gradient", "pred_gradient"),
    ])?;
    let store = ParameterStore::new(0, Device::Cpu);
    let layers = parts.layers(case.layer_options()?)?;
    let mut goal = parts.goal("gradmax", options, ins, &layers, &Params::new(&store))?;
    for part in ["model.", "target."] {
        network::load(case, &Params::new(&store).scope(part.trim_end_matches('.')), "model.")?;
    }

    let mut report = Report::new(1e-4);
    let steps: usize = case.setting("steps")?;
    for step in 0..steps {
        let tensor = |name: &str| case.tensor(&format!("step.{step}.{name}"));
        let x = tensor("x")?.f_set_requires_grad(true)?;
        // The reward is the first of the reserved slots; nothing else was observed.
        let reward = tensor("reward")?.f_reshape([-1, 1])?;
        ensure!(reward.size()[0] == x.size()[0], "step {step} should have one reward for each row of x");
        let missing = reward.f_full_like(f64::NAN)?.f_expand([-1, 3], false)?;
        let observation = Tensor::f_cat(&[&reward, &missing], 1)?;
        let mut loss = with_loss_input(&x, &x.f_detach()?, &observation, |input| goal.loss(input))?;
        // The goal's other terms are those of `predict`.
        loss.terms.retain(|term| term.name == "reward_model" || term.name == "reward");
        ensure!(loss.terms.len() == 2, "gradmax should have the terms reward_model and reward");
        let Some(total) = loss.total()? else { continue };
        report.compare(&format!("step.{step}.loss"), &total.f_detach()?, &tensor("loss")?)?;
        total.f_backward()?;
        report.compare(&format!("step.{step}.gx"), &network::gradient(&x)?, &tensor("gx")?)?;

        let _no_grad = no_grad_guard();
        for (_, parameter) in store.trained("model.").iter() {
            let mut parameter = parameter.shallow_clone();
            let change = network::gradient(&parameter)?.f_mul_scalar(-learning_rate)?;
            let _ = parameter.f_add_(&change)?;
            parameter.zero_grad();
        }
    }
    for (name, tensor) in store.list("")? {
        let name = format!("after.{name}");
        report.compare(&name, &tensor.f_detach()?.f_to_kind(Kind::Float)?, &case.tensor(&name)?)?;
    }
    Ok(report)
}
