//! Disks: requests on their way out, results on their way in.

use uo2cb_core::heartbeat::disk::{DiskRequest, DiskResult};
use uo2cb_core::{Input, ItemId, Refusal};

use super::super::disk::{Extent, Opened, Owner, Wanted};
use super::{Monitor, State};

impl Owner for Monitor {
    fn disk_opened(&self, wanted: &Wanted, result: Result<Opened, Refusal>) {
        let disk = wanted.disk;
        let late = self.enter(|state, now| {
            // Given up, and the next one tries already: this was not for it.
            if state.opening.get(&disk) != Some(&wanted.request) {
                return Some(result);
            }
            state.opening.remove(&disk);
            let result = result.map(|opened| {
                let info = opened.info.clone();
                self.disks.add(wanted, opened);
                info
            });
            state.engine.handle(now, Input::Disk(disk, DiskResult::Opened(result)));
            None
        });
        drop(late);
    }

    fn disk_done(&self, disk: ItemId, result: DiskResult<'_>) {
        self.enter(|state, now| state.engine.handle(now, Input::Disk(disk, result)));
    }
}

impl State {
    pub(super) fn disk(
        &mut self,
        monitor: &Monitor,
        disk: ItemId,
        wanted: DiskRequest,
    ) -> Option<Input<'static>> {
        match wanted {
            DiskRequest::Open { request, caller, descriptor, block_bytes, start_block, blocks } => {
                self.opening.insert(disk, request);
                let extent = Extent { block_bytes, start_block, blocks };
                let wanted = Wanted { disk, request, caller, descriptor, extent };
                if let Err(refusal) = monitor.disks.open(wanted) {
                    self.opening.remove(&disk);
                    return Some(Input::Disk(disk, DiskResult::Opened(Err(refusal))));
                }
            }
            DiskRequest::Read { op, first, count } => monitor.disks.read(disk, op, first, count),
            DiskRequest::Write { op, slot, block } => monitor.disks.write(disk, op, slot, block),
            DiskRequest::Close => monitor.disks.close(disk),
        }
        None
    }
}
