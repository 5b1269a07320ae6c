//! `tests/failures` finds in the output of cargo what failed.
#![allow(clippy::unwrap_used)]

use std::io::Write as _;
use std::process::{Command, Stdio};

/// What it prints for this input.
fn failures(arguments: &[&str], input: &str) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../failures");
    let mut child =
        Command::new(script).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    // It may stop reading before the end.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

const CARGO: &str = r#"     Running unittests src/lib.rs (target/debug/deps/uo2cb_core-4a99a53287a4b62f)

running 2 tests
test good ... ok
test bad ... FAILED

failures:

---- bad stdout ----
words before

thread 'bad' (6337) panicked at src/lib.rs:5:53:
assertion `left == right` failed: unit
  left: 1
 right: 2
stack backtrace:
   0: __rustc::rust_begin_unwind
note: Some details are omitted, run with `RUST_BACKTRACE=full` for a verbose backtrace.


failures:
    bad

test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.28s

error: test failed, to rerun pass `--lib`
     Running tests/good.rs (target/debug/deps/good-b9e6ac9bf69d8660)

running 1 test
test good ... ok

test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.28s

     Running tests/crash.rs (target/debug/deps/crash-b9e6ac9bf69d8660)

running 1 test
error: test failed, to rerun pass `--test crash`

Caused by:
  process didn't exit successfully: `/target/crash` (signal: 6, SIGABRT: process abort signal)
     Running tests/many.rs (target/debug/deps/many-635446030c5704e2)

running 2 tests
test an_error ... FAILED
test threads ... FAILED

failures:

---- an_error stdout ----
Error: "no"

---- threads stdout ----
measured: 3 s

thread 'errors' (6364) panicked at tests/many.rs:2:118:
errors: 5.9 s, not 4

thread 'threads' (6363) panicked at tests/many.rs:2:190:
failed: ["errors"]


failures:
    an_error
    threads

test result: FAILED. 0 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.23s

error: test failed, to rerun pass `--test many`
error: 3 targets failed:
    `--lib`
    `--test crash`
    `--test many`
"#;

#[test]
fn each_failed_test_is_named_with_its_panics() {
    let expected = r#"uo2cb_core (src/lib.rs): bad
    thread 'bad' (6337) panicked at src/lib.rs:5:53:
    assertion `left == right` failed: unit
      left: 1
     right: 2
tests/crash.rs: failed
    running 1 test
tests/crash.rs:  process didn't exit successfully: `/target/crash` (signal: 6, SIGABRT: process abort signal)
tests/many.rs: an_error
    Error: "no"
tests/many.rs: threads
    thread 'errors' (6364) panicked at tests/many.rs:2:118:
    errors: 5.9 s, not 4
    thread 'threads' (6363) panicked at tests/many.rs:2:190:
    failed: ["errors"]
"#;
    assert_eq!(failures(&[], CARGO), expected);
}

#[test]
fn programs_without_a_harness_name_their_parts() {
    let all = ["-v", "program=mixed", "-v", "failed=1"];
    let input = "first: good\nfailed: second: 2 wrong: a; b\n2 scenarios\n";
    assert_eq!(failures(&all, input), "mixed: second: 2 wrong: a; b\n");
    // Those that name none end with a panic, or with whatever their last lines are.
    let panic = "begun\nthread 'main' (1) panicked at main.rs:1:1:\nwhy\nnote: more\n";
    let expected = "mixed: failed\n    thread 'main' (1) panicked at main.rs:1:1:\n    why\n";
    assert_eq!(failures(&all, panic), expected);
    assert_eq!(failures(&all, "one\n\ntwo\n"), "mixed: failed\n    one\n    two\n");
    assert_eq!(failures(&all[..2], "one\n"), "");
}

#[test]
fn errors_of_the_compiler_have_their_places() {
    let input = "   Compiling x\nerror[E0425]: cannot find value `y`\n --> src/lib.rs:2:5\n  |\nerror: could not compile `x`\n";
    let expected =
        "error[E0425]: cannot find value `y`\n    --> src/lib.rs:2:5\nerror: could not compile `x`\n";
    assert_eq!(failures(&[], input), expected);
}
