//! A guest with a node of ours.

use std::time::{Duration, Instant};

use uo2cb_tests::guest::{Builder, Error, Guest};

use crate::image::Image;

const BOOT: Duration = Duration::from_secs(300);
/// What a command in a guest may take, a region's start included.
pub(crate) const SOON: Duration = Duration::from_secs(120);
/// By how much a restart may be late for reasons that are not ours: the guest is emulated, on a machine that is busy.
const LATE: Duration = Duration::from_secs(2);
const WATCHDOG: &str = "/sys/class/watchdog/watchdog0";

pub(crate) struct Node {
    guest: Guest,
    pub(crate) image: Image,
}

impl Node {
    pub(crate) fn boot(uo2cb: &[u8]) -> Result<Self, Error> {
        Self::boot_with(uo2cb, Image::new()?, |builder| builder)
    }

    pub(crate) fn boot_with(
        uo2cb: &[u8],
        image: Image,
        change: impl FnOnce(Builder) -> Builder,
    ) -> Result<Self, Error> {
        let builder =
            Guest::builder().module("fuse").module("softdog").file("bin/uo2cb", 0o755, uo2cb.to_vec());
        let guest = change(builder.disk(image.path())).boot(BOOT)?;
        let mut node = Self { guest, image };
        node.run("mkdir -p /run /o2cb && export UO2CB_RUNTIME_DIR=/run/uo2cb UO2CB_MOUNT=/o2cb")?;
        Ok(node)
    }

    /// Runs a command in the guest; it must succeed.
    pub(crate) fn run(&mut self, command: &str) -> Result<String, Error> {
        Ok(self.guest.run(command, SOON)?.join("\n"))
    }

    /// Runs our command, whose end goes to the console: its status and, where it fails, its words.
    pub(crate) fn refused(&mut self, arguments: &str) -> Result<String, Error> {
        self.run(&format!("uo2cb {arguments} 2>&1; echo status $?"))
    }

    /// Starts the daemon. Its exit status goes to the console.
    pub(crate) fn mount(&mut self, options: &str) -> Result<(), Error> {
        self.run(&format!(
            "(uo2cb mount /o2cb --foreground --log /log {options}; echo \"<1>ended with $?\" >/dev/kmsg) &\n\
             until uo2cb status >/dev/null 2>&1; do usleep 50000; done"
        ))?;
        Ok(())
    }

    /// A cluster in which this is node 0, and a region R without a device.
    pub(crate) fn cluster(&mut self, dead_threshold: u32) -> Result<(), Error> {
        self.run(&format!(
            "c=/o2cb/cluster/c; mkdir $c $c/node/n0 && echo {dead_threshold} >$c/heartbeat/dead_threshold &&\n\
             echo 127.0.0.1 >$c/node/n0/ipv4_address && echo 7777 >$c/node/n0/ipv4_port &&\n\
             echo 0 >$c/node/n0/num && echo 1 >$c/node/n0/local && mkdir $c/node/n1 &&\n\
             echo 127.0.0.2 >$c/node/n1/ipv4_address && echo 7777 >$c/node/n1/ipv4_port && echo 1 >$c/node/n1/num"
        ))?;
        self.region()
    }

    /// The region, made anew.
    pub(crate) fn region(&mut self) -> Result<(), Error> {
        self.run(
            "r=$c/heartbeat/R; mkdir $r && echo 512 >$r/block_bytes && echo 1 >$r/start_block && echo 8 >$r/blocks",
        )?;
        Ok(())
    }

    /// Starts the region and waits until it is steady.
    pub(crate) fn start_region(&mut self) -> Result<(), Error> {
        self.run("exec 7<>/dev/vda; echo 7 >$r/dev && exec 7>&-")?;
        Ok(())
    }

    /// A node that beats, with this dead threshold and what a fence is to do.
    pub(crate) fn steady(&mut self, dead_threshold: u32, options: &str) -> Result<(), Error> {
        self.mount(options)?;
        self.cluster(dead_threshold)?;
        self.start_region()
    }

    /// What the kernel says of the watchdog: `active` or `inactive`.
    pub(crate) fn watchdog(&mut self) -> Result<String, Error> {
        self.run(&format!("cat {WATCHDOG}/state"))
    }

    /// Waits until it says so.
    pub(crate) fn until_watchdog(&mut self, state: &str) -> Result<(), Error> {
        self.run(&format!("until [ $(cat {WATCHDOG}/state) = {state} ]; do usleep 20000; done"))?;
        Ok(())
    }

    pub(crate) fn log(&mut self) -> Result<String, Error> {
        self.run("cat /log")
    }

    /// Sends a signal to the daemon. When.
    pub(crate) fn signal(&mut self, signal: &str) -> Result<Instant, Error> {
        let at = Instant::now();
        self.run(&format!("kill -{signal} $(pidof uo2cb)"))?;
        Ok(at)
    }

    /// The machine goes on for longer than any watchdog waits that could have been armed.
    pub(crate) fn survives(&mut self, seconds: u32) -> Result<(), Error> {
        self.run(&format!("sleep {seconds}"))?;
        Ok(())
    }

    fn console(&self) -> String {
        self.guest.console().into_iter().map(|line| line.text + "\n").collect()
    }

    /// Waits until the machine has restarted: it does not come up again.
    fn until_ended(&mut self) -> Result<(), Error> {
        let begin = Instant::now();
        while self.guest.ended()?.is_none() {
            if begin.elapsed() > SOON {
                return Err(format!("no restart within {SOON:?}\n{}", self.console()).into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// The machine restarts. Gives the console.
    pub(crate) fn goes(mut self) -> Result<String, Error> {
        self.until_ended()?;
        Ok(self.console())
    }

    /// The machine restarts, not sooner than `soonest` after `from`, and before others would count the node as dead. Gives
    /// the console and the disk.
    #[track_caller]
    pub(crate) fn restarts(
        mut self,
        what: &str,
        from: Instant,
        soonest: Duration,
        dead_threshold: u32,
    ) -> Result<(String, Image), Error> {
        self.until_ended()?;
        let (after, silent) = (from.elapsed(), self.image.last_block().elapsed());
        let dead = Duration::from_secs(2) * dead_threshold;
        println!(
            "fencing: {what}: restarted after {after:.2?}, {silent:.2?} from the last block; others wait for {dead:?}"
        );
        assert!(
            after >= soonest,
            "{what}: restarted after {after:?}, before {soonest:?}\n{}",
            self.console()
        );
        assert!(silent <= dead + LATE, "{what}: restarted {silent:?} from the last block");
        Ok((self.console(), self.image))
    }
}
