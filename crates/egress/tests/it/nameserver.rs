//! A name server of a few lines: UDP, one question, answers with a TTL of 0.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;
const NXDOMAIN: u8 = 3;

/// The answers for each lookup in turn, the last one for all that follow.
/// `None`: the name does not exist.
type Script = Vec<Option<Vec<IpAddr>>>;

pub(crate) struct NameServer {
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

impl NameServer {
    pub(crate) async fn start(script: &[Option<&[&str]>]) -> Self {
        let parse = |answers: &&[&str]| answers.iter().map(|ip| ip.parse().unwrap()).collect();
        let script: Script = script.iter().map(|turn| turn.as_ref().map(parse)).collect();
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let task = tokio::spawn(serve(socket, script));
        Self { address, task }
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(socket: UdpSocket, script: Script) {
    // A lookup asks for each family once.
    let turns = [AtomicUsize::new(0), AtomicUsize::new(0)];
    let mut packet = [0; 1_500];
    loop {
        let (length, from) = socket.recv_from(&mut packet).await.unwrap();
        let query = &packet[..length];
        let (question, kind) = question(query);
        let turn = turns[usize::from(kind == TYPE_AAAA)].fetch_add(1, Ordering::SeqCst);
        let answers = &script[turn.min(script.len() - 1)];
        let response = response(query, question, kind, answers.as_deref());
        socket.send_to(&response, from).await.unwrap();
    }
}

/// The bytes of the one question after the 12 of the header, and its type.
fn question(query: &[u8]) -> (&[u8], u16) {
    let name = query[12..].iter().position(|byte| *byte == 0).unwrap() + 1;
    let question = &query[12..12 + name + 4];
    (question, u16::from_be_bytes([question[name], question[name + 1]]))
}

fn response(query: &[u8], question: &[u8], kind: u16, answers: Option<&[IpAddr]>) -> Vec<u8> {
    let code = if answers.is_some() { 0 } else { NXDOMAIN };
    let records: Vec<Vec<u8>> =
        answers.unwrap_or_default().iter().filter_map(|ip| record(*ip, kind)).collect();
    let count = u8::try_from(records.len()).unwrap();
    let mut packet = query[..2].to_vec();
    packet.extend([0x85, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0]);
    packet.extend(question);
    packet.extend(records.concat());
    packet
}

fn record(ip: IpAddr, kind: u16) -> Option<Vec<u8>> {
    let data = match (ip, kind) {
        (IpAddr::V4(v4), TYPE_A) => v4.octets().to_vec(),
        (IpAddr::V6(v6), TYPE_AAAA) => v6.octets().to_vec(),
        _ => return None,
    };
    // The name is a pointer to the question's; class IN; TTL 0.
    let mut record = vec![0xc0, 12];
    record.extend(kind.to_be_bytes());
    record.extend([0, 1, 0, 0, 0, 0, 0]);
    record.push(u8::try_from(data.len()).unwrap());
    record.extend(data);
    Some(record)
}
