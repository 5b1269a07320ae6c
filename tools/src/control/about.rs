//! What a node says of itself besides the state of its stack, and the record of it beside its socket, which can be read
//! also while the node does not answer.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use uo2cb_core::View;
use uo2cb_fusefs::mounts::{Device, Id, Mounts};

use super::socket::record;
use crate::error::view_name;

/// A mounted tree.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    pub(crate) view: View,
    pub(crate) point: PathBuf,
    pub(crate) device: Device,
    pub(crate) id: Id,
}

/// A node's trees and its beginning, as text.
#[derive(Clone, Debug)]
pub(crate) struct About {
    pub(crate) trees: Vec<Tree>,
    pub(crate) since: String,
}

impl About {
    /// `version`, `pid`, `since`, `mounts`, `devices`, and what hides a tree, as members of a JSON object.
    pub(crate) fn members(&self) -> Map<String, Value> {
        let by_view = |value: &dyn Fn(&Tree) -> Option<Value>| -> Value {
            let named =
                self.trees.iter().filter_map(|tree| Some((view_name(tree.view).to_owned(), value(tree)?)));
            Value::Object(named.collect())
        };
        let mut members = Map::new();
        members.insert("version".into(), env!("CARGO_PKG_VERSION").into());
        members.insert("pid".into(), std::process::id().into());
        members.insert("since".into(), self.since.clone().into());
        members.insert("mounts".into(), by_view(&|tree| Some(shown(&tree.point).into())));
        members.insert("devices".into(), by_view(&|tree| Some(tree.device.to_string().into())));
        let mounts = Mounts::read().unwrap_or_default();
        members.insert("hidden".into(), by_view(&|tree| Some(hidden(&mounts, tree)?.into())));
        members
    }

    /// Writes the record beside a socket.
    pub(crate) fn write(&self, socket: &Path) -> io::Result<()> {
        let tree = |tree: &Tree| json!({"view": view_name(tree.view), "point": tree.point.as_os_str().as_bytes(), "device": tree.device.to_string()});
        let text = json!({"mounts": self.trees.iter().map(tree).collect::<Vec<_>>()}).to_string();
        super::socket::remove_record(socket);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(record(socket))?;
        file.write_all(text.as_bytes())
    }
}

/// What keeps people from a tree that is still served.
fn hidden(mounts: &Mounts, tree: &Tree) -> Option<&'static str> {
    match mounts.get(tree.id).filter(|mount| mount.device == tree.device) {
        None => Some("unmounted where the daemon is, and still in use elsewhere"),
        Some(mount) if mounts.cover(mount).is_some() => Some("another mount covers it"),
        Some(_) => None,
    }
}

/// What a record may be long: a few paths, each byte a number.
const LONGEST: u64 = 256 * 1024;

/// The text of a record. What is no file, such as a FIFO that nobody writes to, is not waited for.
fn text(socket: &Path) -> io::Result<Vec<u8>> {
    let flags = libc::O_NONBLOCK | libc::O_NOFOLLOW;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(record(socket))?;
    let mut text = Vec::new();
    if file.metadata()?.is_file() {
        file.take(LONGEST).read_to_end(&mut text)?;
    }
    Ok(text)
}

/// Where a node's trees are, as its record has it.
pub(super) fn read(socket: &Path) -> Vec<(PathBuf, Device)> {
    let text = text(socket).unwrap_or_default();
    let record: Value = serde_json::from_slice(&text).unwrap_or_default();
    let tree = |tree: &Value| {
        let bytes = tree.get("point")?.as_array()?.iter();
        let bytes: Option<Vec<u8>> = bytes.map(|byte| u8::try_from(byte.as_u64()?).ok()).collect();
        Some((OsString::from_vec(bytes?).into(), tree.get("device")?.as_str()?.parse().ok()?))
    };
    record.get("mounts").and_then(Value::as_array).into_iter().flatten().filter_map(tree).collect()
}

/// A path as text that stands for it alone: what is not UTF-8, control characters and backslashes are escaped.
pub fn shown(path: &Path) -> String {
    let mut out = String::new();
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        for char in chunk.valid().chars() {
            match char {
                '\\' => out += "\\\\",
                char if char.is_control() => out.extend(char.escape_default()),
                char => out.push(char),
            }
        }
        for byte in chunk.invalid() {
            out += &format!("\\x{byte:02x}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_differ_are_shown_differently() {
        let path = |bytes: &[u8]| PathBuf::from(OsString::from_vec(bytes.to_vec()));
        for (bytes, text) in [
            (&b"/a b/\xc3\xa4"[..], "/a b/\u{e4}"),
            (b"/\xff", "/\\xff"),
            (b"/\xfe", "/\\xfe"),
            (b"/\\xff", "/\\\\xff"),
            (b"/a\nb", "/a\\nb"),
        ] {
            assert_eq!(shown(&path(bytes)), text);
        }
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("7.sock");
        assert!(read(&socket).is_empty());
        let id = Id::of(std::fs::File::open("/").unwrap()).unwrap();
        let point = PathBuf::from(OsString::from_vec(b"/a\n\xff".to_vec()));
        let device = Device { major: 0, minor: 51 };
        let trees = vec![Tree { view: View::Sysfs, point: point.clone(), device, id }];
        let about = About { trees, since: "S".into() };
        about.write(&socket).unwrap();
        about.write(&socket).unwrap();
        assert_eq!(read(&socket), [(point, device)]);
        let members = Value::Object(about.members());
        assert_eq!(members["mounts"]["sysfs"], "/a\\n\\xff");
        // The root has this id, but is no tree of ours.
        assert!(members["hidden"]["sysfs"].is_string());
        for wrong in ["", "[]", "{\"mounts\":[{}]}", "{\"mounts\":[{\"point\":[256],\"device\":\"0:1\"}]}"] {
            std::fs::write(record(&socket), wrong).unwrap();
            assert!(read(&socket).is_empty());
        }
    }

    /// Under the name of a record there may be anything.
    #[test]
    fn what_is_no_record_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let (fifo, endless) = (folder.path().join("7.sock"), folder.path().join("8.sock"));
        rustix::fs::mknodat(
            rustix::fs::CWD,
            record(&fifo),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
        std::os::unix::fs::symlink("/dev/zero", record(&endless)).unwrap();
        let limit = std::time::Duration::from_secs(60);
        for socket in [fifo, endless] {
            assert_eq!(crate::mountpoint::within(limit, move || read(&socket)), Some(Vec::new()));
        }
    }
}
