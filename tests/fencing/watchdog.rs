//! `--fence watchdog`, with the kernel's software watchdog.

use std::time::{Duration, Instant};

use uo2cb_tests::guest::Error;

use crate::image::Image;
use crate::node::Node;

const FENCE: &str = "--fence watchdog /dev/watchdog0";
/// With a dead threshold of 7: the write timeout, and half of it, which is the device's timeout.
const WRITE_TIMEOUT: Duration = Duration::from_secs(12);
const TIMEOUT: Duration = Duration::from_secs(6);
/// Between two times that the device is fed, and what a signal takes to the guest.
const FED: Duration = Duration::from_millis(400);
const BY_WATCHDOG: &str = "softdog: Initiating system reboot";

pub(crate) fn stopped(uo2cb: &[u8]) -> Result<(), Error> {
    let mut node = Node::boot(uo2cb)?;
    node.steady(7, FENCE)?;
    node.until_watchdog("active")?;
    // It is fed for as long as beats are good.
    node.survives(8)?;
    let log = node.log()?;
    assert!(
        log.contains("/dev/watchdog0 (Software Watchdog): armed: restarts the machine 6 s after"),
        "{log}"
    );
    let at = node.signal("STOP")?;
    let (console, _) = node.restarts("stopped", at, TIMEOUT - FED, 7)?;
    assert!(console.contains(BY_WATCHDOG), "{console}");
    Ok(())
}

pub(crate) fn killed(uo2cb: &[u8]) -> Result<(), Error> {
    let mut node = Node::boot(uo2cb)?;
    node.steady(7, FENCE)?;
    node.until_watchdog("active")?;
    let at = node.signal("KILL")?;
    let (console, _) = node.restarts("killed", at, TIMEOUT, 7)?;
    assert!(console.contains(BY_WATCHDOG) && console.contains("watchdog did not stop!"), "{console}");
    Ok(())
}

/// The write timeout: the daemon ends, and the machine with it, in time for others.
pub(crate) fn hung_disk(uo2cb: &[u8]) -> Result<(), Error> {
    let mut node = Node::boot(uo2cb)?;
    let _beside = node.image.beside(7)?;
    node.steady(7, &format!("{FENCE} --fault hang=write@9.."))?;
    let (console, image) = {
        let from = Instant::now();
        // Steady by now, and fed until the last moment.
        node.restarts("hung disk", from, WRITE_TIMEOUT - Duration::from_secs(8), 7)?
    };
    let silent = image.last_block().elapsed();
    assert!(silent >= WRITE_TIMEOUT, "restarted {silent:?} from the last block");
    assert!(console.contains(BY_WATCHDOG) && console.contains("ended with 86"), "{console}");
    Ok(())
}

/// The kernel feeds the device once more when it closes that of a killed process.
pub(crate) fn killed_while_overdue(uo2cb: &[u8]) -> Result<(), Error> {
    let mut node = Node::boot(uo2cb)?;
    let _beside = node.image.beside(7)?;
    node.steady(7, &format!("{FENCE} --fault hang=write@9.."))?;
    node.image.silent_for(Duration::from_millis(10_500));
    let at = node.signal("KILL")?;
    // Without that its timeout of 6 s would end 2 s after others have counted the node as dead.
    let (console, _) = node.restarts("killed while a beat is overdue", at, Duration::from_secs(1), 7)?;
    assert!(console.contains(BY_WATCHDOG) && console.contains("ended with 137"), "{console}");
    Ok(())
}

pub(crate) fn fault(uo2cb: &[u8]) -> Result<(), Error> {
    let mut node = Node::boot(uo2cb)?;
    // By the old name of the first device.
    node.steady(7, "--fence watchdog /dev/watchdog --panic-at main")?;
    node.until_watchdog("active")?;
    let at = node.signal("TERM")?;
    let (console, _) = node.restarts("fault inside", at, Duration::ZERO, 7)?;
    // Its shortest timeout is 1 s.
    assert!(at.elapsed() < TIMEOUT - Duration::from_secs(1), "restarted after {:?}", at.elapsed());
    assert!(console.contains(BY_WATCHDOG) && console.contains("ended with 86"), "{console}");
    Ok(())
}

