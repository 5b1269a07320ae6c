use std::fs;

use super::*;
use crate::direct::DirectFile;

#[test]
fn without_registered_tables() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk");
    fs::write(&path, [3; 4096]).unwrap();
    for (files, buffers) in [(false, false), (false, true), (true, false), (true, true)] {
        let Ok(mut queue) = Uring::new() else { return };
        queue.fixed_files &= files;
        queue.fixed_buffers &= buffers;
        let before = queue.lockable;
        let device = Arc::new(DirectFile::open(&path, false).unwrap());
        let disk = queue.add(device, Room { read: 4096, write: 512 }).unwrap();
        queue.write(disk, 1, 512, &[4; 512]).unwrap();
        let mut results = Vec::new();
        while results.is_empty() {
            queue.complete(None, &mut |done| results.push(done.result)).unwrap();
        }
        queue.read(disk, 2, 0, 4096).unwrap();
        while results.len() < 2 {
            queue
                .complete(None, &mut |done| {
                    results.push(done.result);
                    assert_eq!((done.bytes[511], done.bytes[512], done.bytes[1024]), (3, 4, 3));
                })
                .unwrap();
        }
        assert_eq!(results, [Ok(512), Ok(4096)]);
        let taken = if queue.fixed_buffers { 4096 + 4096 } else { 0 };
        assert_eq!(queue.lockable, before - taken);
        queue.remove(disk);
        assert_eq!(queue.lockable, before);
    }
}

#[test]
fn beyond_the_limit_on_locked_memory() {
    let Ok(mut queue) = Uring::new() else { return };
    queue.lockable = 4096 + 8192;
    let device = Arc::new(DirectFile::open("/proc/self/comm".as_ref(), false).unwrap());
    for (write, read) in [(true, true), (false, false)] {
        let disk = queue.add(device.clone(), Room { read: 8192, write: 512 }).unwrap();
        let disk = queue.disk(disk).unwrap();
        assert_eq!((disk.write.fixed, disk.read.fixed), (write, read));
    }
}
