//! The monitor around the engine. Whoever has an input (a FUSE thread, the timer, a client, a program) enters,
//! hands it in, carries out the actions in their order, and leaves. So there is one total order, and no other
//! thread on the way of a request.
//!
//! Nothing in here blocks: an answer is a write to /dev/fuse or to a channel, a consumer is told through a
//! channel, a log line goes to a queue. Nothing that is called from in here may enter again.

mod actions;
mod consumers;
mod disks;
mod shutdown;
mod sockets;
mod unanswered;

use std::collections::BTreeMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use uo2cb_core::heartbeat::Method;
use uo2cb_core::tree::{Op, Tree};
use uo2cb_core::{Caller, Config, ConsumerId, Engine, Input, Instant, ItemId, Now, RequestId, View};
use uo2cb_fusefs::{Mounted, Respond, Service};

use super::clock::{Clock, Timer};
use super::crash;
use super::disk::{Choice, Disks};
use super::fault_point;
use super::fence;
use super::net::Sockets;
use super::notes::Notes;
use super::realtime::Realtime;
use super::signals::{Callers, Ends};
use super::threads::{self, Standing};
pub use consumers::UpIn;
pub(crate) use consumers::{Consumer, Ended, Interest, Registered};
use shutdown::Stopped;
use unanswered::Unanswered;

/// The engine with everything that carries out its actions.
#[derive(Debug)]
pub(crate) struct Monitor {
    /// Taken before the timer's lock and the callers'; nothing is taken before it.
    state: Mutex<State>,
    clock: Clock,
    timer: Timer,
    pub(crate) callers: Callers,
    pub(crate) disks: Arc<Disks>,
    pub(crate) sockets: Sockets,
    pub(crate) realtime: Realtime,
    pub(crate) notes: Notes,
    /// Of the last fence, where there is one.
    pub(crate) record: OnceLock<Arc<fence::Record>>,
    /// Where a fence finds who this node is, if it wants to know.
    own: OnceLock<Arc<fence::Own>>,
    stopped: Stopped,
}

struct State {
    engine: Engine,
    next_request: u64,
    next_consumer: u64,
    awaiting: Unanswered<Awaiting>,
    consumers: BTreeMap<ConsumerId, Box<dyn Consumer>>,
    views: Vec<(View, Mounted)>,
    /// For whom each disk is being opened.
    opening: BTreeMap<ItemId, RequestId>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("awaiting", &self.awaiting.len()).finish_non_exhaustive()
    }
}

/// Who awaits an answer.
enum Awaiting {
    /// A call on a tree, through the mount of this view or (none) in process.
    Call(Option<View>, Respond),
    /// A consumer's registration.
    Registration(ConsumerId, Registered),
}

impl Monitor {
    /// # Errors
    /// No descriptor left, or no memory.
    pub(crate) fn new(
        config: &Config,
        methods: Vec<Box<dyn Method>>,
        choice: Choice,
        notes: Notes,
    ) -> io::Result<Arc<Self>> {
        crash::prepare();
        let clock = Clock::start();
        let timer = Timer::new(clock)?;
        let state = State {
            engine: Engine::new(config, methods, clock.now()),
            next_request: 0,
            next_consumer: 0,
            awaiting: Unanswered::default(),
            consumers: BTreeMap::new(),
            views: Vec::new(),
            opening: BTreeMap::new(),
        };
        let realtime = Realtime::default();
        Ok(Arc::new_cyclic(|me: &Weak<Self>| Self {
            state: Mutex::new(state),
            clock,
            timer,
            callers: Callers::default(),
            disks: Arc::new(Disks::new(choice, notes.clone(), realtime.clone(), me.clone())),
            sockets: Sockets::new(notes.clone(), realtime.clone(), me.clone()),
            realtime,
            notes,
            record: OnceLock::new(),
            own: OnceLock::new(),
            stopped: Stopped::default(),
        }))
    }

    /// A call on a tree; `through` tells the mount it came through.
    pub(crate) fn request(
        &self,
        through: Option<View>,
        view: View,
        caller: Caller,
        op: Op<'_>,
        respond: Respond,
    ) {
        // Only calls that come through a mount keep their callers from their signals.
        let ends = match op {
            _ if through.is_none() || caller.pid == 0 => None,
            Op::Store { .. } => Some(Ends::AnySignal),
            Op::Rmdir { .. } => Some(Ends::Death),
            _ => None,
        };
        self.enter(|state, now| {
            let request = state.await_answer(Awaiting::Call(through, respond));
            state.engine.handle(now, Input::Tree { request, caller, view, op });
            if let Some(ends) = ends {
                state.carry_out(self);
                if state.awaiting.contains(request) {
                    self.callers.add(request, caller.pid, ends);
                }
            }
        });
    }

