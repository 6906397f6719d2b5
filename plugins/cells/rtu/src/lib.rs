//! Cell plugin: recurrent trace units, complex numbers that turn and fade.
use efference_independent_units::{Frame, Wanted};
use efference_sdk::nn::{Normalised, check_forward, columns};
use efference_sdk::tch::Tensor;
use efference_sdk::{
    Cell, CellSetup, Nonlinearity, ParamStore, Params, Plugin, Recurrence, Result, Size, ensure,
};
use std::f64::consts::TAU;
use std::ops::Range;

efference_sdk::options! {
    /// Where the nonlinearity of the units stands.
    pub enum Variant {
        /// Between the units and what reads them: the units themselves are linear.
        Linear,
        /// Within the recurrence.
        Nonlinear,
    }
}

efference_sdk::options! {
    /// Options of `rtu`.
    pub struct Options {
        /// How many units remember, two elements each at the end of the state; 0: as many as fill half of it.
        #[schemars(range(min = 0))]
        pub units: i64 = 0,
        /// Where the units' nonlinearity stands.
        pub variant: Variant = Variant::Linear,
        /// The units' nonlinearity.
        pub unit_nonlinearity: Nonlinearity = Nonlinearity::Tanh,
        /// The least factor by which a unit fades in a step at the start.
        #[schemars(range(min = 0.0, max = 0.999_999))]
        pub r_min: f64 = 0.0,
        /// The largest factor by which a unit fades in a step at the start; what remains of 0.99 after 69 steps is half.
        #[schemars(range(min = 0.000_001, max = 0.999_999))]
        pub r_max: f64 = 0.999,
        /// The largest angle by which a unit turns in a step at the start.
        #[schemars(range(min = 0.000_001, max = 6.3))]
        pub angle_max: f64 = TAU,
        /// How many layers stand in a row in what reads predictions out of the units.
        #[schemars(range(min = 1, max = 4_096))]
        pub layers: i64 = 1,
        /// What stands between them.
        pub nonlinearity: Nonlinearity = Nonlinearity::Softsign,
        /// How far what is read out can go from zero; a little more than 1 lets it reach ±1 itself.
        pub out_mult: f64 = 1.2,
    }
}

/// Recurrent trace units (Elelimy et al., "Real-time recurrent learning using trace units in reinforcement learning", arXiv
/// 2409.01449) with a read-out. Of `x` (batch, ins), which begins with the state `[front, ¼ · c1, ¼ · c2]` and holds what was
/// observed, `u`:
///
/// ```text
/// r      = exp(−exp(nu)), angle = exp(log_angle), d1, d2 = drive(u)
/// a1     = r · (cos(angle) · c1 − sin(angle) · c2) + √(1 − r²) · d1
/// a2     = r · (cos(angle) · c2 + sin(angle) · c1) + √(1 − r²) · d2
/// c1'    = a1 (linear), f(a1) (nonlinear); c2' likewise
/// front' = out_mult · tanh(read_out([f(c1'), f(c2'), u] (linear), [c1', c2', u] (nonlinear)))
/// ```
///
/// with `f` the units' nonlinearity. A state holds a quarter of the numbers, so that the ±1 that goals hold the elements of a
/// state to are four deviations of a unit driven by noise.
///
/// At the start r² is uniform in `r_min`²…`r_max`² and the angle in 0…`angle_max`, as for linear recurrent units (Orvieto et
/// al., arXiv 2303.06349). Parameters: `nu` and `log_angle`, (units), those of the layer under `drive`, and of the
/// read-out's stack under `read_out`.
pub struct Rtu {
    size: Size,
    frame: Frame,
    drive: Normalised,
    nu: Tensor,
    log_angle: Tensor,
    nonlinearity: Nonlinearity,
    variant: Variant,
}

/// What a state holds of the units' numbers.
const SHARE: f64 = 0.25;

/// Below, r is 1 for all that 32 bits can tell, and √(1 − r²) has no slope.
const LEAST_NU: f64 = -16.0;

impl Plugin for Rtu {
    const NAME: &'static str = "rtu";
    const DESCRIPTION: &'static str =
        "Recurrent trace units: complex numbers that turn and fade, and do not see each other.";
    type Options = Options;
    type Kind = dyn Cell;

