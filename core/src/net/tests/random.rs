//! Any order of events: nothing panics, and the books stay right.

use super::*;

struct Rng(u64);

impl Rng {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

const USER: User = User::Region(ItemId(77));
const KIND: Kind = Kind { message: 1, key: 1 };

#[test]
fn any_order_of_events_keeps_the_books() {
    for seed in 0..400 {
        let mut rng = Rng(seed);
        let mut net = Fixture::new(3);
        net.net.register(KIND, 8, USER);
        let mut open: Vec<ConnectionId> = Vec::new();
        let (mut accepted, mut asked) = (0, 0);
        for _ in 0..300 {
            let peer = 1 + rng.below(5) as u8;
            let some = open.get(rng.below(open.len().max(1) as u64) as usize).copied();
            let from = net.done.len();
            match (rng.below(12), some) {
                (0 | 1, _) => net.up(peer),
                (2, _) => net.down(peer),
                (3, _) => {
                    accepted += 1;
                    open.push(net.accept(accepted, peer));
                }
                (4, Some(connection)) => net.event(NetEvent::Connected { connection, port: 1 }),
                (5 | 6, Some(connection)) => net.greet(connection),
                (7, Some(connection)) => net.message(connection, Wire::KeepaliveRequest),
                (8, Some(connection)) => {
                    let ticket = (rng.below(3) as u32).into();
                    let system = SystemStatus::Ok;
                    net.message(connection, Wire::Status { kind: KIND, ticket, system, status: 0 });
                }
                (9, Some(connection)) => {
                    let bytes: Vec<u8> = (0..rng.below(60)).map(|_| rng.below(256) as u8).collect();
                    net.receive(connection, &bytes);
                }
                (10, Some(connection)) => {
                    open.retain(|other| *other != connection);
                    net.event(NetEvent::Closed(connection, Closing::Ended));
                }
                _ => {
                    asked += 1;
                    let request =
                        Outgoing { user: USER, to: node(peer), kind: KIND, payload: Vec::from([1]) };
                    net.tell(|net, cx| net.send(&request, cx));
                }
            }
            net.wait([0, 10, 900, 3000][rng.below(4) as usize]);
            for (_, effect) in &net.done[from..] {
                match effect {
                    Effect::Do(Action::Net(NetRequest::Connect { connection, .. })) => open.push(*connection),
                    Effect::Do(Action::Net(NetRequest::Close(connection))) => {
                        assert!(open.contains(connection), "closed what is not open");
                        open.retain(|other| other != connection);
                    }
                    Effect::Do(Action::Net(NetRequest::Send { connection, .. })) => {
                        assert!(accepted > 0 || open.contains(connection), "sent over nothing");
                    }
                    _ => {}
                }
            }
            // A socket of each peer at most, and each of them pins its node.
            assert_eq!(net.pins().len(), net.net.sockets(), "seed {seed}");
            assert_eq!(net.net.connections.len(), net.net.sockets(), "seed {seed}");
            assert!(net.pins().iter().all(|(_, pins)| *pins == 1));
            // What quorum was told last is what is.
            let mut told = NodeSet::EMPTY;
            for (_, num, edge) in net.edges() {
                match edge {
                    ConnectionEdge::Up => assert!(told.insert(node(num)), "up twice, seed {seed}"),
                    ConnectionEdge::Error => drop(told.remove(node(num))),
                    ConnectionEdge::StillUp => {}
                }
            }
            assert!(told.iter().all(|num| net.net.connected().contains(num)), "seed {seed}");
        }
        (1..=5).for_each(|num| net.down(num));
        let answered =
            net.done.iter().filter(|(_, effect)| matches!(effect, Effect::Answered { .. })).count();
        assert_eq!((answered, net.net.next_timeout(), net.net.sockets()), (asked, None, 0), "seed {seed}");
    }
}
