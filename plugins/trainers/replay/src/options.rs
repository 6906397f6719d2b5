//! The options of `replay`.
use efference_stream_states::Merge;

efference_sdk::options! {
    /// Options of `replay`.
    pub struct Options {
        /// How many moments of streams are remembered, the last ones. Each takes, in memory and in each checkpoint, 4 bytes an element
        /// of state, observation and action: 1,000 of a state of 512 and 148 elements are 2.6 MB.
        #[schemars(range(min = 2, max = 100_000_000))]
        pub capacity: u64 = 1_000,
        /// Updates by remembered moments in each step; 0: none, and what comes is learned from as by `sliding`.
        #[schemars(range(min = 0, max = 10_000))]
        pub replays: u64 = 1,
        /// Remembered pieces in each such update.
        #[schemars(range(min = 1, max = 1_000_000))]
        pub batch: u64 = 16,
        /// How many transitions gradient travels back: from a step's loss, and in a remembered piece, each of whose transitions is
        /// followed by a loss.
        #[schemars(range(min = 1, max = 1_000_000))]
        pub unroll_length: u64 = 1,
        /// How many transitions before a remembered piece are made again, without gradient, so that it begins with a state of today; 0:
        /// with the one that was stored. Where fewer are remembered, as many as there are.
        #[schemars(range(min = 0, max = 1_000_000))]
        pub burn_in: u64 = 0,
        /// How many moments are remembered before the first replay.
        #[schemars(range(min = 0))]
        pub warm_up: u64 = 100,
        /// What the cell receives: state and observation side by side, one over the other, their sum, or the
        /// state alone.
        pub merge: Merge = Merge::Concat,
        /// Whether the cell's input also holds the action that was done before, behind the rest: its efference copy.
        pub action_input: bool = false,
        /// Whether a stream's state is zero again after the end of an episode, so that nothing is carried over.
        pub reset_after_episode: bool = false,
    }
}
