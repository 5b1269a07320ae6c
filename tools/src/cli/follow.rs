//! `uo2cb watch` and `uo2cb hold`: consumers as programs. An event is acknowledged when its line has been
//! written out, so the line stands there before the call that caused the event has returned.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use clap_complete::ArgValueCompleter;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use serde_json::{Value, json};
use uo2cb::control::{Client, Failure};

use super::{Fail, Which, completions, each, node, say, text};

/// Print every heartbeat event as it is delivered, and what happens between nodes
///
/// One line each: time, region, node, what happened, why. The line is written before the call that caused
/// the event (ln, rm) returns. Between them, with their topic: connections made and lost, nodes that are held,
/// decisions of quorum, and beats or peers that have been silent for more than half of their time. A watcher that takes more than two seconds with an event is expelled: it is
/// told nothing more, and the call goes on. Ends when nobody reads its output any more.
#[derive(Args)]
pub(crate) struct Watch {
    /// As JSON, one object a line; the last one, {"ended":"..."}, says why nothing more comes
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    which: Which,
}

/// Hold a region as a mounted file system does
///
/// Registers for the region's events, which pins region and local node (rmdir of either: EBUSY), and prints
/// what a mounted file system would be told. Holds until it ends, in whatever way: Ctrl-C, SIGTERM, nobody
/// reads its output any more.
#[derive(Args)]
#[command(after_help = "\
Example:
  uo2cb hold R &
  rmdir /tmp/o2cb/cluster/c/heartbeat/R    refused: Device or resource busy
  kill %1")]
pub(crate) struct Hold {
    /// Name of the region: its directory under cluster/NAME/heartbeat/
    #[arg(add = ArgValueCompleter::new(completions::regions))]
    region: String,
    /// Consumers with a lower priority are told first
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    priority: i32,
    /// As JSON, one object a line; the last one, {"ended":"..."}, says why nothing more comes
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    which: Which,
}

impl Watch {
    pub(crate) fn run(self) -> Result<(), Fail> {
        stream(&self.which, &json!({"request": "watch"}), self.json, "")
    }
}

impl Hold {
    pub(crate) fn run(self) -> Result<(), Fail> {
        let request = json!({"request": "hold", "region": self.region, "priority": self.priority});
        let label = format!("hold {}: ", self.region);
        stream(&self.which, &request, self.json, &label)
            .map_err(|fail| Fail { message: format!("{label}{}", fail.message), ..fail })
    }
}

/// Follows until it ends; in JSON the last line says why, whatever the reason is.
fn stream(which: &Which, request: &Value, json: bool, label: &str) -> Result<(), Fail> {
    end_with_reader()?;
    let ended = which.connect().and_then(|client| follow(client, request, json, label));
    if json {
        let why = ended.as_ref().err().map_or("released", |fail| &fail.message);
        say(&format!("{}\n", json!({"ended": why})));
    }
    ended
}

/// Ends this process when nobody reads its output any more (`uo2cb watch | head -1`), even if there is nothing to be
/// written for long. What it holds is released by that.
fn end_with_reader() -> Result<(), Fail> {
    let watch = || {
        let stdout = std::io::stdout();
        loop {
            let mut reader = [PollFd::new(&stdout, PollFlags::empty())];
            match poll(&mut reader, None) {
                Ok(_) if reader[0].revents().intersects(PollFlags::ERR | PollFlags::HUP) => {
                    std::process::exit(0)
                }
                Ok(0) | Err(Errno::INTR) => {}
                // No such descriptor: the first line to be written will tell.
                Ok(_) | Err(_) => return,
            }
        }
    };
    let started = std::thread::Builder::new().name("reader".into()).spawn(watch);
    started.map(drop).map_err(|error| Fail::new(format!("no thread: {error}")))
}

