//! What real kernels did, with nodes of ours (`reference/o2net-observed.md`, whose names of runs these are; its node 1 is
//! node 0 here). dead_threshold 7, idle 5 s, keepalive 1 s, reconnect 1 s; a fence restarts the machine.
//!
//! The outcome is the kernels'; times are theirs without the slack of their timers: a connection is idle 4 to 5 s after the
//! cut (the keepalives go once a second), a decision comes 18 s later (18.2 to 20 s there). Each is played with several seeds:
//! other phases of beats and keepalives.

use uo2cb_tests::sim::faults::{DiskFault, Fault, Filter, Plan};
use uo2cb_tests::sim::world::World;
use uo2cb_tests::sim::{MS, SEC, Us};

/// When the injury comes.
const AT: Us = 60 * SEC;
const SEEDS: u64 = 6;

/// A run, with times counted from the injury.
struct Run {
    said: Vec<(f64, usize, String)>,
    fences: Vec<(f64, usize)>,
}

impl Run {
    /// When a node says something that contains these words.
    fn times(&self, node: usize, words: &str) -> Vec<f64> {
        let said = self.said.iter().filter(|(at, n, line)| *at > 0.0 && *n == node && line.contains(words));
        said.map(|(at, ..)| *at).collect()
    }

    fn fenced(&self) -> Vec<usize> {
        let mut nodes: Vec<_> = self.fences.iter().map(|(_, n)| *n).collect();
        nodes.sort_unstable();
        nodes
    }

    /// These nodes fence themselves, once each, between these times.
    #[track_caller]
    fn fence(&self, nodes: &[usize], times: std::ops::Range<f64>) {
        assert_eq!(self.fenced(), nodes, "{:?}", self.fences);
        assert!(self.fences.iter().all(|(at, _)| times.contains(at)), "{:?}", self.fences);
    }

    /// A node says this once, between these times.
    #[track_caller]
    fn once(&self, node: usize, words: &str, times: std::ops::Range<f64>) -> f64 {
        let found = self.times(node, words);
        assert!(found.len() == 1 && times.contains(&found[0]), "{words}: {found:?}, not once in {times:?}");
        found[0]
    }
}

fn play(nodes: u8, seconds: Us, faults: &[Fault], judge: impl Fn(&Run)) {
    for seed in 0..SEEDS {
        let plan = Plan {
            seed,
            nodes,
            regions: 1,
            global: false,
            user: false,
            dead_threshold: 7,
            start_spread: MS,
            times: [5000, 1000, 1000],
            buffer: 65_536,
            exits: false,
            length: AT + seconds * SEC,
            faults: faults.to_vec(),
        };
        let mut world = World::new(&plan, true);
        if let Err(violation) = world.play() {
            panic!("seed {seed}: {violation:?}\n{}", world.trace.tail(40));
        }
        let since = |at: Us| (at as f64 - AT as f64) / SEC as f64;
        let said = world.said.iter().map(|(at, n, line)| (since(*at), *n, line.clone())).collect();
        judge(&Run { said, fences: world.fences.iter().map(|(at, n)| (since(*at), *n)).collect() });
    }
}

/// Both directions between two nodes.
fn cut(a: u8, b: u8, seconds: Us) -> [Fault; 2] {
    [(a, b), (b, a)].map(|(from, to)| Fault::Cut { from, to, at: AT, end: AT + seconds * SEC })
}

fn apart(group: u32) -> Fault {
    Fault::Partition { group, at: AT, end: AT + 300 * SEC }
}

fn hang(node: u8, seconds: Us) -> Fault {
    Fault::Disk { disk: 0, node: Some(node), at: AT, end: AT + seconds * SEC, kind: DiskFault::Hang }
}

/// From the cut to the decision.
const DECISION: std::ops::Range<f64> = 21.9..23.3;

#[test]
fn run_2a_one_pair_of_three_is_cut_and_all_stay() {
    play(3, 50, &cut(0, 1, 300), |run| {
        run.fence(&[], DECISION);
        for node in [0, 1] {
            run.once(node, "not fencing this node, heartbeating: 3, connected: 2", DECISION);
            let idle = run.times(node, "has been idle for 5.0 secs.");
            assert!(
                idle.len() >= 9 && idle.windows(2).all(|two| (two[1] - two[0] - 5.0).abs() < 0.01),
                "{idle:?}"
            );
            // The quorum delay ends again, without a second decision.
            assert_eq!(run.times(node, "o2quo_hb_still_up").len(), 2);
        }
        assert_eq!(run.said.iter().filter(|(at, n, _)| *at > 0.0 && *n == 2).count(), 0);
    });
}