    /// Body of the timer thread.
    pub(crate) fn keep_time(&self) {
        self.timer.run(|| {
            fault_point::reach("timer");
            self.enter(|state, now| state.engine.handle_timeout(now));
        });
    }

    /// Body of the thread that looks for signals to callers.
    pub(crate) fn watch_callers(&self) {
        self.callers.watch(|request| {
            self.enter(|state, now| {
                // Answered in the meantime?
                if state.awaiting.contains(request) {
                    state.engine.handle(now, Input::Cancel(request));
                }
            });
        });
    }

    /// A view has been mounted: it hears of changes from now on.
    pub(crate) fn add_view(&self, view: View, mounted: Mounted) {
        self.enter(|state, _| state.views.push((view, mounted)));
    }

    /// Reads the engine.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&Engine) -> T) -> T {
        self.enter(|state, _| look(&state.engine))
    }

    /// The same, unless others keep the engine for longer than this.
    pub(crate) fn read_within<T>(&self, patience: Duration, look: impl FnOnce(&Engine) -> T) -> Option<T> {
        self.realtime.entering();
        Some(look(&self.state.try_lock_for(patience)?.engine))
    }

    /// Who this node is, is kept here from now on.
    pub(crate) fn keep_own(&self, own: Arc<fence::Own>) {
        let _ = self.own.set(own);
        self.enter(|_, _| ());
    }

    /// The time by which the engine acts.
    pub(crate) fn now(&self) -> Instant {
        self.clock.now().mono
    }

    /// The same moment by both clocks.
    pub(crate) fn moment(&self) -> Now {
        self.clock.now()
    }

    /// Requests without an answer.
    pub(crate) fn waiting(&self) -> usize {
        self.enter(|state, _| state.awaiting.len())
    }

    /// Requests that the mounts have served.
    pub(crate) fn requests(&self) -> u64 {
        self.enter(|state, _| state.views.iter().map(|(_, mounted)| mounted.requests()).sum())
    }

    /// A thread of FUSE is the node's alone, but was not started by it.
    fn own_thread(&self) {
        threads::own();
        self.realtime.own_thread();
    }

    /// One input, all its actions.
    fn enter<T>(&self, work: impl FnOnce(&mut State, Now) -> T) -> T {
        self.hold(|state| {
            debug_assert_eq!(state.engine.poll_action(), None, "left by the input before");
            let done = work(state, self.clock.now());
            state.carry_out(self);
            self.disks.go();
            if let Some(own) = self.own.get() {
                own.update(state.engine.own());
            }
            self.sockets.go();
            self.timer.set(state.engine.poll_timeout());
            done
        })
    }

    /// The state, for this thread alone.
    fn hold<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        // A second entry by the same thread would wait for itself.
        if !threads::enter() {
            fence::end("a fault of this program: the monitor was entered from within");
        }
        self.realtime.entering();
        let mut state = self.state.lock();
        match catch_unwind(AssertUnwindSafe(|| work(&mut state))) {
            Ok(done) => {
                drop(state);
                threads::leave();
                done
            }
            // Our hook has ended the process already, unless another has taken its place. Still locked: nobody sees the
            // half-done state.
            Err(_) => fence::end("a fault of this program: the stack panicked"),
        }
    }
}

impl Service for Monitor {
    fn call(&self, view: View, caller: Caller, op: Op<'_>, respond: Respond) {
        self.own_thread();
        if matches!(op, Op::Mkdir { .. }) {
            fault_point::reach("fuse");
        }
        self.request(Some(view), view, caller, op, respond);
    }

    fn look(&self, view: View, look: &mut dyn FnMut(&Tree)) {
        self.own_thread();
        // Nothing goes in, so nothing comes out that would have to be carried out.
        self.hold(|state| look(state.engine.tree(view)));
    }

    fn thread(&self, name: &str, body: Box<dyn FnOnce() + Send>) -> io::Result<JoinHandle<()>> {
        threads::spawn(name, Standing::Entering(self.realtime.clone()), body)
    }
}

#[cfg(test)]
mod tests;
