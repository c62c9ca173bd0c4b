//! `ebm man`: manual pages, made from what `--help` says.

use std::path::{Path, PathBuf};

use clap::{Args, Command};
use clap_mangen::Man;
use serde_json::json;

use super::{GlobalArgs, output};
use crate::run::show;
use crate::store::fs;
use crate::{Error, Result};

/// Writes manual pages, one for each subcommand: man -M DIR ebm-train.
#[derive(Args)]
pub struct ManArgs {
    /// The folder, such as ~/.local/share/man; pages go to man1/ in it
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Writes every page, those that are there replaced.
pub fn run(args: &ManArgs, program: Command, global: &GlobalArgs) -> Result<()> {
    let folder = args.out.join("man1");
    fs::create_dir(&folder)?;
    let mut written = Vec::new();
    let mut program = program.disable_help_subcommand(true);
    program.build();
    write(&program, &folder, &mut written)?;
    if global.json {
        return output::print_json(&json!({"out": args.out, "pages": written}));
    }
    output::print(&format!("{}: {}\n", folder.display(), show::counted(written.len() as u64, "page")))
}

/// The page of a command and those of its subcommands, each under its whole name: `ebm-data-fetch.1`.
fn write(command: &Command, folder: &Path, written: &mut Vec<PathBuf>) -> Result<()> {
    let man = Man::new(command.clone());
    let path = folder.join(man.get_filename());
    let mut page = Vec::new();
    man.render(&mut page).map_err(|e| Error::Other(format!("{}: {e}", path.display())))?;
    fs::write_atomic(&path, &page)?;
    written.push(path);
    command.get_subcommands().try_for_each(|below| write(below, folder, written))
}
