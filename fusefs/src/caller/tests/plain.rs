//! Callers with the same root and mounts as the server.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use super::super::Failure;
use super::served::{CLUSTER, LONG, N1, NODE, RAW, REGION, Served, Tree};

const ROOT: &str = "/";

fn join(mount: &Path, rest: &[u8]) -> Vec<u8> {
    [mount.as_os_str().as_bytes(), rest].concat()
}

#[test]
fn absolute() {
    let served = Served::new();
    let cases: &[(&[u8], Result<u64, Failure>)] = &[
        (b"", Ok(1)),
        (b"/", Ok(1)),
        (b"/.", Ok(1)),
        (b"/cluster", Ok(CLUSTER)),
        (b"/cluster/c/node/n1", Ok(N1)),
        (b"//cluster///c/./node//n1//", Ok(N1)),
        (b"/cluster/c/node/n1/../../heartbeat/R", Ok(REGION)),
        (b"/cluster/c/node/\xff\xfe n", Ok(RAW)),
        (b"/cluster/c/node/n9", Err(Failure::Missing)),
        (b"/cluster/x/node", Err(Failure::Missing)),
        (b"/cluster/c/node/n1/num", Err(Failure::NotDirectory)),
        (b"/cluster/c/node/n1/num/", Err(Failure::NotDirectory)),
        (b"/cluster/c/node/n1/num/x", Err(Failure::NotDirectory)),
        (b"/cluster/c/heartbeat/R/to-n1", Ok(N1)),
        (b"/cluster/c/heartbeat/R/to-n1/", Ok(N1)),
        (b"/cluster/c/heartbeat/R/to-n1/..", Ok(NODE)),
        (b"/cluster/c/heartbeat/R/around", Err(Failure::Loop)),
        (b"/cluster/c/heartbeat/R/to-num", Err(Failure::NotDirectory)),
        (b"/cluster/c/heartbeat/R/nowhere", Err(Failure::Missing)),
        (b"/..", Err(Failure::OutsideDirectory)),
        (b"/../mount/cluster", Ok(CLUSTER)),
        (b"/cluster/../../outside", Err(Failure::OutsideDirectory)),
        (b"/../none", Err(Failure::Missing)),
        (b"x", Err(Failure::Missing)),
    ];
    for (rest, expected) in cases {
        let target = join(&served.mount, rest);
        assert_eq!(served.from(Path::new(ROOT), &target), *expected, "{}", target.escape_ascii());
        // The slow way must say the same.
        let slow = [b"/./".as_slice(), &target].concat();
        assert_eq!(served.from(Path::new(ROOT), &slow), *expected, "{}", slow.escape_ascii());
    }
}

#[test]
fn names_have_limits() {
    let served = Served::new();
    let node = join(&served.mount, b"/cluster/c/node/");
    let ask = |rest: &[u8]| served.from(Path::new(ROOT), [&node[..], rest].concat());
    assert_eq!(ask(&[b'l'; 255]), Ok(LONG));
    assert_eq!(ask(&[b'l'; 256]), Err(Failure::TooLong));
    assert_eq!(served.from(&served.outside, [b'l'; 256]), Err(Failure::TooLong));
    let resolver = served.resolver.get().unwrap();
    let me = std::process::id();
    assert_eq!(resolver.resolve(me, b"", &Tree), Err(Failure::Missing));
    assert_eq!(resolver.resolve(me, &[b'/'; 4095], &Tree), Err(Failure::OutsideDirectory));
    assert_eq!(resolver.resolve(me, &[b'/'; 4096], &Tree), Err(Failure::TooLong));
}

