//! Processes that stress a mount, read and checked from here.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use uo2cb_tests::poll::LIMIT;
use uo2cb_tests::rng::Rng;
use uo2cb_tests::stress::is_below;

use crate::events::{Member, Watcher};

/// How long one call may take: generous, as the machine may be busy.
const CALL: Duration = Duration::from_secs(20);

/// How a process ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// A call failed as the server is gone.
    Gone(Errno),
    /// Asked to.
    Asked,
}

struct Worker {
    child: Child,
    input: Option<ChildStdin>,
    /// Its names that exist, and the one that a call was about to change.
    have: BTreeSet<String>,
    cut: Option<String>,
    last_line: Instant,
    /// Calls of the processes that it replaces, and of itself.
    before: u64,
    calls: u64,
    killed: bool,
    ended: Option<End>,
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

type Line = (usize, Option<String>);

/// All processes.
pub(crate) struct Workers {
    root: PathBuf,
    rng: Rng,
    workers: Vec<Worker>,
    lines: Receiver<Line>,
    sender: Sender<Line>,
    /// How often each link was made and removed, as far as the processes have reported.
    made: BTreeMap<Member, u64>,
    removed: BTreeMap<Member, u64>,
    pub(crate) kills: u64,
    /// Kills in the middle of a call that may change something.
    pub(crate) cuts: u64,
    pub(crate) slowest: Duration,
}

impl Workers {
    pub(crate) fn start(root: PathBuf, count: usize, seed: u64) -> Self {
        let (sender, lines) = channel();
        let mut workers = Self {
            root,
            rng: Rng::new(seed),
            workers: Vec::new(),
            lines,
            sender,
            made: BTreeMap::new(),
            removed: BTreeMap::new(),
            kills: 0,
            cuts: 0,
            slowest: Duration::ZERO,
        };
        for number in 0..count {
            let worker = workers.spawn(number, BTreeSet::new(), None, 0);
            workers.workers.push(worker);
        }
        workers
    }

    fn spawn(&mut self, number: usize, have: BTreeSet<String>, cut: Option<String>, before: u64) -> Worker {
        let mut child = Command::new(env!("CARGO_BIN_EXE_stress"))
            .arg(&self.root)
            .args([number.to_string(), self.rng.number().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        let told = have.iter().map(|name| format!("have {name}\n"));
        let told: String = told.chain(cut.iter().map(|name| format!("cut {name}\n"))).collect();
        // Small enough for the pipe, also when nobody reads it.
        let _ = input.write_all((told + "go\n").as_bytes());
        let (output, sender) = (BufReader::new(child.stdout.take().unwrap()), self.sender.clone());
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let _ = sender.send((number, Some(line)));
            }
            let _ = sender.send((number, None));
        });
        let last_line = Instant::now();
        Worker {
            child,
            input: Some(input),
            have,
            cut,
            last_line,
            before,
            calls: 0,
            killed: false,
            ended: None,
        }
    }

    pub(crate) fn calls(&self) -> u64 {
        self.workers.iter().map(|worker| worker.before + worker.calls).sum()
    }

    pub(crate) fn names(&self) -> BTreeSet<String> {
        self.workers.iter().flat_map(|worker| worker.have.iter().cloned()).collect()
    }

    pub(crate) fn ends(&self) -> Vec<Option<End>> {
        self.workers.iter().map(|worker| worker.ended.clone()).collect()
    }

    /// Lets them work; now and then one is killed and replaced.
    pub(crate) fn work(&mut self, time: Duration, watcher: &Watcher) {
        let end = Instant::now() + time;
        let mut kill = Instant::now();
        while Instant::now() < end {
            self.listen(kill.min(end), Some(watcher));
            if Instant::now() >= kill {
                let victim = self.rng.below(self.workers.len() as u64) as usize;
                self.kill(victim);
                kill = Instant::now() + Duration::from_millis(10 + self.rng.below(120));
            }
        }
    }

    /// Asks all to end; returns when they have.
    pub(crate) fn end(&mut self, watcher: &Watcher) {
        // Those killed last still have to be replaced, so that what they left is checked.
        let deadline = Instant::now() + LIMIT;
        while self.workers.iter().any(|worker| worker.killed) {
            assert!(Instant::now() < deadline, "a killed process does not end");
            self.listen(Instant::now() + Duration::from_millis(20), Some(watcher));
        }
        self.workers.iter_mut().for_each(|worker| worker.input = None);
        self.wait(Some(watcher));
    }

