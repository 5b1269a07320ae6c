//! An ocfs2 volume on the image, and the guest that mounts it.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use uo2cb_tests::guest::{Builder, Error, Guest, TREE};

use crate::cluster::Region;
use crate::ours;
use crate::peer::Peer;

/// Enough for four slots with journals.
const BYTES: usize = 64 << 20;
/// The kernel runs this when the volume is unmounted: `-K -u UUID`. It does what the program of this name does then.
const HB_CTL: &str = "sbin/ocfs2_hb_ctl";
/// Between two writes, in microseconds.
const PACE_US: u32 = 200_000;

/// Whether volumes can be made here; else what is missing.
pub(crate) fn can_make() -> Result<(), String> {
    for tool in ["mkfs.ocfs2", "fsck.ocfs2"] {
        let found = Command::new(tool).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        found.map_err(|error| format!("no {tool} (package ocfs2-tools): {error}"))?;
    }
    Ok(())
}

/// Makes a volume of the classic stack. Its region is where all who mount it heartbeat.
pub(crate) fn make(uo2cb: &Path, image: &Path) -> Result<Region, Error> {
    // Every byte is written, without which QEMU would write more than the guest's own slot.
    std::fs::write(image, vec![0; BYTES])?;
    let mut mkfs = Command::new("mkfs.ocfs2");
    // Without asking whether it is in use, as no cluster is known to the tools, and without asking at all.
    mkfs.args(["-q", "-x", "-F", "-J", "size=4M", "-b", "4096", "-C", "4096", "-N", "4"]).arg(image);
    run(&mut mkfs)?;
    let dump = ours::dump(uo2cb, image, &["--once"])?;
    let number = |key: &str| dump[key].as_u64().ok_or_else(|| format!("dump says no {key}: {dump}"));
    let name = dump["ocfs2"]["uuid"].as_str().ok_or_else(|| format!("dump says no UUID: {dump}"))?;
    if number("block_bytes")? != 512 {
        return Err(format!("blocks of another size: {dump}").into());
    }
    Ok(Region { name: name.to_owned(), start_block: number("start_block")?, blocks: number("blocks")? })
}

/// Checks a volume that nobody has mounted.
pub(crate) fn check(image: &Path) -> Result<(), Error> {
    run(Command::new("fsck.ocfs2").args(["-n", "-f"]).arg(image))
}

fn run(command: &mut Command) -> Result<(), Error> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{name}: {error}"))?;
    if !output.status.success() {
        let [said, complained] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
        return Err(format!("{name}: {}: {} {}", output.status, said.trim(), complained.trim()).into());
    }
    Ok(())
}

/// A guest that can mount it.
pub(crate) fn guest(region: &Region) -> Builder {
    let leave = format!(
        "#!/bin/busybox sh\n[ \"$1 $2 $3\" = '-K -u {name}' ] && rmdir {TREE}/{path}\n",
        name = region.name,
        path = region.path()
    );
    let modules = ["ocfs2_dlm", "ocfs2", "ocfs2_stack_o2cb"];
    let guest = modules.into_iter().fold(Guest::builder(), Builder::module);
    guest.file(HB_CTL, 0o755, leave.into_bytes()).setup("mkdir /mnt")
}

/// Mounts it, and returns how long that took.
pub(crate) fn mount(peer: &mut Peer) -> Result<Duration, Error> {
    let begin = Instant::now();
    peer.run("mount -t ocfs2 -o heartbeat=local /dev/vda /mnt")?;
    Ok(begin.elapsed())
}

/// Unmounts it, which ends the region as well, and returns how long that took.
pub(crate) fn unmount(peer: &mut Peer) -> Result<Duration, Error> {
    let begin = Instant::now();
    peer.run("umount /mnt")?;
    Ok(begin.elapsed())
}

/// Writes from now on, to files of this node's own: a record that is on the disk before the next one is written, and
/// files that are made anew.
pub(crate) fn write(peer: &mut Peer) -> Result<(), Error> {
    peer.run(
        "rm -f /tmp/stop; touch /tmp/written; me=$(hostname); n=$(tail -n1 /tmp/written | cut -d' ' -f1)",
    )
    .map(drop)?;
    let record = "echo $n | dd of=/mnt/records-$me bs=16 seek=$n conv=sync,notrunc,fsync 2>/dev/null";
    let file = "rm -f /mnt/$me-$((n % 16)) && echo $n > /mnt/$me-$((n % 16))";
    let noted = "read up rest < /proc/uptime && echo $n $up >> /tmp/written";
    let once = format!("n=$((n + 1)); {file} && {record} && {noted} || break; usleep {PACE_US}");
    peer.run(&format!("(n=${{n:-0}}; while [ ! -e /tmp/stop ]; do {once}; done) &")).map(drop)
}

/// Ends that.
pub(crate) fn write_no_more(peer: &mut Peer) -> Result<(), Error> {
    peer.run("touch /tmp/stop; wait").map(drop)
}

/// What has been written since the guest came up.
pub(crate) fn written(peer: &mut Peer) -> Result<Vec<(u64, f64)>, Error> {
    let line = |line: &String| {
        let (number, at) = line.split_once(' ')?;
        Some((number.parse().ok()?, at.parse().ok()?))
    };
    Ok(peer.run("cat /tmp/written")?.iter().filter_map(line).collect())
}

/// The number of the last record on the volume.
pub(crate) fn last_record(peer: &mut Peer) -> Result<u64, Error> {
    let lines = peer.run("tr -d '\\0' < /mnt/records-$(hostname) | tail -n1")?;
    let last = lines.first().and_then(|line| line.trim().parse().ok());
    Ok(last.ok_or_else(|| format!("no last record: {lines:?}"))?)
}
