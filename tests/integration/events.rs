//! A consumer on all regions, through the control socket, that checks what it is told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::{Value, json};
use uo2cb::control::Client;

/// Region and node.
pub(crate) type Member = (String, String);

#[derive(Default)]
pub(crate) struct Told {
    pub(crate) events: u64,
    /// Who is up.
    pub(crate) up: BTreeSet<Member>,
    /// How often each has gone up, and down.
    pub(crate) ups: BTreeMap<Member, u64>,
    pub(crate) downs: BTreeMap<Member, u64>,
    next: Option<u64>,
}

impl Told {
    fn event(&mut self, event: &Value) {
        let number = event["number"].as_u64().unwrap();
        assert!(self.next.is_none_or(|next| next == number), "event {number}, expected {:?}", self.next);
        self.next = Some(number + 1);
        self.events += 1;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let member = (text(&event["region"]), text(&event["node"]["name"]));
        let (new, counts) = match event["edge"].as_str().unwrap() {
            "up" => (self.up.insert(member.clone()), &mut self.ups),
            "down" => (self.up.remove(&member), &mut self.downs),
            edge => panic!("{edge}?"),
        };
        assert!(new, "twice the same: {event}");
        *counts.entry(member).or_default() += 1;
    }
}

/// A consumer that runs.
pub(crate) struct Watcher {
    pub(crate) told: Arc<Mutex<Told>>,
    thread: JoinHandle<()>,
}

impl Watcher {
    pub(crate) fn start(mut client: Client) -> Self {
        client.send(&json!({"request": "watch"})).unwrap();
        let begin = client.receive().unwrap();
        assert_eq!(begin["watching"]["up"], json!([]));
        client.patient().unwrap();
        let told = Arc::<Mutex<Told>>::default();
        let theirs = Arc::clone(&told);
        let thread = std::thread::spawn(move || {
            while let Ok(line) = client.receive() {
                let Some(event) = line.get("event") else { continue };
                // Before the call that caused it can return.
                theirs.lock().unwrap().event(event);
                if client.send(&json!({"delivered": event["number"]})).is_err() {
                    break;
                }
            }
        });
        Self { told, thread }
    }

    /// Fails when it found something wrong; otherwise it goes on to the end of the daemon.
    pub(crate) fn check(&self) {
        assert!(!self.thread.is_finished(), "the consumer failed or was expelled");
    }
}
