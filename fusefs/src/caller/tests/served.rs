//! A small tree, mounted and served from one thread, whose symlink reports
//! what the resolver made of the target.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, Generation, INodeNo,
    MountOption, ReplyAttr, ReplyData, ReplyEntry, Request, SessionACL,
};

use uo2cb_core::Caller;

use super::super::{Failure, Inside, MountId, Resolver, Rights, Step};

pub(super) const CLUSTER: u64 = 2;
pub(super) const NODE: u64 = 4;
pub(super) const N1: u64 = 6;
pub(super) const REGION: u64 = 8;
pub(super) const RAW: u64 = 9;
pub(super) const LONG: u64 = 10;

/// Number, parent, name and the body of a link; `None`: a directory.
type Entry = (u64, u64, &'static [u8], Option<&'static str>);

/// A body that marks an attribute.
const ATTRIBUTE: &str = "\0";

const ENTRIES: &[Entry] = &[
    (CLUSTER, 1, b"cluster", None),
    (3, CLUSTER, b"c", None),
    (NODE, 3, b"node", None),
    (5, 3, b"heartbeat", None),
    (N1, NODE, b"n1", None),
    (7, NODE, b"n2", None),
    (RAW, NODE, b"\xff\xfe n", None),
    (LONG, NODE, &[b'l'; 255], None),
    (REGION, 5, b"R", None),
    (20, N1, b"num", Some(ATTRIBUTE)),
    (21, REGION, b"to-n1", Some("../../../../cluster/c/node/n1")),
    (22, REGION, b"around", Some("around")),
    (23, REGION, b"to-num", Some("../../node/n1/num")),
    (24, REGION, b"nowhere", Some("../../node/n9")),
];

impl Resolver {
    /// As a mount resolves it, for a caller of this process' own user: the quick way if that will do, and the
    /// long way then says the same.
    pub(super) fn resolve(&self, pid: u32, target: &[u8], inside: &(dyn Inside + Sync)) -> Report {
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        self.resolve_for(Caller { pid, uid, gid }, target, inside)
    }

    pub(super) fn resolve_for(&self, caller: Caller, target: &[u8], inside: &(dyn Inside + Sync)) -> Report {
        let quick = self.within(caller, target, inside);
        let walk = || self.everywhere(caller, target, inside);
        // Other rights stay to the end of the thread.
        let long = if Some(self.rights(caller)) == Rights::own(&self.proc) {
            walk()
        } else {
            std::thread::scope(|scope| scope.spawn(walk).join().expect("no panic"))
        };
        if let Some(quick) = quick {
            assert_eq!(quick, long, "{}", target.escape_ascii());
        }
        long.map_err(|unresolved| unresolved.failure)
    }
}

/// The tree in memory.
pub(super) struct Tree;

impl Inside for Tree {
    fn may_search(&self, _: u64) -> bool {
        true
    }

    fn step(&self, dir: u64, name: &[u8]) -> Step {
        match ENTRIES.iter().find(|entry| entry.1 == dir && entry.2 == name) {
            None => Step::Missing,
            Some((ino, _, _, None)) => Step::Directory(*ino),
            Some((_, _, _, Some(ATTRIBUTE))) => Step::File,
            Some((_, _, _, Some(body))) => Step::Link(body.as_bytes().to_vec()),
        }
    }

    fn parent(&self, dir: u64) -> Option<u64> {
        ENTRIES.iter().find(|entry| entry.0 == dir).map(|entry| entry.1)
    }
}

fn attributes(ino: u64) -> Option<FileAttr> {
    let kind = match ENTRIES.iter().find(|entry| entry.0 == ino) {
        None if ino != 1 => return None,
        None | Some((.., None)) => FileType::Directory,
        Some((.., Some(ATTRIBUTE))) => FileType::RegularFile,
        Some(_) => FileType::Symlink,
    };
    let now = UNIX_EPOCH;
    Some(FileAttr {
        ino: INodeNo(ino),
        size: 0,
        blocks: 0,
        atime: now,
        mtime: now,
        ctime: now,
        crtime: now,
        kind,
        perm: 0o755,
        nlink: 2,
        uid: 0,
        gid: 0,
        rdev: 0,
        flags: 0,
        blksize: 4096,
    })
}

/// Runs the named test once more in a mount name space of its own; true in
/// that run, false in the one outside, which has nothing left to do.
pub(super) fn in_own_name_space(test: &str) -> bool {
    rerun(test, &["-m", "--propagation", "private"])
}

/// The same with the name spaces that these options of unshare make.
pub(super) fn rerun(test: &str, unshare: &[&str]) -> bool {
    const INNER: &str = "UO2CB_TEST_INNER";
    if std::env::var_os(INNER).is_some_and(|inner| inner == test) {
        return true;
    }
    let status = Command::new("unshare")
        .args(unshare)
        .arg(std::env::current_exe().expect("this program"))
        .args(["--exact", test, "--nocapture"])
        .env(INNER, test)
        .status()
        .expect("unshare");
    assert!(status.success(), "under unshare {unshare:?}, which needs root: {status}");
    false
}

pub(super) type Report = Result<u64, Failure>;

