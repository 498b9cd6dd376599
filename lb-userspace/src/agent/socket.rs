//! Questions to a running agent: what the objects want stands in no map.
//!
//! A unix socket in the state folder, for root alone (mode 0600). A connection carries one question
//! and its answer, a line of JSON each. The agent's loop answers between two other events. What is
//! too long, too slow, or one too many at a time is cut off: a client can bother nobody but itself.

use crate::compile::Explanation;
use crate::environment::Variable;
use crate::model::ObjectName;
use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use std::fs::{Permissions, remove_file, rename, set_permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc::Sender;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{sleep, timeout};

/// The file in the state folder.
pub(super) const NAME: &str = "agent.sock";
/// Bytes of a question at most.
const LONGEST: u64 = 4_096;
/// Questions that are looked at at once; more of them wait in the kernel.
const AT_ONCE: usize = 8;
/// How long a client may take for everything.
const PATIENCE: Duration = Duration::from_secs(5);

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Question {
    /// What becomes of a Service, and why.
    Explain(ObjectName),
    /// The environment variables of a Service.
    Environment(ObjectName),
    /// The environment variables of a container in this namespace.
    EnvironmentIn(String),
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    /// All reasons about the Service.
    Explanation(Box<Explanation>),
    /// These variables, in order.
    Environment(Vec<Variable>),
    /// There is no such object.
    Unknown,
    /// Not every object that exists has been read yet.
    Starting,
    /// That was no question.
    NotUnderstood(String),
}

/// A question that waits for its answer.
pub(super) type Asked = (Question, oneshot::Sender<Answer>);

/// Where an agent with this state folder answers.
pub(crate) fn path(state_dir: &Path) -> PathBuf {
    state_dir.join(NAME)
}

/// A socket that is there; its file goes with it.
pub(super) struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Socket {
    /// Makes the socket, in place of what an agent that was killed left there.
    pub(super) fn new(state_dir: &Path) -> Result<Self> {
        let path = path(state_dir);
        // Nobody finds it before it is root's own.
        let draft = path.with_extension("new");
        let _ = remove_file(&draft);
        let listener = UnixListener::bind(&draft)
            .and_then(|listener| {
                set_permissions(&draft, Permissions::from_mode(0o600))?;
                rename(&draft, &path)?;
                Ok(listener)
            })
            .with_context(|| format!("making {}", path.display()))?;
        Ok(Self { listener, path })
    }

    /// Hands questions over, until nobody takes them any more.
    pub(super) async fn serve(self, questions: Sender<Asked>) {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        while let Ok(place) = Arc::clone(&places).acquire_owned().await {
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // No descriptor is left, most likely: some will come back.
                    tracing::debug!(%error, "a client could not be let in");
                    sleep(PATIENCE).await;
                    continue;
                }
            };
            let questions = questions.clone();
            tokio::spawn(async move {
                match timeout(PATIENCE, converse(stream, &questions)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::debug!("a question was lost: {error:#}"),
                    Err(_) => tracing::debug!("a client was too slow"),
                }
                drop(place);
            });
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // A file that stays tells clients the same: nobody listens.
        let _ = remove_file(&self.path);
    }
}

async fn converse(mut stream: UnixStream, questions: &Sender<Asked>) -> Result<()> {
    let (reader, mut writer) = stream.split();
    let mut line = String::new();
    BufReader::new(reader.take(LONGEST)).read_line(&mut line).await?;
    let answer = match understand(&line) {
        Ok(question) => {
            let (reply, answer) = oneshot::channel();
            questions.send((question, reply)).await?;
            answer.await?
        }
        Err(error) => Answer::NotUnderstood(format!("{error:#}")),
    };
    let mut text = serde_json::to_string(&answer)?;
    text.push('\n');
    Ok(writer.write_all(text.as_bytes()).await?)
}

fn understand(line: &str) -> Result<Question> {
    ensure!(line.ends_with('\n'), "a question is one line of at most {LONGEST} bytes");
    Ok(serde_json::from_str(line)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead as _, Write as _};
    use std::os::unix::net::UnixStream as Client;
    use tokio::sync::mpsc::channel;

    /// What an agent that knows nothing answers, line by line.
    async fn answers(folder: &Path, lines: &[String]) -> Vec<String> {
        let (questions, mut asked) = channel(1);
        let serving = tokio::spawn(Socket::new(folder).unwrap().serve(questions));
        let loop_of_agent = tokio::spawn(async move {
            while let Some((_, reply)) = asked.recv().await {
                let _: Result<(), Answer> = reply.send(Answer::Unknown);
            }
        });
        let mut answers = Vec::new();
        for line in lines {
            let (path, line) = (path(folder), line.clone());
            answers.push(tokio::task::spawn_blocking(move || ask(&path, &line)).await.unwrap());
        }
        serving.abort();
        loop_of_agent.abort();
        answers
    }

    fn ask(path: &Path, line: &str) -> String {
        let mut client = Client::connect(path).unwrap();
        client.write_all(line.as_bytes()).unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        std::io::BufReader::new(client).read_line(&mut answer).unwrap();
        answer
    }

    #[tokio::test]
    async fn questions_are_answered_and_anything_else_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let question = Question::Explain(ObjectName::new("default", "kubia"));
        let question = serde_json::to_string(&question).unwrap();
        let long = "x".repeat(usize::try_from(LONGEST).unwrap() + 1);
        let lines = [format!("{question}\n"), question, "{}\n".into(), "\n".into(), long + "\n"];
        let answers = answers(folder.path(), &lines).await;
        assert_eq!(answers[0], "\"unknown\"\n");
        for answer in &answers[1..] {
            let answer: Answer = serde_json::from_str(answer).unwrap();
            assert!(matches!(answer, Answer::NotUnderstood(_)), "{answer:?}");
        }
    }

    #[tokio::test]
    async fn the_socket_is_for_root_and_goes_with_the_agent() {
        let folder = tempfile::tempdir().unwrap();
        let file = path(folder.path());
        // What an agent that was killed left.
        drop(std::os::unix::net::UnixListener::bind(&file).unwrap());
        let socket = Socket::new(folder.path()).unwrap();
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(socket);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_client_that_says_nothing_keeps_nobody_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let silent = std::thread::spawn({
            let file = path(folder.path());
            move || {
                while !file.exists() {
                    std::thread::yield_now();
                }
                (0..AT_ONCE - 1).map(|_| Client::connect(&file).unwrap()).collect::<Vec<_>>()
            }
        });
        let question =
            serde_json::to_string(&Question::Explain(ObjectName::new("a", "b"))).unwrap();
        let answers = answers(folder.path(), &[question + "\n"]).await;
        assert_eq!(answers, ["\"unknown\"\n"]);
        drop(silent.join().unwrap());
    }
}
