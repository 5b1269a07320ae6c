use std::thread;
use std::time::Duration;

use super::*;
use crate::mem::MemDisk;

fn fates(spec: &str, requests: &[(Op, u64)]) -> Vec<Fate> {
    let mut plan = Plan::new(spec.parse().unwrap());
    requests.iter().map(|&(op, seconds)| plan.next(op, Duration::from_secs(seconds))).collect()
}

/// Numbers, from 1, of the requests that are not left alone.
fn struck(spec: &str, requests: &[(Op, u64)]) -> Vec<usize> {
    let fates = fates(spec, requests);
    (1..=fates.len()).filter(|number| fates[number - 1] != Fate::default()).collect()
}

const R: Op = Op::Read;
const W: Op = Op::Write;

#[test]
fn requests_are_counted_by_what_a_fault_can_hit() {
    let both = [R, W, R, W, R, W, R, W].map(|op| (op, 0));
    for (spec, expected) in [
        ("eio@3", &[3][..]),
        ("eio=write@3", &[6]),
        ("eio=read@2..3", &[3, 5]),
        ("eio@7..", &[7, 8]),
        ("eio=7..", &[7, 8]),
        ("eio", &[1, 2, 3, 4, 5, 6, 7, 8]),
        ("lost@2", &[4]),
        ("lost=2", &[4]),
        ("lost=write@2", &[4]),
        ("torn=100@1", &[2]),
        ("stale@4", &[7]),
        ("hang=write", &[2, 4, 6, 8]),
        ("delay=1s@2", &[2]),
        ("delay=write:1s@2", &[4]),
        ("eio@100", &[]),
        ("eio@1, stale@4", &[1, 7]),
    ] {
        assert_eq!(struck(spec, &both), expected, "{spec}");
    }
}

#[test]
fn times_count_from_the_beginning() {
    let reads = [0, 1, 2, 3, 4, 5].map(|second| (R, second));
    for (spec, expected) in [
        ("eio@2s", &[3][..]),
        ("eio@2s..3s", &[3, 4]),
        ("eio@4000ms..", &[5, 6]),
        ("eio@1m", &[]),
        ("eio=write@0s..", &[]),
        ("eio@2500000us", &[4]),
    ] {
        assert_eq!(struck(spec, &reads), expected, "{spec}");
    }
}

#[test]
fn several_faults_on_one_request() {
    let fates = fates("delay=1s,delay=2ms,torn=3,lost,hang@2", &[(W, 0), (W, 0), (R, 0)]);
    let delay = Duration::from_millis(1002);
    assert_eq!(fates[0], Fate { delay, hang: false, effect: Effect::Torn(3) }, "first effect, all delays");
    assert_eq!(fates[1], Fate { delay, hang: true, effect: Effect::Torn(3) });
    assert_eq!(fates[2], Fate { delay, hang: false, effect: Effect::None });
}

#[test]
fn errors_name_the_part() {
    for (spec, part, why) in [
        ("", "", "a fault is missing"),
        ("eio,", "", "a fault is missing"),
        ("eio, =3", "=3", "a fault is missing"),
        ("eio,slow@3", "slow", "no such fault: delay, eio, hang, lost, torn or stale"),
        ("EIO", "EIO", "no such fault: delay, eio, hang, lost, torn or stale"),
        ("delay@3", "delay@3", "needs a time: delay=3s"),
        ("delay=3", "3", "not a time: a number with us, ms, s or m"),
        ("delay=s", "s", "not a time: a number with us, ms, s or m"),
        ("delay=99999999999999999999s", "99999999999999999999s", "not a time: a number with us, ms, s or m"),
        ("delay=18446744073709551615m", "18446744073709551615m", "not a time: a number with us, ms, s or m"),
        ("delay=both:3s", "delay=both:3s", "only read: or write: can stand before the time"),
        ("torn", "torn", "needs a number of bytes: torn=100"),
        ("eio,torn=x@3", "x", "not a number of bytes"),
        ("torn=-1", "-1", "not a number of bytes"),
        ("lost=read", "lost=read", "only writes can be lost"),
        ("stale=write", "stale=write", "only reads can be stale"),
        ("lost=3@4", "lost=3@4", "says twice when"),
        ("eio@0", "0", "requests are counted from 1"),
        ("eio@99999999999999999999", "99999999999999999999", "too large"),
        ("eio@", "", "neither a number of requests nor a time such as 2s"),
        ("eio=wrote", "wrote", "neither a number of requests nor a time such as 2s"),
        ("eio@3..x", "x", "neither a number of requests nor a time such as 2s"),
        ("eio@..3", "", "neither a number of requests nor a time such as 2s"),
        ("eio@9..7", "9..7", "ends before it begins"),
        ("eio@9s..7s", "9s..7s", "ends before it begins"),
        ("eio@9..10s", "9..10s", "mixes a number of requests with a time"),
        ("eio@9@10", "9@10", "neither a number of requests nor a time such as 2s"),
    ] {
        let error = spec.parse::<Script>().unwrap_err();
        assert_eq!(error.to_string(), format!("'{part}': {why}"), "{spec}");
        assert_eq!(error.part(), part);
    }
}