#[test]
fn relative() {
    let served = Served::new();
    let inside = |path: &str| served.mount.join(path);
    assert_eq!(served.from(&served.mount, "cluster/c/node/n1"), Ok(N1));
    assert_eq!(served.from(&served.mount, "."), Ok(1));
    assert_eq!(served.from(&inside("cluster/c/node"), "n1"), Ok(N1));
    assert_eq!(served.from(&inside("cluster/c/node"), "./n1/"), Ok(N1));
    assert_eq!(served.from(&inside("cluster/c/node/n1"), "../../heartbeat/R"), Ok(REGION));
    // From the very directory that is being linked in, and through it.
    let region = inside("cluster/c/heartbeat/R");
    assert_eq!(served.from(&region, "../../node/n1"), Ok(N1));
    assert_eq!(served.from(&region, "."), Ok(REGION));
    assert_eq!(served.from(&region, "to-n1"), Ok(N1));
    let through = "mount/cluster/c/heartbeat/R/../../node/n1";
    assert_eq!(served.from(served.mount.parent().unwrap(), through), Ok(N1));
    // configfs does not resolve from the link's directory.
    assert_eq!(served.from(Path::new(ROOT), "../../node/n1"), Err(Failure::Missing));
    // Out of the tree, and in again.
    assert_eq!(served.from(&region, "../../../../.."), Err(Failure::OutsideDirectory));
    assert_eq!(served.from(&region, "../../../../../mount/cluster"), Ok(CLUSTER));
    assert_eq!(served.from(&region, "../../../../../outside"), Err(Failure::OutsideDirectory));
    assert_eq!(served.from(&served.outside, "../mount/cluster/c/node/n1"), Ok(N1));
    assert_eq!(served.from(&served.outside, "../mount/../mount/cluster"), Ok(CLUSTER));
    let far = format!("../../../../../../../../../..{}/cluster", served.mount.display());
    assert_eq!(served.from(&region, far), Ok(CLUSTER));
}

#[test]
fn links_outside() {
    let served = Served::new();
    let out = &served.outside;
    let absolute = join(&served.mount, b"/cluster/c/node");
    symlink(std::ffi::OsStr::from_bytes(&absolute), out.join("absolute")).unwrap();
    symlink("../mount/cluster", out.join("relative")).unwrap();
    symlink("relative/c/heartbeat/R/to-n1", out.join("twice")).unwrap();
    symlink("around", out.join("around")).unwrap();
    symlink("nowhere", out.join("dangling")).unwrap();
    symlink("/proc/self/cwd", out.join("cwd")).unwrap();
    std::fs::write(out.join("file"), "").unwrap();
    symlink("file", out.join("to-file")).unwrap();
    assert_eq!(served.from(out, "absolute/n1"), Ok(N1));
    assert_eq!(served.from(out, "absolute"), Ok(NODE));
    assert_eq!(served.from(out, "absolute/.."), Ok(3));
    assert_eq!(served.from(out, "relative"), Ok(CLUSTER));
    assert_eq!(served.from(out, "relative/c/node/n1"), Ok(N1));
    assert_eq!(served.from(out, "twice/../n1"), Ok(N1));
    assert_eq!(served.from(out, "around"), Err(Failure::Loop));
    assert_eq!(served.from(out, "dangling"), Err(Failure::Missing));
    assert_eq!(served.from(out, "file"), Err(Failure::NotDirectory));
    assert_eq!(served.from(out, "file/x"), Err(Failure::NotDirectory));
    assert_eq!(served.from(out, "to-file"), Err(Failure::NotDirectory));
    assert_eq!(served.from(out, "/dev/null"), Err(Failure::NotDirectory));
    assert_eq!(served.from(out, "/"), Err(Failure::OutsideDirectory));
    assert_eq!(served.from(out, "cwd/absolute/n1"), Ok(N1));
}

#[test]
fn forty_links_and_no_more() {
    let served = Served::new();
    let out = &served.outside;
    symlink(&served.mount, out.join("0")).unwrap();
    for n in 1..=40 {
        symlink(format!("{}", n - 1), out.join(format!("{n}"))).unwrap();
    }
    assert_eq!(served.from(out, "39/cluster"), Ok(CLUSTER));
    assert_eq!(served.from(out, "40/cluster"), Err(Failure::Loop));
    let inside = "38/cluster/c/heartbeat/R/to-n1";
    assert_eq!(served.from(out, inside), Ok(N1));
    assert_eq!(served.from(out, format!("{}/x", inside.replace("38", "39"))), Err(Failure::Loop));
}

