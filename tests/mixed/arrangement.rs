//! Two nodes from start to end: start, steady beats, a clean leave of either, the death of either.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use uo2cb_tests::guest::Error;

use crate::capture;
use crate::cluster::{Cluster, IDLE_MS};
use crate::events::{POLL_INTERVAL, Side as _, WAIT_LIMIT, history};
use crate::figures::LATE;
use crate::ours::Ours;
use crate::peer::Peer;
use crate::setup::{Setup, word};

/// Beats without a change after which a node is dead: few, since they are waited for.
const DEAD_THRESHOLD: u32 = 7;
/// How long nothing changes.
const STEADY: Duration = Duration::from_secs(61);

/// Runs it; `ours_first`: our daemon starts first. Returns what was wrong.
pub(crate) fn run(
    name: &str,
    uo2cb: &Path,
    cluster: Cluster,
    ours_first: bool,
) -> Result<Vec<String>, Error> {
    let Cluster { ours: our_num, theirs: their_num, .. } = cluster;
    let mut setup = Setup::new(name, uo2cb, cluster)?;
    let (mut ours, mut peer) = start(&mut setup, ours_first)?;
    setup.connected("both are up", &mut ours, &mut peer, ["", ""])?;
    steady(&mut setup, &mut ours, &mut peer)?;

    // The first to have started leaves by rmdir, the other by the end of its daemon: the other side sees
    // the same.
    let (old, told) = (setup.generation(our_num)?, peer.so_far()?);
    let left = if ours_first {
        ours.leave()?
    } else {
        let left = ours.stop();
        ours = setup.start_ours(DEAD_THRESHOLD)?;
        left
    };
    let seen = peer.until(our_num, false, told)?;
    // The last block is there when rmdir returns, so the next beat sees it.
    setup.figures.between("ours leaves, seen by the kernel after", left, seen, 0..=1);
    setup.both_said("ours leaves", &ours, &peer, ["gone", "shutdown? gone"]);
    setup.figures.equal("our slot then", &word(&setup.slot(our_num)?, "state"), "left");
    setup.figures.equal("our generation then", &setup.generation(our_num)?, "0x0000000000000000");
    let told = peer.so_far()?;
    let (begin, took) = ours.join(&setup.image)?;
    // Steady after three good beats.
    setup.figures.time("ours joins again, steady after", took, 3..=4);
    let seen = peer.until(our_num, true, told)?;
    // The leaving block was a change, so one more is enough: at most one beat, and one more if both beat together.
    setup.figures.between("ours joins again, seen by the kernel after", begin, seen, 0..=2);
    let new = setup.generation(our_num)?;
    setup.figures.check("our generation is a new one", new != old);
    setup.connected("ours joins again", &mut ours, &mut peer, ["", ""])?;

    let (old, told) = (setup.generation(their_num)?, ours.so_far()?);
    let left = peer.leave()?;
    let seen = ours.until(their_num, false, told)?;
    setup.figures.between("the kernel leaves, seen by ours after", left, seen, 0..=1);
    setup.both_said("the kernel leaves", &ours, &peer, ["shutdown? gone", "gone"]);
    setup.figures.equal("its slot then", &word(&setup.slot(their_num)?, "state"), "left");
    let told = ours.so_far()?;
    let (begin, took) = peer.join()?;
    setup.figures.time("the kernel joins again, steady after", took, 3..=4);
    let seen = ours.until(their_num, true, told)?;
    setup.figures.between("the kernel joins again, seen by ours after", begin, seen, 0..=2);
    setup.figures.check("its generation is a new one", setup.generation(their_num)? != old);
    setup.connected("the kernel joins again", &mut ours, &mut peer, ["", ""])?;

    // A node dies within a beat after its last block. The other side finds that block new at most one beat after
    // it was written, and the same at each of the next DEAD_THRESHOLD beats: that many beats, one more or less.
    let dead = DEAD_THRESHOLD - 1..=DEAD_THRESHOLD + 1;
    let told = peer.so_far()?;
    let killed = ours.kill()?;
    let seen = peer.until(our_num, false, told)?;
    setup.figures.between("ours is killed, declared dead by the kernel after", killed, seen, dead.clone());
    let read = Instant::now() + WAIT_LIMIT;
    while setup.state(our_num)? != "silent" {
        if Instant::now() > read {
            return Err("our slot does not become silent".to_owned().into());
        }
        thread::sleep(POLL_INTERVAL);
    }
    setup.figures.equal("our generation then", &setup.generation(our_num)?, &new);
    let mut ours = setup.start_ours(DEAD_THRESHOLD)?;
    let (_, took) = ours.join(&setup.image)?;
    setup.figures.time("ours is back, steady after", took, 3..=4);
    setup.figures.check("our generation is a new one again", setup.generation(our_num)? != new);
    // It finds out at once, and goes on trying until it is declared dead.
    setup.connected("ours is back", &mut ours, &mut peer, ["", "shutdown gone none|shutdown*"])?;

    setup.no_complaint(Some(&peer));
    let kernel = peer.events()?;
    let told = ours.so_far()?;
    let killed = peer.kill();
    let seen = ours.until(their_num, false, told)?;
    setup.figures.between("the kernel is killed, declared dead by ours after", killed, seen, dead);
    setup.figures.equal("livenodes of ours then", &ours.debug("o2hb/livenodes")?, &format!("{our_num} \n"));
    let said = setup.talk.said(&mut setup.figures, "the kernel is killed", &ours, their_num, "idle+ gone");
    if let Some(first) = said.first() {
        // Its last keepalive may have been a second before.
        let most = f64::from(IDLE_MS) / 1000.0;
        setup.figures.within("the kernel is killed, idle after", killed, first.at, most - 1.5..=most + LATE);
    }
    setup.no_complaint(None);

    // Nothing but what is told above. Each side's own leave is the end of both for it; a daemon that is killed, or
    // that ends and lets its consumers go, tells nothing of that.
    let [of_us, of_them] = if ours_first {
        ["up down up up", "up down up down up up down"]
    } else {
        ["up up up", "up up down up up down"]
    };
    setup.histories(our_num, &kernel, of_us, "up down up down up down up");
    setup.histories(their_num, &kernel, of_them, "up down up");
    Ok(setup.conclude())
}

