//! What holds for the stack as a whole: one reply to a request, one note for a refusal, the three trees, shutdown.

use alloc::string::ToString;
use alloc::vec::Vec;

use crate::testing::{Bench, CALLER, Registration, up};
use crate::tree::{Change, Forbidden, Object, Op, SetAttr};
use crate::{Action, Config, Errno, Input, ItemId, Note, Refusal, View};

fn refusals(bench: &Bench) -> Vec<alloc::string::String> {
    let is = |note: &&&Note| matches!(note, Note::Refused { .. });
    bench.notes().iter().filter(is).map(ToString::to_string).collect()
}

#[test]
fn every_refused_change_is_noted_once_with_path_value_and_rule() {
    let mut bench = Bench::user();
    let tail = "for pid 7 uid 8";
    let expect = |bench: &mut Bench, line: &str| {
        assert_eq!(refusals(bench), [alloc::format!("{line}, {tail}")]);
        bench.log.clear();
    };
    bench.mkdir("cluster/d").unwrap_err();
    expect(&mut bench, "mkdir cluster/d: there can be only one cluster: c exists (ENOSPC)");
    bench.rmdir("cluster/c/node").unwrap_err();
    expect(&mut bench, "rmdir cluster/c/node: a default group is removed only with its parent (EPERM)");
    bench.unlink("cluster/c/fence_method").unwrap_err();
    expect(
        &mut bench,
        "unlink cluster/c/fence_method: an attribute is removed only with its directory (EPERM)",
    );
    bench.write("cluster/c/fence_method", "res\n").unwrap_err();
    expect(
        &mut bench,
        "store cluster/c/fence_method \"res\\n\": \
         fence_method is reset or panic, and a newline (EINVAL)",
    );
    bench.link("cluster/c", "cluster/c/heartbeat/R/x").unwrap_err();
    expect(
        &mut bench,
        "symlink cluster/c/heartbeat/R/x \"cluster/c\": the target is not a node of this cluster: a cluster (EPERM)",
    );
    bench.forbidden("cluster/new", Forbidden::NewFile);
    expect(
        &mut bench,
        "create cluster/new: no files can be made: attributes come with their directory (EACCES)",
    );
    bench.set_attr("cluster/c", SetAttr { size: Some(0), ..SetAttr::default() }).unwrap_err();
    expect(&mut bench, "change of attributes cluster/c: a directory (EISDIR)");
}

#[test]
fn a_look_that_fails_is_not_noted() {
    let mut bench = Bench::user();
    let dir = bench.dir("cluster");
    bench.tree(View::Config, Op::Lookup { dir, name: b"x" }).unwrap_err();
    assert!(bench.notes().is_empty());
}

#[test]
fn a_refusal_in_sysfs_says_so() {
    let mut bench = Bench::new();
    bench.write_in(View::Sysfs, "fs/o2cb/logmask/TCP", "on").unwrap_err();
    assert_eq!(
        refusals(&bench),
        ["store fs/o2cb/logmask/TCP \"on\": a logmask file takes allow, deny or off (EINVAL), \
          for pid 7 uid 8, in sysfs"]
    );
}

#[test]
fn the_logmask_silences_notes() {
    let mut bench = Bench::new();
    bench.write_in(View::Sysfs, "fs/o2cb/logmask/NOTICE", "off").unwrap();
    bench.mkdir("x").unwrap_err();
    assert!(bench.notes().is_empty());
    bench.write_in(View::Sysfs, "fs/o2cb/logmask/NOTICE", "allow").unwrap();
    bench.mkdir("x").unwrap_err();
    assert_eq!(bench.notes().len(), 1);
}

#[test]
fn a_cluster_without_a_method_cannot_be_made() {
    let mut bench = Bench::new();
    bench.engine.heartbeat_mut().unregister("disk");
    assert_eq!(bench.mkdir("cluster/c"), Err(Refusal::NoMethod));
    assert_eq!(Refusal::NoMethod.errno(), Errno::ENOMEM);
    assert_eq!(
        refusals(&bench),
        ["mkdir cluster/c: no heartbeat method is active (ENOMEM), for pid 7 uid 8"]
    );
    bench.write("cluster/heartbeat_mode", "user").unwrap();
    assert_eq!(bench.mkdir("cluster/c"), Ok(()));
}

