//! Peers that do something far too often. The kernel says each of it, ours says the first ones and how many more there
//! were; neither grows, spins, is late with a beat, or loses a good peer.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use uo2cb_tests::guest::Error;
use uo2cb_tests::nodes::Kind;

use super::{LOST, PEER, Scenario};
use crate::peer::Peer;
use crate::wire::{Handshake, Header, REQUEST};
use crate::world::{LIMIT, STRANGER, SUBJECT, World};

pub(super) const ALL: &[Scenario] = &[
    ("a flood of strangers from changing ports", strangers),
    ("a flood of second connections", seconds),
    ("a flood of connections that end", ended),
    ("a flood of handshakes that differ", mismatches),
    ("a flood of requests", requests),
    ("a flood of negotiation", negotiation),
    ("floods from all sides at once", all_sides),
    ("the system has no room for another connection", no_room),
];

/// Lines of a kind that ours says before it counts.
const SAID: usize = 20;
/// The longest time without a beat: two periods, and a machine that is busy with other tests.
const LATE: Duration = Duration::from_secs(6);
/// By how much the memory of ours may grow, in KiB: what is queued and what the allocator keeps.
const GROWTH: u64 = 24 * 1024;

/// What a process of ours uses.
#[derive(Clone, Copy)]
struct Usage {
    resident: u64,
    descriptors: usize,
    processor: Duration,
}

impl Usage {
    fn of(world: &World) -> Result<Option<Self>, Error> {
        let Some(pid) = world.subject.pid() else { return Ok(None) };
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let resident = resident.and_then(|text| text.trim().trim_end_matches(" kB").parse().ok());
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // User and system time, in hundredths of a second; behind the name, which may hold anything.
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
        let ticks: u64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
        Ok(Some(Self {
            resident: resident.unwrap_or_default(),
            descriptors: fs::read_dir(format!("/proc/{pid}/fd"))?.count(),
            processor: Duration::from_millis(ticks * 10),
        }))
    }
}

/// Runs a flood, which returns of how many, and looks at what it costs.
pub(super) fn measured(
    world: &mut World,
    flood: impl FnOnce(&mut World) -> Result<usize, Error>,
) -> Result<(), Error> {
    let (before, watch, begin) = (Usage::of(world)?, world.beats.watch(SUBJECT), Instant::now());
    let done = flood(world);
    let (took, gap) = (begin.elapsed(), watch.end()?);
    let count = done?;
    if gap > LATE {
        return Err(format!("no beat for {gap:?}").into());
    }
    let Some((before, after)) = before.zip(Usage::of(world)?) else { return Ok(()) };
    let log: usize = world.lines().iter().map(|line| line.text.len() + 1).sum();
    println!(
        "    {count} in {:.2} s: processor {:?}, memory {} KiB before and {} after, descriptors {} and {}, log {log} \
         bytes in {} lines, no beat for {:.2} s at most",
        took.as_secs_f64(),
        after.processor.saturating_sub(before.processor),
        before.resident,
        after.resident,
        before.descriptors,
        after.descriptors,
        world.lines().len(),
        gap.as_secs_f64(),
    );
    if after.resident > before.resident + GROWTH {
        return Err("it takes memory".to_owned().into());
    }
    let same =
        |world: &mut World| Ok(Usage::of(world)?.is_some_and(|now| now.descriptors <= before.descriptors));
    uo2cb_tests::nodes::wait("descriptors as before", LIMIT, || same(world))?;
    let (calm, begin) = (Usage::of(world)?, Instant::now());
    std::thread::sleep(Duration::from_secs(1));
    let used = Usage::of(world)?.zip(calm).map(|(now, calm)| now.processor.saturating_sub(calm.processor));
    if used.is_some_and(|used| used > begin.elapsed() / 2) {
        return Err(format!("it goes on using the processor: {used:?}").into());
    }
    Ok(())
}

