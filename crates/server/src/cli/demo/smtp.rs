//! Sending one mail the way any mail program does: a dialogue over TCP (RFC 5321).

use std::net::SocketAddr;

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Bytes of one reply at most, all its lines together.
const REPLY_BYTES: u64 = 16 * 1024;

/// Hands a mail over and returns the server's last word on it: the line after the data, which begins with
/// 250 and means that the mail is the server's now.
///
/// # Errors
/// The connection breaks, or a reply is not the one that goes on.
pub(super) async fn send(server: SocketAddr, from: &str, to: &str, mail: &str) -> anyhow::Result<String> {
    let stream = TcpStream::connect(server).await.context("the mail port does not answer")?;
    dialogue(BufReader::new(stream), from, to, mail).await
}

async fn dialogue(
    mut stream: impl AsyncRead + AsyncBufReadExt + AsyncWrite + Unpin,
    from: &str,
    to: &str,
    mail: &str,
) -> anyhow::Result<String> {
    expect(&mut stream, "the connection", 220).await?;
    let steps = [
        ("EHLO laptop.example".to_owned(), 250),
        (format!("MAIL FROM:<{from}>"), 250),
        (format!("RCPT TO:<{to}>"), 250),
        ("DATA".to_owned(), 354),
    ];
    for (command, code) in steps {
        stream.write_all(format!("{command}\r\n").as_bytes()).await?;
        stream.flush().await?;
        expect(&mut stream, &command, code).await?;
    }
    stream.write_all(stuffed(mail).as_bytes()).await?;
    stream.flush().await?;
    let accepted = expect(&mut stream, "the mail", 250).await?;
    stream.write_all(b"QUIT\r\n").await?;
    stream.flush().await?;
    expect(&mut stream, "QUIT", 221).await?;
    Ok(accepted)
}

/// The mail with the dots doubled that begin a line, and the line that ends it.
fn stuffed(mail: &str) -> String {
    let mut data = String::with_capacity(mail.len() + 16);
    for line in mail.split_terminator("\r\n") {
        if line.starts_with('.') {
            data.push('.');
        }
        data.push_str(line);
        data.push_str("\r\n");
    }
    data.push_str(".\r\n");
    data
}

/// Reads one reply, of one line or several, and returns its last line.
async fn expect(
    stream: &mut (impl AsyncBufReadExt + Unpin),
    after: &str,
    code: u16,
) -> anyhow::Result<String> {
    let mut reply = stream.take(REPLY_BYTES);
    loop {
        let mut line = String::new();
        reply.read_line(&mut line).await?;
        if !line.ends_with('\n') {
            bail!("the server broke off after {after}");
        }
        let line = line.trim_end();
        if line.as_bytes().get(3) == Some(&b'-') {
            continue;
        }
        if !line.starts_with(&format!("{code} ")) {
            bail!("the server answered {after} with '{line}' instead of {code}");
        }
        return Ok(line.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn against(replies: &str) -> (anyhow::Result<String>, String) {
        let (near, mut far) = tokio::io::duplex(64 * 1024);
        far.write_all(replies.as_bytes()).await.unwrap();
        let mail = "Subject: a\r\n\r\n.hidden\r\n..\r\nend\r\n";
        let result = dialogue(BufReader::new(near), "a@b.example", "c@d.example", mail).await;
        let mut said = vec![0; 64 * 1024];
        let read = far.read(&mut said).await.unwrap();
        said.truncate(read);
        (result, String::from_utf8(said).unwrap())
    }

    #[tokio::test]
    async fn a_mail_goes_through_with_its_dots() {
        let replies =
            "220 hi\r\n250-me\r\n250 SIZE 9\r\n250 a\r\n250 b\r\n354 go\r\n250 taken\r\n221 bye\r\n";
        let (result, said) = against(replies).await;
        assert_eq!(result.unwrap(), "250 taken");
        assert!(said.contains("RCPT TO:<c@d.example>\r\nDATA\r\n"), "{said}");
        assert!(said.ends_with("\r\n\r\n..hidden\r\n...\r\nend\r\n.\r\nQUIT\r\n"), "{said}");
    }

    #[tokio::test]
    async fn a_refusal_names_what_was_refused() {
        let (result, said) = against("220 hi\r\n250 me\r\n250 a\r\n550 no such user\r\n").await;
        let refused = result.unwrap_err().to_string();
        assert!(refused.contains("RCPT TO:<c@d.example>") && refused.contains("550"), "{refused}");
        assert!(!said.contains("DATA"), "{said}");
    }

    #[tokio::test]
    async fn a_reply_without_end_is_not_read_on() {
        let endless = "250-x\r\n".repeat(usize::try_from(REPLY_BYTES).unwrap() / 7 + 1);
        let (result, _) = against(&format!("220 hi\r\n{endless}250 end\r\n")).await;
        assert!(result.unwrap_err().to_string().contains("broke off"));
    }
}
