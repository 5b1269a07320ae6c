//! `uo2cb completions`: a script that has the shell ask this command at each completion, so that regions and mounts
//! that exist at that moment are among the answers.

use std::ffi::OsStr;

use clap::{Args, Command, CommandFactory};
use clap_complete::CompletionCandidate;
use clap_complete::env::{Bash, CompleteEnv, EnvCompleter, Fish, Shells, Zsh};
use serde_json::Value;
use uo2cb::control::{running, statuses};

use super::{Cli, Fail, each, say};

/// Says that a shell asks, and which.
const VARIABLE: &str = "UO2CB_COMPLETE";
const SHELLS: [&dyn EnvCompleter; 3] = [&Bash, &Zsh, &Fish];

/// Print a completion script for a shell
///
/// Completes subcommands and options, the regions of running nodes for `hold`, and their mounts for `umount` and
/// --mount.
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
        let shells = Shells(&SHELLS);
        let shell = shells.completer(&self.shell).ok_or_else(|| Fail::usage("no such shell"))?;
        let mut script = Vec::new();
        shell
            .write_registration(VARIABLE, "uo2cb", "uo2cb", "uo2cb", &mut script)
            .map_err(|error| Fail::new(format!("no script: {error}")))?;
        say(&String::from_utf8_lossy(&script));
        Ok(())
    }
}

/// Answers a shell that asks for completions, and ends; returns when this is not one.
pub(super) fn answer() {
    CompleteEnv::with_factory(|| visible(&Cli::command()))
        .var(VARIABLE)
        .bin("uo2cb")
        .completer("uo2cb")
        .shells(Shells(&SHELLS))
        .complete();
}

/// The same without what is hidden, which the completion would offer where nothing else fits.
fn visible(command: &Command) -> Command {
    let mut shown = Command::new(command.get_name().to_owned())
        .args(command.get_arguments().filter(|argument| !argument.is_hide_set()).cloned())
        .subcommands(command.get_subcommands().filter(|command| !command.is_hide_set()).map(visible));
    if let Some(about) = command.get_about() {
        shown = shown.about(about.clone());
    }
    if let Some(version) = command.get_version() {
        shown = shown.version(version.to_owned());
    }
    shown
}

/// Directories on which nodes are mounted.
pub(super) fn mounts(typed: &OsStr) -> Vec<CompletionCandidate> {
    let nodes = running();
    candidates(typed, nodes.iter().flat_map(|node| node.mounts()).map(|dir| dir.as_os_str().to_owned()))
}

/// Names of regions. One that is not UTF-8 is not among them: its name here would not be its name.
pub(super) fn regions(typed: &OsStr) -> Vec<CompletionCandidate> {
    let nodes = statuses();
    let regions = nodes.iter().flat_map(|node| each(node, "regions"));
    candidates(typed, regions.filter_map(|region| region.get("name").and_then(Value::as_str)).map(Into::into))
}

fn candidates(typed: &OsStr, all: impl Iterator<Item = std::ffi::OsString>) -> Vec<CompletionCandidate> {
    let typed = typed.as_encoded_bytes();
    let mut fitting: Vec<_> = all.filter(|one| one.as_encoded_bytes().starts_with(typed)).collect();
    fitting.sort();
    fitting.dedup();
    fitting.into_iter().map(CompletionCandidate::new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_hidden_is_offered() {
        let hidden: Vec<_> = Cli::command()
            .get_subcommands()
            .flat_map(|command| command.get_arguments().filter(|argument| argument.is_hide_set()).cloned())
            .collect();
        assert!(!hidden.is_empty());
        let shown = visible(&Cli::command());
        for command in shown.get_subcommands() {
            assert!(
                command.get_arguments().all(|argument| !argument.is_hide_set()),
                "{}",
                command.get_name()
            );
        }
        assert_eq!(shown.get_subcommands().count(), Cli::command().get_subcommands().count());
        shown.debug_assert();
    }
}
