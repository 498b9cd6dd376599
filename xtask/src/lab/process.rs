//! Programs that run on a host of a lab, and what they said.

use super::{gate, host::Host};
use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// How long [`Program::run`] waits, if not told otherwise.
const PATIENCE: Duration = Duration::from_mins(1);

/// How often a running program is looked at.
const PAUSE: Duration = Duration::from_millis(2);

/// Lines of a program's output that an error shows.
const TAIL_LINES: usize = 20;

/// Numbers the programs of this process, for the names of their output files.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// A program to be run on a host.
#[derive(Clone, Debug)]
pub struct Program {
    host: Host,
    words: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    cpu: Option<usize>,
    patience: Duration,
}

impl Program {
    pub(super) fn new(host: &Host, program: impl Into<OsString>) -> Self {
        let (words, environment) = (vec![program.into()], Vec::new());
        Self { host: host.clone(), words, environment, cpu: None, patience: PATIENCE }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, arguments: impl IntoIterator<Item: Into<OsString>>) -> Self {
        self.words.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Keeps it on one processor.
    #[must_use]
    pub fn cpu(mut self, cpu: usize) -> Self {
        self.cpu = Some(cpu);
        self
    }

    /// How long [`Program::run`] waits before it kills.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Starts it. It dies with the [`Process`], with the lab, and with this process.
    pub fn spawn(self) -> Result<Process> {
        let name = self.words.first().map(Path::new).and_then(Path::file_name);
        let name = name.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let output = self.host.folder()?.join(format!("{number}-{name}"));
        let files = [output.with_extension("out"), output.with_extension("err")];
        let child = spawn(self.command(&files)?).with_context(|| format!("starting {name}"))?;
        let [stdout, stderr] = files;
        Ok(Process { name, child, stdout, stderr })
    }

    /// Runs it to its end with nothing to read; what it wrote to standard output.
    pub fn run(self) -> Result<String> {
        let patience = self.patience;
        self.spawn()?.finish(patience)
    }

    /// The command that goes into the host and becomes this program.
    fn command(&self, [stdout, stderr]: &[PathBuf; 2]) -> Result<Command> {
        let mut entry = self.host.entry()?.into_iter();
        let mut command = Command::new(entry.next().unwrap_or_default());
        command.args(entry).args(["--parent", &process::id().to_string()]);
        command.args(self.cpu.map(|cpu| format!("--cpu={cpu}")));
        command.arg("--").args(&self.words).envs(self.environment.iter().cloned());
        command.stdin(Stdio::piped()).stdout(create(stdout)?).stderr(create(stderr)?);
        // Ctrl-C at the terminal is for the lab alone: it ends its programs in order.
        command.process_group(0);
        Ok(command)
    }
}

fn create(file: &Path) -> Result<File> {
    File::create(file).with_context(|| format!("creating {}", file.display()))
}

/// A program that was started on a host; killed when dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Process {
    /// Waits for a line of standard output that contains `text`.
    pub fn wait_for(&mut self, text: &str, patience: Duration) -> Result<String> {
        let deadline = Instant::now() + patience;
        loop {
            // Looked at first: what was written before the end must not be missed.
            let ended = self.try_wait()?;
            if let Some(line) = self.stdout().lines().find(|line| line.contains(text)) {
                return Ok(line.to_owned());
            }
            if let Some(status) = ended {
                bail!("{} ended ({status}) before it said {text:?}:\n{}", self.name, self.tail());
            }
            if Instant::now() > deadline {
                let tail = self.tail();
                bail!("{} did not say {text:?} within {patience:?}:\n{tail}", self.name);
            }
            thread::sleep(PAUSE);
        }
    }

    /// Waits for its end.
    pub fn wait(&mut self, patience: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("{} did not end within {patience:?}:\n{}", self.name, self.tail());
            }
            thread::sleep(PAUSE);
        }
    }

    /// Closes its standard input and waits for a good end; what it wrote to standard output.
    pub fn finish(mut self, patience: Duration) -> Result<String> {
        drop(self.stdin());
        let status = self.wait(patience)?;
        if !status.success() {
            bail!("{}: {status}\n{}", self.name, self.tail());
        }
        Ok(self.stdout())
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(self.pid());
        kill(pid, signal).with_context(|| format!("sending {signal} to {}", self.name))
    }

    /// Its standard input, until closed.
    pub fn stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// Its process number.
    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// All that it has written to standard output.
    pub fn stdout(&self) -> String {
        read(&self.stdout)
    }

    /// All that it has written to standard error.
    pub fn stderr(&self) -> String {
        read(&self.stderr)
    }

    /// The last lines of both.
    pub fn tail(&self) -> String {
        let (stdout, stderr) = (self.stdout(), self.stderr());
        last(&stdout).chain(last(&stderr)).collect::<Vec<_>>().join("\n")
    }

    fn try_wait(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().with_context(|| format!("waiting for {}", self.name))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already dead is as good; the wait takes the last trace of it out of the process table.
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn read(file: &Path) -> String {
    fs::read(file).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

fn last(text: &str) -> impl Iterator<Item = &str> {
    let count = text.lines().count();
    text.lines().skip(count.saturating_sub(TAIL_LINES))
}

/// A command, and where the child is wanted.
type Order = (Command, mpsc::Sender<io::Result<Child>>);

/// Starts a program from one thread that lives as long as this process.
///
/// `PR_SET_PDEATHSIG` means the thread that forked: were it a test's thread, the programs would
/// die with it, not with the lab.
fn spawn(command: Command) -> Result<Child> {
    static SPAWNER: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (orders, inbox) = mpsc::channel();
        thread::spawn(move || serve(inbox));
        orders
    });
    let (sender, child) = mpsc::channel();
    spawner.send((command, sender)).ok().context("the thread that starts programs is gone")?;
    Ok(child.recv().context("the thread that starts programs is gone")??)
}

fn serve(inbox: mpsc::Receiver<Order>) {
    for (mut command, sender) in inbox {
        let child = {
            let _pass = gate::pass();
            command.spawn()
        };
        // If the one who ordered is gone, so is the whole process.
        let _unwanted = sender.send(child);
    }
}
