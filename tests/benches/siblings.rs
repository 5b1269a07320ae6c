//! What calls cost in a directory of very many: with each tenfold number of siblings, in microseconds.
//!
//! The daemon as users run it, as in `requests`. One operation must not cost more where there are more siblings; only
//! reading a directory does, in proportion.

#[path = "support/listing.rs"]
mod listing;

use std::error::Error;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use uo2cb_tests::mount::Mount;
use uo2cb_tests::program;

/// Nodes beside each other, and as many regions.
const SIBLINGS: [usize; 3] = [1_000, 10_000, 100_000];
/// How often each operation is tried.
const TRIES: usize = 200;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let mut daemon = Command::new(program::release_uo2cb()?);
    daemon.arg("mount");
    let log = folder.path().join("log");
    let log = log.to_str().ok_or("a temporary folder of a strange name")?;
    let mount = Mount::start(daemon, &["--heartbeat-mode", "user", "--foreground", "--log", log])?;
    let cluster = mount.root().join("cluster/c");
    fs::create_dir(&cluster)?;
    println!("microseconds, medians of {TRIES} tries; filling: for one of all\n");
    println!(
        "{:>8} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10} {:>12} {:>12}",
        "siblings", "fill node", "region", "address", "lookup", "mkdir", "rmdir", "ln", "rm", "readdir, ms"
    );
    let mut have = 0;
    for siblings in SIBLINGS {
        let row = Row::measure(&cluster, have, siblings)?;
        have = siblings;
        println!("{siblings:8} {row}");
    }
    Ok(())
}

/// The times at one number of siblings.
struct Row {
    fill: [Duration; 2],
    calls: Vec<Duration>,
    readdir: Duration,
}

impl Row {
    /// Fills the directories up to `siblings` and measures.
    fn measure(cluster: &Path, have: usize, siblings: usize) -> Result<Self, Box<dyn Error>> {
        let (nodes, regions) = (cluster.join("node"), cluster.join("heartbeat"));
        let mut fill = [Duration::ZERO; 2];
        for (dir, fill) in [&nodes, &regions].into_iter().zip(&mut fill) {
            let start = Instant::now();
            for number in have..siblings {
                fs::create_dir(dir.join(format!("s{number}")))?;
            }
            *fill = start.elapsed() / u32::try_from(siblings - have)?;
        }
        let mut times: [Vec<Duration>; 6] = Default::default();
        for number in 0..TRIES {
            let (node, region) = (nodes.join("new"), regions.join(format!("s{}", siblings - 1 - number)));
            let link = region.join("new");
            let known = nodes.join(format!("s{}", siblings / 2 + number));
            let mut timed = |which: usize, call: &mut dyn FnMut() -> std::io::Result<()>| {
                let start = Instant::now();
                call()?;
                times[which].push(start.elapsed());
                Ok::<_, std::io::Error>(())
            };
            timed(2, &mut || fs::create_dir(&node))?;
            let address = node.join("ipv4_address");
            timed(0, &mut || fs::write(&address, "127.0.0.1"))?;
            fs::write(node.join("ipv4_port"), "7777")?;
            fs::write(node.join("num"), "1")?;
            timed(4, &mut || symlink(&node, &link))?;
            timed(5, &mut || fs::remove_file(&link))?;
            timed(3, &mut || fs::remove_dir(&node))?;
            timed(1, &mut || fs::metadata(&known).map(drop))?;
        }
        let calls = times.map(median).to_vec();
        let lists: Result<Vec<_>, Box<dyn Error>> = (0..5)
            .map(|_| {
                let start = Instant::now();
                let count = listing::count(&nodes)?;
                if count == siblings { Ok(start.elapsed()) } else { Err(format!("{count} entries").into()) }
            })
            .collect();
        Ok(Self { fill, calls, readdir: median(lists?) })
    }
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for time in self.fill.iter().chain(&self.calls) {
            write!(f, "{:10.1} ", time.as_nanos() as f64 / 1e3)?;
        }
        write!(f, "{:12.1}", self.readdir.as_nanos() as f64 / 1e6)
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
