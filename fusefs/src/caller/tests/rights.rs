//! Callers who may not search every directory.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};

use uo2cb_core::Caller;

use super::super::{Failure, MountId, Resolver};
use super::served::{CLUSTER, N1, Report, Served, Tree, in_own_name_space, rerun};

/// Users and a group that are nobody else's.
const UID: u32 = 54_321;
const GROUP: u32 = 54_322;

/// A process that stands in for a caller.
struct Other {
    child: Child,
    caller: Caller,
}

impl Other {
    /// With the options of setpriv(1), which has to make the user `uid` of it.
    fn new(uid: u32, options: &[&str]) -> Self {
        let mut command = Command::new("setpriv");
        command.args(options).args(["--pdeathsig", "KILL", "sleep", "600"]).current_dir("/");
        let child = command.spawn().unwrap();
        let other = Self { caller: Caller { pid: child.id(), uid, gid: uid }, child };
        // It is what it is to be once the program has been changed for the last time.
        let name = format!("/proc/{}/comm", other.child.id());
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while fs::read_to_string(&name).unwrap() != "sleep\n" {
            assert!(std::time::Instant::now() < deadline, "setpriv does not get on");
            std::thread::yield_now();
        }
        other
    }

    fn user() -> Self {
        Self::new(UID, &["--reuid=54321", "--regid=54321", "--clear-groups"])
    }

