//! What stat(2) and statfs(2) say, without what differs from run to run.

use rustix::fs::{self, AtFlags, CWD, Stat};
use rustix::time::{ClockId, clock_gettime};

use super::args::Args;
use super::{Answer, Failure, Probe};

/// Times of an object, each in nanoseconds.
#[derive(Clone, Copy)]
pub(super) struct Times {
    access: i128,
    modify: i128,
    change: i128,
}

impl Probe {
    /// Executes `verb` if it is one of this module's.
    pub(super) fn status_verb(&mut self, verb: &str, args: &mut Args<'_>) -> Option<Answer> {
        Some(match verb {
            "stat" => stat(args, AtFlags::empty()).map(|stat| describe(&stat)),
            "lstat" => stat(args, AtFlags::SYMLINK_NOFOLLOW).map(|stat| describe(&stat)),
            "mark" => self.mark(args),
            "times" => self.times(args, AtFlags::empty()),
            "ltimes" => self.times(args, AtFlags::SYMLINK_NOFOLLOW),
            "atimes" => atimes(args),
            "statfs" => statfs(args),
            "fstype" => fstype(args),
            "fsflags" => fsflags(args),
            _ => return None,
        })
    }

    /// Remembers the times of an object. Returns only once the clock that stamps objects has moved on, so that a
    /// later change cannot carry the same time.
    fn mark(&mut self, args: &mut Args<'_>) -> Answer {
        let name = args.word()?;
        let times = Times::of(&stat(args, AtFlags::SYMLINK_NOFOLLOW)?);
        self.marks.insert(name.to_owned(), times);
        let start = coarse_now();
        while coarse_now() == start {
            std::thread::yield_now();
        }
        Ok(String::new())
    }

    /// How mtime and ctime relate to each other and, given a mark, to what they were then.
    fn times(&mut self, args: &mut Args<'_>, how: AtFlags) -> Answer {
        let times = Times::of(&stat(args, how)?);
        let mut answer = format!("m{}c", relation(times.modify, times.change));
        if let Some(name) = args.optional() {
            let mark = self.marks.get(name).ok_or(Failure::Unknown)?;
            let (modify, change) = (relation(mark.modify, times.modify), relation(mark.change, times.change));
            answer.push_str(&format!(" m:{modify} c:{change}"));
        }
        Ok(answer)
    }
}

impl Times {
    fn of(stat: &Stat) -> Self {
        let join =
            |seconds: i64, nanoseconds: u64| i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
        Self {
            access: join(stat.st_atime, stat.st_atime_nsec),
            modify: join(stat.st_mtime, stat.st_mtime_nsec),
            change: join(stat.st_ctime, stat.st_ctime_nsec),
        }
    }
}

fn coarse_now() -> (i64, i64) {
    let now = clock_gettime(ClockId::RealtimeCoarse);
    (now.tv_sec, now.tv_nsec)
}

fn relation(left: i128, right: i128) -> char {
    match left.cmp(&right) {
        std::cmp::Ordering::Less => '<',
        std::cmp::Ordering::Equal => '=',
        std::cmp::Ordering::Greater => '>',
    }
}

/// atime and mtime in seconds where a caller set them, `now` where the clock did.
fn atimes(args: &mut Args<'_>) -> Answer {
    let times = Times::of(&stat(args, AtFlags::SYMLINK_NOFOLLOW)?);
    let show = |time: i128| match time / 1_000_000_000 {
        seconds if seconds < 1_000_000_000 => seconds.to_string(),
        _ => "now".to_owned(),
    };
    Ok(format!("{} {}", show(times.access), show(times.modify)))
}

fn stat(args: &mut Args<'_>, how: AtFlags) -> Result<Stat, Failure> {
    Ok(fs::statat(CWD, args.path()?, how)?)
}

/// Mode, links, size, blocks, block size, owner, group.
pub(super) fn describe(stat: &Stat) -> String {
    format!(
        "{:06o} {} {} {} {} {} {}",
        stat.st_mode, stat.st_nlink, stat.st_size, stat.st_blocks, stat.st_blksize, stat.st_uid, stat.st_gid
    )
}

fn statfs(args: &mut Args<'_>) -> Answer {
    let fs = fs::statfs(args.path()?)?;
    Ok(format!(
        "bsize={} frsize={} blocks={} bfree={} bavail={} files={} ffree={} namelen={}",
        fs.f_bsize, fs.f_frsize, fs.f_blocks, fs.f_bfree, fs.f_bavail, fs.f_files, fs.f_ffree, fs.f_namelen
    ))
}

fn fstype(args: &mut Args<'_>) -> Answer {
    Ok(format!("{:x}", fs::statfs(args.path()?)?.f_type))
}

fn fsflags(args: &mut Args<'_>) -> Answer {
    Ok(format!("{:x}", fs::statfs(args.path()?)?.f_flags))
}
