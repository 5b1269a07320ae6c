//! A kernel that has an ocfs2 volume mounted and writes all the while, and our daemon on the volume's heartbeat area.
//!
//! In the end the network between them is cut. The higher node goes, whichever that is, and the lower one carries on.

use std::path::Path;
use std::process::ExitStatus;
use std::thread;
use std::time::{Duration, Instant};

use uo2cb_core::net::wire::{Message, SystemStatus};
use uo2cb_tests::guest::Error;
use uo2cb_tests::lines::Line;

use crate::capture;
use crate::cluster::Cluster;
use crate::events::{POLL_INTERVAL, Side, WAIT_LIMIT};
use crate::figures::{BEAT, LATE};
use crate::network::address;
use crate::ours::Ours;
use crate::peer::Peer;
use crate::setup::Setup;
use crate::volume;

pub(crate) const DEAD_THRESHOLD: u32 = 7;
/// The kernel mounts within this time beside a node that has not mounted, in seconds, but for a busy machine. One that
/// is not answered waits for 60 s.
const MOUNT: f64 = 2.0;
/// Longest time between two writes of the kernel on a busy machine, in seconds.
const WRITES: f64 = 10.0;
/// What a kernel asks all others when it mounts: is the domain of locks in use?
const QUERY_JOIN: (u16, u32, usize) = (510, 0x666c_6172, 104);
/// From the cut until the higher node fences itself, and until the other one declares it dead, in seconds: two kernels,
/// and 2.5 s before and after that.
const FENCED: f64 = 22.9;
const DOWN: f64 = 37.0;
const AROUND: f64 = 2.5;
/// How a daemon ends that fences itself.
const STATUS: i32 = 86;

/// Runs it. `stable`: how long nothing changes; `leave`: both sides also leave and join again. Returns what was wrong.
pub(crate) fn run(
    name: &str,
    uo2cb: &Path,
    cluster: Cluster,
    stable: Duration,
    leave: bool,
) -> Result<Vec<String>, Error> {
    if let Err(why) = volume::can_make() {
        uo2cb_tests::not_run(&format!("mixed: {name}: {why}"));
        return Ok(Vec::new());
    }
    let mut setup = Setup::with_image(name, uo2cb, cluster, |image| volume::make(uo2cb, image))?;
    let (mut ours, mut peer) = start(&mut setup)?;
    mount(&mut setup, &mut peer)?;
    quiet(&mut setup, &mut ours, &mut peer, stable)?;
    if leave {
        ours_leaves(&mut setup, &mut ours, &mut peer)?;
        kernel_leaves(&mut setup, &mut ours, &mut peer)?;
        setup.no_complaint(Some(&peer));
    }
    if cluster.ours > cluster.theirs {
        we_go(&mut setup, ours, &mut peer)?;
    } else {
        peer = kernel_goes(&mut setup, &mut ours, peer)?;
    }
    volume::unmount(&mut peer)?;
    drop(peer);
    volume::check(&setup.image)?;
    setup.figures.note("fsck.ocfs2: clean");
    Ok(setup.conclude())
}

/// Ours is there first.
fn start(setup: &mut Setup) -> Result<(Ours, Peer), Error> {
    let Cluster { ours: our_num, theirs: their_num, .. } = setup.cluster;
    let mut ours = setup.start_ours(DEAD_THRESHOLD)?;
    let mut peer = thread::scope(|scope| {
        let joining = scope.spawn(|| ours.join(&setup.image));
        let peer = setup.boot_as(volume::guest(&setup.region), their_num, DEAD_THRESHOLD);
        joining.join().map_err(|_| "ours: panicked".to_owned())??;
        peer
    })?;
    peer.join()?;
    ours.until(their_num, true, 0)?;
    peer.until(our_num, true, 0)?;
    setup.connected("both are up", &mut ours, &mut peer, ["", ""])?;
    Ok((ours, peer))
}

/// The kernel mounts, having asked us once, and begins to write.
pub(crate) fn mount(setup: &mut Setup, peer: &mut Peer) -> Result<(), Error> {
    let from = capture::now();
    let took = volume::mount(peer)?;
    setup.figures.at_most("the kernel mounts beside ours in", took, MOUNT + LATE);
    let capture =
        capture::read(&setup.network.delivered(), address(setup.cluster.ours), from, capture::now())?;
    let mut said = Vec::new();
    for message in capture.others().filter_map(capture::Said::message) {
        said.push(match message {
            Message::Request { kind, payload, .. } => {
                format!("request {} {:#x}, {} bytes", kind.message, kind.key, payload.len())
            }
            Message::Status { kind, system, status, .. } => {
                format!("status {} {:#x}, system {}, {status}", kind.message, kind.key, system.number())
            }
            Message::KeepaliveRequest | Message::KeepaliveAnswer => continue,
        });
    }
    let (message, key, length) = QUERY_JOIN;
    let expected = [
        format!("request {message} {key:#x}, {length} bytes"),
        format!("status {message} {key:#x}, system {}, 0", SystemStatus::NoHandler.number()),
    ];
    setup.figures.note(&format!("messages while the kernel mounts: {}", said.join("; ")));
    setup.figures.equal("messages while the kernel mounts", &said.join("; "), &expected.join("; "));
    volume::write(peer)
}

