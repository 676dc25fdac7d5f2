//! A gzip file that is 256 MiB of zeros when it is unpacked.
//!
//! One block with the fixed codes of RFC 1951: a zero byte, then "repeat the last byte 258 times" over and over,
//! thirteen bits each.

use std::sync::LazyLock;

/// Bits that it would unpack to, as a power of two.
const UNPACKED_POWER: u32 = 31;
/// Bytes that it would unpack to: 256 MiB.
const UNPACKED: u32 = 1 << (UNPACKED_POWER - 3);

/// The longest repeat of deflate.
const REPEAT: u32 = 258;

#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    /// Bits that are not a whole byte yet, the first one lowest.
    rest: u32,
    count: u32,
}

impl Bits {
    fn push(&mut self, bits: u32, count: u32) {
        self.rest |= bits << self.count;
        self.count += count;
        while self.count >= 8 {
            self.bytes.push(self.rest.to_le_bytes()[0]);
            self.rest >>= 8;
            self.count -= 8;
        }
    }

    /// A Huffman code: its first bit is the highest.
    fn push_code(&mut self, code: u32, count: u32) {
        self.push(code.reverse_bits() >> (32 - count), count);
    }
}

/// The file.
pub(super) static GZIP: LazyLock<Vec<u8>> = LazyLock::new(gzip);

fn gzip() -> Vec<u8> {
    let repeats = (UNPACKED - 1) / REPEAT;
    let singles = UNPACKED - repeats * REPEAT;
    let mut bits = Bits::default();
    bits.bytes.extend_from_slice(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
    bits.push(1, 1); // the last block
    bits.push(1, 2); // fixed codes
    for _ in 0..singles {
        bits.push_code(0b0011_0000, 8); // the byte 0
    }
    for _ in 0..repeats {
        bits.push_code(0b1100_0101, 8); // length 258
        bits.push_code(0, 5); // distance 1
    }
    bits.push_code(0, 7); // the end of the block
    bits.push(0, 7); // to a whole byte
    let mut file = bits.bytes;
    file.extend_from_slice(&crc_of_zeros(UNPACKED_POWER).to_le_bytes());
    file.extend_from_slice(&UNPACKED.to_le_bytes());
    file
}

/// CRC-32 of as many zero bits as this power of two. What a zero bit does to the checksum is linear, and doing it
/// twice is the square.
fn crc_of_zeros(power: u32) -> u32 {
    let apply = |operator: &[u32; 32], crc: u32| {
        operator
            .iter()
            .enumerate()
            .fold(0, |sum, (bit, row)| if crc >> bit & 1 == 1 { sum ^ row } else { sum })
    };
    let mut operator: [u32; 32] =
        std::array::from_fn(|bit| if bit == 0 { 0xedb8_8320 } else { 1 << (bit - 1) });
    for _ in 0..power {
        operator = std::array::from_fn(|bit| apply(&operator, operator[bit]));
    }
    !apply(&operator, !0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_small_and_ends_as_gzip_demands() {
        let file = &*GZIP;
        assert!(file.len() < 2 * 1024 * 1024, "{}", file.len());
        assert_eq!(&file[file.len() - 4..], UNPACKED.to_le_bytes());
        // CRC-32 of four zero bytes, as any table of test vectors has it.
        assert_eq!(crc_of_zeros(5), 0x2144_df1c);
    }
}
