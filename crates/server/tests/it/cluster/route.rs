//! A node's way to the receivers: it asks a name server of its own, whose answer is a proxy of its own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::net::UdpSocket;
use tokio::sync::watch;

use super::link::Link;
use crate::support::dice::Dice;

/// The receiver's name, which every node finds somewhere else.
pub(super) const NAME: &str = "hooks.inkhook-tests.com";
const TYPE_A: u16 = 1;
/// Another test may have the same address of loopback and the same port.
const TRIES: usize = 10;

/// See the module.
#[derive(Debug)]
pub(super) struct Route {
    link: Link,
    holds: watch::Sender<bool>,
    /// Where the name server listens.
    pub(super) names: SocketAddr,
}

impl Route {
    pub(super) async fn start(receiver: SocketAddr, dice: &Dice) -> Self {
        for _ in 0..TRIES {
            let [a, b, c] = [(); 3].map(|()| u8::try_from(dice.number(1..255)).expect("a byte"));
            let here = Ipv4Addr::new(127, a, b, c);
            let Ok(link) = Link::start((here, receiver.port()).into(), receiver).await else { continue };
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
            let names = socket.local_addr().expect("bound");
            let holds = watch::Sender::new(false);
            tokio::spawn(serve(socket, here, holds.subscribe()));
            return Self { link, holds, names };
        }
        panic!("no address of loopback has port {} free", receiver.port());
    }

    /// From now on the name server answers nothing, or what it was asked meanwhile, too.
    pub(super) fn hold(&self, holds: bool) {
        self.holds.send_replace(holds);
    }

    pub(super) fn cut(&self) {
        self.link.cut();
    }

    /// From now on requests arrive, and their answers do not.
    pub(super) fn deafen(&self) {
        self.link.deafen();
    }

    pub(super) fn mend(&self) {
        self.link.mend();
    }
}

/// Answers every question about an address with this one.
async fn serve(socket: UdpSocket, address: Ipv4Addr, mut holds: watch::Receiver<bool>) {
    let mut packet = [0; 1_500];
    while let Ok((length, from)) = socket.recv_from(&mut packet).await {
        if holds.wait_for(|holds| !holds).await.is_err() {
            return;
        }
        if let Some(answer) = answer(&packet[..length], address) {
            // Whoever asked is gone.
            drop(socket.send_to(&answer, from).await);
        }
    }
}

/// One answer to one question, with a TTL of 0.
fn answer(query: &[u8], address: Ipv4Addr) -> Option<Vec<u8>> {
    let name = query.get(12..)?.iter().position(|byte| *byte == 0)? + 1;
    let question = query.get(12..12 + name + 4)?;
    let is_a = u16::from_be_bytes([question[name], question[name + 1]]) == TYPE_A;
    let mut answer = query[..2].to_vec();
    answer.extend([0x85, 0x80, 0, 1, 0, u8::from(is_a), 0, 0, 0, 0]);
    answer.extend(question);
    if is_a {
        // The name is a pointer to the question's; class IN; four bytes.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
        answer.extend(address.octets());
    }
    Some(answer)
}

/// Whether a request came by this route is not told to the receiver, so a test asks the name server's client.
#[test]
fn a_question_about_an_address_is_answered() {
    let mut query = vec![7, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    query.extend(b"\x05hooks\x03com\0\0\x01\0\x01");
    let here: Ipv4Addr = Ipv4Addr::new(127, 1, 2, 3);
    let answered = answer(&query, here).expect("a question");
    assert_eq!((&answered[..2], answered[7]), (&[7, 9][..], 1));
    assert_eq!(
        IpAddr::from(<[u8; 4]>::try_from(&answered[answered.len() - 4..]).unwrap()),
        IpAddr::from(here)
    );
    let of_six = query.len() - 3;
    query[of_six] = 28;
    assert_eq!(answer(&query, here).expect("a question")[7], 0, "there is no other family");
    assert_eq!(answer(&query[..13], here), None);
}
