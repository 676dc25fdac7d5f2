//! The bounds of one session. Each is the last value that passes; one more is refused.

/// What a session allows. The defaults are the server's documented ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Octets of a message, without dot-stuffing and end mark (RFC 1870). Announced as `SIZE`;
    /// past it 552. Default 25 MiB.
    pub max_message_bytes: usize,
    /// Octets of the header section, without the empty line that ends it; past it 554.
    /// Default 256 KiB.
    pub max_header_bytes: usize,
    /// `Received:` fields of one message; past it 554, as it is a loop (RFC 5321, 6.3). Default 50.
    pub max_received: usize,
    /// Recipients of one message; past it 452 (RFC 5321, 4.5.3.1.8 and 4.5.3.1.10). Default 100.
    pub max_recipients: usize,
    /// Recipients of one session that are not ours; past it 421 and the end. Default 10.
    pub max_unknown_recipients: usize,
    /// Octets of a command line with its CRLF (RFC 5321, 4.5.3.1.4); past it 500. `MAIL` may be
    /// 43 longer, for `SIZE` (26, RFC 1870) and `BODY` (17, RFC 6152). Default 512.
    pub max_command_bytes: usize,
    /// Commands of one session refused for their form or order; past it 421 and the end.
    /// Default 20.
    pub max_errors: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_message_bytes: 25 * 1024 * 1024,
            max_header_bytes: 256 * 1024,
            max_received: 50,
            max_recipients: 100,
            max_unknown_recipients: 10,
            max_command_bytes: 512,
            max_errors: 20,
        }
    }
}
