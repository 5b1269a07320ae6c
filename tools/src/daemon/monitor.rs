//! The monitor around the engine. Whoever has an input (a FUSE thread, the timer, a client, a program) enters,
//! hands it in, carries out the actions in their order, and leaves. So there is one total order, and no other
//! thread on the way of a request.
//!
//! Nothing in here blocks: an answer is a write to /dev/fuse or to a channel, a consumer is told through a
//! channel, a log line goes to a queue. Nothing that is called from in here may enter again.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use uo2cb_core::heartbeat::disk::{DiskRequest, DiskResult};
use uo2cb_core::heartbeat::{Edge, Event, Method, NodeName};
use uo2cb_core::nodeman::Address;
use uo2cb_core::tree::{Op, Tree};
use uo2cb_core::{
    Action, Caller, Config, ConsumerId, Engine, Errno, Input, ItemId, Name, Now, Refusal, Reply, RequestId,
    Subscribe, View,
};
use uo2cb_fusefs::{Mounted, Respond, Service};

use super::clock::{Clock, Timer};
use super::crash;
use super::disk::{Choice, Disks, Opened, Place, Wanted};
use super::fence::Fence;
use super::net::Listener;
use super::notes::Notes;
use super::realtime::Realtime;
use super::signals::{Callers, Ends};

/// How long the end waits for the regions' last blocks.
const LAST_BLOCKS: Duration = Duration::from_secs(3);

/// The engine with everything that carries out its actions.
#[derive(Debug)]
pub(crate) struct Monitor {
    /// Taken before the timer's lock; nothing is taken before it.
    state: Mutex<State>,
    clock: Clock,
    timer: Timer,
    pub(crate) callers: Callers,
    pub(crate) disks: Disks,
    pub(crate) realtime: Realtime,
    pub(crate) notes: Notes,
    /// Whether the stack has come to its end.
    stopped: Mutex<bool>,
    stopping: Condvar,
    me: Weak<Self>,
}

struct State {
    engine: Engine,
    next_request: u64,
    next_consumer: u64,
    waiting: BTreeMap<RequestId, Waiting>,
    consumers: BTreeMap<ConsumerId, Box<dyn Consumer>>,
    views: Vec<(View, Mounted)>,
    listener: Option<Listener>,
    /// For whom each disk is being opened.
    opening: BTreeMap<ItemId, RequestId>,
    fence: Fence,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("waiting", &self.waiting.len()).finish_non_exhaustive()
    }
}

/// Who waits for an answer.
enum Waiting {
    /// A call on a tree, through the mount of this view or (none) in process.
    Call(Option<View>, Respond),
    /// A consumer's registration.
    Registration(ConsumerId, Registered),
}

/// Takes the result of a registration: who is up at that moment, or why not.
pub(crate) type Registered = Box<dyn FnOnce(Result<Vec<UpIn>, Refusal>) + Send>;

/// Somebody who is told of events. Called inside the monitor: must not block or enter it.
pub(crate) trait Consumer: Send {
    /// Pass the event on; [`Monitor::delivered`] is to be called when it has arrived.
    fn tell(&self, event: Event);

    /// Nothing more will come.
    fn end(self: Box<Self>, why: End);
}

/// Why a consumer is told nothing more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// It took too long.
    StruckOff,
    /// The node stops.
    Stopping,
}

/// A node that is up when a consumer registers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UpIn {
    /// In the region of this name; none: as a whole, as the events about it say it (the disk method).
    pub region: Option<Name>,
    /// The node.
    pub node: NodeName,
    /// Since when, wall clock since 1970.
    pub since: Duration,
}

/// What a consumer wants to be told; see [`Subscribe`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wish<'a> {
    pub(crate) region: Option<&'a [u8]>,
    pub(crate) edge: Option<Edge>,
    pub(crate) priority: i32,
    pub(crate) patience: Option<Duration>,
}

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

