//! What is played.

use std::time::Duration;

/// One command, and what must come of it.
pub(super) struct Step {
    /// What the following is about; empty: more of the same.
    pub(super) title: &'static str,
    pub(super) command: String,
    /// Exit status 0?
    pub(super) succeeds: bool,
    /// What its output must contain.
    pub(super) shows: Vec<&'static str>,
    /// How many lines about events.
    pub(super) events: usize,
    /// How long it may take.
    pub(super) within: Duration,
}

/// How long a step may take that nothing else is said of.
const STEP: Duration = Duration::from_secs(20);

const REGION: &str = "8F3C0D9A4B7E4C21A6D55E0B9C1F7A32";

/// Steps as they are added.
#[derive(Default)]
pub(super) struct Script(Vec<Step>);

impl Script {
    pub(super) fn title(&mut self, title: &'static str) -> &mut Self {
        let (command, shows) = (String::new(), Vec::new());
        let step = Step { title, command, succeeds: true, shows, events: 0, within: STEP };
        self.0.push(step);
        self
    }

    /// A command that works and shows all of `shows`.
    pub(super) fn works(&mut self, command: &str, shows: &[&'static str]) -> &mut Self {
        self.step(command, true, shows, 0)
    }

    /// The last command may take longer.
    pub(super) fn within(&mut self, seconds: u64) -> &mut Self {
        if let Some(last) = self.0.last_mut() {
            last.within = Duration::from_secs(seconds);
        }
        self
    }

    /// A command that is refused with this text.
    fn refused(&mut self, command: &str, with: &'static str) -> &mut Self {
        self.step(command, false, &[with], 0)
    }

    /// A command that works, of which consumers are told in so many lines.
    fn told(&mut self, command: &str, events: usize, shows: &[&'static str]) -> &mut Self {
        self.step(command, true, shows, events)
    }

    pub(super) fn into_steps(self) -> Vec<Step> {
        self.0
    }

    fn step(&mut self, command: &str, succeeds: bool, shows: &[&'static str], events: usize) -> &mut Self {
        let title = match self.0.last() {
            Some(last) if last.command.is_empty() => last.title,
            _ => "",
        };
        self.0.retain(|step| !step.command.is_empty());
        let (command, shows) = (command.to_owned(), shows.to_vec());
        self.0.push(Step { title, command, succeeds, shows, events, within: STEP });
        self
    }
}

/// A session of a cluster stack, from the mount to the umount. `port` is for the local node to listen on.
pub(super) fn steps(port: u16) -> Vec<Step> {
    let mut script = Script(Vec::new());
    script
        .title("mount the tree that the kernel shows under /sys/kernel/config")
        .works("mkdir config", &[])
        .works("uo2cb mount config", &["mounted on "])
        .works("cd config", &[])
        .title("userspace is to say who is in the group, not blocks on a disk")
        .works("cat cluster/heartbeat_available_modes", &["disk", "user"])
        .works("echo user > cluster/heartbeat_mode", &[])
        .title("a cluster with three nodes; alpha is this machine")
        .works("mkdir cluster/demo", &[])
        .works("cd cluster/demo/node", &[])
        .works("mkdir alpha beta gamma", &[]);
    for (num, (name, port)) in [("alpha", port), ("beta", 7777), ("gamma", 7777)].into_iter().enumerate() {
        let address = num + 1;
        script
            .works(&format!("echo {port} > {name}/ipv4_port"), &[])
            .works(&format!("echo 127.0.0.{address} > {name}/ipv4_address"), &[])
            .works(&format!("echo {num} > {name}/num"), &[]);
    }
    script
        .works("echo 1 > alpha/local", &[])
        .works("cd ../../..", &[])
        .title("a region (a file system, say); one consumer sees all, one holds the region as a mount does")
        .works(&format!("region=cluster/demo/heartbeat/{REGION}"), &[])
        .works("mkdir $region", &[])
        .works("uo2cb watch & watch=$!", &["watching, up: nobody"])
        .works("uo2cb hold ${region##*/} & hold=$!", &["holding, up: nobody"])
        .title("nodes join the group: each link returns when both have been told");
    for node in ["alpha", "beta", "gamma"] {
        script.told(
            &format!("ln -s $PWD/cluster/demo/node/{node} $region/{node}"),
            2,
            &["up, linked by pid"],
        );
    }
    script
        .works("ls -l $region", &["gamma -> ../../../../cluster/demo/node/gamma"])
        .works("uo2cb status", &["held by 1", "gamma (2) since"])
        .title("refused, as the kernel refuses it")
        .refused("/bin/echo nonsense > cluster/demo/idle_timeout_ms", "Invalid argument")
        .refused("ln -s $PWD/cluster/demo/node/beta $region/again", "File exists")
        .refused("ln -s $PWD/cluster/demo $region/cluster", "Operation not permitted")
        .refused("rmdir cluster/demo/node/gamma", "Device or resource busy")
        .refused("touch $region/file", "Permission denied")
        .title("a node leaves, and comes back")
        .told("rm $region/beta", 2, &["beta (1) down, unlinked by pid"])
        .told("ln -s $PWD/cluster/demo/node/beta $region/beta", 2, &["beta (1) up"])
        .title("while somebody holds it a region stays")
        .told("rm $region/*", 6, &["down, unlinked"])
        .refused("rmdir $region", "Device or resource busy")
        .works("kill $hold; wait $hold", &["released"])
        .title("the way a cluster stack gives up a region")
        .told("ln -s $PWD/cluster/demo/node/alpha $region/alpha", 1, &["alpha (0) up"])
        .told("rm -rf $region", 1, &["alpha (0) down"])
        .title("and all back")
        .works("rmdir cluster/demo/node/* cluster/demo", &[])
        .works("kill $watch; wait $watch", &[])
        .works("cd ..", &[])
        .works("uo2cb umount config", &[])
        .works("rmdir config", &[]);
    script.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_stand_before_their_commands() {
        let steps = steps(4711);
        assert!(steps.iter().all(|step| !step.command.is_empty()));
        assert!(!steps[0].title.is_empty() && steps[1].title.is_empty());
        assert!(steps.iter().any(|step| step.command == "echo 4711 > alpha/ipv4_port"));
    }
}