#[test]
fn run_2b_2c_who_is_alone_of_three_goes() {
    for alone in [0, 2] {
        play(3, 60, &[apart(1 << alone)], |run| {
            assert_eq!(run.fences[0].1, alone);
            let fenced = run.fences[0].0;
            assert!(DECISION.contains(&fenced), "{fenced}");
            // Earlier than 12.1 s if it has restarted by then.
            let times = fenced + 5.0..fenced + 16.0;
            for node in (0..3).filter(|node| *node != alone) {
                run.once(node, "not fencing this node, heartbeating: 3, connected: 2", DECISION);
                run.once(node, &format!("o2quo_hb_down node {alone}, 2 total"), times.clone());
            }
        });
    }
}

#[test]
fn run_2d_a_pair_cut_for_40_s_comes_back_by_tcp() {
    play(3, 80, &cut(0, 1, 40), |run| {
        run.fence(&[], DECISION);
        for node in [0, 1] {
            run.once(node, "o2quo_conn_up", 40.0..56.0);
            assert!(run.times(node, "onnected to").is_empty(), "the same connection, no line");
        }
    });
}

#[test]
fn run_3a_3b_the_half_without_the_lowest_node_goes() {
    for (group, gone) in [(0b0011, [2, 3]), (0b1001, [1, 2])] {
        play(4, 28, &[apart(group)], |run| {
            run.fence(&gone, DECISION);
            for node in (0..4).filter(|node| !gone.contains(node)) {
                let said = "not fencing this node, heartbeating: 4, connected: 2, lowest: 0 (reachable)";
                run.once(node, said, DECISION);
            }
        });
    }
}

#[test]
fn run_4a_4b_loss_in_one_direction_takes_the_higher_node() {
    for (from, to) in [(1, 0), (0, 1)] {
        play(2, 27, &[Fault::Cut { from, to, at: AT, end: AT + 300 * SEC }], |run| {
            run.fence(&[1], 21.9..24.3);
            // Who still hears the other one hears one more message.
            let first = |node: u8| run.times(node.into(), "has been idle")[0];
            assert!((3.9..5.1).contains(&first(to)), "{}", first(to));
            assert!((3.9..6.1).contains(&first(from)), "{}", first(from));
            run.once(
                0,
                "not fencing this node, heartbeating: 2, connected: 1, lowest: 0 (reachable)",
                21.9..24.3,
            );
        });
    }
}

#[test]
fn run_8a_8b_a_link_that_flaps_takes_nobody() {
    for (cuts, length) in [(20, 4), (5, 9)] {
        let flap = |number: Us| {
            let at = AT + number * (length + 6) * SEC;
            Fault::Partition { group: 1, at, end: at + length * SEC }
        };
        let faults: Vec<_> = (0..cuts).map(flap).collect();
        play(2, cuts * (length + 6) + 20, &faults, |run| {
            run.fence(&[], DECISION);
            for node in 0..2 {
                let idle = run.times(node, "has been idle").len() as Us;
                assert!(idle <= 2 * cuts && (idle >= cuts || length < 5), "{idle} idle lines");
                assert!(run.times(node, "onnected to").is_empty() && run.times(node, "still_up").is_empty());
                let back = run.times(node, "o2quo_conn_up");
                assert!(
                    back.len() <= cuts as usize && (length < 5 || back.len() == cuts as usize),
                    "{back:?}"
                );
            }
        });
    }
}

#[test]
fn run_9_a_filtered_port_is_tried_at_the_kernels_pace() {
    // The attempts between +65 and +115, and how long after the opening they are connected.
    for (filter, lines, pace) in
        [(Filter::Drop, 10, 5.0), (Filter::Refuse, 50, 1.0), (Filter::NoRoute, 50, 1.0)]
    {
        let filtered = Fault::Filtered { node: 0, at: 0, end: AT + 120 * SEC, filter };
        play(2, 130, &[filtered], |run| {
            run.fence(&[], DECISION);
            let said = match filter {
                Filter::Drop => "No connection established with node 0 after 5.0 seconds",
                Filter::Refuse => "Connection to node n0 (num 0) at 10.0.0.0:7777 shutdown, state 7",
                Filter::NoRoute => {
                    "Connect attempt to node n0 (num 0) at 10.0.0.0:7777 failed with errno -101"
                }
            };
            let times = run.times(1, said).into_iter().filter(|at| (65.0..115.0).contains(at)).count();
            assert!((lines - 2..=lines + 2).contains(&times), "{filter:?}: {times} lines");
            let reached = run.once(1, "Connected to node n0 (num 0)", 120.0..120.0 + pace + 0.1);
            run.once(0, "Accepted connection from node n1 (num 1)", reached - 0.1..reached + 0.1);
            assert!(run.times(0, "fencing").is_empty() && run.times(1, "fencing").is_empty());
        });
    }
}