impl Monitor {
    pub(crate) fn new(
        config: &Config,
        methods: Vec<Box<dyn Method>>,
        choice: Choice,
        notes: Notes,
    ) -> Arc<Self> {
        let clock = Clock::start();
        let state = State {
            engine: Engine::new(config, methods, clock.now()),
            next_request: 0,
            next_consumer: 0,
            waiting: BTreeMap::new(),
            consumers: BTreeMap::new(),
            views: Vec::new(),
            listener: None,
            opening: BTreeMap::new(),
            fence: Fence::default(),
        };
        Arc::new_cyclic(|me| Self {
            state: Mutex::new(state),
            clock,
            timer: Timer::default(),
            callers: Callers::default(),
            disks: Disks::new(choice),
            realtime: Realtime::default(),
            notes,
            stopped: Mutex::new(false),
            stopping: Condvar::new(),
            me: me.clone(),
        })
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
            let request = state.await_answer(Waiting::Call(through, respond));
            state.engine.handle(now, Input::Tree { request, caller, view, op });
            if let Some(ends) = ends {
                state.carry_out(self);
                if state.waiting.contains_key(&request) {
                    self.callers.add(request, caller.pid, ends);
                }
            }
        });
    }

    /// Registers a consumer. `registered` is called inside the monitor, before the first event is told.
    pub(crate) fn subscribe(
        &self,
        wish: Wish<'_>,
        consumer: Box<dyn Consumer>,
        registered: Registered,
    ) -> ConsumerId {
        self.enter(|state, now| {
            let id = ConsumerId(state.next_consumer);
            state.next_consumer += 1;
            state.consumers.insert(id, consumer);
            let request = state.await_answer(Waiting::Registration(id, registered));
            let Wish { region, edge, priority, patience } = wish;
            let wish = Subscribe { request, consumer: id, region, edge, priority, patience };
            state.engine.handle(now, Input::Subscribe(wish));
            id
        })
    }

    /// The consumer goes, and what it holds with it. It is told nothing more once this returns.
    pub(crate) fn unsubscribe(&self, consumer: ConsumerId) {
        let gone = self.enter(|state, now| {
            state.engine.handle(now, Input::Unsubscribe(consumer));
            state.consumers.remove(&consumer)
        });
        drop(gone);
    }

    /// The consumer has been told of this event.
    pub(crate) fn delivered(&self, consumer: ConsumerId, event: u64) {
        self.enter(|state, now| state.engine.handle(now, Input::Delivered { consumer, event }));
    }

    /// A device has been opened for a region, or not.
    pub(crate) fn disk_opened(&self, wanted: &Wanted, result: Result<Opened, Refusal>) {
        let disk = wanted.disk;
        let late = self.enter(|state, now| {
            // Given up, and the next one tries already: this was not for it.
            if state.opening.get(&disk) != Some(&wanted.request) {
                return Some(result);
            }
            state.opening.remove(&disk);
            let result = result.map(|opened| {
                let info = opened.info.clone();
                self.disks.add(wanted, opened);
                info
            });
            state.engine.handle(now, Input::Disk(disk, DiskResult::Opened(result)));
            None
        });
        drop(late);
    }

    /// A request to a disk has ended.
    pub(crate) fn disk_done(&self, disk: ItemId, result: DiskResult<'_>) {
        self.enter(|state, now| state.engine.handle(now, Input::Disk(disk, result)));
    }

    /// Body of the timer thread.
    pub(crate) fn keep_time(&self) {
        self.realtime.own_thread();
        self.timer.run(&self.clock, || self.enter(|state, now| state.engine.handle_timeout(now)));
    }

    /// Body of the thread that looks for signals to callers.
    pub(crate) fn watch_callers(&self) {
        self.realtime.own_thread();
        self.callers.watch(|request| {
            self.enter(|state, now| {
                // Answered in the meantime?
                if state.waiting.contains_key(&request) {
                    state.engine.handle(now, Input::Cancel(request));
                }
            });
        });
    }

    /// Answers everybody who waits, lets every region write its last block, tells the consumers, closes the
    /// socket, ends the threads. A disk that hangs is not waited for longer than [`LAST_BLOCKS`].
    pub(crate) fn shut_down(&self) {
        self.enter(|state, now| state.engine.handle(now, Input::Shutdown));
        let mut stopped = self.stopped.lock();
        let late = !*stopped && {
            self.stopping.wait_while_for(&mut stopped, |stopped| !*stopped, LAST_BLOCKS).timed_out()
        };
        drop(stopped);
        if late {
            self.notes
                .warn("a disk did not take the last block in time: others will see this node die, not leave");
            self.enter(|state, _| state.stop(self));
        }
        self.disks.stop();
        self.callers.stop();
        self.timer.stop();
    }

    /// A view has been mounted: it hears of changes from now on.
    pub(crate) fn add_view(&self, view: View, mounted: Mounted) {
        self.enter(|state, _| state.views.push((view, mounted)));
    }

    /// The mounts, to be dropped outside: unmounting waits for threads that may want to enter.
    #[must_use]
    pub(crate) fn take_views(&self) -> Vec<(View, Mounted)> {
        self.enter(|state, _| std::mem::take(&mut state.views))
    }

    /// Reads the engine.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&Engine) -> T) -> T {
        self.enter(|state, _| look(&state.engine))
    }

    /// Requests without an answer.
    pub(crate) fn waiting(&self) -> usize {
        self.enter(|state, _| state.waiting.len())
    }

    /// Requests that the mounts have served.
    pub(crate) fn requests(&self) -> u64 {
        self.enter(|state, _| state.views.iter().map(|(_, mounted)| mounted.requests()).sum())
    }

    /// One input, all its actions.
    fn enter<T>(&self, work: impl FnOnce(&mut State, Now) -> T) -> T {
        self.hold(|state| {
            let done = work(state, self.clock.now());
            state.carry_out(self);
            self.disks.go();
            self.timer.set(state.engine.poll_timeout());
            done
        })
    }

    /// The state, for this thread alone.
    fn hold<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        // A second entry by the same thread would wait for itself.
        if INSIDE.replace(true) {
            crash::end(&self.notes, "the monitor was entered from within: a fault of this program");
        }
        self.realtime.entering();
        let mut state = self.state.lock();
        match catch_unwind(AssertUnwindSafe(|| work(&mut state))) {
            Ok(done) => {
                drop(state);
                INSIDE.set(false);
                done
            }
            // Still locked: nobody sees the half-done state.
            Err(_) => crash::end(&self.notes, "the stack failed inside (see above): it ends like a crash"),
        }
    }
}

