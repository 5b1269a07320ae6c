//! A program that a fence starts. All that is needed for that is there when the node starts: the program is looked up
//! and opened, its environment is collected, and a thread waits for the reason.
//!
//! The thread starts the program without copying or locking anything of this process, and gives it none of its
//! descriptors, so that nothing which the program does or waits for keeps the node.

use std::ffi::{CStr, CString, OsStr, c_char, c_int, c_void};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{env, ptr};

use rustix::fs::{Access, CWD, FileType, Mode, OFlags, access, fstat, openat};

use super::super::error::plain;
use super::super::mountpoint;
use super::super::notes::Notes;
use super::super::threads::Standing;
use super::background::Background;
use super::own::Own;
use super::{Outward, register};
use crate::error::Error;

/// How long looking for the program may take when the node starts.
const FOUND: Duration = Duration::from_secs(5);
/// How long a fence waits until it has been started.
const STARTED: Duration = Duration::from_millis(150);
/// Its descriptor where it runs, through which the interpreter of a script reads it.
const PROGRAM: c_int = 3;
/// No descriptor of ours that it needs is lower, so that none of those is overwritten.
const ABOVE: c_int = 10;
const STACK: usize = 64 * 1024;
/// Begins the names of the variables that tell it about the fence.
const VARIABLES: &[u8] = b"UO2CB_FENCE_";

/// A fence hands it the reason.
#[derive(Debug)]
pub(crate) struct Exec {
    starter: Background,
}

impl Exec {
    /// Finds and opens the program, and starts the thread.
    ///
    /// # Errors
    /// There is no such program, it may not be run, or its format is unknown; or those of starting a thread.
    pub(crate) fn prepare(program: &Path, own: &Arc<Own>, notes: &Notes) -> Result<Arc<Self>, Error> {
        let failed = |error| Error::FenceProgram(program.to_owned(), error);
        let name = program.to_owned();
        let opened = mountpoint::within(FOUND, move || find(&name))
            .unwrap_or_else(|| Err(io::Error::other("a file system on the way to it does not answer")));
        let mut launch = Launch::new(program, opened.map_err(failed)?).map_err(failed)?;
        let (own, notes) = (Arc::clone(own), notes.clone());
        let start = move |why: String| {
            if let Err(error) = launch.start(&own, &why) {
                notes.warn(&format!("the program of the fence was not started: {}", plain(&error)));
            }
            // Either way there is nothing more to wait for.
            true
        };
        let starter = Background::start("fence-exec", Standing::Ordinary, start).map_err(Error::System)?;
        let exec = Arc::new(Self { starter });
        register(&exec);
        Ok(exec)
    }
}

impl Outward for Exec {
    fn tell(&self, why: &str) {
        let _ = self.starter.hand_on(why.to_owned());
    }

    fn settle(&self) {
        self.starter.wait(STARTED);
    }
}

