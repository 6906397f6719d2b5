//! The options of `adversarial`.
use efference_sdk::ObservationLoss;

efference_sdk::options! {
    /// Options of `adversarial`.
    pub struct Options {
        /// What the error of an observation is multiplied with, beside that of the reward and the misprediction.
        #[schemars(range(min = 0.0))]
        pub observation_importance: f64 = 1.0,
        /// How the error of an observation is measured: "l1" or "l2".
        pub observation_loss: ObservationLoss = ObservationLoss::L2,
        /// What the critic's gradient in a prediction is multiplied with, beside that of the error; 0: the critic looks on, and
        /// predictions are those of `predict`.
        #[schemars(range(min = 0.0))]
        pub weight: f64 = 0.1,
        /// What the critic minimises, and the prediction with it: "hinge" or "logistic".
        pub critic_loss: CriticLoss = CriticLoss::Hinge,
        /// Features between the critic's layers.
        #[schemars(range(min = 1))]
        pub width: i64 = 64,
        /// Layers of the critic before the last one.
        #[schemars(range(min = 0))]
        pub depth: i64 = 1,
    }
}

efference_sdk::options! {
    /// What a critic and a prediction minimise, with C the critic's number: above 0 it takes a frame for real.
    pub enum CriticLoss {
        /// Critic: max(0, 1 − C(real)) + max(0, 1 + C(predicted)); prediction: −C(predicted).
        Hinge,
        /// Critic: log(1 + e^−C(real)) + log(1 + e^C(predicted)); prediction: log(1 + e^−C(predicted)).
        Logistic,
    }
}
