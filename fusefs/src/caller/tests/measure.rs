//! What a resolution costs; run in a release build with `--ignored`.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use uo2cb_core::Caller;

use super::super::Resolver;
use super::served::{N1, Served, Tree};

/// The quick way where that will do, else the long one on a thread.
fn ask(resolver: &Resolver, pid: u32, target: &str) {
    let caller = Caller { pid, uid: 0, gid: 0 };
    let long = || {
        std::thread::scope(|scope| {
            scope.spawn(|| resolver.everywhere(caller, target.as_bytes(), &Tree)).join().unwrap()
        })
    };
    assert_eq!(resolver.within(caller, target.as_bytes(), &Tree).unwrap_or_else(long), Ok(N1));
}

fn time(served: &Served, what: &str, cwd: &Path, target: &str) {
    const TIMES: u32 = 100_000;
    let resolver = served.resolver.get().unwrap();
    let mut caller = Command::new("sleep").arg("100").current_dir(cwd).spawn().unwrap();
    let start = Instant::now();
    for _ in 0..TIMES {
        ask(resolver, caller.id(), target);
    }
    let each = start.elapsed().as_secs_f64() * 1e6 / f64::from(TIMES);
    println!("{what:40} {each:6.2} us");
    caller.kill().unwrap();
    caller.wait().unwrap();
}

/// Callers that nobody has looked at yet, as when each is a new `ln`.
fn time_first(served: &Served, what: &str, cwd: &Path, target: &str) {
    let resolver = served.resolver.get().unwrap();
    let mut spent = Vec::new();
    for _ in 0..500 {
        let mut caller = Command::new("sleep").arg("100").current_dir(cwd).spawn().unwrap();
        let start = Instant::now();
        ask(resolver, caller.id(), target);
        spent.push(start.elapsed().as_secs_f64() * 1e6);
        caller.kill().unwrap();
        caller.wait().unwrap();
    }
    spent.sort_by(f64::total_cmp);
    println!("{what:40} {:6.2} us (median)", spent[spent.len() / 2]);
}

fn times(served: &Served) {
    let rest = "cluster/c/node/n1";
    let mount = served.mount.display();
    let root = Path::new("/");
    let settled = served.resolver.get().unwrap().is_settled();
    println!("mount point {mount}, settled: {settled}");
    time(served, "absolute", root, &format!("{mount}/{rest}"));
    let absolute = format!("{mount}/{rest}");
    time_first(served, "absolute, new caller", root, &absolute);
    time_first(served, "relative, new caller", &served.mount, rest);
    time(served, "absolute, slow way", root, &format!("/{mount}/{rest}"));
    time(served, "relative from the mount's root", &served.mount, rest);
    let region = served.mount.join("cluster/c/heartbeat/R");
    time(served, "relative from inside, up and down", &region, "../../node/n1");
    time(served, "relative from outside", root, &format!("{mount}/{rest}")[1..]);
    time(served, "relative, out and in again", &served.mount, &format!("../../../../..{mount}/{rest}"));
}

#[test]
#[ignore = "a measurement"]
fn measure() {
    times(&Served::new());
    // Wants `unshare -m`, in order not to cover a directory others use.
    if std::env::var_os("UO2CB_TEST_SYSFS").is_some() {
        times(&Served::at("/sys/kernel/debug".into(), tempfile::tempdir().unwrap()));
    }
}