#[test]
fn mainline_shows_no_choice_of_methods() {
    let mut bench = Bench::with(&Config { mainline: true, ..Config::default() });
    assert!(bench.list(View::Config, "cluster").is_empty());
    assert_eq!(bench.list(View::Sysfs, "o2cb"), ["logmask", "interface_revision"]);
    assert_eq!(bench.engine.status().methods, ["disk"]);
    bench.mkdir("cluster/c").unwrap();
}

#[test]
fn the_trees_at_the_beginning() {
    let mut bench = Bench::new();
    assert_eq!(bench.list(View::Config, ""), ["cluster"]);
    assert_eq!(bench.list(View::Config, "cluster"), ["heartbeat_available_modes", "heartbeat_mode"]);
    assert_eq!(bench.list(View::Sysfs, ""), ["o2cb", "fs"]);
    assert_eq!(bench.list(View::Sysfs, "fs"), ["ocfs2", "o2cb"]);
    assert_eq!(bench.list(View::Sysfs, "fs/o2cb/logmask").len(), 20);
    assert_eq!(bench.read_in(View::Sysfs, "fs/o2cb/interface_revision"), "5\n");
    assert_eq!(bench.read_in(View::Sysfs, "o2cb/interface_revision"), "5\n");
    for (file, text) in [
        ("active_cluster_plugin", ""),
        ("cluster_stack", "o2cb\n"),
        ("dlm_recover_callback_support", "1\n"),
        ("loaded_cluster_plugins", "o2cb\n"),
        ("max_locking_protocol", "1.0\n"),
    ] {
        assert_eq!(bench.read_in(View::Sysfs, &alloc::format!("fs/ocfs2/{file}")), text, "{file}");
    }
    let mode = |view| bench.engine.tree(view).attr(Object::Dir(ItemId::ROOT)).unwrap().meta.mode;
    assert_eq!([View::Config, View::Sysfs, View::Debugfs].map(mode), [0o755, 0o755, 0o700]);
    assert_eq!(bench.read_in(View::Sysfs, "fs/o2cb/logmask/ERROR"), "allow\n");
    assert_eq!(bench.read_in(View::Sysfs, "fs/o2cb/logmask/TCP"), "off\n");
    assert!(bench.log.iter().all(|action| matches!(action, Action::Reply { .. })));
}

#[test]
fn the_method_can_be_chosen_in_sysfs_too() {
    let mut bench = Bench::new();
    assert_eq!(bench.write_in(View::Sysfs, "o2cb/heartbeat_mode", "user\n"), Ok(5));
    assert_eq!(bench.read("cluster/heartbeat_mode"), "user\n");
    assert_eq!(bench.read_in(View::Sysfs, "o2cb/heartbeat_available_modes"), "disk\nuser\n");
    bench.mkdir("cluster/c").unwrap();
    assert_eq!(bench.write_in(View::Sysfs, "o2cb/heartbeat_mode", "disk"), Err(Refusal::ModeInUse));
}

#[test]
fn cluster_stack_takes_four_letters() {
    let mut bench = Bench::new();
    let file = "fs/ocfs2/cluster_stack";
    for label in ["", "o2c", "o2cbx", "o2c\0", "o2cb\n\n"] {
        assert_eq!(bench.write_in(View::Sysfs, file, label), Err(Refusal::BadStackLabel), "{label:?}");
    }
    assert_eq!(bench.write_in(View::Sysfs, file, "pcmk\n"), Ok(5));
    assert_eq!(bench.read_in(View::Sysfs, file), "pcmk\n");
}

