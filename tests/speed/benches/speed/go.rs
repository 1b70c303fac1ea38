//! The classic pool in Go (`tests/speed/go`), in a process of its own that is asked line by line.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::LazyLock,
    time::Duration,
};

use crate::report;

/// A running program. It ends with this value.
pub(crate) struct Go {
    child: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Go {
    /// Builds the program at the first call and starts it; `None` without Go.
    pub(crate) fn start() -> Option<Self> {
        static BUILT: LazyLock<bool> = LazyLock::new(build);
        if !*BUILT {
            return None;
        }
        let mut child = Command::new(program())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Some(Self {
            questions: child.stdin.take(),
            answers: BufReader::new(child.stdout.take().unwrap()),
            child,
        })
    }

    /// How long so many jobs took.
    pub(crate) fn run(&mut self, contender: &str, jobs: u64, micros: u64) -> Duration {
        let questions = self.questions.as_mut().unwrap();
        writeln!(questions, "{contender} {jobs} {micros}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        Duration::from_nanos(answer.trim().parse().unwrap())
    }
}

impl Drop for Go {
    fn drop(&mut self) {
        // The end of its input is the end of the program.
        drop(self.questions.take());
        let _ = self.child.wait();
    }
}

fn program() -> std::path::PathBuf {
    report::folder().join("classic-pool")
}

fn build() -> bool {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("go");
    let status = Command::new("go")
        .current_dir(source)
        .args(["build", "-o"])
        .args([program().as_os_str(), ".".as_ref()])
        .status();
    match status {
        Ok(status) => {
            assert!(status.success(), "the Go program does not build");
            true
        }
        Err(error) => {
            println!("There is no Go ({error}): its pool is left out.");
            false
        }
    }
}
