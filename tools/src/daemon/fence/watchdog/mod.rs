//! A fence that stops feeding a watchdog, which then restarts the machine: also when this process is killed, stopped or
//! hung, which no other action can do anything about.
//!
//! One thread looks again and again whether the beats are good (`rule`). It must get into the monitor for that, with the
//! priority of those who beat, so that a monitor that is stuck, or a machine that has no time for the node, leads to a
//! restart as well. Each node has a device of its own: the kernel does not give one to two.

mod device;
mod rule;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use parking_lot::Mutex;
use uo2cb_core::{Beats, Engine, Instant};

use self::device::Device;
use self::rule::{LOOK, Step};
use super::super::monitor::Monitor;
use super::super::mountpoint;
use super::super::notes::Notes;
use super::super::threads::{self, Standing};
use super::{Outward, register};
use crate::error::Error;

/// How long opening the device may take.
const OPENED: Duration = Duration::from_secs(5);
/// How long a look waits for the monitor before it sees whether there is a fence.
const ENTERED: Duration = Duration::from_millis(50);
/// How long a fence waits for the device.
const STARVED: Duration = Duration::from_millis(150);
/// Write timeout of a node as it is when it starts.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// What the thread is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Word {
    /// This node is fenced.
    Starve,
    /// This node has ended.
    Stop,
}

/// A watchdog, from the start of a node to its end.
#[derive(Debug)]
pub(crate) struct Watchdog {
    fenced: Arc<AtomicBool>,
    words: Sender<Word>,
    starved: Receiver<()>,
    /// Until it is watching: what its thread needs.
    ready: Mutex<Option<Watch>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Watchdog {
    /// Opens the device; it is not armed.
    ///
    /// # Errors
    /// The device is not there, in use, or not one that can be trusted to restart the machine in time.
    pub(crate) fn prepare(path: &Path, notes: &Notes) -> Result<Arc<Self>, Error> {
        let failed = |why: String| Error::Watchdog(path.to_owned(), why);
        let owned = path.to_owned();
        let device = mountpoint::within(OPENED, move || Device::open(&owned, WRITE_TIMEOUT))
            .unwrap_or_else(|| Err("it does not answer".into()))
            .map_err(failed)?;
        let (words, told) = bounded(4);
        let (done, starved) = bounded(1);
        let fenced = Arc::new(AtomicBool::new(false));
        let watch = Watch {
            device,
            notes: notes.clone(),
            told,
            done,
            fenced: Arc::clone(&fenced),
            complained: false,
        };
        let ready = Mutex::new(Some(watch));
        let watchdog = Arc::new(Self { fenced, words, starved, ready, thread: Mutex::new(None) });
        register(&watchdog);
        Ok(watchdog)
    }

    /// Watches this node from now on.
    ///
    /// # Errors
    /// Those of starting a thread.
    pub(crate) fn watch(&self, monitor: &Arc<Monitor>) -> Result<(), Error> {
        let Some(watch) = self.ready.lock().take() else { return Ok(()) };
        let standing = Standing::Entering(monitor.realtime.clone());
        let monitor = Arc::downgrade(monitor);
        let look = move |patience| {
            let monitor = monitor.upgrade()?;
            let beats = monitor.read_within(patience, Engine::beats)?;
            Some((beats, monitor.now()))
        };
        *self.thread.lock() =
            Some(threads::spawn("watchdog", standing, move || watch.run(look)).map_err(Error::System)?);
        Ok(())
    }

    /// The node has ended without a fence: disarms and closes the device.
    pub(crate) fn close(&self) {
        let _ = self.words.try_send(Word::Stop);
        if let Some(thread) = self.thread.lock().take() {
            let _ = thread.join();
        }
        // Where it never watched.
        self.ready.lock().take();
    }
}

impl Outward for Watchdog {
    fn cut_off(&self) {
        self.fenced.store(true, Ordering::SeqCst);
        let _ = self.words.try_send(Word::Starve);
    }

    fn withdraw(&self) {
        let _ = self.starved.recv_timeout(STARVED);
    }
}

/// What the thread has.
#[derive(Debug)]
struct Watch {
    device: Device,
    notes: Notes,
    told: Receiver<Word>,
    done: Sender<()>,
    fenced: Arc<AtomicBool>,
    /// That the device does not do what it should has been said.
    complained: bool,
}

impl Watch {
    /// Until the node has ended. `look`: the beats and the time, or none when the monitor is not to be had.
    fn run(mut self, look: impl Fn(Duration) -> Option<(Beats, Instant)>) {
        loop {
            match self.told.recv_timeout(LOOK) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Word::Starve) => {
                    self.device.starve();
                    let _ = self.done.try_send(());
                    // To drop the device would be to disarm it.
                    super::wait_if_ending();
                }
                Ok(Word::Stop) | Err(RecvTimeoutError::Disconnected) => {
                    if let Err(errno) = self.device.disarm() {
                        self.complain(&format!("cannot be disarmed ({errno}), so the machine will restart"));
                    }
                    return;
                }
            }
            if let Some((beats, now)) = look(ENTERED) {
                self.act(rule::step(beats, now, self.device.range));
            }
        }
    }

    fn act(&mut self, step: Step) {
        // From here on the device is fed or disarmed only if there was no fence before.
        if self.fenced.load(Ordering::SeqCst) {
            return;
        }
        match step {
            Step::Rest if self.device.armed() => match self.device.disarm() {
                Ok(()) => self.say("disarmed: no region is steady any more"),
                Err(errno) => {
                    self.complain(&format!("cannot be disarmed ({errno}): it is fed as long as this node runs"));
                    let _ = self.device.feed_again();
                }
            },
            Step::Rest | Step::Starve => {}
            Step::Feed(seconds) => self.feed(seconds),
            Step::Go => self.go(&format!(
                "a good beat is missing, and with a shortest timeout of {} s it could not restart the machine in time \
                 if it came to that later",
                self.device.range.shortest
            )),
        }
    }

    /// This node goes, because of the device.
    fn go(&self, why: &str) -> ! {
        self.device.starve();
        // Nobody but this thread would do it.
        let _ = self.done.try_send(());
        super::end(format_args!("fenced: {}: {why}", self.device.path.display()))
    }

    fn feed(&mut self, seconds: u32) {
        let before = self.device.armed();
        match self.device.feed(seconds) {
            Ok(Some(chosen)) if chosen > seconds => {
                self.go(&format!("it makes {chosen} s of a timeout of {seconds} s: too late for others"))
            }
            Ok(_) => {
                self.complained = false;
                if !before {
                    self.say(&format!("armed: restarts the machine {seconds} s after it was fed last"));
                }
            }
            Err(errno) if !before => self.go(&format!("it cannot be armed: {errno}")),
            Err(errno) => self.complain(&format!("cannot be fed: {errno}")),
        }
    }

    fn say(&self, what: &str) {
        self.notes.info(&format!("{} ({}): {what}", self.device.path.display(), self.device.identity));
    }

    fn complain(&mut self, what: &str) {
        if !std::mem::replace(&mut self.complained, true) {
            self.notes.warn(&format!("{} ({}): {what}", self.device.path.display(), self.device.identity));
        }
    }
}