struct Server {
    resolver: Arc<OnceLock<Resolver>>,
    reports: Sender<Report>,
}

/// Nothing stays valid: whatever the kernel wants to know, it has to ask.
const TTL: Duration = Duration::ZERO;

impl Filesystem for Server {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let entry = ENTRIES.iter().find(|e| e.1 == parent.0 && e.2 == name.as_bytes());
        match entry.and_then(|entry| attributes(entry.0)) {
            Some(attr) => reply.entry(&TTL, &attr, Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match attributes(ino.0) {
            Some(attr) => reply.attr(&TTL, &attr),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn readlink(&self, _: &Request, ino: INodeNo, reply: ReplyData) {
        match ENTRIES.iter().find(|entry| entry.0 == ino.0) {
            Some((.., Some(body))) => reply.data(body.as_bytes()),
            _ => reply.error(Errno::EINVAL),
        }
    }

    fn symlink(&self, req: &Request, _: INodeNo, _: &OsStr, target: &Path, reply: ReplyEntry) {
        let resolver = self.resolver.get().expect("the resolver is set before any caller runs");
        let caller = Caller { pid: req.pid(), uid: req.uid(), gid: req.gid() };
        let report = resolver.resolve_for(caller, target.as_os_str().as_bytes(), &Tree);
        // Nothing is made, so that every case can use the same name.
        reply.error(Errno::EDQUOT);
        let _ = self.reports.send(report);
    }
}

/// The mounted tree.
pub(super) struct Served {
    session: Option<BackgroundSession>,
    pub(super) resolver: Arc<OnceLock<Resolver>>,
    reports: Receiver<Report>,
    pub(super) mount: PathBuf,
    /// A directory outside the mount for the test's own use.
    pub(super) outside: PathBuf,
    _home: tempfile::TempDir,
}

impl Served {
    pub(super) fn new() -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let mount = home.path().canonicalize().expect("a path").join("mount");
        std::fs::create_dir(&mount).expect("a mount point");
        Self::at(mount, home)
    }

    pub(super) fn at(mount: PathBuf, home: tempfile::TempDir) -> Self {
        assert!(
            rustix::process::geteuid().is_root(),
            "this test mounts file systems and changes roots: run it as root"
        );
        let outside = home.path().canonicalize().expect("a path").join("outside");
        std::fs::create_dir(&outside).expect("a directory");
        let (sender, reports) = channel();
        let resolver = Arc::new(OnceLock::new());
        let server = Server { resolver: Arc::clone(&resolver), reports: sender };
        let mut config = Config::default();
        config.mount_options =
            vec![MountOption::FSName("uo2cb-test".to_owned()), MountOption::DefaultPermissions];
        config.acl = SessionACL::All;
        let session = fuser::spawn_mount(server, &mount, &config).expect("a mount");
        let id = MountId::of(&mount).expect("an identity");
        let made = Resolver::new(id).expect("a resolver");
        assert!(resolver.set(made).is_ok());
        Self { session: Some(session), resolver, reports, mount, outside, _home: home }
    }

    /// The path of the link that callers try to make.
    pub(super) fn link(&self) -> PathBuf {
        self.mount.join("cluster/c/heartbeat/R/new")
    }

    /// Has `ln -sT target link` done in `cwd`, with the real system call
    /// waiting, and returns what the resolver said.
    pub(super) fn from(&self, cwd: &Path, target: impl AsRef<[u8]>) -> Report {
        let target = OsString::from_vec(target.as_ref().to_vec());
        self.report(Command::new("ln").arg("-sT").arg("--").arg(target).arg(self.link()).current_dir(cwd))
    }

    /// Runs a script in a mount name space of its own; it has to call ln once.
    /// `$M` is the mount, `$L` the link, `$O` a directory outside.
    pub(super) fn script(&self, script: &str) -> Report {
        self.report(
            Command::new("unshare")
                .args(["-m", "--propagation", "private", "sh", "-ec", script])
                .env("M", &self.mount)
                .env("L", self.link())
                .env("O", &self.outside),
        )
    }

    fn report(&self, command: &mut Command) -> Report {
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("a child");
        let report = match self.reports.recv_timeout(Duration::from_secs(10)) {
            Ok(report) => Some(report),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => panic!("the server is gone"),
        };
        let Some(report) = report else {
            // The server may be waiting for itself; nothing here can be
            // unmounted then, so do not unwind.
            eprintln!("no report within ten seconds: {command:?}");
            let _ = Command::new("umount").arg("-f").arg(&self.mount).status();
            std::process::abort();
        };
        let output = child.wait_with_output().expect("an output");
        let text = String::from_utf8_lossy(&output.stderr);
        // EDQUOT shows that it was our symlink that ended the command.
        assert!(text.contains("quota"), "{command:?}: {text}");
        report
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Not joined: a name space that is still ending may keep the file system alive.
        drop(self.session.take());
        // What a test has mounted inside would keep the directory.
        let Some(home) = self.outside.parent() else { return };
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let points = mounts.lines().filter_map(|line| line.split(' ').nth(1));
        for point in points.filter(|point| Path::new(point).starts_with(home)) {
            let _ = Command::new("umount").arg("-l").arg(point).status();
        }
    }
}
