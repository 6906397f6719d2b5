//! The options of `byol-explore`.
efference_sdk::options! {
    /// Options of `byol-explore`.
    pub struct Options {
        /// What the bonus is multiplied by: without `only_above_mean` it has about this deviation.
        #[schemars(range(min = 0.0))]
        pub scale: f64 = 1.0,
        /// Frames at the beginning that have no bonus, and whose errors, which are those of a network that knows nothing yet, do not
        /// count into deviation and mean.
        #[schemars(range(min = 0))]
        pub warm_up: u64 = 1_000,
        /// Whether only that part of the divided error is a bonus by which it is above its running mean.
        pub only_above_mean: bool = true,
        /// Features between layers.
        #[schemars(range(min = 1))]
        pub width: i64 = 64,
        /// Layers before the last one, of the encoder and of the predictor.
        #[schemars(range(min = 0))]
        pub depth: i64 = 1,
        /// Features of a latent.
        #[schemars(range(min = 2))]
        pub latent: i64 = 32,
        /// How much of the slow copy of the encoder is kept in a step.
        #[schemars(range(min = 0.0, max = 1.0))]
        pub decay: f64 = 0.99,
    }
}
