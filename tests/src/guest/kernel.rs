//! The kernel that the guest boots: a distribution's package, unpacked but not installed.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use parking_lot::Mutex;

use super::Error;
use crate::program;

static FETCH: Mutex<()> = Mutex::new(());

/// An unpacked kernel package.
pub(super) struct Kernel {
    image: PathBuf,
    modules: HashMap<String, PathBuf>,
}

impl Kernel {
    /// The cached kernel, or the newest that apt offers, which then stays in the cache.
    pub(super) fn get() -> Result<Self, Error> {
        let cache = program::target_dir()?.join("guest-kernel");
        {
            // Guests that boot at the same time need one download.
            let _one = FETCH.lock();
            if !cache.is_dir() {
                fetch(&cache)?;
            }
        }
        let boot = fs::read_dir(cache.join("boot"))?.flatten().map(|entry| entry.path());
        let image = boot
            .filter(|path| {
                path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"vmlinuz-"))
            })
            .max()
            .ok_or_else(|| Error::new(format!("no kernel below {}", cache.display())))?;
        let mut modules = HashMap::new();
        index(&cache.join("lib/modules"), &mut modules)?;
        Ok(Self { image, modules })
    }

    pub(super) fn image(&self) -> &Path {
        &self.image
    }

    /// Name and content of these modules and of all that they need, in an order in which they can be loaded.
    pub(super) fn modules(&self, wanted: &[String]) -> Result<Vec<(String, Vec<u8>)>, Error> {
        let mut loaded = Vec::new();
        for name in wanted {
            if !self.modules.contains_key(&plain(name)) {
                return Err(Error::new(format!("the kernel package has no module {name}")));
            }
            self.load(&plain(name), &mut loaded)?;
        }
        Ok(loaded)
    }

    fn load(&self, name: &str, loaded: &mut Vec<(String, Vec<u8>)>) -> Result<(), Error> {
        // A needed module without a file is built into the kernel.
        let Some(path) = self.modules.get(name) else {
            return Ok(());
        };
        if loaded.iter().any(|(known, _)| known == name) {
            return Ok(());
        }
        let content = fs::read(path)?;
        for needed in needs(&content) {
            self.load(&needed, loaded)?;
        }
        loaded.push((name.to_owned(), content));
        Ok(())
    }
}

/// Module names are written with `-` or `_`, without a difference.
fn plain(name: &str) -> String {
    name.replace('-', "_")
}

fn index(folder: &Path, modules: &mut HashMap<String, PathBuf>) -> Result<(), Error> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            index(&path, modules)?;
        } else if path.extension().is_some_and(|extension| extension == "ko") {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            modules.insert(plain(&name), path);
        }
    }
    Ok(())
}

/// What a module names in the NUL-separated settings of its `.modinfo`: those it links to, and those it wants first.
fn needs(module: &[u8]) -> Vec<String> {
    let mut needed = Vec::new();
    for setting in module.split(|&byte| byte == 0) {
        let Ok(setting) = std::str::from_utf8(setting) else {
            continue;
        };
        if let Some(names) = setting.strip_prefix("depends=") {
            needed.extend(names.split(',').map(plain));
        } else if let Some(names) = setting.strip_prefix("softdep=pre:") {
            needed.extend(names.split_whitespace().map(plain));
        }
    }
    needed
}

/// Unpacks beside the cache and renames, so that a cache that exists is whole.
fn fetch(cache: &Path) -> Result<(), Error> {
    let beside = cache.parent().unwrap_or(Path::new("."));
    let work = tempfile::tempdir_in(beside)?;
    let package = newest_package()?;
    program::output(Command::new("apt-get").args(["download", &package]).current_dir(work.path()))?;
    let files: Vec<PathBuf> = fs::read_dir(work.path())?.flatten().map(|entry| entry.path()).collect();
    let [file] = files.as_slice() else {
        return Err(Error::new(format!("apt-get download {package} left {} files", files.len())));
    };
    let unpacked = work.path().join("unpacked");
    program::output(Command::new("dpkg").arg("-x").arg(file).arg(&unpacked))?;
    match fs::rename(&unpacked, cache) {
        // Somebody else was faster.
        Err(_) if cache.is_dir() => Ok(()),
        result => Ok(result?),
    }
}

fn newest_package() -> Result<String, Error> {
    let pattern = r"^linux-image-6\.1\.0-[0-9]+-amd64$";
    let found = program::output(Command::new("apt-cache").args(["search", "--names-only", pattern]))?;
    let build = |name: &&str| name.split('-').nth(3).and_then(|number| number.parse::<u32>().ok());
    let names = found.lines().filter_map(|line| line.split(' ').next());
    let newest = names.max_by_key(build);
    newest
        .map(str::to_owned)
        .ok_or_else(|| Error::new("apt knows no linux-image-6.1.0-*-amd64; run apt-get update"))
}