    fn new(options: Options, setup: &CellSetup<'_>) -> Result<Self> {
        let CellSetup { size, layers, params, .. } = setup;
        let Options { units, r_min, r_max, angle_max, layers: count, nonlinearity, out_mult, .. } = options;
        ensure!(
            0.0 <= r_min && r_min < r_max && r_max < 1.0,
            "r_min is {r_min} and r_max {r_max}: they must be 0 or more, below 1, and r_min the smaller one"
        );
        ensure!(
            0.0 < angle_max && angle_max <= TAU,
            "angle_max must be above 0, up to 2π, and is {angle_max}"
        );
        let wanted = Wanted { cell: Self::NAME, parts: 2, units, layers: count, nonlinearity, out_mult };
        let frame = Frame::new(&wanted, setup)?;
        let size_in = Size { ins: frame.observed(), outs: 2 * frame.units };
        let drive = Normalised::new(size_in, *layers, &params.scope("drive"))?;
        let nu = uniform(params, "nu", frame.units, |unit| {
            let square = r_min * r_min + unit * (r_max * r_max - r_min * r_min);
            (-0.5 * square.max(1e-12).ln()).ln()
        })?;
        let log_angle = uniform(params, "log_angle", frame.units, |unit| (unit * angle_max).max(1e-6).ln())?;
        let (nonlinearity, variant) = (options.unit_nonlinearity, options.variant);
        Ok(Rtu { size: *size, frame, drive, nu, log_angle, nonlinearity, variant })
    }
}

/// A parameter, (units), of `f` of numbers in 0…1.
fn uniform(params: &Params<'_>, name: &str, units: i64, f: impl Fn(f64) -> f64) -> Result<Tensor> {
    let mut random = params.random(name)?;
    let numbers = if params.only_counts()? {
        random.f_normal(&[units], 1.0)?
    } else {
        Tensor::f_from_slice(&(0..units).map(|_| f(random.unit()) as f32).collect::<Vec<_>>())?
    };
    params.parameter(name, numbers)
}

impl Cell for Rtu {
    fn forward(&self, x: &Tensor, outs: Range<i64>) -> Result<Tensor> {
        check_forward("rtu", self.size, x, &outs)?;
        let (u, parts) = self.frame.split(x)?;
        let [c1, c2] = [parts[0].f_div_scalar(SHARE)?, parts[1].f_div_scalar(SHARE)?];
        let rate = self.nu.f_clamp_min(LEAST_NU)?.f_exp()?;
        let r = rate.f_neg()?.f_exp()?;
        let scale = rate.f_mul_scalar(-2.0)?.f_expm1()?.f_neg()?.f_sqrt()?;
        let angle = self.log_angle.f_exp()?;
        let (along, across) = (r.f_mul(&angle.f_cos()?)?, r.f_mul(&angle.f_sin()?)?);
        let drive = self.drive.forward(&u)?;
        let driven = |part: i64| -> Result<Tensor> {
            Ok(drive.f_narrow(1, part * self.frame.units, self.frame.units)?.f_mul(&scale)?)
        };
        let a1 = along.f_mul(&c1)?.f_sub(&across.f_mul(&c2)?)?.f_add(&driven(0)?)?;
        let a2 = along.f_mul(&c2)?.f_add(&across.f_mul(&c1)?)?.f_add(&driven(1)?)?;
        let after =
            [self.nonlinearity.apply(&a1.f_contiguous()?)?, self.nonlinearity.apply(&a2.f_contiguous()?)?];
        let units = match self.variant {
            Variant::Linear => [a1, a2],
            Variant::Nonlinear => [after[0].shallow_clone(), after[1].shallow_clone()],
        };
        let units = [units[0].f_mul_scalar(SHARE)?, units[1].f_mul_scalar(SHARE)?];
        columns(&self.frame.next_state(&units, &after, &u)?, &outs)
    }

    fn recurrence(&self) -> Result<Option<Recurrence>> {
        // The drive's outputs are the first parts of the units, then the second parts.
        let drive = self.drive.units("drive")?.into_iter().map(|(name, outputs)| {
            let units = outputs.f_remainder(self.frame.units)?;
            Ok((name, units.f_where_self(&outputs.f_ge(0)?, &outputs)?))
        });
        let mut units = drive.collect::<Result<Vec<_>>>()?;
        let each = self.frame.one_a_unit()?;
        units.extend(["nu", "log_angle"].map(|name| (name.to_owned(), each.shallow_clone())));
        self.frame.recurrence(units).map(Some)
    }
}

efference_sdk::export! { cell: Rtu }

#[cfg(test)]
mod tests;
