//! The rules of every attribute.

use uo2cb_core::Errno;

use super::{Kind, Opening, Reference, Res};
use crate::call::Output;
use crate::values;

impl Reference {
    /// False: it waits for the driver.
    pub(super) fn store(&mut self, request: u64, dir: &str, name: &'static str, value: &[u8]) -> Res<bool> {
        if self.attribute(dir, name).is_none_or(|(_, mode, _)| mode & 0o222 == 0) {
            return Err(Errno::EACCES);
        }
        if self.dropping(dir) {
            return Err(Errno::ENOENT);
        }
        let started = self.opening.iter().any(|opening| opening.dir.as_deref() == Some(dir));
        if started && ["block_bytes", "start_block", "blocks", "dev"].contains(&name) {
            return Err(Errno::EINVAL);
        }
        match name {
            "heartbeat_mode" => {
                if self.cluster().is_some() {
                    return Err(Errno::EBUSY);
                }
                self.method = match value {
                    b"user" | b"user\n" => "user",
                    b"disk" | b"disk\n" => "disk",
                    _ => return Err(Errno::EINVAL),
                };
            }
            "idle_timeout_ms" | "keepalive_delay_ms" | "reconnect_delay_ms" => {
                let new = values::number(value)?;
                if new == 0 {
                    return Err(Errno::EINVAL);
                }
                if new >= 4_294_967_295 {
                    return Err(Errno::ERANGE);
                }
                let idle = if name == "idle_timeout_ms" { new } else { self.number(dir, "idle_timeout_ms") };
                let keepalive =
                    if name == "keepalive_delay_ms" { new } else { self.number(dir, "keepalive_delay_ms") };
                if idle <= keepalive {
                    return Err(Errno::EINVAL);
                }
                self.set_text(dir, name, format!("{new}\n"));
            }
            "fence_method" => {
                let text = String::from_utf8_lossy(value).to_ascii_lowercase();
                if text != "reset\n" && text != "panic\n" {
                    return Err(Errno::EINVAL);
                }
                self.set_text(dir, name, text);
            }
            "num" => {
                let new = values::number(value)?;
                if new >= 255 {
                    return Err(Errno::ERANGE);
                }
                if self.set(dir, "ipv4_address").is_none() || self.set(dir, "ipv4_port").is_none() {
                    return Err(Errno::EINVAL);
                }
                self.set_once(dir, name, format!("{new}\n"), true)?;
            }
            "ipv4_port" => {
                let new = values::number(value)?;
                match new {
                    0 => return Err(Errno::EINVAL),
                    1..=65534 => self.set_once(dir, name, format!("{new}\n"), false)?,
                    _ => return Err(Errno::ERANGE),
                }
            }
            "ipv4_address" => {
                let new = values::address(value)?;
                self.set_once(dir, name, format!("{new}\n"), true)?;
            }
            "local" => return self.store_local(request, dir, value),
            "dead_threshold" => {
                let new = values::decimal(value)? as u32;
                if new > 2 && self.all(&[Kind::DiskRegion]).is_empty() {
                    self.dead_threshold = new;
                }
            }
            "mode" => {
                let text = String::from_utf8_lossy(value).to_ascii_lowercase();
                let word = text.strip_suffix('\n').unwrap_or(&text);
                let known = ["local", "global"].into_iter().find(|known| known.starts_with(word));
                let mode = known.filter(|_| !word.is_empty()).ok_or(Errno::EINVAL)?;
                if self.all(&[Kind::DiskRegion]).is_empty() {
                    self.disk_mode = mode;
                }
            }
            "block_bytes" => match values::number(value)? {
                new @ (512 | 1024 | 2048 | 4096) => self.set_text(dir, name, format!("{new}\n")),
                512..=4096 => return Err(Errno::EINVAL),
                _ => return Err(Errno::ERANGE),
            },
            "start_block" => {
                let new = values::strict(value)?;
                self.set_text(dir, name, format!("{new}\n"));
            }
            "blocks" => match values::number(value)? {
                new @ 1..=255 => self.set_text(dir, name, format!("{new}\n")),
                _ => return Err(Errno::ERANGE),
            },
            "dev" => {
                let local = self.local.clone().ok_or(Errno::EINVAL)?;
                let descriptor = values::number(value)?;
                let unset = |name| self.number(dir, name) == 0;
                if descriptor > i32::MAX as u64
                    || unset("blocks")
                    || unset("start_block")
                    || unset("block_bytes")
                    || self.number(&local, "num") >= self.number(dir, "blocks")
                {
                    return Err(Errno::EINVAL);
                }
                self.opening.push(Opening { request, dir: Some(dir.to_owned()) });
                self.out.push(Output::OpenDisk { request, descriptor });
                return Ok(false);
            }
            _ => return Err(Errno::EACCES),
        }
        Ok(true)
    }

    pub(super) fn set_once(&mut self, dir: &str, name: &'static str, text: String, unique: bool) -> Res<()> {
        let taken = |node: &String| self.set(node, name) == Some(&text);
        if unique && self.all(&[Kind::Node]).iter().any(taken) {
            return Err(Errno::EEXIST);
        }
        if self.set(dir, name).is_some() {
            return Err(Errno::EBUSY);
        }
        self.set_text(dir, name, text);
        Ok(())
    }

    pub(super) fn store_local(&mut self, request: u64, dir: &str, value: &[u8]) -> Res<bool> {
        let wanted = values::number(value)? != 0;
        if ["num", "ipv4_port", "ipv4_address"].iter().any(|name| self.set(dir, name).is_none()) {
            return Err(Errno::EINVAL);
        }
        let now = self.local.clone().or(self.starting.clone().map(|(node, _)| node));
        match now {
            None if wanted => {
                self.starting = Some((dir.to_owned(), request));
                let (address, port) = (self.text(dir, "ipv4_address"), self.number(dir, "ipv4_port"));
                self.out.push(Output::Listen { request, at: format!("{}:{port}", address.trim()) });
                return Ok(false);
            }
            Some(other) if wanted && other != dir => return Err(Errno::EBUSY),
            Some(other) if !wanted && other == dir => {
                self.local = None;
                self.starting = None;
                self.out.push(Output::StopListening);
                self.stop_regions();
            }
            _ => {}
        }
        Ok(true)
    }
}
