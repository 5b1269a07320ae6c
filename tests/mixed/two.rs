//! Two kernels that have one volume mounted and write to one directory, and our daemon beside them, which has not.
//!
//! They ask each other for locks and not us; one of them is killed, and the other one recovers its journal, beside us.

use std::path::Path;
use std::thread;
use std::time::Duration;

use uo2cb_tests::guest::Error;

use crate::capture;
use crate::cluster::Cluster;
use crate::events::Side;
use crate::mounted::{DEAD_THRESHOLD, mount};
use crate::network::address;
use crate::setup::Setup;
use crate::volume;

/// The lower of the kernels stays.
const CLUSTER: Cluster = Cluster { ours: 1, theirs: 0, second: Some(2) };
const SECOND: u8 = 2;
/// How long both write.
const BOTH: Duration = Duration::from_secs(60);

/// Runs it. Returns what was wrong.
pub(crate) fn run(name: &str, uo2cb: &Path) -> Result<Vec<String>, Error> {
    volume::can_make()?;
    let mut setup = Setup::with_image(name, uo2cb, CLUSTER, |image| volume::make(uo2cb, image))?;
    let mut ours = setup.start_ours(DEAD_THRESHOLD)?;
    ours.join(&setup.image)?;
    let guest = || volume::guest(&setup.region);
    let mut first = setup.boot_as(guest(), CLUSTER.theirs, DEAD_THRESHOLD)?;
    let mut second = setup.boot_as(guest(), SECOND, DEAD_THRESHOLD)?;
    for peer in [&mut first, &mut second] {
        peer.join()?;
    }
    first.until(SECOND, true, 0)?;
    ours.until(CLUSTER.theirs, true, 0)?;
    ours.until(SECOND, true, 0)?;
    for (side, others) in
        [(&mut ours as &mut dyn Side, "0 2 \n"), (&mut first, "1 2 \n"), (&mut second, "0 1 \n")]
    {
        let found = side.until_debug("o2net/connected_nodes", others)?;
        setup.figures.equal(&format!("{}: connected_nodes", side.name()), &found, others);
    }

    mount(&mut setup, &mut first)?;
    mount(&mut setup, &mut second)?;
    let (begin, told) = (capture::now(), ours.so_far()?);
    let [before_first, before_second] =
        [volume::written(&mut first)?.len(), volume::written(&mut second)?.len()];
    thread::sleep(BOTH);
    writes(&mut setup, "the first, while both write", &volume::written(&mut first)?[before_first..]);
    writes(&mut setup, "the second, while both write", &volume::written(&mut second)?[before_second..]);
    let capture = capture::read(&setup.network.delivered(), address(CLUSTER.ours), begin, capture::now())?;
    let [others, edges] = [capture.others().count(), capture.edges].map(|count| count.to_string());
    setup.figures.equal("messages with ours but keepalives", &others, "0");
    setup.figures.equal("segments that begin or end a connection with ours", &edges, "0");
    setup.no_complaint(Some(&first));
    setup.no_complaint(Some(&second));

    let killed = second.kill();
    let down = ours.until(SECOND, false, told)?;
    setup.figures.between("the second is killed, declared dead by ours after", killed, down, 6..=8);
    // Until then what the dead one had locked stays locked.
    let recovered = first.until_line(&format!("ocfs2: End replay journal (node {SECOND}, "))?;
    setup.figures.between("declared dead, recovered by the first after", down, recovered, 0..=3);
    let before = volume::written(&mut first)?.len();
    thread::sleep(Duration::from_secs(5));
    writes(&mut setup, "the first, after that", &volume::written(&mut first)?[before..]);
    volume::write_no_more(&mut first)?;
    volume::unmount(&mut first)?;
    drop(first);
    volume::check(&setup.image)?;
    setup.figures.note("fsck.ocfs2: clean");
    Ok(setup.conclude())
}

/// There are some.
fn writes(setup: &mut Setup, what: &str, written: &[(u64, f64)]) {
    let gap = written.windows(2).map(|pair| pair[1].1 - pair[0].1).fold(0.0, f64::max);
    let said = format!("{what}: {} writes, at most {gap:.2} s apart", written.len());
    setup.figures.note(&said);
    setup.figures.check(&said, written.len() > 2);
}
