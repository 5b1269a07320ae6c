//! Words for the flags of system calls.

use rustix::fs::{Access, FileType, FlockOperation, OFlags, RenameFlags};

use super::Failure;

/// The flags of open(2): words joined with commas, such as `rw,trunc`.
pub(super) fn open(words: &str) -> Result<OFlags, Failure> {
    let mut flags = OFlags::CLOEXEC;
    for word in words.split(',') {
        flags |= match word {
            "r" => OFlags::RDONLY,
            "w" => OFlags::WRONLY,
            "rw" => OFlags::RDWR,
            // Linux takes both access bits together as "neither, but check for both".
            "acc3" => OFlags::from_bits_retain(3),
            "creat" => OFlags::CREATE,
            "excl" => OFlags::EXCL,
            "trunc" => OFlags::TRUNC,
            "append" => OFlags::APPEND,
            "sync" => OFlags::SYNC,
            "nonblock" => OFlags::NONBLOCK,
            "direct" => OFlags::DIRECT,
            "directory" => OFlags::DIRECTORY,
            "nofollow" => OFlags::NOFOLLOW,
            "noatime" => OFlags::NOATIME,
            "path" => OFlags::PATH,
            "tmpfile" => OFlags::TMPFILE,
            _ => return Err(Failure::Unknown),
        };
    }
    Ok(flags)
}

/// The kind of object for mknod(2).
pub(super) fn file_type(word: &str) -> Result<FileType, Failure> {
    Ok(match word {
        "reg" => FileType::RegularFile,
        "dir" => FileType::Directory,
        "lnk" => FileType::Symlink,
        "fifo" => FileType::Fifo,
        "sock" => FileType::Socket,
        "chr" => FileType::CharacterDevice,
        "blk" => FileType::BlockDevice,
        _ => return Err(Failure::Unknown),
    })
}

/// One letter for the kind of a directory entry.
pub(super) fn letter(file_type: FileType) -> char {
    match file_type {
        FileType::RegularFile => 'r',
        FileType::Directory => 'd',
        FileType::Symlink => 'l',
        FileType::Fifo => 'p',
        FileType::Socket => 's',
        FileType::CharacterDevice => 'c',
        FileType::BlockDevice => 'b',
        FileType::Unknown => '?',
    }
}

/// The flags of renameat2(2).
pub(super) fn rename(words: Option<&str>) -> Result<RenameFlags, Failure> {
    let mut flags = RenameFlags::empty();
    for word in words.into_iter().flat_map(|words| words.split(',')) {
        flags |= match word {
            "noreplace" => RenameFlags::NOREPLACE,
            "exchange" => RenameFlags::EXCHANGE,
            "whiteout" => RenameFlags::WHITEOUT,
            _ => return Err(Failure::Unknown),
        };
    }
    Ok(flags)
}

/// The rights that access(2) asks for: letters of `rwx`, or `f` for mere existence.
pub(super) fn access(letters: &str) -> Result<Access, Failure> {
    let mut rights = Access::empty();
    for letter in letters.chars() {
        rights |= match letter {
            'f' => Access::EXISTS,
            'r' => Access::READ_OK,
            'w' => Access::WRITE_OK,
            'x' => Access::EXEC_OK,
            _ => return Err(Failure::Unknown),
        };
    }
    Ok(rights)
}

/// A lock operation, never waiting.
pub(super) fn lock(word: &str) -> Result<FlockOperation, Failure> {
    Ok(match word {
        "shared" => FlockOperation::NonBlockingLockShared,
        "exclusive" => FlockOperation::NonBlockingLockExclusive,
        "unlock" => FlockOperation::NonBlockingUnlock,
        _ => return Err(Failure::Unknown),
    })
}
