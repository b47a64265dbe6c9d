//! What cannot be undone is asked for twice: its name is typed again, or given again with `--yes`. A
//! script can do that; a slip of the finger cannot.

use std::io::{self, Write};

use anyhow::Result;

use crate::error::Usage;

/// Goes on if `yes` is the name, or if the name is typed on the terminal.
///
/// # Errors
/// [`Usage`] if it is not, or if there is neither.
pub fn confirm(doing: &str, name: &str, yes: Option<&str>) -> Result<()> {
    let again = match yes {
        Some(yes) => yes.to_owned(),
        None if rustix::termios::isatty(io::stdin()) => ask(doing, name)?,
        None => return Err(Usage(format!("this is {doing}; give its name again: --yes {name}")).into()),
    };
    match again == name {
        true => Ok(()),
        false => Err(Usage(format!("{again:?} is not {name}; nothing was removed")).into()),
    }
}

fn ask(doing: &str, name: &str) -> Result<String> {
    let mut terminal = io::stderr();
    write!(terminal, "This is {doing}. To go on, type its name, {name}: ")?;
    terminal.flush()?;
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