/// Nothing changes, but for what the kernel writes.
fn quiet(setup: &mut Setup, ours: &mut Ours, peer: &mut Peer, stable: Duration) -> Result<(), Error> {
    let (begin, until) = (capture::now(), Instant::now() + stable);
    setup.pinned = true;
    while Instant::now() < until {
        setup.both_list_both(ours, peer, true)?;
        thread::sleep(Duration::from_secs(10).min(until.saturating_duration_since(Instant::now())));
    }
    let what = format!("for {} s", stable.as_secs());
    setup.both_said(&what, ours, peer, ["", ""]);
    setup.only_keepalives(begin)?;
    writes_go_on(setup, peer, &what, 0)?;
    setup.no_complaint(Some(peer));
    Ok(())
}

/// Ours leaves and joins again.
fn ours_leaves(setup: &mut Setup, ours: &mut Ours, peer: &mut Peer) -> Result<(), Error> {
    let our_num = setup.cluster.ours;
    let (told, before) = (peer.so_far()?, volume::written(peer)?.len());
    let left = ours.leave()?;
    let seen = peer.until(our_num, false, told)?;
    setup.figures.between("ours leaves, seen by the kernel after", left, seen, 0..=1);
    setup.both_said("ours leaves", ours, peer, ["gone", "shutdown? gone"]);
    let told = peer.so_far()?;
    let (_, took) = ours.join(&setup.image)?;
    setup.figures.time("ours joins again, steady after", took, 3..=4);
    peer.until(our_num, true, told)?;
    setup.connected("ours joins again", ours, peer, ["", ""])?;
    writes_go_on(setup, peer, "while ours leaves and joins", before)
}

/// The kernel unmounts, which ends its region, and mounts again.
fn kernel_leaves(setup: &mut Setup, ours: &mut Ours, peer: &mut Peer) -> Result<(), Error> {
    let their_num = setup.cluster.theirs;
    volume::write_no_more(peer)?;
    let (told, from) = (ours.so_far()?, capture::now());
    let took = volume::unmount(peer)?;
    setup.figures.note(&format!("the kernel unmounts in {:.2} s", took.as_secs_f64()));
    // The region ends in the course of that.
    let left = Instant::now();
    let seen = ours.until(their_num, false, told)?;
    let before = took.as_secs_f64();
    setup.figures.within(
        "the kernel unmounts, seen by ours after its end",
        left,
        seen,
        -before..=BEAT + LATE,
    );
    setup.both_said("the kernel unmounts", ours, peer, ["shutdown? gone", "gone"]);
    let capture =
        capture::read(&setup.network.delivered(), address(setup.cluster.ours), from, capture::now())?;
    setup.figures.equal("messages while it unmounts", &capture.others().count().to_string(), "0");
    let told = ours.so_far()?;
    let (_, took) = peer.join()?;
    setup.figures.time("the kernel joins again, steady after", took, 3..=4);
    ours.until(their_num, true, told)?;
    setup.connected("the kernel joins again", ours, peer, ["", ""])?;
    mount(setup, peer)
}

/// The network is cut, and we are the higher node: ours ends, the kernel's writes go on.
fn we_go(setup: &mut Setup, mut ours: Ours, peer: &mut Peer) -> Result<(), Error> {
    let Cluster { ours: our_num, theirs: their_num, .. } = setup.cluster;
    let (told, before) = (peer.so_far()?, volume::written(peer)?.len());
    let cut = cut(setup);
    let (ended, status) = until("ours ends", || ours.ended())?;
    setup.figures.within("cut, ours ends after", cut, ended, FENCED - AROUND..=FENCED + AROUND + LATE);
    setup.figures.equal(
        "its exit status",
        &format!("{:?}", ExitStatus::code(&status)),
        &format!("{:?}", Some(STATUS)),
    );
    setup.talk.said(&mut setup.figures, "cut", &ours, their_num, "idle+");
    goes(setup, &ours, their_num);
    writes_go_on(setup, peer, "until ours ends", before)?;
    let before = volume::written(peer)?.len();
    let down = peer.until(our_num, false, told)?;
    setup.figures.within(
        "cut, declared dead by the kernel after",
        cut,
        down,
        DOWN - AROUND..=DOWN + AROUND + LATE,
    );
    setup.talk.said(&mut setup.figures, "cut", peer, our_num, "idle+ gone");
    stays(setup, peer, our_num, cut);
    writes_go_on(setup, peer, "until ours is declared dead", before)?;
    let before = volume::written(peer)?.len();
    thread::sleep(Duration::from_secs(3));
    writes_go_on(setup, peer, "after that", before)?;
    volume::write_no_more(peer)
}

