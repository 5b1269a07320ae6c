//! Two nodes on a disk and a network that they share. The network is cut: the one with the higher number must go.

use super::super::Fail;
use super::script::{Script, Step};

/// What the session is played with, beside a shell, and where it comes from.
const TOOLS: [(&str, &str); 3] = [("ip", "iproute2"), ("unshare", "util-linux"), ("nsenter", "util-linux")];

/// # Errors
/// A command is not there.
pub(super) fn missing() -> Result<(), Fail> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    for (tool, package) in TOOLS {
        if !std::env::split_paths(&path).any(|dir| dir.join(tool).is_file()) {
            return Err(Fail::new(format!(
                "demo: the command {tool} is not there: install the package {package}"
            )));
        }
    }
    Ok(())
}

/// The session.
pub(super) fn steps() -> Vec<Step> {
    let mut script = Script::default();
    script
        .title("a file that two nodes share as their disk")
        .works("uo2cb format shared --slots 2", &["start_block 1"])
        .title("two nodes, each a daemon with a mount, and with a network of its own")
        .works("mkdir alpha beta", &[])
        .works("unshare -n uo2cb mount alpha --foreground --log alpha.log & alpha=$!", &[])
        .works("unshare -n uo2cb mount beta --foreground --log beta.log & beta=$!", &[])
        .works("for n in alpha beta; do until uo2cb status --mount $n >log 2>&1; do sleep 0.1; done; done", &[])
        .title("a switch, and a cable to each of them")
        .works("ip link add name lan type bridge; ip link set lan up", &[])
        .works(
            "plug() { ip link add name to-$1 type veth peer name eth0 netns $2; ip link set to-$1 master lan up
  nsenter -t $2 -n sh -c \"ip address add $3/24 dev eth0; ip link set eth0 up\"; }",
            &[],
        )
        .works("plug alpha $alpha 192.168.77.1; plug beta $beta 192.168.77.2", &[])
        .title("a cluster of both: dead after 7 silent beats, a connection is idle after 5 s; it listens where `local` is written")
        .works(
            "setup() { cd $1/cluster; mkdir demo; cd demo; num=0
  for n in alpha beta; do
    mkdir node/$n; echo 7777 > node/$n/ipv4_port
    echo 192.168.77.$((num + 1)) > node/$n/ipv4_address; echo $num > node/$n/num; num=$((num + 1))
  done
  echo 1000 > keepalive_delay_ms; echo 5000 > idle_timeout_ms; echo 7 > heartbeat/dead_threshold
  nsenter -t $2 -n sh -c \"echo 1 > node/$1/local\"
  mkdir heartbeat/R; cd heartbeat/R; echo 512 > block_bytes; echo 1 > start_block; echo 2 > blocks; cd ../../../../..; }",
            &[],
        )
        .works("setup alpha $alpha; setup beta $beta", &[])
        .works("uo2cb watch --mount alpha & watch=$!", &["watching, up: nobody"])
        .title("they start to beat, and beta, which has the higher number, connects to alpha")
        .works("exec 7<> shared", &[])
        .works(
            "for n in alpha beta; do echo 7 > $n/cluster/demo/heartbeat/R/dev & starts=\"$starts $!\"; done",
            &[],
        )
        .works("wait $starts; exec 7<&-", &["Accepted connection from node beta (num 1)"])
        .within(40)
        .works("uo2cb hold R --mount alpha & hold=$!", &["holding, up: alpha (0), beta (1)"])
        .works("peer() { uo2cb status --mount beta | grep ^peer | sed 's/;.*//'; }; before=$(peer); echo \"$before\"", &[
            "alpha (0) connected, by this node, since",
        ])
        .title("beta's cable is pulled for 9 seconds: it is missed, and nobody goes, over the same connection")
        .works("ip link set to-beta down; sleep 9; ip link set to-beta up", &[
            "node beta (num 1) at 192.168.77.2:7777 has been idle for 5.",
            "node 1 is held",
        ])
        .works(
            "until [ \"$(peer)\" = \"$before\" ]; do sleep 0.5; done; echo \"$before\"",
            &["connected, by this node, since", "node 1 is not held any more"],
        )
        .title("it is pulled for good: beta finds itself in the half without the lowest node, and goes")
        .works("ip link set to-beta down; wait $beta; echo \"beta ended with $?\"", &["beta ended with 86"])
        .within(60)
        .works("grep -h 'o2quo' beta.log", &[
            "fencing this node because it is connected to a half-quorum of 1 out of 2 nodes which doesn't include the \
             lowest active node 0",
        ])
        .title("alpha stays. When beta has been silent for 7 beats, the file system may recover: it is told once")
        .works("sleep 1; uo2cb status --mount alpha", &["decided  ", "not fencing this node"])
        .works("while uo2cb status --mount alpha | grep -q '^  up  *beta'; do sleep 0.2; done", &[
            "beta (1) down, silent",
            "hold R: ",
        ])
        .within(60)
        .title("and all back")
        .works("kill $hold $watch; wait $hold $watch", &["released"])
        .works("uo2cb umount alpha; wait $alpha", &[])
        .works("rm -r alpha beta shared log *.log", &[]);
    script.into_steps()
}