    /// Waits until all have ended by themselves; without a watcher when the daemon is gone.
    pub(crate) fn wait(&mut self, watcher: Option<&Watcher>) {
        let deadline = Instant::now() + LIMIT;
        while self.workers.iter().any(|worker| worker.ended.is_none()) {
            assert!(Instant::now() < deadline, "not all have ended: {:?}", self.ends());
            self.listen(Instant::now() + Duration::from_millis(20), watcher);
        }
    }

    fn kill(&mut self, number: usize) {
        let worker = &mut self.workers[number];
        if !worker.killed && worker.ended.is_none() {
            worker.child.kill().unwrap();
            worker.killed = true;
            self.kills += 1;
        }
    }

    /// Takes their lines until a moment.
    fn listen(&mut self, end: Instant, watcher: Option<&Watcher>) {
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok((number, Some(line))) => self.line(number, &line, watcher),
                Ok((number, None)) => self.ended(number),
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => unreachable!("a sender is kept"),
            }
            if left.is_zero() {
                break;
            }
        }
        for (number, worker) in self.workers.iter().enumerate() {
            let silent = worker.last_line.elapsed();
            assert!(worker.ended.is_some() || silent < LIMIT, "process {number} hangs: {:?}", worker.cut);
        }
    }

    fn line(&mut self, number: usize, line: &str, watcher: Option<&Watcher>) {
        let worker = &mut self.workers[number];
        worker.last_line = Instant::now();
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            ">" => worker.cut = Some(rest.to_owned()),
            "." => worker.cut = None,
            "+" => {
                worker.cut = None;
                worker.have.insert(rest.to_owned());
                self.told(rest, true, watcher);
            }
            "-" => {
                worker.cut = None;
                worker.have.retain(|name| !is_below(name, rest));
                self.told(rest, false, watcher);
            }
            "found" => drop(worker.have.insert(rest.to_owned())),
            "looked" => worker.calls = rest.parse().unwrap(),
            "gone" => worker.ended = Some(End::Gone(Errno::from_raw_os_error(rest.parse().unwrap()))),
            "end" => {
                let (calls, slowest) = rest.split_once(' ').unwrap();
                worker.calls = calls.parse().unwrap();
                let slowest = Duration::from_micros(slowest.parse().unwrap());
                assert!(slowest < CALL, "a call of process {number} took {slowest:?}");
                self.slowest = self.slowest.max(slowest);
                worker.ended = Some(End::Asked);
            }
            _ => panic!("process {number}: {line}"),
        }
    }

    /// A call has returned that makes or removes a link: its event must have come before.
    fn told(&mut self, name: &str, made: bool, watcher: Option<&Watcher>) {
        let Some((region, node)) =
            name.strip_prefix("cluster/c/heartbeat/").and_then(|rest| rest.split_once('/'))
        else {
            return;
        };
        let member = (region.to_owned(), node.to_owned());
        let counts = if made { &mut self.made } else { &mut self.removed };
        let count = counts.entry(member.clone()).or_default();
        *count += 1;
        let Some(watcher) = watcher else { return };
        watcher.check();
        let told = watcher.told.lock().unwrap();
        let events = if made { &told.ups } else { &told.downs };
        let events = events.get(&member).copied().unwrap_or(0);
        assert!(
            events >= *count,
            "{member:?} (made: {made}): {count} calls have returned, {events} events came"
        );
    }

    /// A process has closed its output.
    fn ended(&mut self, number: usize) {
        let worker = &mut self.workers[number];
        worker.child.wait().unwrap();
        if worker.killed && worker.ended.is_none() {
            let (have, cut) = (std::mem::take(&mut worker.have), worker.cut.take());
            let before = worker.before + worker.calls;
            self.cuts += u64::from(cut.is_some());
            self.workers[number] = self.spawn(number, have, cut, before);
            return;
        }
        assert!(worker.ended.is_some(), "process {number} ended without a last line");
        if worker.killed {
            worker.killed = false;
        }
    }
}
