//! Mounting by the system's own calls, on a directory that is open.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags, open, statx};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, UnmountFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount, move_mount, unmount,
};

use super::{Options, SOURCE};
use crate::mounts::Id;

/// Where descriptors are paths.
pub(super) fn path_of(fd: impl AsFd) -> String {
    format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd())
}

/// A new connection, mounted on the directory. None where this user is not allowed to.
pub(super) fn attach(dir: BorrowedFd<'_>, options: &Options) -> io::Result<Option<(OwnedFd, Option<Id>)>> {
    let fuse = open("/dev/fuse", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    let values = values(dir, &fuse)?;
    let root = rustix::process::geteuid().is_root();
    match by_descriptor(dir, &values, options, root) {
        Ok(id) => return Ok(Some((fuse, Some(id)))),
        // Unknown to the kernel, or to what filters its calls: the older call may be allowed.
        Err(Errno::NOSYS | Errno::PERM) => {}
        Err(errno) => return Err(errno.into()),
    }
    match by_path(dir, &values, options, root) {
        Ok(()) => Ok(Some((fuse, None))),
        Err(Errno::PERM) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// What the kernel's FUSE wants to be told with each mount.
fn values(dir: BorrowedFd<'_>, fuse: &OwnedFd) -> io::Result<[(&'static str, String); 4]> {
    let found = statx(dir, c"", AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC, StatxFlags::BASIC_STATS)?;
    Ok([
        ("fd", fuse.as_raw_fd().to_string()),
        ("rootmode", format!("{:o}", found.stx_mode)),
        ("user_id", rustix::process::getuid().as_raw().to_string()),
        ("group_id", rustix::process::getgid().as_raw().to_string()),
    ])
}

fn by_descriptor(
    dir: BorrowedFd<'_>,
    values: &[(&'static str, String)],
    options: &Options,
    root: bool,
) -> Result<Id, Errno> {
    let context = fsopen("fuse", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let context = context.as_fd();
    for (key, value) in values {
        fsconfig_set_string(context, *key, value.as_str())?;
    }
    fsconfig_set_string(context, "source", SOURCE)?;
    fsconfig_set_string(context, "subtype", SOURCE)?;
    fsconfig_set_flag(context, "default_permissions")?;
    if options.allow_other {
        fsconfig_set_flag(context, "allow_other")?;
    }
    fsconfig_create(context)?;
    // As the kernel's own mount where that is allowed.
    let attributes = match root {
        true => MountAttrFlags::empty(),
        false => MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOSUID,
    };
    let made = fsmount(context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    let id = Id::of(&made).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    let how = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(made.as_fd(), c"", dir, c"", how)?;
    Ok(id)
}

fn by_path(
    dir: BorrowedFd<'_>,
    values: &[(&'static str, String)],
    options: &Options,
    root: bool,
) -> Result<(), Errno> {
    let mut data: Vec<_> = values.iter().map(|(key, value)| format!("{key}={value}")).collect();
    data.push("default_permissions".into());
    if options.allow_other {
        data.push("allow_other".into());
    }
    let flags = if root { MountFlags::empty() } else { MountFlags::NODEV | MountFlags::NOSUID };
    let data = std::ffi::CString::new(data.join(",")).map_err(|_| Errno::INVAL)?;
    // A path that leads to the open directory, whatever has become of its name.
    mount(SOURCE, path_of(dir), format!("fuse.{SOURCE}"), flags, data.as_c_str())
}

/// Takes the mount away on whose root this descriptor stands: now for everybody who comes, later for those in it.
pub(super) fn detach(root: impl AsFd) -> Result<(), Errno> {
    unmount(path_of(root), UnmountFlags::DETACH)
}