/// What is no death of the node restarts nothing. With a dead threshold of 3 the device's timeout is 2 s.
pub(crate) fn clean_ends(uo2cb: &[u8]) -> Result<(), Error> {
    let mut node = Node::boot(uo2cb)?;
    // Killed before its first region is steady.
    node.mount(FENCE)?;
    node.cluster(3)?;
    assert_eq!(node.watchdog()?, "inactive");
    let second = "mkdir -p /second; uo2cb mount /second --fence watchdog /dev/watchdog0 2>&1; echo status $?";
    let line = "uo2cb: /dev/watchdog0: it is in use: by another program, or by another node\nstatus 1";
    assert_eq!(node.run(second)?, line);
    node.run("(exec 7<>/dev/vda; exec /bin/busybox echo 7 >$r/dev) & sleep 4")?;
    assert_eq!(node.watchdog()?, "inactive", "starting");
    node.signal("KILL")?;
    node.survives(4)?;
    node.run("uo2cb umount /o2cb")?;

    // Its last region is removed: nobody counts on it any more.
    node.steady(3, FENCE)?;
    node.until_watchdog("active")?;
    node.run("rmdir $r")?;
    node.until_watchdog("inactive")?;
    assert!(node.log()?.contains("disarmed: no region is steady any more"));
    node.region()?;
    node.start_region()?;
    node.until_watchdog("active")?;
    // Nor when it is no node any more.
    node.run("echo 0 >$c/node/n0/local")?;
    node.until_watchdog("inactive")?;
    node.signal("KILL")?;
    node.survives(4)?;
    node.run("uo2cb umount /o2cb")?;

    // Clean ends, by command and by signal.
    for end in [
        "uo2cb umount /o2cb",
        "kill -TERM $(pidof uo2cb); while pidof uo2cb >/dev/null; do usleep 50000; done",
    ] {
        node.steady(3, FENCE)?;
        node.until_watchdog("active")?;
        node.run(end)?;
        assert_eq!(node.watchdog()?, "inactive", "{end}");
        node.survives(4)?;
    }

    // Links say nothing about this machine.
    node.mount(&format!("{FENCE} --heartbeat-mode user"))?;
    node.run(
        "c=/o2cb/cluster/c; mkdir $c $c/node/n0 $c/heartbeat/R && echo 127.0.0.1 >$c/node/n0/ipv4_address &&\n\
         echo 7777 >$c/node/n0/ipv4_port && echo 0 >$c/node/n0/num && echo 1 >$c/node/n0/local &&\n\
         ln -s $c/node/n0 $c/heartbeat/R/n0 && sleep 1",
    )?;
    assert_eq!(node.watchdog()?, "inactive", "user mode");
    node.signal("KILL")?;
    node.survives(4)?;
    assert_eq!(node.watchdog()?, "inactive");
    Ok(())
}

/// A machine that starts such a daemon at every boot would else restart for ever.
pub(crate) fn wrong_configuration(uo2cb: &[u8]) -> Result<(), Error> {
    let mut node =
        Node::boot_with(uo2cb, Image::new()?, |builder| builder.setup("blockdev --setro /dev/vda"))?;
    // A disk that cannot be written: no region becomes steady.
    node.mount(FENCE)?;
    node.cluster(3)?;
    assert!(node.log()?.contains("at a fence: watchdog=/dev/watchdog0"));
    node.run("{ exec 7</dev/vda; echo 7 >$r/dev; } 2>/dev/null; [ $? != 0 ]")?;
    assert_eq!(node.watchdog()?, "inactive");
    node.signal("KILL")?;
    node.survives(4)?;
    node.run("uo2cb umount /o2cb")?;
    // Devices that will not do.
    for (parameters, line) in [
        ("nowayout=1", "it cannot be disarmed (nowayout), so a clean stop would restart the machine"),
        ("", "No such file or directory"),
    ] {
        node.run("rmmod softdog")?;
        if !parameters.is_empty() {
            node.run(&format!("insmod /modules/softdog.ko {parameters}"))?;
        }
        let refused = node.refused(&format!("mount /o2cb {FENCE}"))?;
        assert_eq!(refused, format!("uo2cb: /dev/watchdog0: {line}\nstatus 1"), "{parameters}");
        node.survives(2)?;
    }
    node.run("insmod /modules/softdog.ko soft_margin=4")?;
    node.survives(5)?;
    assert_eq!(node.watchdog()?, "inactive");

    // Somebody forbids to disarm it meanwhile: it is fed on, and what comes of a clean end is said.
    node.run("blockdev --setrw /dev/vda")?;
    node.steady(3, FENCE)?;
    node.until_watchdog("active")?;
    node.run("echo 1 >/sys/class/watchdog/watchdog0/nowayout && rmdir $r")?;
    node.survives(5)?;
    let log = node.log()?;
    assert!(log.contains("(Software Watchdog): cannot be disarmed (Device or resource busy"), "{log}");
    node.run("kill -TERM $(pidof uo2cb)")?;
    let console = node.goes()?;
    assert!(console.contains("ended with 0"), "{console}");
    Ok(())
}
