//! The same targets, resolved by the resolver and by the kernel.
//!
//! No symlink is under way here, so that the kernel may ask the server.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command};

use rustix::fs::{CWD, OFlags};

use super::super::look::{self, Ident};
use super::super::{Failure, Resolver};
use super::served::{Served, Tree, in_own_name_space};

const NAMES: &[&str] = &[
    "..",
    "..",
    "..",
    "..",
    ".",
    "",
    "cluster",
    "cluster",
    "c",
    "c",
    "node",
    "heartbeat",
    "n1",
    "R",
    "to-n1",
    "to-n1",
    "around",
    "to-num",
    "nowhere",
    "num",
    "mount",
    "mount",
    "outside",
    "outside",
    "whole",
    "part",
    "stacked",
    "absolute",
    "relative",
    "climb",
    "file",
    "proc",
    "self",
    "cwd",
    "\u{ff}",
];

/// xorshift: any sequence will do, as long as it is always the same.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 20).unwrap() % limit
    }
}

/// What the kernel makes of `target` in the directory `cwd`.
fn kernel(resolver: &Resolver, cwd: &Path, target: &str) -> Result<u64, Failure> {
    let cwd = look::open(CWD, cwd, OFlags::DIRECTORY)?;
    let ident = Ident::of(look::open(cwd, target, OFlags::DIRECTORY)?)?;
    if ident.dev == resolver.mount().dev() { Ok(ident.ino) } else { Err(Failure::OutsideDirectory) }
}

fn sleeper(cwd: &Path) -> Child {
    Command::new("sleep").arg("1000").current_dir(cwd).spawn().unwrap()
}

#[test]
fn agrees_with_the_kernel() {
    if !in_own_name_space("caller::tests::compare::agrees_with_the_kernel") {
        return;
    }
    let served = Served::new();
    let resolver = served.resolver.get().unwrap();
    let (mount, out) = (&served.mount, &served.outside);
    for (name, shown) in [("whole", ""), ("part", "cluster/c"), ("stacked", "cluster")] {
        std::fs::create_dir(out.join(name)).unwrap();
        let bind = |from: &Path| {
            let done = Command::new("mount").arg("--bind").arg(from).arg(out.join(name)).status();
            assert!(done.unwrap().success());
        };
        if name == "stacked" {
            bind(Path::new("/proc"));
        }
        bind(&mount.join(shown));
    }
    std::fs::write(out.join("file"), "").unwrap();
    symlink(mount.join("cluster"), out.join("absolute")).unwrap();
    symlink("whole/cluster/c", out.join("relative")).unwrap();
    symlink("part/heartbeat/R/to-n1", out.join("climb")).unwrap();

    let cwds: Vec<_> = [
        out.clone(),
        mount.parent().unwrap().to_owned(),
        mount.clone(),
        mount.join("cluster/c/heartbeat/R"),
        out.join("whole/cluster/c"),
        out.join("whole"),
        out.join("part"),
        out.join("part/node/n1"),
        out.join("stacked"),
        out.join("stacked/c/node"),
    ]
    .into_iter()
    .map(|cwd| (sleeper(&cwd), cwd))
    .collect();

    let mut dice = Dice(0x2545_f491_4f6c_dd1d);
    let (mut found, mut refused) = (0, 0);
    for _ in 0..1500 {
        let (caller, cwd) = &cwds[dice.below(cwds.len())];
        let start = [mount, mount, out, out, cwd][dice.below(5)];
        let mut target = if start == cwd { ".".into() } else { start.display().to_string() };
        // Grown name by name along what exists, with every try compared.
        for _ in 0..16 {
            let longer = format!("{target}/{}", NAMES[dice.below(NAMES.len())]);
            let expected = kernel(resolver, cwd, &longer);
            let ours = resolver.resolve(caller.id(), longer.as_bytes(), &Tree);
            assert_eq!(ours, expected, "{longer} in {}", cwd.display());
            match ours {
                Ok(_) | Err(Failure::OutsideDirectory) => target = longer,
                Err(_) => refused += 1,
            }
            found += usize::from(ours.is_ok());
        }
    }
    for (mut caller, _) in cwds {
        caller.kill().unwrap();
        caller.wait().unwrap();
    }
    println!("{found} found, {refused} refused");
    assert!(found > 2000 && refused > 2000, "too one-sided to tell anything");
}
