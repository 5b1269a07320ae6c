//! A disk that suffers, in a queue with a healthy one.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use common::{file_disk, queues, run, run_all};
use uo2cb_blockio::{DirectFile, Errno, Faulty, Refused, Room};

#[test]
fn a_suffering_file_beside_a_healthy_one() {
    let folder = tempfile::tempdir().unwrap();
    let room = Room { read: 4096, write: 512 };
    for mut queue in queues() {
        let (path, _) = file_disk(&folder, "disk", 4096);
        let healthy = Arc::new(DirectFile::open(&path, false).unwrap());
        let script = "eio=read@1,torn=10@1,lost@2,stale@3,hang=read@4".parse().unwrap();
        let faulty = Arc::new(Faulty::new(healthy.clone(), script));
        let good = queue.add(healthy, room).unwrap();
        let bad = queue.add(faulty.clone(), room).unwrap();

        assert_eq!(run(&mut *queue, |queue| queue.read(bad, 1, 0, 512)).result, Err(Errno::IO));
        assert_eq!(run(&mut *queue, |queue| queue.write(bad, 2, 0, &[1; 512])).result, Ok(512));
        let torn = run(&mut *queue, |queue| queue.read(good, 3, 0, 512)).bytes;
        assert_eq!((torn[9], torn[10]), (1, 0));
        assert_eq!(run(&mut *queue, |queue| queue.write(bad, 4, 0, &[2; 512])).result, Ok(512));
        assert_eq!(run(&mut *queue, |queue| queue.read(bad, 5, 0, 512)).bytes, torn, "lost");
        assert_eq!(run(&mut *queue, |queue| queue.write(bad, 6, 0, &[3; 512])).result, Ok(512));
        assert_eq!(run(&mut *queue, |queue| queue.read(bad, 7, 0, 512)).bytes, torn, "stale");
        assert_eq!(run(&mut *queue, |queue| queue.read(good, 8, 0, 512)).bytes, [3; 512]);

        queue.read(bad, 9, 0, 512).unwrap();
        for tag in 10..20 {
            assert_eq!(run(&mut *queue, |queue| queue.read(good, tag, 0, 512)).tag, tag, "one hangs");
        }
        assert_eq!(queue.read(bad, 20, 0, 512), Err(Refused::Busy));
        faulty.release();
        assert_eq!(run_all(&mut *queue, 1)[0].tag, 9);
    }
}
