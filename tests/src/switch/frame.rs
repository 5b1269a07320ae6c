//! Ethernet frames, as far as a switch with a filter looks into them.

use std::net::Ipv4Addr;

/// No frame is longer: neither cards nor tap devices are asked to cut large segments later.
pub const MAX: usize = 2048;

const ETHERNET: usize = 14;
const IPV4: [u8; 2] = [8, 0];
const TCP: u8 = 6;
const ICMP: u8 = 1;
/// The TCP flag of a beginning; alone in the first segment of a connection.
pub const SYN: u8 = 2;
const FIN: u8 = 1;
const RST: u8 = 4;
const ACK: u8 = 16;

/// The address on the link that the card of a node has.
pub fn mac(node: u8) -> [u8; 6] {
    [0x52, 0x54, 0, 9, 0, node]
}

/// The same as text.
pub fn mac_text(node: u8) -> String {
    mac(node).map(|byte| format!("{byte:02x}")).join(":")
}

/// The IPv4 address that a node has.
pub fn address(node: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 9, 0, node)
}

/// Is the frame for this node: for its address, or for all?
pub(super) fn is_for(frame: &[u8], node: u8) -> bool {
    frame.get(..6).is_some_and(|to| to[0] & 1 == 1 || to == mac(node))
}

/// A TCP segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    /// Where it comes from.
    pub from: (Ipv4Addr, u16),
    /// Where it goes to.
    pub to: (Ipv4Addr, u16),
    /// The number of its first byte.
    pub seq: u32,
    /// The number of the byte that is expected next.
    pub ack: u32,
    /// FIN 1, SYN 2, RST 4, ACK 16.
    pub flags: u8,
    /// What it carries.
    pub data: &'a [u8],
}

/// The segment in a frame, if there is one.
pub fn segment(frame: &[u8]) -> Option<Segment<'_>> {
    let (packet, header) = ipv4(frame)?;
    if packet[9] != TCP {
        return None;
    }
    let length = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
    let tcp = packet.get(header..length)?;
    let fixed: &[u8; 20] = tcp.first_chunk()?;
    let word = |at: usize| u16::from_be_bytes([fixed[at], fixed[at + 1]]);
    let double = |at: usize| u32::from_be_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]]);
    Some(Segment {
        from: (ip(packet, 12), word(0)),
        to: (ip(packet, 16), word(2)),
        seq: double(4),
        ack: double(8),
        flags: fixed[13],
        data: tcp.get(usize::from(fixed[12] >> 4) * 4..)?,
    })
}

/// The packet in a frame, and how long its header is.
fn ipv4(frame: &[u8]) -> Option<(&[u8], usize)> {
    let packet = frame.get(ETHERNET..)?;
    let header = usize::from(packet.first()? & 15) * 4;
    let right = frame.get(12..14)? == IPV4 && header >= 20 && packet.len() >= header;
    right.then_some((packet, header))
}

fn ip(packet: &[u8], at: usize) -> Ipv4Addr {
    Ipv4Addr::new(packet[at], packet[at + 1], packet[at + 2], packet[at + 3])
}

/// What a firewall answers to a segment that it refuses by a reset; to a reset nothing.
pub(super) fn reset(frame: &[u8]) -> Option<Vec<u8>> {
    let of = segment(frame)?;
    if of.flags & RST != 0 {
        return None;
    }
    let mut tcp = Vec::new();
    tcp.extend_from_slice(&of.to.1.to_be_bytes());
    tcp.extend_from_slice(&of.from.1.to_be_bytes());
    let (seq, ack, flags) = if of.flags & ACK != 0 {
        (of.ack, 0, RST)
    } else {
        let taken = u32::try_from(of.data.len()).ok()? + (of.flags & (SYN | FIN)).count_ones();
        (0, of.seq.wrapping_add(taken), RST | ACK)
    };
    tcp.extend_from_slice(&seq.to_be_bytes());
    tcp.extend_from_slice(&ack.to_be_bytes());
    tcp.extend_from_slice(&[5 << 4, flags, 0, 0, 0, 0, 0, 0]);
    let length = u16::try_from(tcp.len()).ok()?;
    let mut summed = [of.to.0.octets(), of.from.0.octets()].concat();
    summed.extend_from_slice(&[0, TCP]);
    summed.extend_from_slice(&length.to_be_bytes());
    summed.extend_from_slice(&tcp);
    tcp[16..18].copy_from_slice(&checksum(&summed).to_be_bytes());
    packet(frame, TCP, of.to.0, &tcp)
}

