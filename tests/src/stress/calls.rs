//! The calls, and what must come of them.

use std::collections::BTreeSet;
use std::ffi::CStr;

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

use super::names::{self, NODES, REGIONS, SHARED, SHARED_NODE};
use super::{Process, Step, Stop, is_of, say};

/// What became of a name of its own.
enum Became {
    There,
    Gone,
    Same,
}

impl Process {
    /// One call, or a few that belong together.
    pub(super) fn step(&mut self) -> Step {
        let node = names::node(self.number, self.rng.below(NODES));
        let region = match self.rng.below(REGIONS + 1) {
            REGIONS => SHARED.to_owned(),
            which => names::region(self.number, which),
        };
        let own = region != SHARED;
        match self.rng.below(100) {
            0..12 => self.make(&node),
            12..18 => self.set_number(),
            18..24 => self.remove(&node),
            24..30 if own => self.make(&region),
            30..34 if own => self.remove(&region),
            34..56 => self.link(&region, &node),
            56..76 => self.unlink(&region, &node),
            76..82 => self.list(&region),
            82..88 => self.read_number(),
            88..91 => self.refused(),
            _ => self.shared(),
        }
    }

    fn has(&self, name: &str) -> bool {
        self.have.contains(name)
    }

    /// A call that may change `name`; `expected` is what must come of it.
    fn change(
        &mut self,
        name: &str,
        what: &str,
        expected: Result<(), Errno>,
        success: Became,
        call: impl FnOnce(&std::path::Path) -> rustix::io::Result<()>,
    ) -> Step {
        say(&format!("> {name}"));
        let path = self.root.join(name.trim_end_matches('#'));
        let result = self.timed(|| call(&path))?;
        if result != expected {
            let text = format!("{what} {name}: {result:?}, expected {expected:?}; there: {:?}", self.have);
            return Err(Stop::Wrong(text));
        }
        match if result.is_ok() { success } else { Became::Same } {
            Became::There => {
                self.have.insert(name.to_owned());
                say(&format!("+ {name}"));
            }
            Became::Gone => {
                self.have.retain(|other| !super::is_below(other, name));
                say(&format!("- {name}"));
            }
            Became::Same => say("."),
        }
        Ok(())
    }

    fn make(&mut self, name: &str) -> Step {
        let expected = if self.has(name) { Err(Errno::EXIST) } else { Ok(()) };
        self.change(name, "mkdir", expected, Became::There, |path| {
            rustix::fs::mkdir(path, Mode::from_raw_mode(0o755))
        })
    }

    fn remove(&mut self, name: &str) -> Step {
        let last = name.rsplit('/').next().unwrap_or_default();
        let linked = self.have.iter().any(|other| {
            other.contains("/heartbeat/") && other.ends_with(&format!("/{last}")) && other != name
        });
        let holds = self.have.iter().any(|other| other.starts_with(&format!("{name}/")));
        let expected = match self.has(name) {
            false => Err(Errno::NOENT),
            true if name.contains("/node/") && linked => Err(Errno::BUSY),
            true if holds => Err(Errno::NOTEMPTY),
            true => Ok(()),
        };
        self.change(name, "rmdir", expected, Became::Gone, |path| {
            rustix::fs::unlinkat(CWD, path, AtFlags::REMOVEDIR)
        })
    }

    fn link(&mut self, region: &str, node: &str) -> Step {
        let link = format!("{region}/{}", node.rsplit('/').next().unwrap_or_default());
        let expected = if region != SHARED && !self.has(region) {
            Err(Errno::NOENT)
        } else if self.has(&link) {
            Err(Errno::EXIST)
        } else if !self.has(node) {
            Err(Errno::NOENT)
        } else if !self.has(&format!("{node}#")) {
            Err(Errno::INVAL)
        } else {
            Ok(())
        };
        let target = self.root.join(node);
        self.change(&link, "symlink", expected, Became::There, |path| rustix::fs::symlink(&target, path))?;
        if self.has(&link) {
            let path = self.root.join(&link);
            let body = self.timed(|| rustix::fs::readlink(&path, Vec::new()))?;
            let wanted = format!("../../../../{node}");
            if body.as_ref().map(|body| body.as_bytes()) != Ok(wanted.as_bytes()) {
                return Err(Stop::Wrong(format!("readlink {link}: {body:?}")));
            }
        }
        Ok(())
    }

    fn unlink(&mut self, region: &str, node: &str) -> Step {
        let link = format!("{region}/{}", node.rsplit('/').next().unwrap_or_default());
        let expected = if self.has(&link) { Ok(()) } else { Err(Errno::NOENT) };
        self.change(&link, "unlink", expected, Became::Gone, |path| rustix::fs::unlink(path))
    }

    /// Gives a node its number, with what must stand before it.
    fn set_number(&mut self) -> Step {
        let which = self.rng.below(NODES);
        let node = names::node(self.number, which);
        let num = names::num(self.number, which);
        let name = format!("{node}#");
        if !self.has(&node) || self.has(&name) {
            // Its own number counts as taken, too.
            let error = if self.has(&node) { Errno::EXIST } else { Errno::NOENT };
            return self.change(&name, "number", Err(error), Became::Same, |dir| {
                store(&dir.join("num"), &num.to_string())
            });
        }
        self.change(&name, "number", Ok(()), Became::There, |dir| {
            let before = [("ipv4_address", format!("10.0.0.{num}")), ("ipv4_port", "7777".to_owned())];
            for (attribute, value) in before {
                match store(&dir.join(attribute), &value) {
                    // One that was killed behind it has set it.
                    Ok(()) | Err(Errno::BUSY) => {}
                    Err(Errno::EXIST) if attribute == "ipv4_address" => {}
                    Err(error) => return Err(error),
                }
            }
            store(&dir.join("num"), &num.to_string())
        })
    }

