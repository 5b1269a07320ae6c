//! What will not do for a disk, and is refused with the kernel's errno.

use super::*;

#[test]
fn what_will_not_do_for_a_disk() {
    side_by_side(&[
        ("refused", || {
            let daemon = Daemon::new(0, 3, &[]);
            daemon.region();
            let refused = |file: &File| daemon.start_with(file.as_raw_fd()).0.unwrap_err();
            assert_eq!(refused(&File::open("/").unwrap()), libc::EINVAL);
            assert_eq!(refused(&File::open("/dev/null").unwrap()), libc::EINVAL);
            let disk = Disk::new("refused");
            let path = File::options().read(true).custom_flags(libc::O_PATH).open(&disk.0).unwrap();
            assert_eq!(refused(&path), libc::EINVAL);
            assert_eq!(daemon.start_with(999).0, Err(libc::EINVAL));
            let short = File::options().write(true).open(&disk.0).unwrap();
            short.set_len(8 * 512).unwrap();
            let (result, took) = daemon.start(&disk.0);
            assert_eq!(result, Err(libc::EIO));
            assert!(took < SOON, "{took:?}");
            fs::write(daemon.file("start_block"), u64::MAX.to_string()).unwrap();
            assert_eq!(daemon.start(&disk.0).0, Err(libc::EIO));
        }),
        ("strict", || {
            let (disk, daemon) = (Disk::new("strict"), Daemon::new(0, 3, &["--strict"]));
            daemon.region();
            assert_eq!(daemon.start(&disk.0).0, Err(libc::EINVAL));
        }),
        ("no writes", || {
            // What a read-only device comes to: 9 beats.
            let (disk, daemon) = (Disk::new("nowrites"), Daemon::new(0, 3, &["--fault", "eio=write"]));
            daemon.region();
            let (result, took) = daemon.start(&disk.0);
            assert_eq!(result, Err(libc::EIO));
            about("no writes", took, 16.0, LATE);
        }),
    ]);
}
