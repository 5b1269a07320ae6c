//! Disk heartbeat of three nodes on this machine, each a daemon of its own, on one file.

use super::NODES;
use super::script::{Script, Step};

/// The session. The first node is watched. `port`: each node listens on it at an address of its own.
pub(super) fn steps(port: u16) -> Vec<Step> {
    let mut script = Script::default();
    script
        .title("a file that three nodes share as their disk")
        .works("uo2cb format shared --slots 3", &["start_block 1"])
        .title("three nodes, each a daemon with a mount of its own")
        .works("mkdir alpha beta gamma", &[]);
    for node in NODES {
        script.works(&format!("uo2cb mount {node}"), &["mounted on "]);
    }
    script
        .title("every node knows all three, and which one it is; a node is dead after 4 silent beats")
        .works(
            &format!(
                "setup() {{ cd $1/cluster; mkdir demo; cd demo; num=0
  for n in alpha beta gamma; do
    mkdir node/$n; echo {port} > node/$n/ipv4_port
    echo 127.0.0.$((num + 1)) > node/$n/ipv4_address; echo $num > node/$n/num; num=$((num + 1))
  done
  echo 1 > node/$1/local; echo 4 > heartbeat/dead_threshold; cd heartbeat
  mkdir R; echo 512 > R/block_bytes; echo 1 > R/start_block; echo 3 > R/blocks; cd ../../../..; }}"
            ),
            &[],
        );
    for node in NODES {
        script.works(&format!("setup {node}"), &[]);
    }
    script
        .works("uo2cb watch --mount alpha & watch=$!", &["watching, up: nobody"])
        .title("they start to beat: a write to dev returns when a region is steady")
        .works("exec 7<> shared", &[])
        // All in the background: one that ends while the shell itself writes would interrupt it with SIGCHLD.
        .works(
            "for n in alpha beta gamma; do echo 7 > $n/cluster/demo/heartbeat/R/dev & starts=\"$starts $!\"; done",
            &[],
        )
        .works("wait $starts", &["alpha (0) up", "beta (1) up", "gamma (2) up"])
        .works("exec 7<&-", &[])
        .works("uo2cb status --mount alpha", &["shared, steady", "gamma (2) since"])
        .works("uo2cb dump shared", &["2     alive"])
        .title("gamma is killed: it is missed after 4 beats of 2 seconds")
        .works(
            "kill -9 $(uo2cb status --mount gamma | sed -n 's/.*, pid \\([0-9]*\\),.*/\\1/p')",
            &["gamma (2) down"],
        )
        .title("beta leaves, and says so in its slot: it is gone at the next beat")
        .works("uo2cb umount beta", &["beta (1) down"])
        .works("uo2cb dump shared --blocks 2", &["0     alive", "1     left"])
        .title("and all back")
        .works("uo2cb umount gamma", &["took away what a killed daemon left"])
        .works("kill $watch; wait $watch", &[])
        .works("uo2cb umount alpha", &[])
        .works("rm -r alpha beta gamma shared", &[]);
    script.into_steps()
}
