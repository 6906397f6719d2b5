//! What the host checks around each call of a plugin: that it leaves grad mode and the processor's floating-point mode
//! as it found them, that it prints nothing, and, while a culprit is searched for, that it makes no finite numbers infinite
//! or NaN. Calls of layers are counted as work. Which call goes on is known to the process that waits for this one, should
//! it never end.
//!
//! Rules of the unsafe code here: grad mode is a flag of the thread that libtorch lets anybody set.
#![allow(unsafe_code)]
use super::float_mode::FloatMode;
use super::op_count::{CostModel, Counter, OpCount};
use super::stdout::{OnPrint, printed};
use super::working_directory;
use efference_sdk::bridge::{Method, Monitor};
use efference_sdk::{GradOutput, PluginId, Result, autograd, bail, elementwise};
use efference_supervision::{Activity, Call, of_this_process};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use tch::Tensor;

/// What the monitors of all plugins of an agent share.
#[derive(Debug, Default)]
pub struct CallMonitor {
    searching: AtomicBool,
    work: Counter,
}

impl CallMonitor {
    /// While `f` runs, each layer and cell is checked for turning finite numbers into others; the first that
    /// does is named by its error. Too slow for every step: it is for finding out where they began.
    pub fn search<R>(&self, f: impl FnOnce() -> R) -> R {
        self.searching.store(true, Ordering::Relaxed);
        let result = f();
        self.searching.store(false, Ordering::Relaxed);
        result
    }

    /// Adds work that was done elsewhere.
    pub(crate) fn add_work(&self, work: OpCount) {
        self.work.add(work);
    }

    /// The work since the last call.
    ///
    /// It is an estimate. A layer's calls are counted as they come; a call for some of the outputs counts as one for all
    /// of them. What autograd does later is not seen: where a result asks for gradients, one backward pass is counted in
    /// advance, which may never come, or come once for each gradient path.
    pub fn take_work(&self) -> OpCount {
        self.work.take()
    }
}

/// The monitor of one object of a plugin.
pub(super) struct ObjectMonitor {
    /// For messages about what it printed.
    plugin: PluginId,
    shared: Arc<CallMonitor>,
    activity: &'static Activity,
    /// The plugin's number in it.
    number: u32,
    /// Of a layer, whose work is counted.
    pub(super) cost: OnceLock<CostModel>,
}

impl ObjectMonitor {
    pub(super) fn new(plugin: PluginId, shared: &Arc<CallMonitor>) -> Arc<Self> {
        let activity = of_this_process();
        let number = activity.plugin(&plugin.to_string());
        Arc::new(ObjectMonitor { plugin, shared: shared.clone(), activity, number, cost: OnceLock::new() })
    }

    fn count(&self, of: impl FnOnce(&CostModel) -> OpCount) {
        if let Some(cost) = self.cost.get() {
            self.shared.work.add(of(cost));
        }
    }
}

impl Monitor for ObjectMonitor {
    fn before(&self, method: &Method) -> u64 {
        let method = method.number(|name| self.activity.method(name));
        let around = self.activity.enter(Call::new(self.number, method));
        // The bits of a floating-point mode are 16.
        u64::from(FloatMode::now().bits()) << 33
            | u64::from(around.bits()) << 1
            | u64::from(autograd::grad_enabled())
    }

    fn after(&self, before: u64) -> Result<()> {
        self.activity.leave(Call::of_bits((before >> 1) as u32));
        working_directory::check(&self.plugin);
        let had_grad = before & 1 != 0;
        let float_mode = FloatMode::of_bits((before >> 33) as u32);
        let rounds_alike = if FloatMode::now() == float_mode {
            Ok(())
        } else {
            float_mode.restore();
            left_float_mode_changed()
        };
        let restored = if autograd::grad_enabled() == had_grad {
            Ok(())
        } else {
            set_grad_mode(had_grad);
            left_grad_mode_changed(had_grad)
        };
        restored.and(rounds_alike).and(check_printed(&self.plugin))
    }

    fn forward(&self, x: &Tensor, y: &Tensor) -> Result<()> {
        if self.shared.searching.load(Ordering::Relaxed) && is_finite(x)? && !is_finite(y)? {
            bail!(
                "turned finite numbers into others (NaN or infinity). If its parameters have become that, lower \
                 the learning rate; if not, the plugin has a mistake"
            );
        }
        self.count(|cost| {
            let rows = autograd::rows(x) as u64;
            let mut work = cost.forward(rows);
            if y.requires_grad() {
                work += cost.backward(rows, 1, u64::from(x.requires_grad()), cost.trained > 0);
            }
            work
        });
        Ok(())
    }

    fn backward(&self, grad: &GradOutput<'_>) {
        self.count(|cost| {
            let trains = cost.trained > 0 && grad.needs_any_param_grad();
            cost.backward(grad.batch() as u64, grad.path_count() as u64, grad.input_paths as u64, trains)
        });
    }
}

fn left_grad_mode_changed(had_grad: bool) -> Result<()> {
    let (left, guard) = if had_grad { ("off", "`no_grad` guard") } else { ("on", "guard") };
    bail!(
        "left gradients switched {left} when it returned. The plugin must drop each {guard} before it \
         returns: use `tch::no_grad(|| …)`"
    )
}

fn left_float_mode_changed() -> Result<()> {
    bail!(
        "left the processor's floating-point mode changed when it returned (how it rounds, or whether numbers near 0 \
         count as 0), which would change all numbers from here on. The plugin must restore what it sets; a library that \
         was compiled with -ffast-math sets it when it is loaded"
    )
}

fn check_printed(plugin: &PluginId) -> Result<()> {
    let Some((text, on_print)) = printed() else { return Ok(()) };
    let text: String = text.chars().take(200).collect();
    match on_print {
        OnPrint::Log => tracing::info!("{plugin} printed: {text:?}"),
        OnPrint::Fail => bail!(
            "printed to standard output, which is the host's: {text:?}. Use `tracing::info!` in the \
             plugin, or let it print with `stdout = \"log\"` under [plugins]"
        ),
    }
    Ok(())
}

fn set_grad_mode(on: bool) {
    // SAFETY: sets a flag of this thread and returns what it was.
    unsafe { torch_sys::at_grad_set_enabled(i32::from(on)) };
}

/// Whether all are finite.
pub(crate) fn all_finite(elements: &[f32]) -> bool {
    // A number is not finite if all bits of its exponent are set.
    const EXPONENT: u32 = 0x7f80_0000;
    let is_not = |n: &f32| u32::from(n.to_bits() & EXPONENT == EXPONENT);
    let found = elementwise!(elements.len(), [], |range, []| {
        f64::from(elements[range].iter().map(is_not).fold(0, |all, one| all | one))
    });
    found == 0.0
}

/// Whether all elements of `t` are finite.
pub(crate) fn is_finite(t: &Tensor) -> Result<bool> {
    if let Ok(elements) = autograd::slice(t) {
        return Ok(all_finite(elements));
    }
    // A sum is not finite if one of its elements is not, and in float64 it does not overflow by itself.
    Ok(t.f_sum(tch::Kind::Double)?.f_double_value(&[])?.is_finite())
}