/// The file: by its path, or where the name has no slash, the first one in PATH that may be run.
fn find(program: &Path) -> io::Result<OwnedFd> {
    if program.as_os_str().as_bytes().contains(&b'/') {
        return open(program);
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let dirs = env::split_paths(&path).filter(|dir| dir.is_absolute());
    let found = dirs.map(|dir| dir.join(program)).find(|program| access(program, Access::EXEC_OK).is_ok());
    open(&found.ok_or_else(|| io::Error::other("there is no such program in PATH"))?)
}

/// Opens it if it can be run.
fn open(program: &Path) -> io::Result<OwnedFd> {
    // It may be allowed to be run and not to be read.
    let file = openat(CWD, program, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    if FileType::from_raw_mode(fstat(&file)?.st_mode) != FileType::RegularFile {
        return Err(io::Error::other("it is no file"));
    }
    let by_number = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    access(&by_number, Access::EXEC_OK)?;
    if let Ok(mut readable) = File::open(&by_number) {
        let mut begin = Vec::new();
        readable.by_ref().take(256).read_to_end(&mut begin)?;
        can_be_run(&begin)?;
    }
    Ok(rustix::io::fcntl_dupfd_cloexec(&file, ABOVE)?)
}

/// Whether the kernel knows the format, by the first bytes.
fn can_be_run(begin: &[u8]) -> io::Result<()> {
    if begin.starts_with(b"\x7fELF") {
        return Ok(());
    }
    let Some(line) = begin.strip_prefix(b"#!") else {
        return Err(io::Error::other("it is neither an ELF program nor a script that begins with #!"));
    };
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let mut words = line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
    let interpreter = Path::new(OsStr::from_bytes(words.next().unwrap_or_default()));
    access(interpreter, Access::EXEC_OK)
        .map_err(|errno| io::Error::other(format!("its interpreter {}: {errno}", interpreter.display())))
}

/// A program that is ready to be started.
struct Launch {
    program: OwnedFd,
    null: OwnedFd,
    name: CString,
    /// That of this process, as it was.
    environment: Vec<CString>,
    stack: Vec<u8>,
}

impl Launch {
    fn new(name: &Path, program: OwnedFd) -> io::Result<Self> {
        let null = openat(CWD, "/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        let environment = env::vars_os().filter_map(|(name, value)| {
            let (name, value) = (name.into_vec(), value.into_vec());
            let ours = name.starts_with(VARIABLES);
            (!ours).then(|| CString::new([&name, &b"="[..], &value].concat()).ok()).flatten()
        });
        Ok(Self {
            program,
            null: rustix::io::fcntl_dupfd_cloexec(&null, ABOVE)?,
            name: CString::new(name.as_os_str().as_bytes())?,
            environment: environment.collect(),
            stack: vec![0; STACK],
        })
    }

    /// Starts it; returns as soon as it runs.
    fn start(&mut self, own: &Own, why: &str) -> io::Result<()> {
        let names = own.names();
        let num = names.num.map(|num| num.to_string()).unwrap_or_default();
        let variables: [(&str, &[u8]); 5] = [
            ("CLUSTER", &names.cluster),
            ("NODE", &names.node),
            ("NODE_NUM", num.as_bytes()),
            ("METHOD", own.method().word().as_bytes()),
            ("REASON", why.as_bytes()),
        ];
        let told = variables.map(|(name, value)| {
            let value: Vec<u8> = value.iter().copied().filter(|byte| *byte != 0).collect();
            CString::new([VARIABLES, name.as_bytes(), b"=", &value].concat()).unwrap_or_default()
        });
        let environment: Vec<*const c_char> = self
            .environment
            .iter()
            .chain(&told)
            .map(|variable| variable.as_ptr())
            .chain([ptr::null()])
            .collect();
        let arguments = [self.name.as_ptr(), ptr::null()];
        let mut start = Start {
            program: self.program.as_fd().as_raw_fd(),
            null: self.null.as_fd().as_raw_fd(),
            arguments: arguments.as_ptr(),
            environment: environment.as_ptr(),
            failed: 0,
        };
        start.run(&mut self.stack)
    }
}

/// What the new process needs, in the memory of this one.
struct Start {
    program: c_int,
    null: c_int,
    arguments: *const *const c_char,
    environment: *const *const c_char,
    /// An errno, once it could not be started.
    failed: c_int,
}

impl Start {
    /// As posix_spawn does it, which cannot run a file by its descriptor.
    fn run(&mut self, stack: &mut [u8]) -> io::Result<()> {
        let top = stack.as_mut_ptr_range().end;
        let top = top.wrapping_sub(top.addr() % 16).cast::<c_void>();
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        let start = ptr::from_mut(self).cast::<c_void>();
        // SAFETY: the sets are initialized by sigfillset and the first pthread_sigmask. This thread stands still until the
        // new process has left its memory, so the process is alone with `self` and the stack, which it does not outgrow.
        // With all signals blocked no handler of ours runs in it.
        let (child, error) = unsafe {
            let (mut all, mut before) = (std::mem::zeroed(), std::mem::zeroed());
            libc::sigfillset(&mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
            let child = libc::clone(become_program, top, flags, start);
            let error = io::Error::last_os_error();
            libc::pthread_sigmask(libc::SIG_SETMASK, &before, ptr::null_mut());
            (child, error)
        };
        // Written by the other process, of which the compiler knows nothing.
        // SAFETY: it is a valid place in this thread's memory.
        match unsafe { ptr::read_volatile(&self.failed) } {
            _ if child < 0 => Err(error),
            0 => Ok(()),
            errno => Err(io::Error::from_raw_os_error(errno)),
        }
    }
}

/// The new process, until it is the program: system calls only.
extern "C" fn become_program(start: *mut c_void) -> c_int {
    const HERE: &CStr = c"";
    // SAFETY: `start` is valid, and nobody else's meanwhile; see `run`. What is called takes numbers, or pointers into it
    // and onto this stack.
    unsafe {
        let start = &mut *start.cast::<Start>();
        libc::setsid();
        for stream in 0..=2 {
            libc::dup2(start.null, stream);
        }
        libc::dup2(start.program, PROGRAM);
        // Mounts and sockets of ours must not live on in a program that waits for its disk.
        libc::syscall(libc::SYS_close_range, PROGRAM + 1, libc::c_uint::MAX, 0);
        let mut default: libc::sigaction = std::mem::zeroed();
        default.sa_sigaction = libc::SIG_DFL;
        for signal in 1..=64 {
            libc::sigaction(signal, &default, ptr::null_mut());
        }
        let mut none = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &none, ptr::null_mut());
        let (arguments, environment) = (start.arguments, start.environment);
        libc::syscall(
            libc::SYS_execveat,
            PROGRAM,
            HERE.as_ptr(),
            arguments,
            environment,
            libc::AT_EMPTY_PATH,
        );
        let errno = *libc::__errno_location();
        ptr::write_volatile(&mut start.failed, errno);
        libc::_exit(127)
    }
}
