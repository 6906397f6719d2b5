//! `efference draw`: checks what takes no libtorch, and runs the engine.
use crate::engine;
use crate::paths::{path, path_of};
use crate::plugin_folders::say_not_there;
use clap::Args;
use std::path::PathBuf;

/// Draws how a layer connects its inputs to its outputs: a column of nodes before and after each stage, a line for each
/// connection.
#[derive(Debug, Args)]
pub struct DrawArgs {
    /// The layer plugin.
    pub layer: String,
    /// Features that go in.
    #[arg(long, value_name = "N", value_parser = nodes)]
    pub ins: i64,
    /// Features that come out.
    #[arg(long, value_name = "N", value_parser = nodes)]
    pub outs: i64,
    /// Sets an option of the layer, as in `radix=2`; may be given again.
    #[arg(long, value_name = "OPTION=VALUE")]
    pub set: Vec<String>,
    /// Draws in colour all that depends on this input, counted from 0.
    #[arg(long, value_name = "N")]
    pub input: Option<i64>,
    /// The file, which ends in .svg or .png; may be given again. Without it: LAYER-INS-OUTS.svg.
    #[arg(long, value_name = "FILE", value_parser = file)]
    pub out: Vec<PathBuf>,
    /// The same as `--plugins`.
    #[arg(long, value_name = "DIR", hide = true, value_parser = path())]
    pub path: Vec<PathBuf>,
}

impl DrawArgs {
    /// The files to be written.
    pub fn files(&self) -> Vec<PathBuf> {
        match self.out.is_empty() {
            true => vec![format!("{}-{}-{}.svg", self.layer, self.ins, self.outs).into()],
            false => self.out.clone(),
        }
    }
}

fn nodes(text: &str) -> Result<i64, String> {
    let most = efference_view::drawing::MOST_NODES;
    match text.parse::<i64>() {
        Ok(nodes) if (1..=most).contains(&nodes) => Ok(nodes),
        Ok(nodes) if nodes > most => Err(format!(
            "at most {most} nodes in a column can be drawn legibly; a smaller layer of the same options shows the same pattern"
        )),
        Ok(_) => Err("a layer has at least 1".to_owned()),
        Err(_) => Err(format!("expected a whole number from 1 to {most}")),
    }
}

fn file(text: &str) -> Result<PathBuf, String> {
    let path = path_of(text)?;
    let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
    match ending == "svg" || ending == "png" {
        true => Ok(path),
        false => Err("expected a name that ends in .svg or .png".to_owned()),
    }
}

/// Does it; returns the exit status.
pub fn run(arguments: &DrawArgs) -> u8 {
    say_not_there(&arguments.path);
    engine::run()
}
