//! The record of the last fence: why a node went is told by the next one in its place.
//!
//! Its file is opened and its thread is started with the node. The thread alone writes, so that a file system that hangs
//! keeps nobody who has to go; when the process ends before it has written, there is no record.

use std::env;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::super::clock::{unix_now, utc};
use super::super::notes::Notes;
use super::super::threads::Standing;
use super::background::Background;
use super::{Outward, register};

/// How long a fence waits for the thread, unless its deadline comes before.
const WRITTEN: Duration = Duration::from_millis(300);
/// The same where it must come to the disk, because the machine restarts.
const ON_DISK: Duration = Duration::from_millis(400);
/// So much of a file has its place on the disk beforehand: writing over it takes one access.
const PLACE: usize = 4096;
/// No record is longer.
const LONGEST: u64 = 64 * 1024;

/// A node that was fenced.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Fenced {
    pub(crate) time: String,
    pub(crate) pid: u64,
    pub(crate) why: String,
}

/// The record of one place.
#[derive(Debug)]
pub(crate) struct Record {
    path: PathBuf,
    /// What the node is known by from one daemon to the next.
    place: String,
    earlier: Option<Fenced>,
    durable: bool,
    ending: AtomicBool,
    writer: Background,
}

impl Record {
    /// That of the node that is mounted, or has its socket, at `place`; in this folder. `durable`: what is written is to
    /// outlive the machine.
    ///
    /// # Errors
    /// Those of opening the file or starting the thread.
    pub(crate) fn open(folder: &Path, place: &Path, durable: bool) -> io::Result<Arc<Self>> {
        let path = folder.join(format!("{:016x}.fence", hash(place.as_os_str().as_bytes())));
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(&path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other(format!("{} is no file", path.display())));
        }
        let place = place.to_string_lossy().into_owned();
        let earlier = read(&file, &place);
        if durable && earlier.is_none() {
            file.write_all_at(&[b'\n'; PLACE], 0)?;
            file.sync_all()?;
        }
        let writer = Background::start("fence-record", Standing::Ordinary, move |line| {
            // One call. What a longer one before leaves behind it is another line.
            let written = file.write_all_at(line.as_bytes(), 0);
            written.and_then(|()| if durable { file.sync_data() } else { Ok(()) }).is_ok()
        })?;
        let record = Arc::new(Self { path, place, earlier, durable, ending: AtomicBool::new(false), writer });
        register(&record);
        Ok(record)
    }

    /// That of a node with this socket, in whose folder it is; where the machine restarts with a fence, in one that outlives
    /// that. Logs the last fence in this place.
    pub(crate) fn keep(socket: &Path, place: &Path, restarts: bool, notes: &Notes) -> Option<Arc<Self>> {
        let beside = socket.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
        let folder = if restarts { lasting() } else { beside.to_owned() };
        let made =
            if restarts { DirBuilder::new().recursive(true).mode(0o700).create(&folder) } else { Ok(()) };
        match made.and_then(|()| Self::open(&folder, place, restarts)) {
            Ok(record) => {
                if let Some(Fenced { time, pid, why }) = record.earlier() {
                    notes.warn(&format!(
                        "the last daemon in this place that was fenced, pid {pid}, ended at {time}: {why}"
                    ));
                }
                Some(record)
            }
            Err(error) => {
                notes.warn(&format!("no record of fences in {}: {error}", folder.display()));
                None
            }
        }
    }

    /// The last fence of an earlier daemon here.
    pub(crate) fn earlier(&self) -> Option<&Fenced> {
        self.earlier.as_ref()
    }

    /// The node ends without a fence: nothing stays unless there was one before.
    pub(crate) fn close(&self) {
        if self.earlier.is_none() && !self.ending.load(Ordering::SeqCst) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Where things of this user's are kept from one boot to the next; `UO2CB_STATE_DIR` names another place.
fn lasting() -> PathBuf {
    let named = |name| env::var_os(name).map(PathBuf::from).filter(|dir| dir.is_absolute());
    if let Some(dir) = named("UO2CB_STATE_DIR") {
        return dir;
    }
    if rustix::process::geteuid().is_root() {
        return "/var/lib/uo2cb".into();
    }
    let state = named("XDG_STATE_HOME").or_else(|| Some(named("HOME")?.join(".local/state")));
    state.unwrap_or_else(env::temp_dir).join("uo2cb")
}

/// The first line, if it is of this place. Whatever else a file holds is no record.
fn read(file: &File, place: &str) -> Option<Fenced> {
    let mut bytes = Vec::new();
    file.take(LONGEST).read_to_end(&mut bytes).ok()?;
    let line = bytes.split(|byte| *byte == b'\n').next()?;
    let line: Value = serde_json::from_slice(line).ok()?;
    let text = |key| line.get(key).and_then(Value::as_str).map(str::to_owned);
    let of_place = text("place")? == place;
    of_place.then_some(Fenced { time: text("time")?, pid: line.get("pid")?.as_u64()?, why: text("why")? })
}

/// FNV-1a: the same in every version of this program.
fn hash(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

impl Outward for Record {
    fn tell(&self, why: &str) {
        self.ending.store(true, Ordering::SeqCst);
        let record =
            json!({"time": utc(unix_now()), "pid": std::process::id(), "place": self.place, "why": why});
        let _ = self.writer.hand_on(format!("{record}\n"));
    }

    fn settle(&self) {
        self.writer.wait(if self.durable { ON_DISK } else { WRITTEN });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fenced(record: &Arc<Record>, why: &str) {
        record.tell(why);
        assert!(record.writer.wait(Duration::from_secs(20)));
    }

    #[test]
    fn the_next_one_in_this_place_reads_the_last_fence() {
        let folder = tempfile::tempdir().unwrap();
        let open = |place: &str| Record::open(folder.path(), Path::new(place), false).unwrap();
        let count = || fs::read_dir(folder.path()).unwrap().count();
        let first = open("/a");
        assert_eq!((first.earlier(), count()), (None, 1));
        first.close();
        assert_eq!(count(), 0, "nothing happened");
        let second = open("/a");
        fenced(&second, "a long reason, which the next one does not have: \u{e4}\n\"quoted\"");
        second.close();
        let third = open("/a");
        let earlier = third.earlier().unwrap();
        assert_eq!(earlier.why, "a long reason, which the next one does not have: \u{e4}\n\"quoted\"");
        assert_eq!(earlier.pid, u64::from(std::process::id()));
        // Still known to the one after it, until there is another.
        third.close();
        fenced(&open("/a"), "short");
        assert_eq!(open("/a").earlier().map(|fenced| fenced.why.clone()), Some("short".into()));
        assert_eq!(open("/b").earlier(), None);
    }

    #[test]
    fn what_is_no_record_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let record = Record::open(folder.path(), Path::new("/a"), true).unwrap();
        let path = record.path.clone();
        fenced(&record, "why");
        let whole = fs::read(&path).unwrap();
        for bytes in [&b""[..], b"\n", b"{}\n", b"{\"why\":1}\n", &whole[..20], &[0xff; 300]] {
            fs::write(&path, bytes).unwrap();
            assert_eq!(Record::open(folder.path(), Path::new("/a"), true).unwrap().earlier(), None);
        }
        // Of another place with the same hash.
        fs::write(&path, String::from_utf8(whole).unwrap().replace("\"/a\"", "\"/b\"")).unwrap();
        assert_eq!(Record::open(folder.path(), Path::new("/a"), true).unwrap().earlier(), None);
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("elsewhere", &path).unwrap();
        assert!(Record::open(folder.path(), Path::new("/a"), true).is_err());
    }
}
