//! Each boots a kernel, which takes about six seconds: run with `--ignored`.

use super::*;

const SOON: Duration = Duration::from_secs(60);

#[test]
#[ignore = "boots a kernel"]
fn a_disk_is_shared_with_the_host() {
    let image = tempfile::NamedTempFile::new_in(program::target_dir().unwrap()).unwrap();
    image.as_file().set_len(1 << 20).unwrap();
    let builder = Guest::builder().module("ocfs2_nodemanager").disk(image.path());
    let mut guest = builder.setup("hostname g0").boot(SOON).unwrap();
    assert_eq!(guest.run("hostname; cat /sys/block/vda/size", SOON).unwrap(), ["g0", "2048"]);
    guest.run("echo from the guest | dd of=/dev/vda conv=sync,fsync bs=512 2>/dev/null", SOON).unwrap();
    assert!(std::fs::read(image.path()).unwrap().starts_with(b"from the guest\n"));
    let error = guest.run("echo printed; false", SOON).unwrap_err().to_string();
    assert!(error.contains("status 1: printed"), "{error}");
}

#[test]
#[ignore = "boots a kernel"]
fn a_panic_is_an_error_with_the_console() {
    let mut guest = Guest::builder().boot(SOON).unwrap();
    let error = guest.run("echo c > /proc/sysrq-trigger; sleep 60", SOON).unwrap_err().to_string();
    assert!(error.contains("the guest ended"), "{error}");
    assert!(error.contains("Kernel panic"), "{error}");
}

#[test]
#[ignore = "boots a kernel"]
fn a_hung_command_and_a_missing_module_are_errors() {
    let mut guest = Guest::builder().boot(SOON).unwrap();
    let error = guest.run("sleep 60", Duration::from_millis(100)).unwrap_err().to_string();
    assert!(error.contains("no end after"), "{error}");
    let error = Guest::builder().module("nonsense").boot(SOON).unwrap_err().to_string();
    assert!(error.contains("no module nonsense"), "{error}");
}