impl Service for Monitor {
    fn call(&self, view: View, caller: Caller, op: Op<'_>, respond: Respond) {
        self.realtime.own_thread();
        self.request(Some(view), view, caller, op, respond);
    }

    fn look(&self, view: View, look: &mut dyn FnMut(&Tree)) {
        // Nothing goes in, so nothing comes out that would have to be carried out.
        self.hold(|state| look(state.engine.tree(view)));
    }
}

impl State {
    fn await_answer(&mut self, waiting: Waiting) -> RequestId {
        let request = RequestId(self.next_request);
        self.next_request += 1;
        self.waiting.insert(request, waiting);
        request
    }

    /// Drains the actions. What can be answered on the spot is fed back in before anything else.
    fn carry_out(&mut self, monitor: &Monitor) {
        let mut fed = VecDeque::new();
        loop {
            while let Some(action) = self.engine.poll_action() {
                fed.extend(self.act(action, monitor));
            }
            let Some(input) = fed.pop_front() else { return };
            self.engine.handle(monitor.clock.now(), input);
        }
    }

    fn act(&mut self, action: Action, monitor: &Monitor) -> Option<Input<'static>> {
        let notes = &monitor.notes;
        match action {
            Action::Reply { request, result } => {
                monitor.callers.remove(request);
                self.answer(request, result);
            }
            Action::Deliver { consumer, event } => {
                if let Some(consumer) = self.consumers.get(&consumer) {
                    consumer.tell(event);
                }
            }
            Action::Expelled { consumer } => {
                if let Some(consumer) = self.consumers.remove(&consumer) {
                    consumer.end(End::StruckOff);
                }
            }
            Action::Changed { view, request, change } => {
                let through = request.and_then(|request| match self.waiting.get(&request) {
                    Some(Waiting::Call(through, _)) => *through,
                    _ => None,
                });
                for (_, mounted) in self.views.iter().filter(|(mounted, _)| *mounted == view) {
                    mounted.changed(&change, through == Some(view));
                }
            }
            Action::Listen { request, address, port } => {
                let result = self.listen(address, port, notes);
                return Some(Input::Listening { request, result });
            }
            Action::StopListening => self.listener = None,
            Action::Disk(disk, wanted) => return self.disk(monitor, disk, wanted),
            // Both words of the method end this process, which is all there is to end.
            Action::Fence { method: _, reason } => {
                monitor.disks.halt();
                self.listener = None;
                let mounts = self.views.iter().map(|(_, mounted)| mounted.path());
                self.fence.act(notes, &reason.to_string(), mounts);
            }
            Action::Note(note) => notes.note(&note),
            Action::Stopped => self.stop(monitor),
        }
        None
    }

    fn disk(&mut self, monitor: &Monitor, disk: ItemId, wanted: DiskRequest) -> Option<Input<'static>> {
        match wanted {
            DiskRequest::Open { request, caller, descriptor, block_bytes, start_block, blocks } => {
                self.opening.insert(disk, request);
                let place = Place { block_bytes, start_block, blocks };
                let wanted = Wanted { disk, request, caller, descriptor, place };
                if let Err(refusal) = monitor.disks.open(wanted, monitor.me.clone()) {
                    self.opening.remove(&disk);
                    return Some(Input::Disk(disk, DiskResult::Opened(Err(refusal))));
                }
            }
            DiskRequest::Read { op, first, count } => monitor.disks.read(disk, op, first, count),
            DiskRequest::Write { op, slot, block } => monitor.disks.write(disk, op, slot, block),
            DiskRequest::Close => monitor.disks.close(disk),
        }
        None
    }

    fn answer(&mut self, request: RequestId, result: Result<Reply, Refusal>) {
        match (self.waiting.remove(&request), result) {
            (Some(Waiting::Call(_, respond)), Ok(Reply::Tree(answer))) => respond(Ok(answer)),
            (Some(Waiting::Call(_, respond)), Err(refusal)) => respond(Err(refusal)),
            (Some(Waiting::Registration(_, registered)), Ok(Reply::Subscribed(up))) => {
                let items = self.engine.tree(View::Config).items();
                let named = up.into_iter().filter_map(|up| {
                    let region = match up.region {
                        Some(region) => Some(items.name(region)?.clone()),
                        None => None,
                    };
                    Some(UpIn { region, node: up.node, since: up.since })
                });
                registered(Ok(named.collect()));
            }
            (Some(Waiting::Registration(consumer, registered)), Err(refusal)) => {
                self.consumers.remove(&consumer);
                registered(Err(refusal));
            }
            // The engine answers each request once, and with its own kind of answer.
            (waiting, result) => {
                unreachable!("request {request:?}, waiting: {}, answered with {result:?}", waiting.is_some())
            }
        }
    }

    fn listen(&mut self, address: Address, port: u16, notes: &Notes) -> Result<(), Errno> {
        let listener = Listener::bind(address, port, notes)
            .map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno))?;
        self.listener = Some(listener);
        Ok(())
    }

    fn stop(&mut self, monitor: &Monitor) {
        if std::mem::replace(&mut *monitor.stopped.lock(), true) {
            return;
        }
        self.listener = None;
        for consumer in std::mem::take(&mut self.consumers).into_values() {
            consumer.end(End::Stopping);
        }
        if !self.waiting.is_empty() {
            monitor.notes.warn(&format!("{} requests were left without an answer", self.waiting.len()));
        }
        monitor.stopping.notify_all();
    }
}

#[cfg(test)]
#[path = "monitor_tests.rs"]
mod tests;
