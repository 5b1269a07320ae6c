//! Carrying out what the engine asks for.

use std::collections::VecDeque;

use uo2cb_core::{Action, Input, Refusal, Reply, RequestId, View};

use super::super::fence;
use super::super::net;
use super::{Awaiting, Ended, Monitor, State, UpIn};

impl State {
    pub(super) fn await_answer(&mut self, awaiting: Awaiting) -> RequestId {
        let request = RequestId(self.next_request);
        self.next_request += 1;
        self.awaiting.insert(request, awaiting);
        request
    }

    /// Drains the actions. What can be answered on the spot is fed back in before anything else.
    pub(super) fn carry_out(&mut self, monitor: &Monitor) {
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
                    consumer.end(Ended::Expelled);
                }
            }
            Action::Changed { view, request, change } => {
                let through = request.and_then(|request| match self.awaiting.get(request) {
                    Some(Awaiting::Call(through, _)) => *through,
                    _ => None,
                });
                for (_, mounted) in self.views.iter().filter(|(mounted, _)| *mounted == view) {
                    mounted.changed(&change, through == Some(view));
                }
            }
            Action::Listen { request, caller, address, port } => {
                let wanted = net::Wanted { request, caller, address, port };
                if let Err(errno) = monitor.sockets.listen(wanted) {
                    return Some(Input::Listening { request, result: Err(errno) });
                }
            }
            Action::StopListening => monitor.sockets.stop_listening(),
            Action::Net(request) => monitor.sockets.request(request),
            Action::Disk(disk, wanted) => return self.disk(monitor, disk, wanted),
            // Whoever carries out the method knows it: a fence may come from elsewhere, too.
            Action::Fence { method: _, reason } => fence::end(format_args!("fenced: {reason}")),
            Action::Note(note) => monitor.notes.note(&note),
            Action::Watched(topic, note) => {
                self.consumers.values().for_each(|consumer| consumer.note(topic, &note));
            }
            Action::Stopped => self.stop(monitor),
        }
        None
    }

    fn answer(&mut self, request: RequestId, result: Result<Reply, Refusal>) {
        match (self.awaiting.remove(request), result) {
            (Some(Awaiting::Call(_, respond)), Ok(Reply::Tree(answer))) => respond(Ok(answer)),
            (Some(Awaiting::Call(_, respond)), Err(refusal)) => respond(Err(refusal)),
            (Some(Awaiting::Registration(_, registered)), Ok(Reply::Subscribed(up))) => {
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
            (Some(Awaiting::Registration(consumer, registered)), Err(refusal)) => {
                self.consumers.remove(&consumer);
                registered(Err(refusal));
            }
            // The engine answers each request once, and with its own kind of answer.
            (awaiting, result) => {
                unreachable!("request {request:?}, awaited: {}, answered with {result:?}", awaiting.is_some())
            }
        }
    }
}
