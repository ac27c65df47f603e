//! A connection to a cache: every wait has a deadline, every answer a largest size.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time,
};

use super::fault::{ADDRESS, Trouble};

/// The longest line that is read, in bytes.
const MAX_LINE: u64 = 64 << 10;
/// The largest answer that is read, in bytes.
const MAX_ANSWER: usize = 16 << 20;

#[derive(Debug)]
pub(super) struct Wire {
    stream: BufReader<TcpStream>,
    timeout: Duration,
    /// How many bytes the answer that is being read may still have.
    budget: usize,
}

impl Wire {
    pub(super) async fn connect(address: &str, timeout: Duration) -> Result<Self, Trouble> {
        let stream = time::timeout(timeout, TcpStream::connect(address)).await;
        let stream = stream.map_err(|_| Trouble::late(timeout))?.map_err(|e| Trouble::connecting(&e))?;
        stream.set_nodelay(true).map_err(|e| Trouble::broken(&e))?;
        Ok(Self { stream: BufReader::new(stream), timeout, budget: MAX_ANSWER })
    }

    /// Sends a whole request; the answer that follows has its full size again.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        self.budget = MAX_ANSWER;
        within(self.timeout, self.stream.write_all(bytes)).await
    }

    /// The next line, without its end.
    pub(super) async fn line(&mut self) -> Result<Vec<u8>, Trouble> {
        let mut line = Vec::new();
        within(self.timeout, (&mut self.stream).take(MAX_LINE).read_until(b'\n', &mut line)).await?;
        self.spend(line.len())?;
        if line.pop() != Some(b'\n') {
            return Err(match line.len() {
                0 => Trouble::broken(&io::ErrorKind::UnexpectedEof.into()),
                _ => strange(),
            });
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(line)
    }

    /// The next `length` bytes.
    pub(super) async fn bytes(&mut self, length: usize) -> Result<Vec<u8>, Trouble> {
        self.spend(length)?;
        let mut bytes = vec![0; length];
        within(self.timeout, self.stream.read_exact(&mut bytes)).await?;
        Ok(bytes)
    }

    fn spend(&mut self, bytes: usize) -> Result<(), Trouble> {
        self.budget = self.budget.checked_sub(bytes).ok_or_else(|| {
            let text = format!("its answer is larger than {} MiB and was not read", MAX_ANSWER >> 20);
            Trouble::down(text, ADDRESS)
        })?;
        Ok(())
    }
}

/// What answers is something else than what was asked for.
pub(super) fn strange() -> Trouble {
    Trouble::down("it answers in a way that this kind of cache never does", ADDRESS)
}

async fn within<T>(timeout: Duration, work: impl Future<Output = io::Result<T>>) -> Result<T, Trouble> {
    let done = time::timeout(timeout, work).await.map_err(|_| Trouble::late(timeout))?;
    done.map_err(|e| Trouble::broken(&e))
}
