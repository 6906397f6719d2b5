//! `efference plugins`.
use efference_registry::PluginFiles;
use std::io::{self, Write};

/// Lists the plugins on standard output; answers with the exit status, which is 1 where there are none.
pub fn answer(files: &PluginFiles) -> u8 {
    // Whoever reads the list may have seen enough.
    let _ = write(files, &mut io::stdout().lock());
    if files.found().is_empty() {
        eprintln!("error: no plugins were found in {}", files.searched());
        return 1;
    }
    0
}

/// Writes the plugins that were found, then the files that are no good, each with the reason.
///
/// # Errors
/// Those of `to`.
pub fn write(files: &PluginFiles, to: &mut impl Write) -> io::Result<()> {
    for found in files.found() {
        let l = &found.listed;
        let (kind, file) = (l.kind.name(), found.file.display());
        writeln!(to, "{kind:<11}  {:<10}  {:<7}  {}\n{:>13}{file}", l.name, l.version, l.description, "")?;
    }
    for refusal in files.refused() {
        writeln!(to, "not loaded:  {refusal}")?;
    }
    to.flush()
}
