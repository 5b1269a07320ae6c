//! Requests and their answers: calls on trees, registrations; what is answered at once, and what later.

use super::{Engine, Life};
use crate::call::Call;
use crate::detail::{Refused, detail};
use crate::effect::Effect;
use crate::error::{Errno, Refusal};
use crate::ids::{Caller, ConsumerId, ItemId, RequestId, View};
use crate::message::{Action, Reply, Subscribe};
use crate::note::Note;
use crate::pending::PendingStore;
use crate::time::Now;
use crate::tree::{Answer, Described, Object, Op, Outcome, Tree};

impl Engine {
    pub(super) fn call(&mut self, call: Call, view: View, op: &Op<'_>) {
        let Call { now, caller, request } = call;
        let Self { views, machines, consumers, effects, .. } = self;
        let events = consumers.delivery.next_number();
        let outcome = match self.life {
            Life::Running => views.apply(view, machines, effects, consumers, call, op),
            Life::Stopping | Life::Ended | Life::Fenced => Outcome::Ready(Err(Refusal::ShuttingDown)),
        };
        match (outcome, op) {
            (Outcome::Ready(result), _) => {
                if let Err(refusal) = result {
                    let items = views.tree(view).items();
                    if let Some(described) = op.described(items) {
                        let refused = Refused::of(op, items);
                        self.refused(view, described, refusal, refused, caller);
                    }
                }
                self.carry(now, Some(request));
                self.answer(now, events, request, result.map(Reply::Tree));
            }
            (Outcome::Storing(item), Op::Store { attribute, data, .. }) => {
                let data = data[..data.len().min(Tree::STORE_MAX)].to_vec();
                self.pending.add_store(request, PendingStore { item, attribute: *attribute, data, caller });
                self.carry(now, Some(request));
            }
            (Outcome::Storing(item) | Outcome::Removing(item), _) => {
                self.pending.add_removal(request, item, caller);
                self.carry(now, Some(request));
            }
        }
    }

    pub(super) fn cancel(&mut self, now: Now, request: RequestId) {
        if let Some((item, caller)) = self.pending.cancel_removal(request) {
            let tree = &mut self.views.config.tree;
            tree.give_up_removing(item);
            let removal = Described { call: "rmdir", path: tree.items().path(item), value: None };
            let refusal = Refusal::Interrupted;
            self.refused(View::Config, removal, refusal, None, caller);
            self.reply(request, Err(refusal));
        }
        self.pending.stopped(request);
        self.machines.each(Call::nobody(now), &mut self.effects, |method, cx| method.cancel(cx, request));
    }

    pub(super) fn listening(&mut self, now: Now, request: RequestId, result: Result<(), Errno>) {
        let local = self.machines.nodes.listening(request, result.is_ok());
        if let Some((num, address, port)) =
            local.and_then(|node| Some((node.num?, node.address?, node.port?)))
        {
            self.effects.note(Note::Listening(address, port));
            self.machines.start_listening(now.mono, num, &mut self.effects);
        }
        self.effects.push(Effect::EndStore { request, result: result.map_err(Refusal::System) });
        self.carry(now, None);
    }

    /// Ends a store that waited, and the removal that waited for it.
    pub(super) fn end_store(&mut self, now: Now, request: RequestId, result: Result<(), Refusal>) {
        let Some(PendingStore { item, attribute, data, caller }) = self.pending.take_store(request) else {
            return self.note(Note::Stale(request));
        };
        let length = data.len();
        if let Err(refusal) = result {
            let path = self.tree(View::Config).items().object_path(Object::Attribute(item, attribute));
            let refused = Some(Refused { item, value: &data, target: None, told: None });
            let store = Described { call: "store", path, value: Some(data.clone()) };
            self.refused(View::Config, store, refusal, refused, caller);
        }
        let Self { views, machines, consumers, effects, pending, .. } = self;
        let events = consumers.delivery.next_number();
        let removal = views.config.tree.store_ended(item).and_then(|item| {
            let (request, caller) = pending.take_removal_of(item)?;
            views.config.go_on_removing(machines, effects, item, Call { now, caller, request });
            Some(request)
        });
        // What changed, changed by the removal: its caller's kernel knows already, and holds locks that word of it
        // would wait for.
        self.carry(now, removal);
        self.reply(request, result.map(|()| Reply::Tree(Answer::Stored(length))));
        if let Some(removal) = removal {
            self.answer(now, events, removal, Ok(Reply::Tree(Answer::Done)));
        }
    }

    /// Goes on with the removal of a region that waited for its beat; it may have been given up.
    pub(super) fn go_on_removing(&mut self, now: Now, region: ItemId) {
        let Self { views, machines, consumers, effects, pending, .. } = self;
        let events = consumers.delivery.next_number();
        let Some((request, caller)) = pending.take_removal_of(region) else { return };
        views.config.go_on_removing(machines, effects, region, Call { now, caller, request });
        self.carry(now, Some(request));
        self.answer(now, events, request, Ok(Reply::Tree(Answer::Done)));
    }

    /// Answers a call; if events were queued since `events`, only behind them.
    fn answer(&mut self, now: Now, events: u64, request: RequestId, result: Result<Reply, Refusal>) {
        let queued = self.consumers.delivery.next_number();
        if queued > events {
            // Where nobody has to be told, nobody waits.
            self.deliver(now);
        }
        let told = queued == events || self.consumers.delivery.delivered() >= queued;
        if !told || self.pending.is_stopping(request) {
            self.pending.add_answer(request, queued, result);
        } else {
            self.reply(request, result);
        }
    }

    /// Notes a refusal: in which tree, of which call.
    fn refused(
        &mut self,
        view: View,
        Described { call, path, value }: Described,
        refusal: Refusal,
        refused: Option<Refused<'_>>,
        caller: Caller,
    ) {
        let items = self.views.tree(view).items();
        let detail =
            refused.and_then(|refused| detail(refusal, refused, items, &self.machines, &self.consumers));
        self.note(Note::Refused { view, call, path, value, refusal, detail, caller });
    }

    pub(super) fn subscribe(&mut self, now: Now, subscribe: &Subscribe<'_>) {
        let Self { views, machines, consumers, effects, .. } = self;
        let subscribed = match self.life {
            Life::Running => consumers.subscribe(subscribe, &mut views.config.tree, machines, effects, now),
            Life::Stopping | Life::Ended | Life::Fenced => Err(Refusal::ShuttingDown),
        };
        if let Err(refusal) = subscribed {
            let region = subscribe.region.map(<[u8]>::to_vec);
            effects.note(Note::NotSubscribed { region, refusal });
        }
        self.carry(now, None);
        self.reply(subscribe.request, subscribed.map(Reply::Subscribed));
    }

    pub(super) fn unsubscribe(&mut self, now: Now, consumer: ConsumerId) {
        self.consumers.unsubscribe(consumer, &mut self.machines, &mut self.effects, now);
        self.carry(now, None);
    }

    fn reply(&mut self, request: RequestId, result: Result<Reply, Refusal>) {
        self.actions.push_back(Action::Reply { request, result });
    }
}
