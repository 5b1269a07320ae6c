//! Nodes that restart before they are declared dead, and have different dead thresholds.

use std::path::Path;
use std::time::{Duration, Instant};

use uo2cb_tests::guest::Error;

use crate::cluster::Cluster;
use crate::events::Side;
use crate::network::place;
use crate::ours::Ours;
use crate::peer::Peer;
use crate::setup::Setup;

/// Four minutes: nobody is declared dead for silence while a guest boots.
const OURS: u32 = 121;
const THEIRS: u32 = 120;

/// Runs it. Returns what was wrong.
pub(crate) fn run(name: &str, uo2cb: &Path, cluster: Cluster) -> Result<Vec<String>, Error> {
    let Cluster { ours: our_num, theirs: their_num, .. } = cluster;
    let mut setup = Setup::new(name, uo2cb, cluster)?;
    let mut ours = setup.start_ours(OURS)?;
    let (_, took) = ours.join(&setup.image)?;
    setup.figures.time("ours starts, steady after", took, 4..=4);
    // Boots behind the guests of the other scenarios, which take longer.
    let mut peer = setup.boot(THEIRS)?;
    peer.join()?;
    ours.until(their_num, true, 0)?;
    setup.both_list_both(&mut ours, &mut peer, false)?;
    setup.dump_is_what_the_kernel_reads(&mut peer)?;
    refused(&mut setup, &ours, &peer);

    // Killed, and back with another generation before the kernel's next beat or soon after.
    let (old, told) = (setup.generation(our_num)?, peer.so_far()?);
    ours.kill()?;
    ours = setup.start_ours(OURS)?;
    let (begin, took) = ours.join(&setup.image)?;
    let back = Rejoin { name: "ours", node: our_num, begin, took, old, told };
    back.seen_by(&mut setup, &mut peer)?;
    setup.both_list_both(&mut ours, &mut peer, false)?;
    complaints(&mut setup, &peer, [2, 2]);

    let (old, told) = (setup.generation(their_num)?, ours.so_far()?);
    peer.kill();
    peer = setup.boot(THEIRS)?;
    setup.talk.rebooted();
    let (begin, took) = peer.join()?;
    let back = Rejoin { name: "the kernel", node: their_num, begin, took, old, told };
    back.seen_by(&mut setup, &mut ours)?;
    setup.both_list_both(&mut ours, &mut peer, false)?;
    refused(&mut setup, &ours, &peer);
    // The kernel's log has begun anew.
    complaints(&mut setup, &peer, [3, 1]);
    Ok(setup.conclude())
}

/// Each has refused the other's handshake since the last time, with both heartbeat timeouts, and no connection came
/// about.
fn refused(setup: &mut Setup, ours: &Ours, peer: &Peer) {
    let tries = "none|shutdown|refused*";
    setup.both_said(
        "the thresholds differ",
        ours,
        peer,
        [tries; 2].map(|tries| format!("{tries} refused {tries}")),
    );
    let Cluster { ours: our_num, theirs: their_num, .. } = setup.cluster;
    for (side, other, theirs, own) in
        [(ours as &dyn Side, their_num, THEIRS, OURS), (peer, our_num, OURS, THEIRS)]
    {
        let [theirs, own] = [theirs, own].map(|threshold| (threshold - 1) * 2000);
        let timeouts =
            format!("a heartbeat timeout of {theirs} ms, but we use {own} ms locally. Disconnecting.");
        let line = format!("o2net: {} uses {timeouts}", place(other));
        let said = side.lines().iter().any(|said| said.text == line);
        setup.figures.check(&format!("{} says: {line}", side.name()), said);
    }
}

/// A node that has restarted.
struct Rejoin {
    name: &'static str,
    node: u8,
    /// When it began to join, and how long until it was steady.
    begin: Instant,
    took: Duration,
    /// Its generation until then.
    old: String,
    /// How many events the other side had reported.
    told: usize,
}

impl Rejoin {
    /// The other side reports it down and up, because of its generation.
    fn seen_by(self, setup: &mut Setup, other: &mut dyn Side) -> Result<(), Error> {
        let Self { name, node, begin, took, old, told } = self;
        setup.figures.time(&format!("{name} is back, steady after"), took, 3..=4);
        let down = other.until(node, false, told)?;
        // The first block of the new generation tells.
        setup.figures.between(&format!("{name} is back, seen to have restarted after"), begin, down, 0..=1);
        let up = other.until(node, true, told)?;
        // That block was a change, so the next one makes it live again; two beats when both beat together.
        setup.figures.between(&format!("{name} is back, live again after"), down, up, 1..=2);
        let new = setup.generation(node)?;
        setup.figures.check(&format!("{name} is back with a new generation"), new != old);
        let restarted = other.restarted(node, [&old, &new])?;
        setup.figures.check(&format!("{name} was down for its new generation, not for silence"), restarted);
        Ok(())
    }
}

/// How often ours and the kernel have logged that the other's dead threshold differs: in the same words, each time the
/// other has become live.
fn complaints(setup: &mut Setup, peer: &Peer, expected: [usize; 2]) {
    let Cluster { ours, theirs, .. } = setup.cluster;
    let about = |node: u8, device: &str, theirs: u32, ours: u32| {
        let counts = [theirs, ours].map(|threshold| threshold * 2000);
        let [theirs, ours] = counts;
        format!("Node {node} on device {device} has a dead count of {theirs} ms, but our count is {ours} ms.")
    };
    let advice = "Please double check your configuration values for 'O2CB_HEARTBEAT_THRESHOLD'";
    let complaint = format!("{} {advice}", about(theirs, "image", THEIRS, OURS));
    let by_ours = setup.log().iter().filter(|line| line.text.ends_with(&complaint)).count();
    let complaint = about(ours, "vda", OURS, THEIRS);
    // Two lines there.
    let log = peer.lines();
    let pairs = log.iter().zip(log.iter().skip(1));
    let by_kernel =
        pairs.filter(|(line, next)| line.text.ends_with(&complaint) && next.text.ends_with(advice)).count();
    setup.figures.equal("complaints", &format!("{:?}", [by_ours, by_kernel]), &format!("{expected:?}"));
}
