//! RESP, the protocol of Redis: what `clear_cache` needs of it.

use super::{
    fault::Trouble,
    wire::{Wire, strange},
};

/// Deeper than a SCAN's answer nothing is nested.
const DEEPEST: u8 = 3;
/// The longest list that is read.
const LONGEST: usize = 1 << 20;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// Text, simple or of a length; none for null.
    Text(Option<Vec<u8>>),
    /// A whole number.
    Number(i64),
    /// A list.
    List(Vec<Reply>),
    /// An error, in Redis' words.
    Error(Vec<u8>),
}

/// A command as a list of lengths and bytes: no argument can be taken for another.
pub(super) fn encode(arguments: &[&[u8]]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", arguments.len()).into_bytes();
    for argument in arguments {
        out.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        out.extend_from_slice(argument);
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// Reads one answer.
pub(super) async fn read(wire: &mut Wire) -> Result<Reply, Trouble> {
    read_nested(wire, DEEPEST).await
}

async fn read_nested(wire: &mut Wire, depth: u8) -> Result<Reply, Trouble> {
    let line = wire.line().await?;
    let (kind, rest) = line.split_first().ok_or_else(strange)?;
    match kind {
        b'+' => Ok(Reply::Text(Some(rest.to_vec()))),
        b'-' => Ok(Reply::Error(rest.to_vec())),
        b':' => Ok(Reply::Number(number(rest)?)),
        b'$' => {
            let Ok(length) = usize::try_from(number(rest)?) else { return Ok(Reply::Text(None)) };
            // One more than the longest would overflow nothing: the wire refuses it before it is made room for.
            let mut bytes = wire.bytes(length.saturating_add(2)).await?;
            bytes.truncate(length);
            Ok(Reply::Text(Some(bytes)))
        }
        b'*' => {
            let length = usize::try_from(number(rest)?).unwrap_or(0);
            if length > LONGEST || depth == 0 {
                return Err(strange());
            }
            let mut list = Vec::new();
            for _ in 0..length {
                list.push(Box::pin(read_nested(wire, depth - 1)).await?);
            }
            Ok(Reply::List(list))
        }
        _ => Err(strange()),
    }
}

fn number(digits: &[u8]) -> Result<i64, Trouble> {
    std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok()).ok_or_else(strange)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{io::AsyncWriteExt, net::TcpListener};

    use super::*;

    async fn told(bytes: &'static [u8]) -> Result<Reply, Trouble> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = tokio::spawn(async move {
            listener.accept().await.unwrap().0.write_all(bytes).await.ok();
        });
        let mut wire = Wire::connect(&address, Duration::from_secs(5)).await.unwrap();
        let reply = read(&mut wire).await;
        server.await.unwrap();
        reply
    }

    #[tokio::test]
    async fn answers_are_read_and_garbage_is_refused() {
        let text = |t: &str| Reply::Text(Some(t.into()));
        let table: [(&[u8], Reply); 6] = [
            (b"+OK\r\n", text("OK")),
            (b":-12\r\n", Reply::Number(-12)),
            (b"-NOAUTH x\r\n", Reply::Error(b"NOAUTH x".to_vec())),
            (b"$3\r\na\r\n\r\n", text("a\r\n")),
            (b"$-1\r\n", Reply::Text(None)),
            (
                b"*2\r\n$1\r\n0\r\n*1\r\n$1\r\nk\r\n",
                Reply::List(vec![text("0"), Reply::List(vec![text("k")])]),
            ),
        ];
        for (bytes, want) in table {
            assert_eq!(told(bytes).await.unwrap(), want);
        }
        let table: [(&[u8], &str); 8] = [
            (b"HTTP/1.1 400 Bad Request\r\n\r\n", "never does"),
            (b"", "closed the connection"),
            (b"+OK", "never does"),
            (b":1x\r\n", "never does"),
            (b"$999999999999\r\n", "larger than 16 MiB"),
            (b"*99999999\r\n", "never does"),
            (b"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n", "never does"),
            (b"$5\r\nab", "closed the connection"),
        ];
        for (bytes, want) in table {
            let trouble = told(bytes).await.unwrap_err();
            assert!(trouble.detail.contains(want), "{bytes:?}: {}", trouble.detail);
        }
    }

    #[test]
    fn a_command_cannot_be_split_by_its_arguments() {
        assert_eq!(encode(&[b"UNLINK", b"a\r\nFLUSHALL"]), b"*2\r\n$6\r\nUNLINK\r\n$11\r\na\r\nFLUSHALL\r\n");
    }
}
