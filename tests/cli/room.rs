//! No room: a full disk, a limit on the size of files, and places that cannot be written to.

use std::path::PathBuf;
use std::process::Command;

use crate::table::{Row, changed, check, judge};
use crate::world::{Ended, World, finish, words};

const SMALL: &str = "STUDY --epochs 1 --seeds 1 --layers 0 --controls base";

/// A file stands where a folder should be: nobody may write there, not even root.
const ROWS: &[Row] = &[
    changed(
        "outputs below a file",
        |world| world.write("blocked", "x"),
        "STUDY --out blocked/deep",
        1,
        &["cannot write to `blocked/deep", "--out"],
    ),
    changed(
        "outputs that are a file",
        |world| world.write("blocked", "x"),
        "STUDY --out blocked",
        1,
        &["cannot write to `blocked", "--out"],
    ),
    changed(
        "a layer exported below a file",
        |world| world.write("blocked", "x"),
        "fetch ./llm --layers 0 --export blocked/layers",
        1,
        &["`blocked/layers`"],
    ),
    changed(
        "a log below a file",
        |world| world.write("blocked", "x"),
        "STUDY --log-file blocked/log",
        1,
        &["cannot write `blocked/log`"],
    ),
];

#[test]
fn a_place_that_cannot_be_written_to_is_named() {
    check(ROWS);
}

#[test]
fn a_file_in_the_place_of_a_study_or_of_the_runs_is_named_and_kept() {
    for blocked in ["outputs/llm-slm-reviews", "outputs/runs"] {
        let world = World::new();
        world.write(blocked, "mine");
        let ended = world.run(SMALL);
        let wrong = judge(&ended, 1, &[blocked, "--out"]);
        assert!(wrong.is_empty(), "{blocked}: {wrong:?}\n{}", ended.err);
        assert_eq!(std::fs::read(world.path(blocked)).unwrap(), b"mine");
        world.assert_whole("outputs", blocked);
    }
}

/// Ends with one error that says why, leaves nothing half written, and goes on with room again.
fn assert_survived(world: &World, ended: &Ended, reason: &str, about: &str) {
    assert!(matches!(ended.code, Some(1 | 3)), "{about}: {:?}\n{}", ended.code, ended.err);
    let wrong = judge(ended, ended.code.unwrap(), &[]);
    assert!(wrong.is_empty(), "{about}: {wrong:?}\n{}", ended.err);
    assert!(ended.err.contains(reason), "{about}: does not say `{reason}`\n{}", ended.err);
    world.assert_whole("outputs", about);
}

/// `ulimit -f` counts blocks of 512 bytes in some shells and of 1,024 in others: the sizes go from
/// what stops the first file to what stops the last one.
#[test]
fn a_limit_on_the_size_of_files_leaves_nothing_half_written() {
    for blocks in [4, 8, 16, 40, 90] {
        let world = World::new();
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\"")).arg("sh");
        shell.arg(env!("CARGO_BIN_EXE_pifi-probe")).args(words(SMALL));
        let ended = finish(world.prepared(shell).spawn().unwrap());
        assert_survived(&world, &ended, "File too large", &format!("{blocks} blocks"));
        let again = world.run(SMALL);
        assert_eq!(again.code, Some(0), "{blocks} blocks: {}", again.err);
        world.assert_whole("outputs", "with room");
        assert!(world.files("outputs").contains(&"llm-slm-reviews/report.html".to_owned()));
    }
}

/// A file system of its own, taken away again whatever happens.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(path: PathBuf, kibibytes: usize) -> Option<Self> {
        std::fs::create_dir_all(&path).unwrap();
        let size = format!("size={kibibytes}k");
        let mut mount = Command::new("mount");
        let mounted = mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&path).output();
        mounted.is_ok_and(|it| it.status.success()).then_some(Self(path))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).output();
    }
}

#[test]
#[expect(clippy::print_stderr, reason = "a test that cannot run says so")]
fn a_full_disk_is_told_and_leaves_nothing_half_written() {
    for kibibytes in [12, 32, 64] {
        let world = World::new();
        let Some(disk) = SmallDisk::mount(world.path("outputs"), kibibytes) else {
            eprintln!("skipped: this account may not mount a file system to fill");
            return;
        };
        let ended = world.run(SMALL);
        let about = format!("{kibibytes} KiB");
        let reason = if ended.err.contains("no room left") { "no room left" } else { "No space left" };
        assert_survived(&world, &ended, reason, &about);
        drop(disk);
    }
}
