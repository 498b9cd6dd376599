//! What a running agent is asked: everything that no map holds.

use super::place::Place;
use crate::agent::socket::{self, Answer, Question};
use anyhow::{Context as _, Result, bail};
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// How long the agent may take: it answers between two other events.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of an answer at most: a Service with some ten thousand endpoints.
const LONGEST: u64 = 64 << 20;

/// Asks the agent of this place; `None`: none runs.
///
/// # Errors
/// It did not answer, or is of another build.
pub(super) fn ask(place: &Place, question: &Question) -> Result<Option<Answer>> {
    let path = socket::path(&place.state_dir);
    let stream = match UnixStream::connect(&path) {
        Ok(stream) => stream,
        // The file of an agent that was killed is still there, and nobody listens.
        Err(error)
            if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error).with_context(|| format!("opening {}", path.display())),
    };
    converse(&stream, question).with_context(|| format!("asking the agent at {}", path.display()))
}

fn converse(mut stream: &UnixStream, question: &Question) -> Result<Option<Answer>> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all((serde_json::to_string(question)? + "\n").as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream.take(LONGEST)).read_line(&mut line).context("waiting for its answer")?;
    let answer = serde_json::from_str(&line).context("it answers in the words of another build")?;
    if let Answer::NotUnderstood(why) = answer {
        bail!("it did not understand the question: {why}");
    }
    Ok(Some(answer))
}