/// The network is cut, and the kernel is the higher node: it restarts, and mounts again beside ours, which has stayed.
fn kernel_goes(setup: &mut Setup, ours: &mut Ours, mut peer: Peer) -> Result<Peer, Error> {
    let Cluster { ours: our_num, theirs: their_num, .. } = setup.cluster;
    let (told, before) = (ours.so_far()?, volume::written(&mut peer)?.len());
    let cut = cut(setup);
    // As long as it answers for certain.
    thread::sleep(Duration::from_secs_f64(FENCED - 2.0 * AROUND));
    writes_go_on(setup, &mut peer, "while it is cut off", before)?;
    let last = volume::written(&mut peer)?.last().map_or(0, |(number, _)| *number);
    let (ended, status) = until("the kernel restarts", || peer.ended())?;
    setup.figures.within(
        "cut, the kernel restarts after",
        cut,
        ended,
        FENCED - AROUND..=FENCED + AROUND + LATE,
    );
    setup.figures.check(&format!("QEMU ends in order: {status}"), status.success());
    setup.talk.said(&mut setup.figures, "cut", &peer, our_num, "idle+");
    goes(setup, &peer, our_num);
    drop(peer);
    let down = ours.until(their_num, false, told)?;
    setup.figures.within("cut, declared dead by ours after", cut, down, DOWN - AROUND..=DOWN + AROUND + LATE);
    setup.talk.said(&mut setup.figures, "cut", ours, their_num, "idle+ gone");
    stays(setup, ours, their_num, cut);
    let alive = ours.ended()?.is_none();
    setup.figures.check("ours is still there", alive);

    setup.network.cut(false);
    let told = ours.so_far()?;
    let mut peer = setup.boot_as(volume::guest(&setup.region), their_num, DEAD_THRESHOLD)?;
    setup.talk.rebooted();
    let (_, took) = peer.join()?;
    setup.figures.time("the kernel is back, steady after", took, 3..=4);
    ours.until(their_num, true, told)?;
    peer.until(our_num, true, 0)?;
    setup.connected("the kernel is back", ours, &mut peer, ["", ""])?;
    mount(setup, &mut peer)?;
    let found = volume::last_record(&mut peer)?;
    let what = format!("the last record of before is {found}, at least {last}");
    setup.figures.note(&what);
    setup.figures.check(&what, found >= last);
    thread::sleep(Duration::from_secs(3));
    writes_go_on(setup, &mut peer, "after that", 0)?;
    volume::write_no_more(&mut peer)?;
    Ok(peer)
}

fn cut(setup: &Setup) -> Instant {
    setup.network.cut(true);
    Instant::now()
}

/// Waits for an end.
fn until<T>(what: &str, mut ended: impl FnMut() -> Result<Option<T>, Error>) -> Result<(Instant, T), Error> {
    let until = Instant::now() + WAIT_LIMIT;
    loop {
        if let Some(end) = ended()? {
            return Ok((Instant::now(), end));
        }
        if Instant::now() > until {
            return Err(format!("{what}: not seen").into());
        }
        thread::sleep(POLL_INTERVAL / 10);
    }
}

/// The words of the one who fences itself.
fn goes(setup: &mut Setup, side: &dyn Side, lowest: u8) {
    let half =
        "it is connected to a half-quorum of 1 out of 2 nodes which doesn't include the lowest active node";
    once(setup, side, &format!("fencing this node because {half} {lowest}"));
    once(setup, side, "*** ocfs2 is very sorry to be fencing this system");
}

/// The words of the one who stays, and nothing about a fence.
fn stays(setup: &mut Setup, side: &dyn Side, other: u8, cut: Instant) {
    let own = if other == setup.cluster.ours { setup.cluster.theirs } else { setup.cluster.ours };
    let decision = format!("not fencing this node, heartbeating: 2, connected: 1, lowest: {own} (reachable)");
    if let Some(line) = once(setup, side, &decision) {
        let what = format!("cut, {} decides to stay after", side.name());
        setup.figures.within(&what, cut, line.at, FENCED - AROUND..=FENCED + AROUND + LATE);
    }
}

/// Finds the line that begins with these words, which is said once.
fn once(setup: &mut Setup, side: &dyn Side, words: &str) -> Option<Line> {
    let fits = |line: &Line| line.text.strip_prefix("o2quo: ").unwrap_or(&line.text).starts_with(words);
    let lines: Vec<_> = side.lines().into_iter().filter(fits).collect();
    let said = format!("{} says once: {words}", side.name());
    setup.figures.check(&format!("{said}: {} times", lines.len()), lines.len() == 1);
    lines.into_iter().next()
}

/// The kernel has gone on writing since it had written that often.
fn writes_go_on(setup: &mut Setup, peer: &mut Peer, what: &str, before: usize) -> Result<(), Error> {
    let written = volume::written(peer)?;
    let new = written.get(before..).unwrap_or_default();
    let gaps = new.windows(2).map(|pair| pair[1].1 - pair[0].1);
    let gap = gaps.fold(0.0, f64::max);
    let said = format!("{what}: {} writes, at most {gap:.2} s apart", new.len());
    setup.figures.note(&said);
    setup.figures.check(&said, new.len() > 2 && gap < WRITES);
    Ok(())
}
