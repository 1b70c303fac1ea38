//! Running other programs: say what runs, fail with its name, and never wait for ever.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use process_wrap::std::{ChildWrapper, CommandWrap};

/// Set by Ctrl-C or a request to end: a limited run then stops its whole process group.
// Relaxed suffices where it is used: the flag carries no data with it.
pub(crate) static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// How often a limited run is looked at.
const PAUSE: Duration = Duration::from_millis(50);

/// How a limited run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Success,
    Failure,
    TimedOut,
    Interrupted,
}

/// A command that runs in `folder`.
pub(crate) fn command(program: impl AsRef<OsStr>, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder);
    command
}

/// A command as a person would type it.
pub(crate) fn describe(command: &Command) -> String {
    let mut words = Vec::new();
    for word in std::iter::once(command.get_program()).chain(command.get_args()) {
        words.push(word.to_string_lossy().into_owned());
    }
    words.join(" ")
}

/// Runs to the end with the terminal's own input and output.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    println!("$ {}", describe(command));
    let status = command
        .status()
        .with_context(|| format!("cannot start `{}`", describe(command)))?;
    if !status.success() {
        bail!("`{}` failed ({status})", describe(command));
    }
    Ok(())
}

/// Runs to the end, quietly, for what it prints.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("cannot start `{}`", describe(command)))?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!(
            "`{}` failed ({})\n{}",
            describe(command),
            output.status,
            errors.trim_end()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs in a process group of its own for at most `limit`, shows what it prints as it comes and returns it.
pub(crate) fn run_limited(command: Command, limit: Duration) -> Result<(Ending, String)> {
    println!("$ {}", describe(&command));
    let name = describe(&command);
    let started = Instant::now();
    let (reader, writer) = std::io::pipe()?;
    let mut command = command;
    command
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer);
    let mut wrap = CommandWrap::from(command);
    #[cfg(unix)]
    wrap.wrap(process_wrap::std::ProcessGroup::leader());
    #[cfg(windows)]
    wrap.wrap(process_wrap::std::JobObject);
    let mut child = wrap
        .spawn()
        .with_context(|| format!("cannot start `{name}`"))?;
    // The wrapper still holds the writing end: without this the pipe would never end.
    drop(wrap);

    let (send, chunks) = mpsc::channel();
    std::thread::spawn(move || forward(reader, &send));
    let mut text = Vec::new();
    let mut show = |chunk: Vec<u8>| {
        // A terminal that went away is no reason to stop a test run.
        let _ = std::io::stdout()
            .write_all(&chunk)
            .and_then(|()| std::io::stdout().flush());
        text.extend(chunk);
    };
    let ending = loop {
        match chunks.recv_timeout(PAUSE) {
            Ok(chunk) => show(chunk),
            Err(RecvTimeoutError::Timeout) => {}
            // It closed its output but has not ended.
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(PAUSE),
        }
        if let Some(status) = child.try_wait()? {
            break if status.success() {
                Ending::Success
            } else {
                Ending::Failure
            };
        }
        if INTERRUPTED.load(Ordering::Relaxed) {
            stop(child.as_mut())?;
            break Ending::Interrupted;
        }
        if started.elapsed() > limit {
            stop(child.as_mut())?;
            break Ending::TimedOut;
        }
    };
    // What is left in the pipe; something that outlived its parent may hold the pipe open, so not for ever.
    while let Ok(chunk) = chunks.recv_timeout(Duration::from_secs(1)) {
        show(chunk);
    }
    Ok((ending, String::from_utf8_lossy(&text).into_owned()))
}

fn forward(mut from: impl Read, to: &mpsc::Sender<Vec<u8>>) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if to.send(buffer[..length].to_vec()).is_err() {
            return;
        }
    }
}

/// Ends a process group: politely first, so that a browser's driver can end its browser.
fn stop(child: &mut dyn ChildWrapper) -> Result<()> {
    #[cfg(unix)]
    {
        const SIGTERM: i32 = 15;
        child.signal(SIGTERM)?;
        let asked = Instant::now();
        while asked.elapsed() < Duration::from_secs(5) {
            if child.try_wait()?.is_some() {
                break;
            }
            std::thread::sleep(PAUSE);
        }
    }
    // The group may be gone already.
    let _ = child.start_kill();
    let _ = child.wait();
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut shell = command("sh", Path::new("/"));
        shell.args(["-c", script]);
        shell
    }

    #[test]
    fn a_limited_run_returns_what_was_printed() {
        let (ending, text) =
            run_limited(shell("echo out; echo err >&2"), Duration::from_secs(60)).unwrap();
        assert_eq!(ending, Ending::Success);
        assert_eq!(text, "out\nerr\n");
    }

    #[test]
    fn a_failing_run_is_a_failure() {
        let (ending, _) = run_limited(shell("exit 3"), Duration::from_secs(60)).unwrap();
        assert_eq!(ending, Ending::Failure);
    }

    #[test]
    fn a_run_past_its_limit_is_stopped_with_its_children() {
        let started = Instant::now();
        let (ending, text) = run_limited(
            shell("sleep 600 & echo begun; wait"),
            Duration::from_millis(300),
        )
        .unwrap();
        assert_eq!(ending, Ending::TimedOut);
        assert_eq!(text, "begun\n");
        assert!(started.elapsed() < Duration::from_secs(60));
    }
}