/// What a firewall answers to a packet that it refuses by ICMP: port unreachable, with the beginning of the packet.
pub(super) fn unreachable(frame: &[u8]) -> Option<Vec<u8>> {
    let (refused, header) = ipv4(frame)?;
    let mut icmp = vec![3, 3, 0, 0, 0, 0, 0, 0];
    icmp.extend_from_slice(refused.get(..header + 8)?);
    let sum = checksum(&icmp);
    icmp[2..4].copy_from_slice(&sum.to_be_bytes());
    packet(frame, ICMP, ip(refused, 16), &icmp)
}

/// A frame back to the sender of `frame`.
fn packet(frame: &[u8], protocol: u8, from: Ipv4Addr, content: &[u8]) -> Option<Vec<u8>> {
    let (refused, _) = ipv4(frame)?;
    let length = u16::try_from(20 + content.len()).ok()?;
    let mut header = vec![0x45, 0];
    header.extend_from_slice(&length.to_be_bytes());
    header.extend_from_slice(&[0, 0, 0x40, 0, 64, protocol, 0, 0]);
    header.extend_from_slice(&from.octets());
    header.extend_from_slice(&refused[12..16]);
    let sum = checksum(&header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    Some([&frame[6..12], &frame[..6], &IPV4, &header, content].concat())
}

/// The checksum of the internet protocols: over something that contains the right one it is 0.
fn checksum(of: &[u8]) -> u16 {
    let words = of.chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(*word.get(1).unwrap_or(&0)));
    let sum: u32 = words.sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    !(((sum & 0xffff) + (sum >> 16)) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A SYN of node 2 to port 7777 of node 1, without options.
    fn syn() -> Vec<u8> {
        let mut frame = [mac(1), mac(2)].concat();
        frame.extend_from_slice(&IPV4);
        frame.extend_from_slice(&[0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, TCP, 0, 0, 10, 9, 0, 2, 10, 9, 0, 1]);
        frame.extend_from_slice(&[0xcf, 0x55, 0x1e, 0x61, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 5 << 4, 2]);
        frame.extend_from_slice(&[0xff; 6]);
        frame
    }

    #[test]
    fn a_segment_is_found() {
        let frame = syn();
        let found = segment(&frame).unwrap();
        assert_eq!((found.from, found.to), ((address(2), 53077), (address(1), 7777)));
        assert_eq!((found.seq, found.flags, found.data), (u32::MAX, 2, &[][..]));
    }

    #[test]
    fn a_frame_that_ends_early_has_none() {
        let whole = syn();
        for length in 0..whole.len() {
            assert_eq!(segment(&whole[..length]), None, "{length}");
            assert_eq!(reset(&whole[..length]), None, "{length}");
            // Takes eight bytes of the segment.
            assert_eq!(unreachable(&whole[..length]).is_some(), length >= 42, "{length}");
        }
    }

    #[test]
    fn a_reset_acknowledges_the_syn() {
        let answer = reset(&syn()).unwrap();
        assert!(is_for(&answer, 2) && !is_for(&answer, 1));
        let found = segment(&answer).unwrap();
        assert_eq!((found.from, found.to), ((address(1), 7777), (address(2), 53077)));
        assert_eq!((found.seq, found.ack, found.flags), (0, 0, RST | ACK));
        assert_eq!(checksum(&answer[14..34]), 0);
        assert_eq!(reset(&answer), None, "a reset is not answered");
    }

    #[test]
    fn an_unreachable_carries_the_beginning_of_the_packet() {
        let frame = syn();
        let answer = unreachable(&frame).unwrap();
        assert_eq!((&answer[34..36], answer[23]), (&[3, 3][..], ICMP));
        assert_eq!(answer[42..], frame[14..42]);
        assert_eq!((checksum(&answer[14..34]), checksum(&answer[34..])), (0, 0));
    }
}
