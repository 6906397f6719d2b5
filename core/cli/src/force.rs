//! `--force`, of the commands that refuse what does not fit into memory.
use clap::Args;

/// Whether what does not fit is tried all the same.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct ForceArgs {
    /// Begins though the experiment takes more memory than there seems to be (see `efference check`).
    #[arg(long)]
    pub force: bool,
}
