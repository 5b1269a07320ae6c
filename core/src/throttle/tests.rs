use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::*;
use crate::heartbeat::disk::note::DiskNote;
use crate::net::{NetEvent, NetNote, Place, Stranger};
use crate::nodeman::Address;
use crate::testing::Bench;
use crate::{ConnectionId, Input};

fn stranger(port: u16) -> Note {
    Note::Net(NetNote::Stranger(Stranger::Unknown { from: Address([10, 9, 0, 99]), port }))
}

fn at(ms: u64) -> Instant {
    Instant::at(Duration::from_millis(ms))
}

/// Plays lines at their times. Returns all that is said, with when.
fn play(lines: impl IntoIterator<Item = u64>, end: u64) -> (Vec<(u64, String)>, Throttle) {
    let (mut throttle, mut said) = (Throttle::default(), Vec::new());
    let due = |throttle: &mut Throttle, now: u64, said: &mut Vec<(u64, String)>| {
        while let Some(next) = throttle.next_timeout().filter(|next| *next <= at(now)) {
            let ms = u64::try_from(next.since_start().as_millis()).unwrap();
            said.extend(throttle.take_due(next).into_iter().map(|note| (ms, note.to_string())));
        }
    };
    for (port, ms) in lines.into_iter().enumerate() {
        due(&mut throttle, ms, &mut said);
        let passed = throttle.pass(at(ms), stranger(u16::try_from(port).unwrap()));
        said.extend(passed.map(|note| (ms, note.to_string())));
    }
    due(&mut throttle, end, &mut said);
    (said, throttle)
}

#[test]
fn the_pace_of_a_kernel_passes_whole() {
    let (said, throttle) = play((0..600).map(|attempt| attempt * 1020), 700_000);
    assert_eq!((said.len(), throttle.next_timeout()), (600, None));
}

#[test]
fn of_a_flood_the_first_lines_are_said_and_then_numbers() {
    // A thousand in each second, for a minute.
    let (said, throttle) = play(0..60_000, 100_000);
    assert!(said[..20].iter().enumerate().all(|(port, (ms, line))| *ms == port as u64
        && *line == alloc::format!("o2net: Attempt to connect from unknown node at 10.9.0.99:{port}")));
    let (times, lines): (Vec<_>, Vec<_>) = said[20..].iter().cloned().unzip();
    assert_eq!(times, [10_000, 20_000, 30_000, 40_000, 50_000, 60_000]);
    assert_eq!(
        lines[0],
        "left out 9980 more lines within 10 s, the last of them: o2net: Attempt to connect from unknown node at \
         10.9.0.99:9999"
    );
    let count = |line: &String| line.split(' ').nth(2).and_then(|count| count.parse::<usize>().ok());
    assert_eq!(lines.iter().filter_map(count).sum::<usize>() + 20, 60_000);
    assert_eq!(throttle.next_timeout(), None, "and nothing when it is over");
}

#[test]
fn after_a_flood_lines_are_said_again() {
    let later = 60_000;
    let (said, _) = play((0..100).chain([later, later + 1]), later + 2);
    assert_eq!(said.len(), 20 + 1 + 2);
    // Somewhat too many, again and again: never more than the limit in a window.
    let (said, _) = play((0..1000).map(|n| n * 400), 500_000);
    assert!(said.len() < 1000 * 20 / 25 + 50 && said.len() > 700, "{}", said.len());
}

#[test]
fn nodes_and_causes_are_counted_apart_and_forgotten() {
    let lost = |num: u8| {
        let name = Name::new(b"n").unwrap();
        let (num, address) = (NodeNum::new(num.into()).unwrap(), Address([10, 9, 0, num]));
        Note::Net(NetNote::NotConnected(Place { id: crate::ItemId(1), name, num, address, port: 7777 }))
    };
    let silent = Note::Net(NetNote::NotEstablished(NodeNum::new(3).unwrap(), WINDOW));
    let mut throttle = Throttle::default();
    for _ in 0..100 {
        assert!(throttle.pass(at(0), silent.clone()).is_some(), "others cannot hurry it");
    }
    for _ in 0..20 {
        assert!(throttle.pass(at(0), stranger(1)).is_some());
        assert!(throttle.pass(at(0), lost(1)).is_some() && throttle.pass(at(0), lost(2)).is_some());
    }
    assert!(throttle.pass(at(9_999), lost(2)).is_none() && throttle.pass(at(9_999), stranger(2)).is_none());
    assert_eq!((throttle.counts.len(), throttle.take_due(at(9_999)).len()), (3, 0));
    assert_eq!((throttle.take_due(at(10_000)).len(), throttle.next_timeout()), (2, None));
    assert!(throttle.pass(at(20_000), lost(9)).is_some());
    assert_eq!(throttle.counts.len(), 1);
}

#[test]
fn the_stack_says_it_by_its_timer() {
    let mut bench = Bench::user();
    bench.log.clear();
    for port in 0..100 {
        let connection = ConnectionId::Accepted(port.into());
        bench.input(Input::Net(NetEvent::Accepted { connection, from: Address([10, 9, 0, 99]), port }));
    }
    assert_eq!(bench.notes().len(), 20);
    assert_eq!(bench.engine.poll_timeout(), Some(Instant::at(bench.mono).after(WINDOW)));
    bench.wait(9_999);
    assert_eq!(bench.notes().len(), 20);
    bench.wait(1);
    let line = bench.notes().last().map(ToString::to_string);
    assert!(line.is_some_and(|line| line.starts_with("left out 80 more lines within 10 s")));
    assert_eq!((bench.notes().len(), bench.engine.poll_timeout()), (21, None));
}

/// All nodes of a large cluster ask for all regions when the storage hangs: nothing of that is a flood.
#[test]
fn questions_of_many_nodes_for_many_regions_pass() {
    let ask = |from: u8, region: u8, said: u8| {
        let (region, from) = (Name::new(&[b'a' + region]).unwrap(), NodeNum::new(from.into()).unwrap());
        Note::Disk { region, device: "vda".into(), note: DiskNote::TimeAsked { said, from } }
    };
    let mut throttle = Throttle::default();
    for node in 0..255 {
        assert!((0..32).all(|region| throttle.pass(at(0), ask(node, region, node)).is_some()));
    }
    // One that asks again and again is, under whatever numbers.
    let said = (0..200).filter(|said| throttle.pass(at(1), ask(3, 0, *said)).is_some()).count();
    assert_eq!(said, 19);
}
