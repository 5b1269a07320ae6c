//! What the kernel says to the devices of [`sectors`](crate::sectors) and [`input`](crate::input).

use std::time::Duration;

use tempfile::NamedTempFile;
use uo2cb_tests::guest::Guest;

const SOON: Duration = Duration::from_secs(120);

/// Writes a descriptor of DEVICE to `dev`; prints the shell's words when that fails, and how long it took.
const START: &str = "cd /sys/kernel/config/cluster/c/heartbeat/R; \
     start() { echo $2 > block_bytes; echo 1 > start_block; echo 8 > blocks; exec 7<$1; \
     before=$(cut -d. -f1 /proc/uptime); echo 7 > dev 2>/tmp/words && echo ok || cat /tmp/words; \
     exec 7<&-; after=$(cut -d. -f1 /proc/uptime); echo $((after - before)); }; ";

#[test]
#[ignore = "boots a kernel"]
fn the_kernel_answers_alike() {
    let image = || {
        let image = NamedTempFile::new().unwrap();
        image.as_file().set_len(1 << 20).unwrap();
        image
    };
    let images = [image(), image(), image()];
    let mut builder = Guest::builder().module("ocfs2_nodemanager").disk(images[0].path());
    for (image, drive, device) in [
        (&images[1], "", ",logical_block_size=4096,physical_block_size=4096"),
        (&images[2], ",readonly=on", ""),
    ] {
        let path = image.path();
        let id = path.file_name().unwrap().to_string_lossy().trim_start_matches('.').to_owned();
        let drive = format!("id={id},if=none,format=raw,file.locking=off,file={}{drive}", path.display());
        builder = builder.argument("-drive").argument(&drive);
        builder = builder.argument("-device").argument(&format!("virtio-blk-pci,drive={id}{device}"));
    }
    let mut guest = builder.boot(SOON).unwrap();
    let mut run = |command: &str| guest.run(command, SOON).unwrap();
    run("cd /sys/kernel/config/cluster; mkdir c; mkdir c/node/n0; cd c/node/n0; ip link set lo up; \
         echo 7777 > ipv4_port; echo 127.0.0.1 > ipv4_address; echo 0 > num; echo 1 > local; \
         mkdir /sys/kernel/config/cluster/c/heartbeat/R");
    let disks =
        run("cd /sys/block; for d in vd?; do echo $d $(cat $d/queue/logical_block_size) $(cat $d/ro); done");
    // Found by what they are: in which order they come is not ours to say.
    let named = |kind: &str| {
        let found = disks.iter().find_map(|disk| disk.split_once(' ').filter(|(_, rest)| *rest == kind));
        format!("/dev/{}", found.unwrap_or_else(|| panic!("no disk {kind}: {disks:?}")).0)
    };
    let (small, large, fixed) = (named("512 0"), named("4096 0"), named("512 1"));
    for (device, right) in [(&small, 512), (&large, 4096)] {
        for wrong in [512, 1024, 2048, 4096].into_iter().filter(|bytes| *bytes != right) {
            let answer = run(&format!("{START} start {device} {wrong}"));
            assert!(answer[0].ends_with("Invalid argument"), "{device} {wrong}: {answer:?}");
        }
    }
    let answer = run(&format!("{START} start {fixed} 512"));
    println!("a read-only device: {answer:?}");
    assert!(answer[0].ends_with("I/O error") || answer[0].ends_with("Input/output error"), "{answer:?}");
    assert!((15..=19).contains(&answer[1].parse().unwrap()), "{answer:?}");
    // That kernel cannot start a region again which failed so late.
    run("cd /sys/kernel/config/cluster/c/heartbeat; rmdir R; mkdir R");
    let answer = run(&format!("{START} start {large} 4096"));
    println!("sectors of 4096: {answer:?}");
    assert_eq!(answer[0], "ok", "{answer:?}");
    let console = guest.console();
    for line in [
        "blocksize 1024 incorrect for device, expected 512",
        "blocksize 512 incorrect for device, expected 4096",
    ] {
        assert!(console.contains(line), "{line}: {console}");
    }
}
