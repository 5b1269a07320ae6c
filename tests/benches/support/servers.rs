//! The servers, each a process of its own, on paths of equal length.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use uo2cb_tests::mount::Mount;
use uo2cb_tests::program;

/// One of them.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    mount: Mount,
}

/// What a server has used so far.
#[derive(Clone, Copy, Default)]
pub(crate) struct Used {
    /// Nanoseconds of processor, of all its threads.
    pub(crate) nanos: u64,
    /// Calls of read(2): the requests that it got, forgets among them. Only a thread without work reads anything else.
    pub(crate) reads: u64,
}

impl Server {
    /// The daemon as users run it, its log written to `log`, with the tree that the others pretend to have.
    pub(crate) fn uo2cb(log: &Path) -> Result<Self, Box<dyn Error>> {
        let mut daemon = Command::new(program::release_uo2cb()?);
        daemon.arg("mount");
        let log = log.to_str().ok_or("a temporary folder of a strange name")?;
        let mount = Mount::start(daemon, &["--heartbeat-mode", "user", "--foreground", "--log", log])?;
        let cluster = mount.root().join("cluster/c");
        fs::create_dir(&cluster)?;
        let node = cluster.join("node/n1");
        fs::create_dir(&node)?;
        fs::write(node.join("ipv4_address"), "127.0.0.1")?;
        fs::write(node.join("ipv4_port"), "7777")?;
        fs::write(node.join("num"), "1")?;
        fs::create_dir(cluster.join("heartbeat/R"))?;
        Ok(Self { name: "uo2cb", mount })
    }

    /// A file system that does nothing, on libfuse3; `folder` is for the program.
    pub(crate) fn libfuse(folder: &Path) -> Result<Self, Box<dyn Error>> {
        let program = compiled(folder)?;
        Ok(Self { name: "libfuse3", mount: Mount::start(Command::new(program), &[])? })
    }

    /// A file system that does nothing, on fuser, served by `program`.
    pub(crate) fn fuser(program: Command) -> Result<Self, Box<dyn Error>> {
        Ok(Self { name: "fuser", mount: Mount::start(program, &[])? })
    }

    pub(crate) fn root(&self) -> &Path {
        self.mount.root()
    }

    pub(crate) fn used(&self) -> Result<Used, Box<dyn Error>> {
        let proc = PathBuf::from(format!("/proc/{}", self.mount.pid()));
        let mut used = Used::default();
        for task in fs::read_dir(proc.join("task"))? {
            let stat = fs::read_to_string(task?.path().join("schedstat"))?;
            used.nanos += stat.split(' ').next().ok_or("schedstat is empty")?.parse::<u64>()?;
        }
        let io = fs::read_to_string(proc.join("io"))?;
        let reads = io.lines().find_map(|line| line.strip_prefix("syscr: "));
        used.reads = reads.ok_or("the kernel does not count reads")?.parse()?;
        Ok(used)
    }
}

/// Compiles nothing.c, with what the package libfuse3-dev brings.
fn compiled(folder: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/support/nothing.c");
    let program = folder.join("nothing");
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let mut compiler = Command::new(compiler);
    compiler.args(["-O2", "-Wall", "-D_FILE_OFFSET_BITS=64", "-o"]).arg(&program).args([source, "-lfuse3"]);
    let output = compiler.stdin(Stdio::null()).output()?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        let first = words.lines().find(|line| line.contains("error")).unwrap_or_default();
        return Err(format!("nothing.c does not compile (package libfuse3-dev?): {first}").into());
    }
    Ok(program)
}