/// Both start, one after the other.
fn start(setup: &mut Setup, ours_first: bool) -> Result<(Ours, Peer), Error> {
    let Cluster { ours: our_num, theirs: their_num, .. } = setup.cluster;
    let mut ours = setup.start_ours(DEAD_THRESHOLD)?;
    // If ours is the first, it starts while the guest waits for its turn to boot, and boots.
    let (mut peer, took) = thread::scope(|scope| {
        let joining = ours_first.then(|| scope.spawn(|| ours.join(&setup.image)));
        let mut peer = setup.boot(DEAD_THRESHOLD)?;
        let (_, took) = match joining {
            Some(joining) => joining.join().map_err(|_| "ours: panicked".to_owned())?,
            None => peer.join(),
        }?;
        Ok::<_, Error>((peer, took))
    })?;
    setup.figures.time("starts first, steady after", took, 4..=4);
    let told = if ours_first { ours.so_far()? } else { peer.so_far()? };
    let (begin, took) = if ours_first { peer.join()? } else { ours.join(&setup.image)? };
    setup.figures.time("starts second, steady after", took, 4..=5);
    let seen = if ours_first { ours.until(their_num, true, told)? } else { peer.until(our_num, true, told)? };
    // Two changes: those of the first block and of the one after it, each within a beat.
    setup.figures.between("starts second, seen by the first after", begin, seen, 1..=3);
    Ok((ours, peer))
}

/// A minute in which nothing changes; both sides are read.
fn steady(setup: &mut Setup, ours: &mut Ours, peer: &mut Peer) -> Result<(), Error> {
    let before = [history(&ours.events()?), history(&peer.events()?)];
    let generations = [setup.generation(0)?, setup.generation(1)?];
    let (begin, until) = (capture::now(), Instant::now() + STEADY);
    setup.both_list_both(ours, peer, true)?;
    setup.dump_is_what_the_kernel_reads(peer)?;
    while Instant::now() < until {
        thread::sleep(Duration::from_secs(4).min(until.saturating_duration_since(Instant::now())));
        setup.both_list_both(ours, peer, true)?;
        for (node, generation) in (0..).zip(&generations) {
            let slot = setup.slot(node)?;
            // On a busy machine a beat may be later than the second look.
            let read = Instant::now() + WAIT_LIMIT;
            let mut state = setup.state(node)?;
            while state != "alive" && Instant::now() < read {
                state = setup.state(node)?;
            }
            setup.figures.equal(&format!("slot {node}"), &state, "alive");
            setup.figures.equal(&format!("generation of {node}"), &word(&slot, "generation"), generation);
        }
    }
    let after = [history(&ours.events()?), history(&peer.events()?)];
    setup.figures.check("no node went up or down in a minute", before == after);
    setup.both_said("in a minute", ours, peer, ["", ""]);
    setup.only_keepalives(begin)?;
    setup.no_complaint(Some(peer));
    Ok(())
}
