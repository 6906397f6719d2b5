//! `efference simulate-decisions`: what `sweep --until-decided` does where the truth is known.
use crate::{fail, print};
use clap::Args;
use efference_compare::{Noise, SequentialTest, Truth, simulate};

/// Simulates the test of `sweep --until-decided` on results that are drawn at random: how often it decides without a
/// difference, how often with one, and after how many seeds.
#[derive(Debug, Args)]
pub struct SimulateDecisionsArgs {
    /// How much the first value differs from the others: in standard deviations of the differences of pairs.
    #[arg(long, default_value_t = 1.0, value_name = "D")]
    pub effect: f64,
    /// How many values are compared, all with each other.
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u8).range(2..=8))]
    pub values: u8,
    /// The design of the test.
    #[command(flatten)]
    pub design: DesignArgs,
    /// Repetitions, each on new results.
    #[arg(long, default_value_t = 1_000, value_name = "N")]
    pub repeats: usize,
    /// Seed of the random numbers.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
}

/// When it is looked whether comparisons are decided, and how often that may be wrong.
#[derive(Debug, Clone, Args)]
pub struct DesignArgs {
    /// The probability of deciding anything where there is no difference, at most.
    #[arg(long, default_value_t = 0.05, value_name = "P")]
    pub alpha: f64,
    /// Seeds that are run before the first look.
    #[arg(long, default_value_t = 6, value_name = "N")]
    pub first: usize,
    /// Seeds that are added before each further look.
    #[arg(long, default_value_t = 2, value_name = "N")]
    pub group: usize,
    /// The most seeds.
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub most: usize,
}

impl DesignArgs {
    /// The test.
    ///
    /// # Errors
    /// A sentence on what is wrong with it.
    pub fn test(&self) -> Result<SequentialTest, String> {
        if !(self.alpha > 0.0 && self.alpha < 1.0) {
            return Err(format!("--alpha {} is no probability between 0 and 1", self.alpha));
        }
        // With n pairs of two values, the smallest level of a test is 2 / 2^n.
        let least = (1.0 - self.alpha.log2()).ceil() as usize;
        if self.most < least || self.most > 1_000 {
            return Err(format!(
                "--most {} cannot be: {least} seeds are the fewest that can decide anything at --alpha {}, and 1000 the most",
                self.most, self.alpha
            ));
        }
        if self.first < 2 || self.group == 0 {
            return Err("--first must be at least 2 and --group at least 1: a look needs new seeds".into());
        }
        Ok(SequentialTest::new(self.alpha, self.first, self.group, self.most))
    }
}

/// Does it; returns the exit status.
pub fn run(arguments: &SimulateDecisionsArgs) -> u8 {
    let test = match arguments.design.test() {
        Ok(test) => test,
        Err(why) => return fail(why),
    };
    if arguments.repeats == 0 {
        return fail("--repeats must be at least 1");
    }
    let looks: Vec<String> = test.looks.iter().map(ToString::to_string).collect();
    let mut text = format!(
        "{} values, all pairs compared at alpha {}; {} repetitions; looks after {} seeds.\n\n\
         results      effect  decided  any decided  seeds (mean)\n",
        arguments.values,
        test.alpha,
        arguments.repeats,
        looks.join(", ")
    );
    for effect in [0.0, arguments.effect] {
        for noise in Noise::ALL {
            let truth = Truth { values: arguments.values.into(), effect, noise };
            let outcome = simulate(&test, truth, arguments.repeats, arguments.seed);
            text += &format!(
                "{:<11}  {effect:>6}  {:>6.1}%  {:>10.1}%  {:>12.1}\n",
                noise.name(),
                100.0 * outcome.decided,
                100.0 * outcome.any_decided,
                outcome.seeds
            );
        }
    }
    let error = 100.0 * (test.alpha * (1.0 - test.alpha) / arguments.repeats as f64).sqrt();
    text += &format!(
        "\nWithout an effect (0), `any decided` is the error: {:.1}% at most in the long run, ±{error:.1} by the luck of {} \
         repetitions.\nThe effect is the difference of the means in standard deviations of the paired differences.\n\
         A fixed test takes {} seeds, whatever it sees.\n",
        100.0 * test.alpha,
        arguments.repeats,
        test.most()
    );
    print(&text);
    0
}