#[test]
fn proc_is_the_callers() {
    let served = Served::new();
    let node = served.mount.join("cluster/c/node");
    assert_eq!(served.from(&node, "/proc/self/cwd/n1"), Ok(N1));
    assert_eq!(served.from(&node, "/proc/thread-self/cwd"), Ok(NODE));
    assert_eq!(served.from(&node, "/proc/self/cwd/../../c"), Ok(3));
    assert_eq!(served.from(&node, "/proc/self/cwd/../../../.."), Err(Failure::OutsideDirectory));
    assert_eq!(served.from(&node, "/proc/self/exe"), Err(Failure::NotDirectory));
    assert_eq!(served.from(&node, "/proc/mounts"), Err(Failure::NotDirectory));
    assert_eq!(served.from(&node, "/proc/self/fd/999"), Err(Failure::Missing));
    assert_eq!(served.script(r#"exec 7<"$M/cluster/c"; ln -sT /dev/fd/7/node/n1 "$L""#), Ok(N1));
}

#[test]
fn callers_that_cannot_be_seen() {
    let served = Served::new();
    let resolver = served.resolver.get().unwrap();
    let target = join(&served.mount, b"/cluster");
    let slow = [b"/".as_slice(), &target].concat();
    for target in [&target, &slow] {
        assert_eq!(resolver.resolve(0, target, &Tree), Ok(CLUSTER));
    }
    assert_eq!(resolver.resolve(0, b"cluster", &Tree), Err(Failure::CallerOutside));
    let mut child = Command::new("true").spawn().unwrap();
    let dead = child.id();
    child.wait().unwrap();
    for target in [&target[..], &slow, b"cluster"] {
        assert_eq!(resolver.resolve(dead, target, &Tree), Err(Failure::CallerGone));
    }
}

#[test]
fn threads_have_numbers_too() {
    let served = Served::new();
    let resolver = served.resolver.get().unwrap();
    let target = join(&served.mount, b"/cluster");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let stat = std::fs::read_link("/proc/thread-self").unwrap();
            let thread: u32 = stat.file_name().unwrap().to_str().unwrap().parse().unwrap();
            assert_ne!(thread, std::process::id());
            assert_eq!(resolver.resolve(thread, &target, &Tree), Ok(CLUSTER));
            let here = resolver.resolve(thread, b".", &Tree);
            assert_eq!(here, Err(Failure::OutsideDirectory));
        });
    });
}

/// The quick way must hear of it when a directory on the way to the mount gets another name.
#[test]
fn a_directory_on_the_way_is_renamed() {
    let served = Served::new();
    let resolver = served.resolver.get().unwrap();
    let above = served.mount.parent().unwrap();
    let other = above.with_extension("renamed");
    let ask = |path: &[u8]| resolver.resolve(std::process::id(), path, &Tree);
    let (here, there) = (join(&served.mount, b"/cluster"), join(&other.join("mount"), b"/cluster"));
    for _ in 0..2 {
        assert!(resolver.is_settled());
        assert_eq!(ask(&here), Ok(CLUSTER));
        assert_eq!(ask(&there), Err(Failure::Missing));
        std::fs::rename(above, &other).unwrap();
        let asked = (ask(&here), ask(&there));
        // Something else under the old name is not taken for the mount.
        std::fs::create_dir_all(above.join("mount/cluster")).unwrap();
        let covered = ask(&here);
        std::fs::remove_dir_all(above).unwrap();
        std::fs::rename(&other, above).unwrap();
        assert_eq!(asked, (Err(Failure::Missing), Ok(CLUSTER)));
        assert_eq!(covered, Err(Failure::OutsideDirectory));
    }
}