/// The first lines are there, and the number of the others.
fn counted(world: &World, of: &str, count: usize) -> Result<(), Error> {
    let total = |world: &World| -> usize {
        let number = |text: &str, before: &str| text.strip_prefix(before)?.split(' ').next()?.parse().ok();
        let (mut total, mut last) = (0, false);
        for line in world.lines() {
            let text = line.text.as_str();
            if let Some(more) = number(text, "last line ") {
                total += if last { more } else { 0 };
                continue;
            }
            last = text.contains(of);
            total += if last { number(text, "left out ").unwrap_or(1) } else { 0 };
        }
        total
    };
    uo2cb_tests::nodes::wait(&format!("{count} times {of:?}, said or counted"), LIMIT, || {
        Ok(total(world) >= count)
    })?;
    let (said, total) = (world.count(of), total(world));
    if total != count {
        return Err(format!("{total} times {of:?}, and there were {count}").into());
    }
    let few = world.kind == Kind::Kernel || said <= 2 * SAID;
    if few { Ok(()) } else { Err(format!("{said} lines {of:?}").into()) }
}

/// A kernel says each of them to its console.
fn times(world: &World, ours: usize) -> usize {
    if world.kind == Kind::Kernel { 60 } else { ours }
}

fn strangers(world: &mut World) -> Result<(), Error> {
    let mut peer = world.connected(PEER)?;
    let count = times(world, 3000);
    let mut ports = Vec::new();
    measured(world, |world| {
        for _ in 0..10 {
            ports.extend(world.connect_often(STRANGER, count / 10)?);
            peer.works()?;
        }
        Ok(count)
    })?;
    for port in &ports[..SAID] {
        world.sees(&format!("o2net: Attempt to connect from unknown node at 10.9.0.99:{port}"))?;
    }
    counted(world, "Attempt to connect from unknown node at 10.9.0.99:", count)?;
    peer.works()?;
    world.never(LOST)
}

fn seconds(world: &mut World) -> Result<(), Error> {
    let mut peer = world.connected(PEER)?;
    let count = times(world, 3000);
    measured(world, |world| {
        for _ in 0..10 {
            world.connect_often(PEER, count / 10)?;
            peer.works()?;
        }
        Ok(count)
    })?;
    counted(world, "but it already has an open connection", count)?;
    peer.works()?;
    world.never(LOST)
}

fn ended(world: &mut World) -> Result<(), Error> {
    let count = times(world, 2000);
    measured(world, |world| {
        for turn in 0..count {
            let mut peer = world.connect(PEER)?;
            peer.send(&Handshake::RIGHT.bytes());
            peer.handshake()?;
            peer.works()?;
            peer.finish()?;
            peer.closed().map_err(|error| format!("{turn}: {error}"))?;
        }
        Ok(count)
    })?;
    counted(world, "o2net: Accepted connection from node n6", count)?;
    counted(world, LOST, count)?;
    world.connected(PEER).map(drop)
}

fn mismatches(world: &mut World) -> Result<(), Error> {
    let count = times(world, 2000);
    measured(world, |world| {
        for _ in 0..count {
            let mut peer = world.connect(PEER)?;
            peer.send(&Handshake { idle: 6000, ..Handshake::RIGHT }.bytes());
            peer.handshake()?;
            peer.closed()?;
        }
        Ok(count)
    })?;
    counted(
        world,
        "uses a network idle timeout of 6000 ms, but we use 5000 ms locally. Disconnecting.",
        count,
    )?;
    world.connected(PEER).map(drop)
}

fn requests(world: &mut World) -> Result<(), Error> {
    let mut peer = world.connected(PEER)?;
    let request = |number| Header { magic: REQUEST, kind: 9, number, ..Header::default() }.with(&[7; 40]);
    let requests: Vec<_> =
        (0..if world.kind == Kind::Kernel { 5000 } else { 200_000 }).map(request).collect();
    measured(world, |_| peer.pour(&requests, 1).map(|()| requests.len()))?;
    peer.works()?;
    world.never("o2net:")
}

fn negotiation(world: &mut World) -> Result<(), Error> {
    let mut peer = world.connected(PEER)?;
    let count = times(world, 100_000);
    let request = Header {
        magic: REQUEST,
        kind: super::messages::TIMEOUT,
        key: super::messages::KEY,
        ..Header::default()
    };
    let requests: Vec<_> = (0..count).map(|number| request.with(&[[6, 7, 8][number % 3]])).collect();
    measured(world, |_| peer.pour(&requests, 0).map(|()| count))?;
    counted(world, "o2hb: receive negotiate timeout message from node", count)?;
    peer.works()?;
    world.never(LOST)
}

