//! The command line: one file for each subcommand.

mod background;
mod completions;
mod demo;
mod dump;
mod follow;
mod format;
mod mount;
mod status;
mod umount;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use clap_complete::ArgValueCompleter;
use serde_json::Value;
use uo2cb::Error;
use uo2cb::control::{Client, Failure, choose};

/// ocfs2's cluster stack as an ordinary process
///
/// Shows through FUSE the tree that the kernel shows under /sys/kernel/config, so that cluster stacks can be
/// written and tested against it without loading kernel code, without root.
#[derive(Parser)]
#[command(name = "uo2cb", version, after_help = EXAMPLES, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  uo2cb demo                    see a whole session, leaving nothing behind
  mkdir /tmp/o2cb
  uo2cb mount /tmp/o2cb --heartbeat-mode user
  mkdir /tmp/o2cb/cluster/c     then as on a machine with the kernel modules
  uo2cb status                  cluster, nodes, regions, who is up where
  uo2cb watch                   every heartbeat event as it is delivered
  uo2cb umount /tmp/o2cb

Exit status: 0 success, 1 failure, 2 wrong use of the command line, 86 a node
that ended at once (fenced, or a fault of its own; seen with --foreground).";

#[derive(Subcommand)]
enum Command {
    Mount(mount::Mount),
    Umount(umount::Umount),
    Status(status::Status),
    Watch(follow::Watch),
    Hold(follow::Hold),
    Demo(demo::Demo),
    Format(format::Format),
    Dump(dump::Dump),
    Completions(completions::Completions),
}

/// Which node is meant.
#[derive(Args)]
struct Which {
    /// The node mounted on DIR (any of its trees, or a path in one); needed only when several run and the current
    /// directory is in none of them
    #[arg(long, value_name = "DIR", add = ArgValueCompleter::new(completions::mounts), env = "UO2CB_MOUNT")]
    mount: Option<PathBuf>,
}

impl Which {
    fn connect(&self) -> Result<Client, Fail> {
        let mount = self.mount.as_deref().filter(|dir| !dir.as_os_str().is_empty());
        Ok(choose(mount)?.client())
    }
}

/// What ends the command: one line and an exit status.
#[derive(Debug)]
struct Fail {
    code: u8,
    message: String,
}

impl Fail {
    /// Something did not work.
    fn new(message: impl Into<String>) -> Self {
        Self { code: 1, message: message.into() }
    }

    /// The command line asks for what cannot be.
    fn usage(message: impl Into<String>) -> Self {
        Self { code: 2, message: message.into() }
    }
}

impl From<Error> for Fail {
    fn from(error: Error) -> Self {
        match error {
            Error::SameMountPoint(_) | Error::FenceRoot => Self::usage(error.to_string()),
            other => Self::new(other.to_string()),
        }
    }
}

impl From<Failure> for Fail {
    fn from(failure: Failure) -> Self {
        Self::new(failure.to_string())
    }
}

/// Parses and runs; the exit status is the result.
pub(crate) fn main() -> ExitCode {
    completions::answer();
    let result = match Cli::parse_from(words(std::env::args_os())).command {
        Command::Mount(command) => command.run(),
        Command::Umount(command) => command.run(),
        Command::Status(command) => command.run(),
        Command::Watch(command) => command.run(),
        Command::Hold(command) => command.run(),
        Command::Demo(command) => command.run(),
        Command::Format(command) => command.run(),
        Command::Dump(command) => command.run(),
        Command::Completions(command) => command.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Fail { code, message }) => {
            // Standard error may be closed; the status tells all the same.
            let _ = writeln!(std::io::stderr(), "uo2cb: {}", plain(&message));
            ExitCode::from(code)
        }
    }
}

/// Without the numbers that the standard library puts behind the system's words.
fn plain(message: &str) -> String {
    let mut out = String::new();
    for (index, part) in message.split(" (os error ").enumerate() {
        out += if index == 0 { part } else { part.split_once(')').map_or("", |(_, rest)| rest) };
    }
    out
}

/// Prints; false when nobody reads any more.
fn say(text: &str) -> bool {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_ok()
}

/// Size of a slot, as the kernel takes it.
fn block_bytes(text: &str) -> Result<u32, String> {
    let bytes =
        text.parse().ok().filter(|bytes: &u32| bytes.is_power_of_two() && (512..=4096).contains(bytes));
    bytes.ok_or_else(|| "not a power of two from 512 to 4096".into())
}

/// The text at a place of a JSON object.
fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or("-")
}

/// The elements at a place of a JSON object.
fn each<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

/// `n1 (1)`.
fn node(value: &Value) -> String {
    let num = value.get("num").map_or_else(|| "-".into(), Value::to_string);
    format!("{} ({num})", text(value, "name"))
}

/// What clap is given: `--fence exec PROGRAM` and `--fence watchdog DEVICE` become one value, which an option that may be
/// followed by a directory needs to have.
fn words(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut words: Vec<OsString> = Vec::new();
    let mut plain = false;
    for argument in arguments {
        plain |= argument == "--";
        let option = words.len().checked_sub(2).is_some_and(|at| words[at] == "--fence");
        let last = words.last_mut().filter(|last| {
            let alone = option && (**last == "exec" || **last == "watchdog");
            !plain && (alone || **last == "--fence=exec" || **last == "--fence=watchdog")
        });
        match last {
            Some(last) => {
                last.push("=");
                last.push(argument);
            }
            None => words.push(argument),
        }
    }
    words
}

/// The arguments of this process.
fn arguments() -> impl Iterator<Item = OsString> {
    std::env::args_os().skip(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn an_action_and_what_it_needs_are_one_value() {
        for (line, joined) in [
            ("mount --fence exec /p DIR", "mount --fence exec=/p DIR"),
            ("mount DIR --fence watchdog /dev/w", "mount DIR --fence watchdog=/dev/w"),
            ("mount --fence=exec p DIR", "mount --fence=exec=p DIR"),
            ("mount --fence exec=p DIR", "mount --fence exec=p DIR"),
            ("mount --fence exit DIR", "mount --fence exit DIR"),
            ("mount --fence machine exec", "mount --fence machine exec"),
            ("mount DIR --fence exec", "mount DIR --fence exec"),
            ("mount -- --fence exec p", "mount -- --fence exec p"),
            ("mount --fence exec -- DIR", "mount --fence exec -- DIR"),
        ] {
            let split = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
            assert_eq!(words(split(line).into_iter()), split(joined));
        }
    }

    #[test]
    fn errors_without_numbers() {
        assert_eq!(plain("log x: No such file (os error 2), really"), "log x: No such file, really");
        assert_eq!(plain("as it is"), "as it is");
    }

    /// Wrapped text has no columns any more.
    #[test]
    fn tables_in_help_texts_are_not_wrapped() {
        for command in Cli::command().get_subcommands().chain([&Cli::command()]) {
            let texts = command.get_arguments().filter_map(|argument| argument.get_long_help());
            let tables = texts.map(|text| (text, 70)).chain(command.get_after_help().map(|text| (text, 80)));
            for (text, width) in tables.filter(|(text, _)| text.to_string().contains("\n  ")) {
                let text = text.to_string();
                let long = text.lines().find(|line| line.len() > width);
                assert_eq!(long, None, "{}", command.get_name());
            }
        }
    }

    #[test]
    fn every_subcommand_and_option_has_a_help_text() {
        for command in Cli::command().get_subcommands() {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
                assert!(argument.get_help().is_some(), "{} {}", command.get_name(), argument.get_id());
            }
        }
    }
}
