//! HTTP/2 frame by frame (RFC 9113), for behaviour that no ordinary client has.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// One end of a connection.
pub(crate) struct RawHttp2(pub(crate) TcpStream);

/// A frame that came.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl RawHttp2 {
    /// Opens the connection, with a first window of 65,535 bytes for everything.
    pub(crate) async fn begin(connection: TcpStream) -> Self {
        Self::begin_with_window(connection, 65_535).await
    }

    /// Opens the connection, with a first window of this many bytes for each stream.
    pub(crate) async fn begin_with_window(mut connection: TcpStream, size_bytes: u32) -> Self {
        connection.set_nodelay(true).unwrap();
        connection.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        let window = [&[0, 4][..], &size_bytes.to_be_bytes()].concat();
        connection.write_all(&frame(SETTINGS, 0, 0, &window)).await.unwrap();
        Self(connection)
    }

    /// Widens the window of `stream` by this many bytes; the connection's window if `stream` is 0.
    pub(crate) async fn widen(&mut self, stream: u32, more_bytes: u32) {
        let frame = frame(WINDOW_UPDATE, 0, stream, &more_bytes.to_be_bytes());
        let _ = self.0.write_all(&frame).await;
    }

    /// Requests `path` on `stream`.
    pub(crate) async fn get(&mut self, stream: u32, path: &str) {
        let head = head(0x82, path);
        let frame = frame(HEADERS, END_HEADERS | END_STREAM, stream, &head);
        self.0.write_all(&frame).await.unwrap();
    }

    /// Sends a request on `stream` with a header block of any length.
    pub(crate) async fn request(&mut self, stream: u32, block: &[u8]) {
        let mut pieces = block.chunks(16_000).peekable();
        let mut kind = HEADERS;
        while let Some(piece) = pieces.next() {
            let end = if pieces.peek().is_none() { END_HEADERS } else { 0 };
            let flags = end | if kind == HEADERS { END_STREAM } else { 0 };
            // The other side may have closed already.
            let _ = self.0.write_all(&frame(kind, flags, stream, piece)).await;
            kind = CONTINUATION;
        }
    }

    /// The status in the answer on `stream`, if HPACK has an index for it or it is 431 in digits.
    pub(crate) async fn status(&mut self, stream: u32) -> Option<u16> {
        loop {
            let answer = self.next().await?;
            if answer.kind == HEADERS && answer.stream == stream {
                return match answer.payload.first()? {
                    0x88 => Some(200),
                    // A literal, Huffman-coded or not: nothing else is expected.
                    _ => Some(431),
                };
            }
        }
    }

    /// The next frame, or `None` if the connection is over. Settings and pings are acknowledged.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        loop {
            let Frame { kind, flags, stream, payload } = self.next_unacknowledged().await?;
            if flags == 0 && (kind == PING || kind == SETTINGS) {
                let payload = if kind == PING { payload } else { Vec::new() };
                let _ = self.0.write_all(&frame(kind, 1, 0, &payload)).await;
                continue;
            }
            return Some(Frame { kind, flags, stream, payload });
        }
    }

    /// The next frame of any kind, or `None` if the connection is over.
    pub(crate) async fn next_unacknowledged(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        self.0.read_exact(&mut payload).await.ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }
}

/// The bytes of a frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A header block (RFC 7541): `method` as an index, the rest in plain text.
pub(crate) fn head(method: u8, path: &str) -> Vec<u8> {
    head_of(method, path, "application/x-www-form-urlencoded")
}

/// The same for a body of this type.
pub(crate) fn head_of(method: u8, path: &str, content_type: &str) -> Vec<u8> {
    let mut block = vec![method, 0x86];
    literal(&mut block, b"\x04", path);
    literal(&mut block, b"\x01", "a");
    literal(&mut block, b"\x0f\x10", content_type);
    block
}

/// Adds an `authorization` with an API key.
pub(crate) fn authorize(block: &mut Vec<u8>, key: &str) {
    literal(block, b"\x0f\x08", &format!("Bearer {key}"));
}

/// Adds a field in plain text.
pub(crate) fn new_field(block: &mut Vec<u8>, name: &str, value: &str) {
    block.push(0);
    block.push(u8::try_from(name.len()).ok().filter(|length| *length < 127).unwrap());
    block.extend(name.bytes());
    integer(block, value.len());
    block.extend(value.bytes());
}

/// A number with a prefix of seven bits (RFC 7541 section 5.1).
fn integer(block: &mut Vec<u8>, number: usize) {
    let Some(mut rest) = number.checked_sub(127) else {
        return block.push(u8::try_from(number).unwrap());
    };
    block.push(127);
    while rest >= 128 {
        block.push(u8::try_from(rest % 128).unwrap() | 0x80);
        rest /= 128;
    }
    block.push(u8::try_from(rest).unwrap());
}

/// A field whose name is an index, and whose value is shorter than 127 bytes.
fn literal(block: &mut Vec<u8>, name: &[u8], value: &str) {
    block.extend(name);
    block.push(u8::try_from(value.len()).ok().filter(|length| *length < 127).unwrap());
    block.extend(value.bytes());
}
