//! `--view`: the page of a run that is made.
use crate::fail;
use clap::Args;
use efference_view::page::Page;

/// Whether the run is shown on a page.
#[derive(Debug, Clone, Args)]
pub struct PageArgs {
    /// Shows the run in the browser while it goes: prints the address of a page on this machine, which ends with the run.
    #[arg(long)]
    pub view: bool,
    /// The port of that page; without, any that is free.
    #[arg(long, value_name = "PORT", requires = "view", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,
}

impl PageArgs {
    /// Takes the port, before anything is begun.
    ///
    /// # Errors
    /// The exit status; why was printed.
    pub(crate) fn bind(&self) -> Result<Option<Page>, u8> {
        self.view.then(|| Page::bind(self.port)).transpose().map_err(fail)
    }
}
