//! `ebm note`: a sentence that people keep with a run.

use std::path::PathBuf;

use clap::Args;

use super::tag::told;
use super::{GlobalArgs, usage};
use crate::Result;
use crate::run::Remarks;

/// Keeps a note with a run, in the place of the one before; without a text prints it.
#[derive(Args)]
pub struct NoteArgs {
    /// The run folder
    run: PathBuf,
    /// The note
    text: Vec<String>,
    /// Removes it
    #[arg(long, conflicts_with = "text")]
    remove: bool,
}

/// Changes the note, if that is asked for, and prints what it is now.
pub fn run(args: &NoteArgs, global: &GlobalArgs) -> Result<()> {
    let text = args.text.join(" ");
    if !args.text.is_empty() && text.trim().is_empty() {
        return Err(usage("the note is empty", "--remove takes the note away"));
    }
    let change = |remarks: &mut Remarks| match args.remove || !args.text.is_empty() {
        true => remarks.note(&text),
        false => Ok(()),
    };
    let remarks = Remarks::edit(&args.run, change)?;
    told(&args.run, &remarks, &remarks.note, global)
}
