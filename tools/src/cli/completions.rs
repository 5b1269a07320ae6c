//! `uo2cb completions`.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, Fail, say};

/// Print a completion script for a shell
#[derive(Args)]
#[command(after_help = "\
Examples:
  uo2cb completions bash > ~/.local/share/bash-completion/completions/uo2cb
  uo2cb completions zsh  > \"${fpath[1]}/_uo2cb\"
  uo2cb completions fish > ~/.config/fish/completions/uo2cb.fish")]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_parser = ["bash", "zsh", "fish"])]
    shell: String,
}

impl Completions {
    pub(crate) fn run(self) -> Result<(), Fail> {
        let shell = match self.shell.as_str() {
            "zsh" => Shell::Zsh,
            "fish" => Shell::Fish,
            _ => Shell::Bash,
        };
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "uo2cb", &mut script);
        say(&String::from_utf8_lossy(&script));
        Ok(())
    }
}
