//! The options of `siamese`.
efference_sdk::options! {
    /// Options of `siamese`.
    pub struct Options {
        /// What the error of latents is multiplied with where its gradient reaches the state.
        #[schemars(range(min = 0.0))]
        pub importance: f64 = 1.0,
        /// What the gradient of the readout's error in the state is multiplied with; 0: the readout only reads. With
        /// `importance = 0` and this above 0, elements are predicted in place of latents, by the same network.
        #[schemars(range(min = 0.0))]
        pub readout_importance: f64 = 0.0,
        /// Features between the layers of encoder and predictor.
        #[schemars(range(min = 1))]
        pub width: i64 = 64,
        /// Layers before the last one, of the encoder and of the predictor.
        #[schemars(range(min = 0))]
        pub depth: i64 = 1,
        /// Features of a latent.
        #[schemars(range(min = 2))]
        pub latent: i64 = 32,
        /// How much of the slow copy of the encoder is kept at each loss; 0: it is the encoder itself, as in SimSiam.
        #[schemars(range(min = 0.0, max = 1.0))]
        pub decay: f64 = 0.99,
    }
}
