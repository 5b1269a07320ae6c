//! The part of the kernel's nvmet tree that has links, as a second subsystem of the tree engine: `hosts`,
//! `subsystems` and their `allowed_hosts`. It shows that the engine knows nothing of o2cb.

use std::collections::{BTreeMap, BTreeSet};

use uo2cb_core::tree::{Attribute, Context, Kind, Made, Stored, Subsystem, Tree};
use uo2cb_core::{Errno, ItemId, Name, Now, Refusal};

const fn kind(name: &'static str, makes: bool, links: bool, attributes: &'static [Attribute]) -> Kind {
    Kind { name, makes, links, attributes }
}

static NVMET: Kind = kind("nvmet", false, false, &[]);
static HOSTS: Kind = kind("hosts", true, false, &[]);
static HOST: Kind = kind("host", false, false, &[]);
static SUBSYSTEMS: Kind = kind("subsystems", true, false, &[]);
static SUBSYSTEM: Kind = kind("subsystem", false, false, &[Attribute::read_write("attr_allow_any_host")]);
static ALLOWED_HOSTS: Kind = kind("allowed_hosts", false, true, &[]);

const WRONG_TARGET: Refusal = Refusal::Subsystem(Errno::EINVAL, "the target is not a host");
const ANY_HOST: Refusal = Refusal::Subsystem(Errno::EINVAL, "any host is allowed already");
const HOSTS_LISTED: Refusal = Refusal::Subsystem(Errno::EINVAL, "hosts are listed already");
const LISTED: Refusal = Refusal::Subsystem(Errno::EEXIST, "the host is listed already");
const BAD_BOOLEAN: Refusal = Refusal::Subsystem(Errno::EINVAL, "not a boolean");
/// Name of the discovery subsystem, which exists without a directory.
const DISCOVERY: &[u8] = b"nqn.2014-08.org.nvmexpress.discovery";
/// Longest name of a subsystem.
const NQN_MAX: usize = 223;

#[derive(Debug, Default)]
struct Target {
    any_host: bool,
    hosts: BTreeSet<ItemId>,
}

/// The state behind the directories: subsystems by their directory.
#[derive(Debug, Default)]
pub struct Nvmet(BTreeMap<ItemId, Target>);

impl Nvmet {
    /// Puts `nvmet/` with its default groups into a tree.
    ///
    /// # Errors
    /// When the name is taken.
    pub fn build(tree: &mut Tree, now: Now) -> Result<(), Refusal> {
        let groups = vec![("subsystems", Made::plain(&SUBSYSTEMS)), ("hosts", Made::plain(&HOSTS))];
        tree.add(ItemId::ROOT, "nvmet", &Made { kind: &NVMET, groups }, now).map(drop)
    }

    /// The subsystem whose `allowed_hosts` directory is `source`.
    fn target(&mut self, cx: &Context<'_>, source: ItemId) -> Result<&mut Target, Refusal> {
        let subsystem = cx.items.parent(source).ok_or(Refusal::Gone)?;
        self.0.get_mut(&subsystem).ok_or(Refusal::Gone)
    }
}

impl Subsystem for Nvmet {
    fn make(&mut self, cx: &Context<'_>, parent: ItemId, name: &Name, id: ItemId) -> Result<Made, Refusal> {
        if cx.items.kind(parent).is_some_and(|kind| kind.is(&HOSTS)) {
            return Ok(Made::plain(&HOST));
        }
        match name.as_bytes() {
            DISCOVERY => {
                return Err(Refusal::Subsystem(Errno::EINVAL, "the discovery subsystem is not made"));
            }
            name if name.len() > NQN_MAX => {
                return Err(Refusal::Subsystem(
                    Errno::ENAMETOOLONG,
                    "a subsystem's name has at most 223 bytes",
                ));
            }
            _ => {}
        }
        self.0.insert(id, Target::default());
        Ok(Made { kind: &SUBSYSTEM, groups: vec![("allowed_hosts", Made::plain(&ALLOWED_HOSTS))] })
    }

    fn drop_item(&mut self, _: &Context<'_>, item: ItemId) {
        self.0.remove(&item);
    }

    fn show(&mut self, _: &Context<'_>, item: ItemId, _: usize, out: &mut Vec<u8>) -> Result<(), Refusal> {
        let target = self.0.get(&item).ok_or(Refusal::Gone)?;
        out.extend_from_slice(if target.any_host { b"1\n" } else { b"0\n" });
        Ok(())
    }

    fn store(&mut self, _: &Context<'_>, item: ItemId, _: usize, data: &[u8]) -> Result<Stored, Refusal> {
        let target = self.0.get_mut(&item).ok_or(Refusal::Gone)?;
        // kstrtobool: the first letter decides, of `on` and `off` the second.
        let any_host = match data {
            [b'1' | b'y' | b'Y' | b't' | b'T', ..] | [b'o' | b'O', b'n' | b'N', ..] => true,
            [b'0' | b'n' | b'N' | b'f' | b'F', ..] | [b'o' | b'O', b'f' | b'F', ..] => false,
            _ => return Err(BAD_BOOLEAN),
        };
        if any_host && !target.hosts.is_empty() {
            return Err(HOSTS_LISTED);
        }
        target.any_host = any_host;
        Ok(Stored::Done)
    }

    fn allow_link(&mut self, cx: &Context<'_>, source: ItemId, target: ItemId) -> Result<(), Refusal> {
        if !cx.items.kind(target).is_some_and(|kind| kind.is(&HOST)) {
            return Err(WRONG_TARGET);
        }
        let subsystem = self.target(cx, source)?;
        if subsystem.any_host {
            return Err(ANY_HOST);
        }
        if subsystem.hosts.insert(target) { Ok(()) } else { Err(LISTED) }
    }

    fn drop_link(&mut self, cx: &Context<'_>, source: ItemId, target: ItemId) {
        if let Ok(subsystem) = self.target(cx, source) {
            subsystem.hosts.remove(&target);
        }
    }
}
