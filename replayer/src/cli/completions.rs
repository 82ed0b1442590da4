//! `kingtide completions SHELL`: a completion script on stdout.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, Exit, print_result};

const EXAMPLES: &str = "\
Examples:
  kingtide completions bash > /etc/bash_completion.d/kingtide
  kingtide completions zsh > ~/.zfunc/_kingtide";

/// Print the completion script of a shell.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct CompletionsArgs {
    shell: Shell,
}

pub fn run(args: &CompletionsArgs) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "kingtide", &mut script);
    print_result(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Held)
}
