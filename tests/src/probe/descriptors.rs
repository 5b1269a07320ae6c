//! Operations on descriptors that an earlier line opened, each under a name of the list's choice.

use std::os::fd::{AsRawFd as _, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{self, AtFlags, CWD, FallocateFlags, Mode, SeekFrom};
use rustix::io::IoSlice;
use rustix::mm::{MapFlags, ProtFlags};
use rustix::pipe::{SpliceFlags, pipe, splice};
use rustix::{io, mm, process, termios};

use super::args::Args;
use super::paths::done;
use super::status::describe;
use super::{Answer, Failure, Probe, flags};
use crate::words::escape;

impl Probe {
    /// Executes `verb` if it is one of this module's.
    pub(super) fn descriptor_verb(&mut self, verb: &str, args: &mut Args<'_>) -> Option<Answer> {
        Some(match verb {
            "open" => self.open(args),
            "openat" => self.openat(args),
            "close" => self.close(args),
            "pipe" => self.pipe(args),
            "read" => self.read(args),
            "pread" => self.pread(args),
            "write" => self.write(args),
            "pwrite" => self.pwrite(args),
            "writev" => self.writev(args),
            "putfd" => self.putfd(args),
            "lseek" => self.lseek(args),
            "fstat" => self.descriptor(args).and_then(|file| Ok(describe(&fs::fstat(file)?))),
            "fsync" => self.descriptor(args).and_then(|file| done(fs::fsync(file))),
            "fdatasync" => self.descriptor(args).and_then(|file| done(fs::fdatasync(file))),
            "fchdir" => self.descriptor(args).and_then(|file| done(process::fchdir(file))),
            "ftruncate" => self.ftruncate(args),
            "fallocate" => self.fallocate(args),
            "fchmod" => self.fchmod(args),
            "mmap" => self.mmap(args),
            "ioctl" => self.ioctl(args),
            "poll" => self.poll(args),
            "flock" => self.flock(args),
            "lock" => self.lock(args),
            "sendfile" => self.sendfile(args),
            "splice" => self.splice(args),
            "copy" => self.copy(args),
            "mkdirat" => self.mkdirat(args),
            "unlinkat" => self.unlinkat(args, AtFlags::empty()),
            "rmdirat" => self.unlinkat(args, AtFlags::REMOVEDIR),
            "symlinkat" => self.symlinkat(args),
            _ => return None,
        })
    }

    /// The descriptor that the next word names.
    pub(super) fn descriptor(&self, args: &mut Args<'_>) -> Result<&OwnedFd, Failure> {
        self.descriptors.get(args.word()?).ok_or(Failure::Unknown)
    }

    fn open(&mut self, args: &mut Args<'_>) -> Answer {
        let name = args.word()?.to_owned();
        let path = args.path()?;
        let flags = flags::open(args.word()?)?;
        let file = fs::openat(CWD, path, flags, Mode::from_raw_mode(args.mode(0o644)?))?;
        self.descriptors.insert(name, file);
        Ok(String::new())
    }

    fn openat(&mut self, args: &mut Args<'_>) -> Answer {
        let directory = self.descriptor(args)?;
        let name = args.word()?.to_owned();
        let path = args.path()?;
        let flags = flags::open(args.word()?)?;
        let file = fs::openat(directory, path, flags, Mode::from_raw_mode(0o644))?;
        self.descriptors.insert(name, file);
        Ok(String::new())
    }

    fn close(&mut self, args: &mut Args<'_>) -> Answer {
        self.descriptors.remove(args.word()?).map(|_| String::new()).ok_or(Failure::Unknown)
    }

    fn pipe(&mut self, args: &mut Args<'_>) -> Answer {
        let (reader, writer) = pipe()?;
        self.descriptors.insert(args.word()?.to_owned(), reader);
        self.descriptors.insert(args.word()?.to_owned(), writer);
        Ok(String::new())
    }

    fn read(&mut self, args: &mut Args<'_>) -> Answer {
        let file = self.descriptor(args)?;
        let mut buffer = vec![0; args.number()?];
        let count = io::read(file, &mut buffer[..])?;
        Ok(escape(&buffer[..count]))
    }

    fn pread(&mut self, args: &mut Args<'_>) -> Answer {
        let file = self.descriptor(args)?;
        let offset = args.number::<i64>()?;
        let mut buffer = vec![0; args.number()?];
        let count = io::pread(file, &mut buffer[..], offset as u64)?;
        Ok(escape(&buffer[..count]))
    }

    fn write(&mut self, args: &mut Args<'_>) -> Answer {
        let file = self.descriptor(args)?;
        Ok(io::write(file, &args.bytes()?)?.to_string())
    }

    fn pwrite(&mut self, args: &mut Args<'_>) -> Answer {
        let file = self.descriptor(args)?;
        let offset = args.number::<i64>()?;
        Ok(io::pwrite(file, &args.bytes()?, offset as u64)?.to_string())
    }

    fn writev(&mut self, args: &mut Args<'_>) -> Answer {
        let file = self.descriptor(args)?;
        let parts = args.rest()?;
        let slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
        Ok(io::writev(file, &slices)?.to_string())
    }

    /// Writes the number that the second descriptor has in this process. How many digits that takes is chance, so
    /// the answer is without the count.
    fn putfd(&mut self, args: &mut Args<'_>) -> Answer {
        let file = self.descriptor(args)?;
        let number = self.descriptor(args)?.as_raw_fd();
        done(io::write(file, format!("{number}\n").as_bytes()).map(drop))
    }

    fn lseek(&mut self, args: &mut Args<'_>) -> Answer {
        let file = self.descriptor(args)?;
        let offset = args.number::<i64>()?;
        let position = match args.word()? {
            "SET" => SeekFrom::Start(offset as u64),
            "CUR" => SeekFrom::Current(offset),
            "END" => SeekFrom::End(offset),
            "DATA" => SeekFrom::Data(offset as u64),
            "HOLE" => SeekFrom::Hole(offset as u64),
            _ => return Err(Failure::Unknown),
        };
        Ok(fs::seek(file, position)?.to_string())
    }

    fn ftruncate(&mut self, args: &mut Args<'_>) -> Answer {
        let file = self.descriptor(args)?;
        done(fs::ftruncate(file, args.number::<i64>()? as u64))
    }

    fn fallocate(&mut self, args: &mut Args<'_>) -> Answer {
        let file = self.descriptor(args)?;
        done(fs::fallocate(file, FallocateFlags::empty(), args.number()?, args.number()?))
    }

    fn fchmod(&mut self, args: &mut Args<'_>) -> Answer {
        let file = self.descriptor(args)?;
        done(fs::fchmod(file, Mode::from_raw_mode(args.mode(0)?)))
    }

    fn mmap(&mut self, args: &mut Args<'_>) -> Answer {
        let file = self.descriptor(args)?;
        let flags = match args.word()? {
            "shared" => MapFlags::SHARED,
            "private" => MapFlags::PRIVATE,
            _ => return Err(Failure::Unknown),
        };
        let length = 4096;
        // SAFETY: a mapping at an address of the kernel's choice touches no existing memory.
        let address = unsafe { mm::mmap(std::ptr::null_mut(), length, ProtFlags::READ, flags, file, 0) }?;
        // SAFETY: exactly the mapping made above, to which nothing refers.
        done(unsafe { mm::munmap(address, length) })
    }

    fn ioctl(&mut self, args: &mut Args<'_>) -> Answer {
        let file = self.descriptor(args)?;
        match args.word()? {
            "FIONREAD" => Ok(io::ioctl_fionread(file)?.to_string()),
            "TCGETS" => done(termios::tcgetattr(file).map(drop)),
            _ => Err(Failure::Unknown),
        }
    }

    /// What is ready at once, as a bit mask.
    fn poll(&mut self, args: &mut Args<'_>) -> Answer {
        let file = self.descriptor(args)?;
        let wanted = PollFlags::IN | PollFlags::OUT | PollFlags::PRI;
        let mut files = [PollFd::new(file, wanted)];
        poll(&mut files, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
        Ok(format!("{:x}", files[0].revents().bits()))
    }

    fn flock(&mut self, args: &mut Args<'_>) -> Answer {
        let file = self.descriptor(args)?;
        done(fs::flock(file, flags::lock(args.word()?)?))
    }

    fn lock(&mut self, args: &mut Args<'_>) -> Answer {
        let file = self.descriptor(args)?;
        done(fs::fcntl_lock(file, flags::lock(args.word()?)?))
    }

    fn sendfile(&mut self, args: &mut Args<'_>) -> Answer {
        let (from, to) = (self.descriptor(args)?, self.descriptor(args)?);
        Ok(fs::sendfile(to, from, None, args.number()?)?.to_string())
    }

    fn splice(&mut self, args: &mut Args<'_>) -> Answer {
        let (from, to) = (self.descriptor(args)?, self.descriptor(args)?);
        Ok(splice(from, None, to, None, args.number()?, SpliceFlags::NONBLOCK)?.to_string())
    }

    fn copy(&mut self, args: &mut Args<'_>) -> Answer {
        let (from, to) = (self.descriptor(args)?, self.descriptor(args)?);
        Ok(fs::copy_file_range(from, None, to, None, args.number()?)?.to_string())
    }

    fn mkdirat(&mut self, args: &mut Args<'_>) -> Answer {
        let directory = self.descriptor(args)?;
        done(fs::mkdirat(directory, args.path()?, Mode::from_raw_mode(0o777)))
    }

    fn unlinkat(&mut self, args: &mut Args<'_>, how: AtFlags) -> Answer {
        let directory = self.descriptor(args)?;
        done(fs::unlinkat(directory, args.path()?, how))
    }

    fn symlinkat(&mut self, args: &mut Args<'_>) -> Answer {
        let target = args.path()?;
        let directory = self.descriptor(args)?;
        done(fs::symlinkat(&target, directory, args.path()?))
    }
}
