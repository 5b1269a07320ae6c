//! Our daemon as a node.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::mount::{UnmountFlags, unmount};
use serde_json::{Value, json};
use uo2cb::control::Client;
use uo2cb_tests::guest::Error;
use uo2cb_tests::lines::{self, Line, Lines};
use uo2cb_tests::mount::Mount;
use uo2cb_tests::nodes::cluster;

use crate::cluster::{Cluster, Region};
use crate::events::{Event, Side};
use crate::network::Network;

const SOON: Duration = Duration::from_secs(10);
/// For the last lines of a daemon that has ended.
const REST: Duration = Duration::from_secs(5);

pub(crate) struct Ours {
    mount: Mount,
    region: Region,
    // Dropped after the daemon, which unmounts it itself unless it is killed.
    debug: Debugfs,
    told: Arc<Told>,
}

/// What all daemons of a scenario have told.
#[derive(Default)]
pub(crate) struct Told {
    events: Mutex<Vec<Event>>,
    /// One after the other.
    logs: Mutex<Vec<Lines>>,
}

impl Told {
    pub(crate) fn events(&self) -> Vec<Event> {
        self.events.lock().clone()
    }

    /// Their logs.
    pub(crate) fn lines(&self) -> Vec<Line> {
        self.logs.lock().iter().flat_map(Lines::so_far).collect()
    }
}

/// Where the debug files are mounted.
struct Debugfs(PathBuf);

impl Drop for Debugfs {
    fn drop(&mut self) {
        // Fails when it is gone already.
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}

impl Ours {
    /// A daemon with the cluster, but without a region yet. `folder` is the scenario's; it outlives daemons.
    pub(crate) fn start(
        uo2cb: &Path,
        folder: &Path,
        network: &Network,
        (cluster, region): (Cluster, &Region),
        dead_threshold: u32,
        told: &Arc<Told>,
    ) -> Result<Self, Error> {
        let debug = folder.join("debug");
        fs::create_dir_all(&debug)?;
        let mut server = Command::new(uo2cb);
        server.env("UO2CB_RUNTIME_DIR", folder.join("run")).arg("mount");
        server.arg("--debugfs").arg(&debug).stderr(Stdio::piped());
        let mut mount = network.run(|| Mount::start(server, &["--foreground"]))?;
        told.logs.lock().push(Lines::of(mount.stderr().ok_or_else(|| "no standard error".to_owned())?));
        let ours = Self { mount, region: region.clone(), debug: Debugfs(debug), told: Arc::clone(told) };
        ours.watch(&folder.join(format!("run/{}.sock", ours.mount.pid())))?;
        let (root, calls) = (ours.mount.root().to_owned(), cluster.make(cluster.ours, dead_threshold));
        network.run(move || cluster::apply(&root, &calls))?;
        Ok(ours)
    }

    /// Collects events until the daemon ends.
    fn watch(&self, socket: &Path) -> Result<(), Error> {
        let until = Instant::now() + SOON;
        let mut client = loop {
            match Client::connect(socket) {
                Ok(client) => break client,
                Err(error) if Instant::now() > until => return Err(error.to_string().into()),
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        let failed = |error: uo2cb::control::Failure| error.to_string();
        client.send(&json!({"request": "watch"})).map_err(failed)?;
        client.receive().map_err(failed)?;
        client.patient().map_err(failed)?;
        let told = Arc::clone(&self.told);
        std::thread::spawn(move || {
            while let Ok(line) = client.receive() {
                let Some(event) = line.get("event") else { continue };
                let node = event["node"]["num"].as_u64().and_then(|num| num.try_into().ok());
                told.events.lock().push(Event {
                    at: Instant::now(),
                    up: event["edge"] == "up",
                    node: node.unwrap_or(255),
                    cause: event["cause"].as_str().map(str::to_owned),
                });
                if client.send(&json!({"delivered": line["event"]["number"]})).is_err() {
                    break;
                }
            }
        });
        Ok(())
    }

    /// Makes the region and starts it on `image`. Returns when that began and how long it took.
    pub(crate) fn join(&mut self, image: &Path) -> Result<(Instant, Duration), Error> {
        cluster::apply(self.mount.root(), &self.region.make())?;
        let disk = File::options().read(true).write(true).open(image)?;
        let dev = self.mount.root().join(self.region.path()).join("dev");
        let mut dev = File::options().write(true).open(dev)?;
        let begin = Instant::now();
        dev.write_all(disk.as_raw_fd().to_string().as_bytes())?;
        Ok((begin, begin.elapsed()))
    }

    /// Removes the region. Returns when that began.
    pub(crate) fn leave(&mut self) -> Result<Instant, Error> {
        let begin = Instant::now();
        fs::remove_dir(self.mount.root().join(self.region.path()))?;
        Ok(begin)
    }

    /// Kills it, by SIGKILL. Returns when.
    pub(crate) fn kill(mut self) -> Result<Instant, Error> {
        let begin = Instant::now();
        self.mount.kill()?;
        self.complete();
        Ok(begin)
    }

    /// Ends it in order, by SIGTERM. Returns when that began.
    pub(crate) fn stop(self) -> Instant {
        let begin = Instant::now();
        let told = Arc::clone(&self.told);
        drop(self);
        complete(&told);
        begin
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>, Error> {
        let ended = self.mount.ended()?;
        if ended.is_some() {
            self.complete();
        }
        Ok(ended)
    }

    fn complete(&self) {
        complete(&self.told);
    }
}

/// The log of the last daemon, which has ended.
fn complete(told: &Told) {
    if let Some(log) = told.logs.lock().last() {
        log.complete(REST);
    }
}

impl Side for Ours {
    fn name(&self) -> &'static str {
        "ours"
    }

    fn events(&mut self) -> Result<Vec<Event>, Error> {
        Ok(self.told.events())
    }

    fn lines(&self) -> Vec<Line> {
        let text = |line: Line| Line { at: line.at, text: lines::of_ours(&line.text).to_owned() };
        self.told.lines().into_iter().map(text).collect()
    }

    fn restarted(&mut self, node: u8, _: [&str; 2]) -> Result<bool, Error> {
        let events = self.events()?;
        let down = events.iter().rev().find(|event| event.node == node && !event.up);
        Ok(down.is_some_and(|event| event.cause.as_deref() == Some("restarted")))
    }

    fn debug(&mut self, file: &str) -> Result<String, Error> {
        Ok(fs::read_to_string(self.debug.0.join(file))?)
    }
}

/// An image as `uo2cb dump` tells it.
pub(crate) fn dump(uo2cb: &Path, image: &Path, options: &[&str]) -> Result<Value, Error> {
    let output = Command::new(uo2cb).args(["dump", "--json"]).args(options).arg(image).output()?;
    let dump = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("dump: {error}: {}", String::from_utf8_lossy(&output.stderr)))?;
    Ok(dump)
}