#[test]
fn run_10_a_clean_leave_of_the_lower_node_saves_the_higher_one_only_before_its_decision() {
    for (leaves, gone) in [(8, vec![]), (30, vec![1])] {
        let stop = Fault::Shutdown { node: 0, at: AT + leaves * SEC, restart_at: AT + 300 * SEC };
        play(2, 43, &[apart(1), stop], |run| {
            assert_eq!(run.fenced(), gone);
            if gone.is_empty() {
                run.once(1, "o2quo_hb_down node 0, 1 total", 8.0..10.2);
                assert!(run.times(1, "fencing this node").is_empty());
            }
        });
    }
}

#[test]
fn run_1a_1d_when_all_writes_hang_nobody_goes() {
    for (nodes, approvals) in [(2, 7..=8), (3, 6..=8)] {
        let faults: Vec<_> = (0..nodes).map(|node| hang(node, 50)).collect();
        play(nodes, 60, &faults, |run| {
            run.fence(&[], DECISION);
            let given = run.times(0, "all nodes hb write hung, maybe region R0 (sd0) is down.");
            assert!(approvals.contains(&given.len()), "{given:?}");
            // The last good beat was up to 2 s before.
            let first = run.times(0, "node 0 hb write hung for 6s on region R0 (sd0).")[0];
            assert!((3.9..6.2).contains(&first), "{first}");
            assert!(given.windows(2).all(|two| (5.9..7.3).contains(&(two[1] - two[0]))), "{given:?}");
            for node in 1..usize::from(nodes) {
                let asked = run
                    .times(node, "hb write hung for 6s on region R0 (sd0), negotiate timeout with node 0.");
                let told = run.times(node, "negotiate timeout approved by master node on region R0 (sd0).");
                assert_eq!(told.len(), given.len());
                assert!(asked.len() - told.len() <= 1, "{asked:?} {told:?}");
            }
            let last = run.said.iter().map(|(at, ..)| *at).fold(0.0, f64::max);
            assert!(last < 50.1, "recovery prints nothing, but something at {last}");
        });
    }
}

#[test]
fn run_1b_1c_1d2_who_hangs_while_another_does_not_goes() {
    for (nodes, hangs) in [(2, vec![0]), (2, vec![1]), (3, vec![0, 2])] {
        let faults: Vec<_> = hangs.iter().map(|node| hang(*node, 300)).collect();
        play(nodes, 30, &faults, |run| {
            let gone: Vec<_> = hangs.iter().map(|node| usize::from(*node)).collect();
            run.fence(&gone, 9.9..12.2);
            for node in 0..usize::from(nodes) {
                assert!(run.times(node, "all nodes hb write hung").is_empty());
                assert!(run.times(node, "approved").is_empty());
                let asks = usize::from(gone.contains(&node));
                assert_eq!(run.times(node, "hb write hung for 6s").len(), asks);
            }
        });
    }
}

#[test]
fn run_1e_hung_writes_and_a_cut_network_take_both() {
    play(2, 30, &[hang(0, 300), hang(1, 300), apart(1)], |run| run.fence(&[0, 1], 9.9..12.2));
}

#[test]
fn run_1f_1h_whose_disk_does_not_come_back_goes() {
    for (back, stays) in [(0, 1), (1, 0)] {
        play(2, 40, &[hang(back, 17), hang(stays, 300)], |run| {
            let given = run.times(0, "all nodes hb write hung");
            let last = *given.last().expect("time was given");
            run.fence(&[stays.into()], last + 11.9..last + 12.2);
            assert!(last < 17.1, "{given:?}");
        });
    }
}

#[test]
fn run_1g_nobody_gives_time_when_the_master_is_killed() {
    let killed = Fault::Crash { node: 0, at: AT + 10 * SEC, restart_at: AT + 300 * SEC };
    play(3, 40, &[hang(0, 300), hang(1, 300), hang(2, 300), killed], |run| {
        let given = run.times(1, "approved").into_iter().fold(0.0, f64::max);
        run.fence(&[1, 2], given + 11.9..given + 12.3);
    });
}
