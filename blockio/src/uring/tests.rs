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

/// From now on io_uring_enter fails so in the calling thread, as it does when the kernel has no memory for requests.
fn enter_fails_with(errno: i32) {
    let filter = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let mut program = [
        // The number of the system call; is it this one?
        filter(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        filter(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, libc::SYS_io_uring_enter as u32),
        filter(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | errno as u32),
        filter(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the program is valid for the call, and concerns this thread alone.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let set = libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program);
        assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
    }
}

#[test]
fn a_kernel_without_memory_is_not_asked_all_the_time() {
    const TIME: Duration = Duration::from_millis(500);
    for errno in [libc::EAGAIN, libc::EBUSY] {
        let Ok(mut queue) = Uring::new() else { return };
        // In a thread of its own: it stays like that.
        let look = move || {
            let mut memory = AlignedBuf::new(512).unwrap();
            memory[..].fill(1);
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("disk");
            fs::write(&path, &memory[..]).unwrap();
            let device = Arc::new(DirectFile::open(&path, false).unwrap());
            let disk = queue.add(device, Room { read: 512, write: 512 }).unwrap();
            // Enabled, and heard once.
            queue.complete(Some(Instant::now()), &mut |_| {}).unwrap();
            enter_fails_with(errno);
            queue.read(disk, 1, 0, 512).unwrap();
            let (waker, mut tries, begin) = (queue.waker(), 0, Instant::now());
            while begin.elapsed() < TIME {
                queue.complete(Some(begin + TIME), &mut |_| unreachable!()).unwrap();
                tries += 1;
            }
            // A wake still ends a wait.
            let begin = Instant::now();
            waker.wake();
            queue.complete(None, &mut |_| unreachable!()).unwrap();
            (tries, begin.elapsed())
        };
        let (tries, woken) = std::thread::spawn(look).join().unwrap();
        assert!(tries as u128 <= 2 * TIME.as_millis() / PAUSE.as_millis(), "{tries} tries in {TIME:?}");
        assert!(woken < Duration::from_secs(5), "{woken:?}");
    }
}