fn follow(mut client: Client, request: &Value, json: bool, label: &str) -> Result<(), Fail> {
    let mut sender = client.sender()?;
    let asked = AtomicBool::new(false);
    ctrlc::set_handler(move || {
        // The second time somebody is in a hurry.
        if asked.swap(true, Ordering::Relaxed) || writeln!(sender, r#"{{"request":"release"}}"#).is_err() {
            std::process::exit(1);
        }
    })
    .map_err(|error| Fail::new(format!("no signal handler: {error}")))?;
    client.send(request)?;
    let mut first = true;
    loop {
        let line = client.receive().map_err(|failure| match failure {
            // A node that ends in order says so before.
            Failure::Closed => Fail::new("the node ended without a word: killed, crashed or fenced"),
            other => other.into(),
        })?;
        if first {
            client.patient()?;
            first = false;
        }
        if let Some(why) = line.get("ended") {
            return Err(Fail::new(why.as_str().unwrap_or_default()));
        }
        let released = line.get("released").is_some();
        let silent = released && (json || label.is_empty());
        let readable = silent || say(&if json { format!("{line}\n") } else { words(&line, label) });
        if released || !readable {
            return Ok(());
        }
        if let Some(number) = line.get("event").and_then(|event| event.get("number")) {
            match client.send(&json!({"delivered": number})) {
                // What the node still had to say stands in the buffer.
                Err(Failure::Connection(_)) | Ok(()) => {}
                Err(other) => return Err(other.into()),
            }
        }
    }
}

fn words(line: &Value, label: &str) -> String {
    if let Some(event) = line.get("event") {
        let name = event.get("node").map(node).unwrap_or_default();
        let pid = event.get("pid").filter(|pid| pid.is_number());
        let by = pid.map_or_else(String::new, |pid| format!(" by pid {pid}"));
        // Events of the whole node have no region.
        let region = event.get("region").and_then(Value::as_str).filter(|_| label.is_empty());
        let region = region.map_or_else(String::new, |region| format!("{region} "));
        return format!(
            "{label}{} {region}{name} {}, {}{by}\n",
            text(event, "time"),
            text(event, "edge"),
            text(event, "cause"),
        );
    }
    if let Some(note) = line.get("note") {
        let left_out = note.get("left_out").and_then(Value::as_u64).filter(|left_out| *left_out > 0);
        let left_out =
            left_out.map_or_else(String::new, |count| format!(" ({count} lines before this were left out)"));
        return format!(
            "{label}{} {}: {}{left_out}\n",
            text(note, "time"),
            text(note, "about"),
            text(note, "text")
        );
    }
    if let Some(start) = line.get("watching") {
        let up = |up: &Value| format!("{}{}", in_region(up), up.get("node").map(node).unwrap_or_default());
        return format!("watching, up: {}\n", list(start, up));
    }
    if let Some(start) = line.get("holding") {
        return format!(
            "{label}holding, up: {}\n",
            list(start, |up| up.get("node").map(node).unwrap_or_default())
        );
    }
    if line.get("released").is_some() { format!("{label}released\n") } else { format!("{line}\n") }
}

/// The region of an entry; nothing for a node that is up as a whole.
fn in_region(up: &Value) -> String {
    up.get("region").and_then(Value::as_str).map(|region| format!("{region} ")).unwrap_or_default()
}

fn list(start: &Value, one: impl Fn(&Value) -> String) -> String {
    let up: Vec<_> = each(start, "up").map(one).collect();
    if up.is_empty() { "nobody".into() } else { up.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_in_words() {
        let note =
            json!({"note": {"time": "T", "about": "hold", "text": "o2quo: node 1 is held", "left_out": 0}});
        assert_eq!(words(&note, ""), "T hold: o2quo: node 1 is held\n");
        let note = json!({"note": {"time": "T", "about": "hold", "text": "x", "left_out": 3}});
        assert_eq!(words(&note, ""), "T hold: x (3 lines before this were left out)\n");
    }

    #[test]
    fn events_in_words() {
        let event = json!({"event": {"time": "T", "region": "R", "node": {"name": "n1", "num": 1},
            "edge": "up", "cause": "linked", "pid": 7}});
        assert_eq!(words(&event, ""), "T R n1 (1) up, linked by pid 7\n");
        assert_eq!(words(&event, "hold R: "), "hold R: T n1 (1) up, linked by pid 7\n");
        let event = json!({"event": {"time": "T", "region": null, "node": {"name": "n1", "num": 1},
            "edge": "down", "cause": "silent", "pid": null}});
        assert_eq!(words(&event, ""), "T n1 (1) down, silent\n");
        let up = json!([{"region": "R", "node": {"name": "n1", "num": 1}, "since": "T"}]);
        assert_eq!(words(&json!({"watching": {"up": up}}), ""), "watching, up: R n1 (1)\n");
        let whole = json!([{"region": null, "node": {"name": "n1", "num": 1}, "since": "T"}]);
        assert_eq!(words(&json!({"watching": {"up": whole}}), ""), "watching, up: n1 (1)\n");
        assert_eq!(words(&json!({"holding": {"up": []}}), "hold R: "), "hold R: holding, up: nobody\n");
    }
}
