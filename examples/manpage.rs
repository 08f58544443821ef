//! Writes the manual pages, one for the program and one for each command, into the folder that is named: what `make dist`
//! packs. They are made of the very definition that reads the command line.

use std::{path::PathBuf, process::ExitCode};

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: manpage FOLDER");
        return ExitCode::from(2);
    };
    let written =
        std::fs::create_dir_all(&folder).and_then(|()| clap_mangen::generate_to(beatwarden::cli::command(), &folder));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("manpage: {}: {error}", folder.display());
            ExitCode::FAILURE
        }
    }
}