#[test]
fn the_help_is_true() {
    let example = Script::HELP.trim_end().rsplit("Example: ").next().unwrap();
    assert_eq!(example.parse::<Script>().unwrap().rules.len(), 6, "{example}");
}

fn disk(spec: &str) -> (Arc<MemDisk>, Faulty) {
    let memory = Arc::new(MemDisk::new("m", 512, 4096));
    (memory.clone(), Faulty::new(memory, spec.parse().unwrap()))
}

fn first_bytes(device: &dyn Device) -> [u8; 4] {
    let mut block = [0; 512];
    assert_eq!(device.read_at(0, &mut block), Ok(512));
    [block[0], block[99], block[100], block[511]]
}

#[test]
fn errors_and_writes_that_fail_quietly() {
    let (memory, faulty) = disk("eio=read@1,eio=write@1,lost@2,torn=100@3");
    assert_eq!(faulty.info().name, "m");
    assert!(faulty.descriptor().is_none());
    assert_eq!(faulty.read_at(0, &mut [0; 512]), Err(Errno::IO));
    assert_eq!(faulty.write_at(0, &[1; 512]), Err(Errno::IO));
    assert_eq!(faulty.write_at(0, &[2; 512]), Ok(512));
    assert_eq!(first_bytes(&*memory), [0, 0, 0, 0], "an error and a lost write");
    assert_eq!(faulty.write_at(0, &[3; 512]), Ok(512));
    assert_eq!(first_bytes(&*memory), [3, 3, 0, 0], "torn");
    assert_eq!(faulty.write_at(0, &[4; 512]), Ok(512));
    assert_eq!(first_bytes(&faulty), [4, 4, 4, 4]);
}

#[test]
fn stale_reads_repeat_the_last_true_one() {
    let (memory, faulty) = disk("stale@2..3,stale@6,stale@8");
    let mut found = Vec::new();
    for value in 1..=5 {
        memory.write_at(0, &[value; 512]).unwrap();
        found.push(first_bytes(&faulty)[0]);
    }
    assert_eq!(found, [1, 1, 1, 4, 5]);
    memory.write_at(512, &[9; 512]).unwrap();
    let mut block = [0; 512];
    assert_eq!(faulty.read_at(512, &mut block), Ok(512));
    assert_eq!(block[0], 9, "nothing has been read there before");

    let (_, fresh) = disk("stale");
    assert_eq!(first_bytes(&fresh)[0], 0, "nothing has been read at all");
}

#[test]
fn delays_and_hangs() {
    let (_, faulty) = disk("delay=20ms@1,hang@2..");
    let start = Instant::now();
    first_bytes(&faulty);
    assert!(start.elapsed() >= Duration::from_millis(20));

    let faulty = Arc::new(faulty);
    let (sender, receiver) = std::sync::mpsc::channel();
    let hung = {
        let faulty = faulty.clone();
        thread::spawn(move || sender.send(first_bytes(&*faulty)))
    };
    assert!(receiver.recv_timeout(Duration::from_millis(50)).is_err(), "it hangs");
    faulty.release();
    assert_eq!(receiver.recv_timeout(Duration::from_secs(30)), Ok([0; 4]));
    hung.join().unwrap().unwrap();
    first_bytes(&*faulty);
}