    fn asks(&self, served: &Served, target: impl AsRef<Path>) -> Report {
        let target = target.as_ref().to_str().unwrap().as_bytes();
        served.resolver.get().unwrap().resolve_for(self.caller, target, &Tree)
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// The tree below a directory that everybody may search; beside it one with things in it, as `closed`.
fn served() -> Served {
    let served = Served::new();
    mode(served.mount.parent().unwrap(), 0o755);
    mode(&served.outside, 0o755);
    let closed = served.outside.join("closed");
    fs::create_dir_all(closed.join("directory")).unwrap();
    fs::write(closed.join("file"), "").unwrap();
    symlink(&served.mount, closed.join("mount")).unwrap();
    mode(&closed, 0o700);
    served
}

#[test]
fn nothing_is_told_of_what_may_not_be_searched() {
    let served = served();
    let (other, closed) = (Other::user(), served.outside.join("closed"));
    for name in ["directory", "file", "none", "file/x", "none/x", "mount/cluster", ".", ".."] {
        assert_eq!(
            other.asks(&served, format!("{}/{name}", closed.display())),
            Err(Failure::Denied),
            "{name}"
        );
    }
    assert_eq!(other.asks(&served, &closed), Err(Failure::OutsideDirectory), "itself may be found");
    // Root is told.
    let root = Other::new(0, &[]);
    let answers = [
        ("directory", Failure::OutsideDirectory),
        ("file", Failure::NotDirectory),
        ("none", Failure::Missing),
    ];
    for (name, failure) in answers {
        assert_eq!(root.asks(&served, closed.join(name)), Err(failure), "{name}");
    }
    assert_eq!(root.asks(&served, closed.join("mount/cluster")), Ok(CLUSTER));
    mode(&closed, 0o711);
    for (name, failure) in answers {
        assert_eq!(other.asks(&served, closed.join(name)), Err(failure), "{name}");
    }
    assert_eq!(other.asks(&served, closed.join("mount/cluster")), Ok(CLUSTER));
}

#[test]
fn groups_count() {
    let served = served();
    let closed = served.outside.join("closed");
    chown(&closed, None, Some(GROUP)).unwrap();
    mode(&closed, 0o710);
    let target = closed.join("mount/cluster");
    assert_eq!(Other::user().asks(&served, &target), Err(Failure::Denied));
    let member = Other::new(UID, &["--reuid=54321", "--regid=54321", "--groups=54322"]);
    assert_eq!(member.asks(&served, &target), Ok(CLUSTER));
    // Who is of the class that may not is not of that which may.
    mode(&closed, 0o701);
    assert_eq!(member.asks(&served, &target), Err(Failure::Denied));
    assert_eq!(Other::user().asks(&served, &target), Ok(CLUSTER));
}

#[test]
fn capabilities_count() {
    let served = served();
    let closed = served.outside.join("closed");
    let target = closed.join("mount/cluster");
    let raise = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"];
    let options = [&["--reuid=54321", "--regid=54321", "--clear-groups"][..], &raise].concat();
    assert_eq!(Other::new(UID, &options).asks(&served, &target), Ok(CLUSTER));
    // Root without any is a user like others.
    let mut root = Other::new(0, &["--bounding-set=-all"]);
    assert_eq!(root.asks(&served, &target), Ok(CLUSTER), "the directory is root's");
    chown(&closed, Some(UID), Some(UID)).unwrap();
    root.caller.gid = 0;
    assert_eq!(root.asks(&served, &target), Err(Failure::Denied));
}

/// The list denies one user what the mode allows everybody else.
#[test]
fn access_lists_count() {
    let served = served();
    let closed = served.outside.join("closed");
    mode(&closed, 0o755);
    let entry = |tag: u16, may: u16, id: u32| {
        [&tag.to_le_bytes()[..], &may.to_le_bytes(), &id.to_le_bytes()].concat()
    };
    let list = [
        2_u32.to_le_bytes().to_vec(),
        entry(0x01, 7, u32::MAX),
        entry(0x02, 0, UID),
        entry(0x04, 5, u32::MAX),
        entry(0x10, 5, u32::MAX),
        entry(0x20, 5, u32::MAX),
    ]
    .concat();
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(&closed, c"system.posix_acl_access", &list, flags).unwrap();
    let target = closed.join("mount/cluster");
    assert_eq!(Other::user().asks(&served, &target), Err(Failure::Denied));
    let third = Other::new(UID + 9, &["--reuid=54330", "--regid=54330", "--clear-groups"]);
    assert_eq!(third.asks(&served, &target), Ok(CLUSTER));
}

/// The quick way is for those who may go it, and hears of it when that changes.
#[test]
fn the_way_to_the_mount() {
    let served = served();
    let other = Other::user();
    let target = served.mount.join("cluster/c/node/n1");
    let quick = || {
        let (resolver, path) = (served.resolver.get().unwrap(), target.to_str().unwrap().as_bytes());
        resolver.within(other.caller, path, &Tree).is_some()
    };
    for _ in 0..2 {
        assert_eq!((quick(), other.asks(&served, &target)), (true, Ok(N1)));
        mode(served.mount.parent().unwrap(), 0o700);
        assert_eq!((quick(), other.asks(&served, &target)), (false, Err(Failure::Denied)));
        assert_eq!(Other::new(0, &[]).asks(&served, &target), Ok(N1));
        mode(served.mount.parent().unwrap(), 0o755);
    }
}

/// From a program with the set-user-id bit that acts for its user just now.
#[test]
fn the_user_before_file_systems_counts() {
    if !in_own_name_space("caller::tests::rights::the_user_before_file_systems_counts") {
        return;
    }
    let served = served();
    let target = served.outside.join("closed/mount/cluster");
    let (tell, told) = std::sync::mpsc::channel();
    let (end, ended) = std::sync::mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // SAFETY: changes this thread alone, which ends with this closure.
            unsafe { libc::setfsuid(UID) };
            tell.send(rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs()).unwrap();
            let _ = ended.recv();
        });
        let caller = Caller { pid: told.recv().unwrap(), uid: UID, gid: 0 };
        let path = target.to_str().unwrap().as_bytes();
        let report = served.resolver.get().unwrap().resolve_for(caller, path, &Tree);
        assert_eq!(report, Err(Failure::Denied));
        drop(end);
    });
    // SAFETY: takes numbers only.
    assert_eq!(unsafe { libc::prctl(libc::PR_GET_DUMPABLE, 0, 0, 0, 0) }, 1, "as before");
}

