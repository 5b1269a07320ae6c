//! A watchdog device: /dev/watchdogN.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::{major, minor};
use rustix::io::Errno;
use rustix::ioctl::{Getter, Opcode, Updater, ioctl, opcode};

use super::super::super::error::plain;
use super::rule::Range;

/// `struct watchdog_info` of linux/watchdog.h.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct Info {
    options: u32,
    firmware_version: u32,
    identity: [u8; 32],
}

const GET_SUPPORT: Opcode = opcode::read::<Info>(b'W', 0);
const SET_OPTIONS: Opcode = opcode::read::<i32>(b'W', 4);
const SET_TIMEOUT: Opcode = opcode::read_write::<i32>(b'W', 6);
const DISABLE_CARD: i32 = 1;
const ENABLE_CARD: i32 = 2;
const CAN_SET_TIMEOUT: u32 = 0x80;
const HAS_MAGIC_CLOSE: u32 = 0x100;

/// Open, and disarmed until it is [fed](Self::feed). Dropping it disarms and closes it; when the process ends in
/// another way while it is armed, the machine restarts.
#[derive(Debug)]
pub(super) struct Device {
    file: File,
    pub(super) path: PathBuf,
    pub(super) identity: String,
    pub(super) range: Range,
    /// In seconds, while it is armed.
    armed: Option<u32>,
}

impl Device {
    /// For a node with this write timeout. Opens it, and disarms it at once: to open such a device is to arm it. Whatever
    /// would keep it from being disarmed is therefore looked for before.
    ///
    /// # Errors
    /// In words: it is no watchdog, or not one that can do what is wanted, or it is in use.
    pub(super) fn open(path: &Path, write_timeout: Duration) -> Result<Self, String> {
        let found = fs::metadata(path).map_err(|error| plain(&error))?;
        if !found.file_type().is_char_device() {
            return Err("it is no watchdog device".into());
        }
        let class = class(found.rdev())?;
        if number(&class, "nowayout")? != 0 {
            return Err("it cannot be disarmed (nowayout), so a clean stop would restart the machine".into());
        }
        let longest = match number(&class, "max_timeout") {
            Ok(0) | Err(_) => u32::MAX,
            Ok(longest) => longest,
        };
        let range = Range { shortest: number(&class, "min_timeout").unwrap_or(1).max(1), longest };
        if let Some(why) = range.refused(write_timeout) {
            return Err(why);
        }
        let opened = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NOCTTY).open(path);
        let file = opened.map_err(|error| match Errno::from_io_error(&error) {
            Some(Errno::BUSY) => "it is in use: by another program, or by another node".into(),
            _ => plain(&error),
        })?;
        let mut device = Self { file, path: path.to_owned(), identity: String::new(), range, armed: Some(0) };
        // From here on dropping it disarms it.
        device.disarm().map_err(|errno| format!("it cannot be disarmed: {errno}"))?;
        let info = device.info().map_err(|errno| errno.to_string())?;
        if info.options & CAN_SET_TIMEOUT == 0 {
            return Err("its timeout cannot be set".into());
        }
        if info.options & HAS_MAGIC_CLOSE == 0 {
            return Err(
                "closing it disarms it, so a daemon that is killed would not restart the machine".into()
            );
        }
        let identity = info.identity.split(|byte| *byte == 0).next().unwrap_or_default();
        device.identity = String::from_utf8_lossy(identity).into_owned();
        Ok(device)
    }

    fn info(&self) -> Result<Info, Errno> {
        // SAFETY: the request writes one `Info`, for which all bytes are valid.
        unsafe { ioctl(&self.file, Getter::<GET_SUPPORT, Info>::new()) }
    }

    fn set_options(&self, mut options: i32) -> Result<(), Errno> {
        // SAFETY: the request reads one int.
        unsafe { ioctl(&self.file, Updater::<SET_OPTIONS, i32>::new(&mut options)) }
    }

    fn set_timeout(&self, seconds: u32) -> Result<u32, Errno> {
        let mut value = i32::try_from(seconds).unwrap_or(i32::MAX);
        // SAFETY: the request reads and writes one int.
        unsafe { ioctl(&self.file, Updater::<SET_TIMEOUT, i32>::new(&mut value)) }?;
        Ok(value.unsigned_abs())
    }

    /// Armed?
    pub(super) fn armed(&self) -> bool {
        self.armed.is_some()
    }

    /// Feeds it with this timeout, and arms it if it is not. Gives the seconds that it has chosen where that is new.
    pub(super) fn feed(&mut self, seconds: u32) -> Result<Option<u32>, Errno> {
        if self.armed == Some(seconds) {
            return self.feed_again().map(|()| None);
        }
        // This feeds it, too.
        let chosen = self.set_timeout(seconds)?;
        if self.armed.is_none() {
            self.set_options(ENABLE_CARD)?;
        }
        self.armed = Some(seconds);
        Ok(Some(chosen))
    }

    /// Feeds it as it was fed last.
    pub(super) fn feed_again(&self) -> Result<(), Errno> {
        // Anything but the letter that lets it be closed.
        rustix::io::write(&self.file, b"\0").map(drop)
    }

    /// The machine restarts as soon as the device can do it.
    pub(super) fn starve(&self) {
        if self.armed() {
            let _ = self.set_timeout(self.range.shortest);
        }
    }

    /// The machine does not restart, whatever happens.
    pub(super) fn disarm(&mut self) -> Result<(), Errno> {
        if self.armed() {
            self.set_options(DISABLE_CARD)?;
            self.armed = None;
        }
        Ok(())
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if thread::panicking() {
            // That is a fence.
            return;
        }
        let _ = self.disarm();
        // Whatever became of that: closed behind this letter it is disarmed.
        let _ = rustix::io::write(&self.file, b"V");
    }
}

/// Where the kernel shows the device, by its number.
fn class(device: u64) -> Result<PathBuf, String> {
    /// That of misc devices, of which `watchdog`, the old name of the first device, is one.
    const MISC: u32 = 10;
    const WATCHDOG: u32 = 130;
    let numbers = (major(device), minor(device));
    let class = match numbers {
        (MISC, WATCHDOG) => "/sys/class/watchdog/watchdog0".into(),
        (major, minor) => PathBuf::from(format!("/sys/dev/char/{major}:{minor}")),
    };
    let subsystem = fs::canonicalize(class.join("subsystem")).unwrap_or_default();
    if subsystem.file_name().is_none_or(|name| name != "watchdog") {
        return Err("it is no watchdog device".into());
    }
    Ok(class)
}

fn number(class: &Path, file: &str) -> Result<u32, String> {
    let path = class.join(file);
    let text = fs::read_to_string(&path);
    let text = text.map_err(|error| format!("what it can do is unknown: {}: {error}", path.display()))?;
    text.trim().parse().map_err(|_| format!("what it can do is unknown: {}: {}", path.display(), text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_watchdog_is_refused() {
        let open = |path| Device::open(Path::new(path), Duration::from_secs(60));
        for path in ["/dev/null", "/dev/tty", "/", "/proc/self/exe"] {
            assert_eq!(open(path).unwrap_err(), "it is no watchdog device", "{path}");
        }
        assert_eq!(open("/dev/watchdog9999").unwrap_err(), "No such file or directory");
    }

    #[test]
    fn requests_have_the_kernels_numbers() {
        assert_eq!([GET_SUPPORT, SET_OPTIONS, SET_TIMEOUT], [0x8028_5700, 0x8004_5704, 0xc004_5706]);
    }
}