/// Three peers send requests as fast as they can, and strangers connect, for four beats.
fn all_sides(world: &mut World) -> Result<(), Error> {
    let peers = [PEER, 7, 8];
    peers[1..].iter().try_for_each(|node| world.up(*node))?;
    let mut all = peers.iter().map(|node| world.connected(*node)).collect::<Result<Vec<_>, _>>()?;
    world.mark();
    let long = if world.kind == Kind::Kernel { Duration::from_secs(1) } else { Duration::from_secs(8) };
    let requests = vec![Header { magic: REQUEST, kind: 9, ..Header::default() }.with(&[7; 40]); 1000];
    let mut strangers = 0;
    measured(world, |world| {
        let begin = Instant::now();
        let poured = std::thread::scope(|scope| {
            let pour = |peer: &mut Peer| -> Result<usize, Error> {
                let mut count = 0;
                while begin.elapsed() < long {
                    peer.pour(&requests, 1)?;
                    count += requests.len();
                }
                Ok(count)
            };
            let floods: Vec<_> = all.iter_mut().map(|peer| scope.spawn(move || pour(peer))).collect();
            while begin.elapsed() < long {
                strangers += world.connect_often(STRANGER, 20)?.len();
            }
            floods.into_iter().try_fold(0, |sum, flood| {
                let count = flood.join().map_err(|_| "a flood has panicked".to_owned())??;
                Ok::<_, Error>(sum + count)
            })
        })?;
        Ok(poured + strangers)
    })?;
    counted(world, "Attempt to connect from unknown node at 10.9.0.99:", strangers)?;
    world.never("No longer connected")?;
    all.iter_mut().try_for_each(Peer::works)?;
    drop(all);
    peers[1..].iter().try_for_each(|node| world.leave(*node))
}

/// Accepted as soon as there is room again, however busy the others are.
fn no_room(world: &mut World) -> Result<(), Error> {
    let pid = world.subject.pid().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    let Some(pid) = pid else {
        println!("    not played: nothing limits a kernel");
        return Ok(());
    };
    let limit = |limit: Rlimit| prlimit(Some(pid), Resource::Nofile, limit).map_err(std::io::Error::from);
    let busy = [PEER, 8, 9];
    [7, 8, 9].iter().try_for_each(|node| world.up(*node))?;
    let mut all = busy.iter().map(|node| world.connected(*node)).collect::<Result<Vec<_>, _>>()?;
    world.mark();
    let request = Header { magic: REQUEST, kind: 9, ..Header::default() };
    let requests = vec![request.bytes(); 10_000];
    let stop = AtomicBool::new(false);
    let before = limit(Rlimit { current: Some(8), maximum: getrlimit(Resource::Nofile).maximum })?;
    let mut other = world.connect(7)?;
    other.send(&Handshake::RIGHT.bytes());
    std::thread::scope(|scope| {
        let pour = |peer: &mut Peer| {
            while !stop.load(Ordering::Relaxed) {
                peer.pour(&requests, 1)?;
            }
            Ok::<(), Error>(())
        };
        let floods: Vec<_> = all.iter_mut().map(|peer| scope.spawn(move || pour(peer))).collect();
        std::thread::sleep(Duration::from_millis(500));
        let refused = world.never("Accepted");
        limit(before)?;
        let accepted = world.sees("o2net: Accepted connection from node n7 (num 7) at 10.9.0.7:7777");
        stop.store(true, Ordering::Relaxed);
        floods
            .into_iter()
            .try_for_each(|flood| flood.join().map_err(|_| "a flood has panicked".to_owned())?)?;
        refused.and(accepted)
    })?;
    other.handshake()?;
    world.never(LOST)?;
    drop(all);
    [7, 8, 9].iter().try_for_each(|node| world.leave(*node))?;
    other.closed()
}