/// A daemon without rights of its own over others: what everybody may search, and nothing else.
#[test]
fn without_the_right_to_take_on_others() {
    if !in_own_name_space("caller::tests::rights::without_the_right_to_take_on_others") {
        return;
    }
    let served = served();
    let closed = served.outside.join("closed");
    let target = closed.join("mount/cluster");
    let other = Other::user();
    // A thread of yet another user, and what it resolves.
    let ask = |target: &Path| {
        let (caller, resolver) = (other.caller, served.resolver.get().unwrap());
        let path = target.to_str().unwrap().as_bytes().to_vec();
        let walk = move || {
            // SAFETY: changes this thread alone, which ends with this closure.
            assert_eq!(unsafe { libc::syscall(libc::SYS_setresuid, UID + 7, UID + 7, UID + 7) }, 0);
            resolver.everywhere(caller, &path, &Tree).map_err(|unresolved| unresolved.failure)
        };
        std::thread::scope(|scope| scope.spawn(walk).join().unwrap())
    };
    mode(&closed, 0o755);
    assert_eq!(ask(&target), Ok(CLUSTER));
    chown(&closed, Some(UID + 7), None).unwrap();
    mode(&closed, 0o700);
    assert_eq!(ask(&target), Err(Failure::Denied), "this process may, the caller may not");
    mode(&closed, 0o711);
    assert_eq!(ask(&target), Ok(CLUSTER));
    mode(&closed, 0o701);
    assert_eq!(ask(&target), Err(Failure::Denied), "not known to be of the class that may");
}

/// What /proc does not show is not gone.
#[test]
fn a_proc_that_hides_others() {
    if !in_own_name_space("caller::tests::rights::a_proc_that_hides_others") {
        return;
    }
    let mounted = Command::new("mount").args(["-t", "proc", "-o", "hidepid=2", "proc", "/proc"]).status();
    assert!(mounted.unwrap().success());
    let served = served();
    let resolver = served.resolver.get().unwrap();
    let (other, mut child) = (Other::user(), Command::new("true").uid(UID).spawn().unwrap());
    child.wait().unwrap();
    let dead = Caller { pid: child.id(), ..other.caller };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // SAFETY: changes this thread alone, which ends with this closure.
            assert_eq!(unsafe { libc::syscall(libc::SYS_setresuid, UID + 7, UID + 7, UID + 7) }, 0);
            let ask = |caller| resolver.within(caller, b"cluster", &Tree).unwrap().unwrap_err().failure;
            assert_eq!(ask(other.caller), Failure::CallerHidden);
            assert_eq!(ask(dead), Failure::CallerGone);
        });
    });
}

/// unshare --pid without --mount-proc: the numbers of callers are there those of others.
#[test]
fn a_proc_of_another_name_space() {
    if !rerun("caller::tests::rights::a_proc_of_another_name_space", &["--pid", "--fork", "--kill-child"]) {
        return;
    }
    assert!(!super::super::proc_is_own());
    let resolver = Resolver::new(MountId::of("/proc".as_ref()).unwrap()).unwrap();
    // In here this process has the number 1; so has init in that /proc, whose current directory that is.
    let caller = Caller { pid: 1, uid: 0, gid: 0 };
    let ask = |target: &str| resolver.resolve_for(caller, target.as_bytes(), &Tree);
    assert_eq!(ask("cluster"), Err(Failure::ForeignProc));
    assert_eq!(ask("/proc/cluster"), Ok(CLUSTER), "from the root of this process");
    assert_eq!(ask("//proc/./cluster"), Ok(CLUSTER));
    for name in ["self", "thread-self"] {
        assert_eq!(ask(&format!("/dev/../proc/{name}/cwd")), Err(Failure::Missing), "in the tree's memory");
    }
}

#[test]
fn this_proc_is_own() {
    assert!(super::super::proc_is_own());
    if !rerun("caller::tests::rights::this_proc_is_own", &["--pid", "--fork", "--kill-child", "--mount-proc"])
    {
        return;
    }
    assert_eq!(std::process::id(), 1);
}
