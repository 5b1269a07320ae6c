//! Taking the tree back to how it was after the mount, between two lists.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, unlinkat, utimensat};

const NOW: Timestamps = Timestamps {
    last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_NOW },
    last_modification: Timespec { tv_sec: 0, tv_nsec: UTIME_NOW },
};

/// Removes everything that can be removed, and undoes what outlives an object: the two values that survive their
/// cluster, and the mode and owner of the permanent directories.
pub(super) fn clean(root: &Path) -> io::Result<()> {
    // A target cannot go before the links to it, and those may come later in the walk.
    empty(root);
    empty(root);
    reset_heartbeat(&root.join("cluster"))?;
    for permanent in permanent(root)? {
        chown(&permanent, Some(0), Some(0))?;
        fs::set_permissions(&permanent, fs::Permissions::from_mode(0o755))?;
        // All times equal, as after the mount, whichever of the above took a tick of the clock.
        utimensat(CWD, &permanent, &NOW, AtFlags::empty())?;
    }
    Ok(())
}

/// Depth first. Refusals are expected everywhere: default groups and attributes cannot be removed.
fn empty(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    let paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    for path in &paths {
        let _ = unlinkat(CWD, path, AtFlags::empty());
    }
    for path in paths {
        if path.is_dir() {
            empty(&path);
            let _ = unlinkat(CWD, &path, AtFlags::REMOVEDIR);
        }
    }
}

/// `dead_threshold` and `mode` keep their values when the cluster goes, so a cluster is made to set them back.
fn reset_heartbeat(subsystem: &Path) -> io::Result<()> {
    if !subsystem.is_dir() {
        return Ok(());
    }
    let cluster = subsystem.join("clean");
    fs::create_dir(&cluster)?;
    let heartbeat = cluster.join("heartbeat");
    // Absent in trees of another heartbeat method.
    for (name, value) in [("dead_threshold", "31\n"), ("mode", "local\n")] {
        let attribute = heartbeat.join(name);
        if attribute.exists() {
            fs::write(attribute, value)?;
        }
    }
    fs::remove_dir(cluster)
}

/// The directories that exist from the mount on.
fn permanent(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = vec![root.to_path_buf()];
    let mut next = 0;
    while next < found.len() {
        let entries = fs::read_dir(&found[next])?;
        found.extend(entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()));
        next += 1;
    }
    Ok(found)
}