/// As in a kernel with a file system mounted: see `active_stack` of its stack glue.
#[test]
fn a_held_region_uses_the_cluster_stack() {
    let mut bench = Bench::user();
    let (label, plugin) = ("fs/ocfs2/cluster_stack", "fs/ocfs2/active_cluster_plugin");
    bench.subscribe(Registration::all(1)).unwrap();
    assert_eq!(bench.read_in(View::Sysfs, plugin), "");
    bench.subscribe(Registration::of(2, "R")).unwrap();
    assert_eq!(bench.read_in(View::Sysfs, plugin), "o2cb\n");
    assert_eq!(bench.write_in(View::Sysfs, label, "user\n"), Err(Refusal::StackInUse));
    assert_eq!(Refusal::StackInUse.errno(), Errno::EBUSY);
    assert_eq!(bench.write_in(View::Sysfs, label, "o2cb\n"), Ok(5));
    assert_eq!(bench.write_in(View::Sysfs, label, "o2c"), Err(Refusal::BadStackLabel));
    bench.unsubscribe(2);
    assert_eq!(bench.read_in(View::Sysfs, plugin), "");
    assert_eq!(bench.write_in(View::Sysfs, label, "user\n"), Ok(5));
    assert_eq!(bench.write_in(View::Sysfs, plugin, "x"), Err(Refusal::ReadOnly));
}

#[test]
fn nothing_is_made_or_removed_in_the_other_trees() {
    let mut bench = Bench::user();
    let o2hb = match bench.find(View::Debugfs, "o2hb") {
        Some(Object::Dir(dir)) => dir,
        other => panic!("{other:?}"),
    };
    let mkdir = Op::Mkdir { dir: o2hb, name: b"x" };
    assert_eq!(bench.tree(View::Debugfs, mkdir), Err(Refusal::NothingMadeHere));
    let rmdir = Op::Rmdir { dir: o2hb, name: b"R" };
    assert_eq!(bench.tree(View::Debugfs, rmdir), Err(Refusal::DefaultGroup));
    let store = Op::Store { item: o2hb, attribute: 0, data: b"1" };
    assert_eq!(bench.tree(View::Debugfs, store), Err(Refusal::ReadOnly));
}

#[test]
fn debugfs_shows_who_is_up_and_who_is_held() {
    let mut bench = Bench::user();
    assert_eq!(
        bench.list(View::Debugfs, "o2hb"),
        ["R", "failed_regions", "quorum_regions", "live_regions", "livenodes"]
    );
    assert_eq!(bench.list(View::Debugfs, "o2hb/R"), ["pinned", "elapsed_time_in_ms", "num", "livenodes"]);
    for file in ["livenodes", "live_regions", "quorum_regions", "failed_regions", "R/livenodes"] {
        assert_eq!(bench.read_in(View::Debugfs, &alloc::format!("o2hb/{file}")), "\n");
    }
    bench.mkdir("cluster/c/heartbeat/S").unwrap();
    bench.link("cluster/c/node/n2", "cluster/c/heartbeat/R/a").unwrap();
    bench.link("cluster/c/node/n1", "cluster/c/heartbeat/R/b").unwrap();
    bench.link("cluster/c/node/n3", "cluster/c/heartbeat/S/c").unwrap();
    assert_eq!(bench.read_in(View::Debugfs, "o2hb/R/livenodes"), "1 2 \n");
    assert_eq!(bench.read_in(View::Debugfs, "o2hb/livenodes"), "1 2 3 \n");
    assert_eq!(bench.read_in(View::Debugfs, "o2hb/R/pinned"), "0\n");
    bench.subscribe(Registration::of(1, "R")).unwrap();
    assert_eq!(bench.read_in(View::Debugfs, "o2hb/R/pinned"), "1\n");
    assert_eq!(bench.read_in(View::Debugfs, "o2hb/S/pinned"), "0\n");
    assert_eq!(bench.read_in(View::Debugfs, "o2hb/R/elapsed_time_in_ms"), "0\n");
}

#[test]
fn a_region_called_like_a_debug_file_has_no_debug_directory() {
    let mut bench = Bench::user();
    bench.mkdir("cluster/c/heartbeat/livenodes").unwrap();
    assert_eq!(bench.read_in(View::Debugfs, "o2hb/livenodes"), "\n");
    bench.rmdir("cluster/c/heartbeat/livenodes").unwrap();
    bench.rmdir("cluster/c/heartbeat/R").unwrap();
    assert_eq!(bench.list(View::Debugfs, "o2hb").len(), 4);
}