    fn read_number(&mut self) -> Step {
        let which = self.rng.below(NODES);
        let node = names::node(self.number, which);
        let expected = match (self.has(&node), self.has(&format!("{node}#"))) {
            (false, _) => Err(Errno::NOENT),
            (true, false) => Ok("0\n".to_owned()),
            (true, true) => Ok(format!("{}\n", names::num(self.number, which))),
        };
        let path = self.root.join(&node).join("num");
        let text = self.timed(|| load(&path))?;
        if text == expected {
            Ok(())
        } else {
            Err(Stop::Wrong(format!("{node}: number {text:?}, not {expected:?}")))
        }
    }

    fn list(&mut self, region: &str) -> Step {
        if region != SHARED && !self.has(region) {
            return Ok(());
        }
        let path = self.root.join(region);
        let entries = self.timed(|| entries(&path))?;
        let entries = entries.map_err(|error| Stop::Wrong(format!("readdir {region}: {error}")))?;
        let seen: BTreeSet<_> = entries.into_iter().filter(|name| is_of(name, self.number)).collect();
        let below = format!("{region}/");
        let own = self.have.iter().filter_map(|name| name.strip_prefix(&below)).map(str::to_owned).collect();
        if seen == own {
            Ok(())
        } else {
            Err(Stop::Wrong(format!("readdir {region}: {seen:?}, not {own:?}")))
        }
    }

    /// What never works, whoever else does what.
    fn refused(&mut self) -> Step {
        let (root, cluster) = (self.root.clone(), self.root.join("cluster/c"));
        let own = cluster.join("heartbeat/shared/w-never");
        let result = match self.rng.below(4) {
            0 => self.timed(|| rustix::fs::mkdir(root.join("cluster/second"), Mode::from_raw_mode(0o755)))?,
            1 => self.timed(|| rustix::fs::unlinkat(CWD, &cluster, AtFlags::REMOVEDIR))?,
            2 => self.timed(|| rustix::fs::symlink(cluster.join("heartbeat"), own))?,
            _ => self.timed(|| rustix::fs::unlink(cluster.join("idle_timeout_ms")))?,
        };
        if result.is_err() { Ok(()) } else { Err(Stop::Wrong("what must be refused was done".into())) }
    }

    /// The names of all: any of two outcomes, depending on the others.
    fn shared(&mut self) -> Step {
        let link = self.root.join(SHARED).join("s1");
        let target = self.root.join(SHARED_NODE);
        let (result, other) = if self.rng.chance(50) {
            (self.timed(|| rustix::fs::symlink(&target, &link))?, Errno::EXIST)
        } else {
            (self.timed(|| rustix::fs::unlink(&link))?, Errno::NOENT)
        };
        match result {
            Ok(()) => Ok(()),
            Err(error) if error == other => Ok(()),
            Err(error) => Err(Stop::Wrong(format!("a shared link: {error}"))),
        }
    }

    /// Own names in the tree.
    pub(super) fn look(&mut self) -> Step<BTreeSet<String>> {
        let mut found = BTreeSet::new();
        for which in 0..NODES {
            let node = names::node(self.number, which);
            let path = self.root.join(&node).join("num");
            match self.timed(|| load(&path))? {
                Ok(number) => {
                    if number != "0\n" {
                        found.insert(format!("{node}#"));
                    }
                    found.insert(node);
                }
                Err(Errno::NOENT) => {}
                Err(error) => return Err(Stop::Wrong(format!("{node}: {error}"))),
            }
        }
        let number = self.number;
        let own = (0..REGIONS).map(|which| names::region(number, which));
        for region in own.chain([SHARED.to_owned()]) {
            let path = self.root.join(&region);
            match self.timed(|| entries(&path))? {
                Ok(names) => {
                    let links = names.into_iter().filter(|name| is_of(name, self.number));
                    found.extend(links.map(|name| format!("{region}/{name}")));
                    if region != SHARED {
                        found.insert(region);
                    }
                }
                Err(Errno::NOENT) => {}
                Err(error) => return Err(Stop::Wrong(format!("{region}: {error}"))),
            }
        }
        Ok(found)
    }
}

fn store(path: &std::path::Path, value: &str) -> rustix::io::Result<()> {
    let file = rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(file, value.as_bytes()).map(drop)
}

fn load(path: &std::path::Path) -> rustix::io::Result<String> {
    let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut text = [0; 4096];
    let length = rustix::io::read(file, &mut text)?;
    Ok(String::from_utf8_lossy(&text[..length]).into_owned())
}

fn entries(path: &std::path::Path) -> rustix::io::Result<Vec<String>> {
    let dir = rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let name = |name: &CStr| name.to_string_lossy().into_owned();
    let names = rustix::fs::Dir::read_from(dir)?.map(|entry| entry.map(|entry| name(entry.file_name())));
    Ok(names
        .collect::<rustix::io::Result<Vec<_>>>()?
        .into_iter()
        .filter(|name| !matches!(name.as_str(), "." | ".."))
        .collect())
}
