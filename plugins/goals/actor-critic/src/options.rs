//! The options of `actor-critic`.
use efference_sdk::nn::Features;

efference_sdk::options! {
    /// Options of `actor-critic`.
    pub struct Options {
        /// What value and policy are functions of: "observation", the cell's "state", or "both".
        pub features: Features = Features::Observation,
        /// Whether value and policy share all layers but their last ones.
        pub shared: bool = false,
        /// Features between layers.
        #[schemars(range(min = 1))]
        pub width: i64 = 64,
        /// Layers before the last one.
        #[schemars(range(min = 0))]
        pub depth: i64 = 2,
        /// The share of each unit's first weights that are zero.
        #[schemars(range(min = 0.0, max = 1.0))]
        pub sparsity: f64 = 0.9,
        /// What the next step's value counts for.
        #[schemars(range(min = 0.0, max = 1.0))]
        pub gamma: f64 = 0.99,
        /// What the policy's entropy counts for.
        #[schemars(range(min = 0.0))]
        pub entropy: f64 = 0.01,
        /// Whether features are normalised by their running means and deviations.
        pub normalise_features: bool = true,
        /// Whether rewards are divided by the running deviation of their discounted sums.
        pub normalise_reward: bool = true,
        /// With the state among the features: what the error of a predicted observation counts for, by which the cell learns.
        #[schemars(range(min = 0.0))]
        pub observation_importance: f64 = 1.0,
        /// With the state among the features: whether the cell learns from value and policy too, by a trainer that takes their
        /// gradient through the state (not `traces`).
        pub teach_state: bool = false,
    }
}