#[test]
fn a_change_is_told_with_the_call_that_made_it_and_before_its_answer() {
    let mut bench = Bench::user();
    bench.mkdir("cluster/c/heartbeat/S").unwrap();
    let [
        Action::Changed { view: View::Config, request: Some(by), change: Change::Added { parent, name } },
        debug,
        Action::Reply { request, .. },
    ] = &bench.log[..]
    else {
        panic!("{:?}", bench.log)
    };
    assert_eq!((by, *parent, name.as_bytes()), (request, bench.dir("cluster/c/heartbeat"), &b"S"[..]));
    // In debugfs no call waits.
    assert!(matches!(debug, Action::Changed { view: View::Debugfs, request: None, .. }));
}

#[test]
fn a_waiting_rmdir_that_is_given_up_is_noted() {
    let mut bench = Bench::user();
    bench.write("cluster/c/node/n0/local", "0").unwrap();
    let store = bench.ask_local("n1", "1");
    let rmdir = bench.ask_rmdir("cluster/c/node/n1");
    bench.log.clear();
    bench.input(Input::Cancel(rmdir));
    assert_eq!(bench.done(rmdir), Some(Err(Refusal::Interrupted)));
    assert_eq!(
        refusals(&bench),
        ["rmdir cluster/c/node/n1: interrupted while waiting (EINTR), for pid 7 uid 8"]
    );
    bench.input(Input::Cancel(store));
    bench.input(Input::Cancel(rmdir));
    assert_eq!(bench.answer(store), None);
    bench.listening(store, Ok(()));
    assert_eq!(bench.read("cluster/c/node/n1/local"), "1\n");
}

#[test]
fn shutdown_answers_everybody_once() {
    let mut bench = Bench::user();
    bench.subscribe(Registration::of(1, "R")).unwrap();
    bench.write("cluster/c/node/n0/local", "0").unwrap();
    let linked = bench.ask_link("cluster/c/node/n3", "cluster/c/heartbeat/R/n3");
    let store = bench.ask_local("n1", "1");
    let rmdir = bench.ask_rmdir("cluster/c/node/n1");
    assert_eq!(bench.engine.waiting(), 3);
    bench.input(Input::Shutdown);
    assert_eq!(bench.done(linked), Some(Ok(())));
    assert_eq!(bench.done(store), Some(Err(Refusal::ShuttingDown)));
    assert_eq!(bench.done(rmdir), Some(Ok(())));
    assert_eq!((bench.engine.waiting(), bench.engine.poll_timeout()), (0, None));
    assert_eq!(bench.log.last(), Some(&Action::Stopped));
}

#[test]
fn after_shutdown_everything_is_refused_and_noted() {
    let mut bench = Bench::user();
    bench.input(Input::Shutdown);
    bench.log.clear();
    assert_eq!(bench.mkdir("cluster/c/node/x"), Err(Refusal::ShuttingDown));
    assert_eq!(refusals(&bench).len(), 1);
    assert_eq!(bench.subscribe(Registration::all(1)), Err(Refusal::ShuttingDown));
    assert_eq!(Refusal::ShuttingDown.errno(), Errno::EIO);
    bench.input(Input::Shutdown);
    assert_eq!(bench.logged(&Action::Stopped), 0);
}

#[test]
fn notes_name_the_caller() {
    let mut bench = Bench::new();
    bench.mkdir("x").unwrap_err();
    let [Note::Refused { caller, view: View::Config, .. }] = bench.notes()[..] else { panic!() };
    assert_eq!(*caller, CALLER);
}

/// Who is up is known inside the stack at the moment of the link, whoever has not been told yet.
#[test]
fn a_stuck_consumer_delays_the_caller_of_a_link_and_nothing_else() {
    let mut bench = Bench::user();
    bench.subscribe(Registration::all(1)).unwrap();
    let first = up(&mut bench, "n1", "R");
    let second = up(&mut bench, "n2", "R");
    bench.wait(3_600_000);
    assert_eq!((bench.answer(first), bench.answer(second)), (None, None));
    assert_eq!(bench.told().len(), 1, "it has not said that it was told of the first one");
    assert_eq!(bench.read_in(View::Debugfs, "o2hb/livenodes"), "1 2 \n");
    assert_eq!(bench.engine.status().regions[0].up.len(), 2);
    assert_eq!(bench.mkdir("cluster/c/heartbeat/S"), Ok(()));
}
