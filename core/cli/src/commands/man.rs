//! `efference man`.
use crate::fail;
use crate::output::{print, print_data};
use crate::paths::path;
use clap::{Args, Command};
use std::fs;
use std::path::PathBuf;

/// Prints the manual page, or writes one of each command into a folder.
///
/// To read it: `efference man | man -l -`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// A folder for the pages of all commands, such as `~/.local/share/man/man1`; it is made if it is not there.
    #[arg(long, value_name = "DIR", value_parser = path())]
    pub out: Option<PathBuf>,
}

/// Does it for the whole command line; returns the exit status.
pub fn run(arguments: &ManArgs, whole: Command) -> u8 {
    let Some(folder) = &arguments.out else {
        let mut page = Vec::new();
        return match clap_mangen::Man::new(whole).render(&mut page) {
            Ok(()) => {
                print_data(&String::from_utf8_lossy(&page));
                0
            }
            Err(why) => fail(why),
        };
    };
    let written = fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(whole, folder));
    match written {
        Ok(()) => {
            print(&format!("{}\n", folder.join("efference.1").display()));
            0
        }
        Err(why) => fail(format!("the pages cannot be written to {}: {why}", folder.display())),
    }
}
