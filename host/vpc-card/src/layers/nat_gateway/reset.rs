//! TCP resets, made in the place of the segment that they answer.

use crate::engine::{
    Verdict,
    checksum::Sum,
    packet::{ACK, ETHERNET, FIN, Fragment, Frame, Packet, RST, SYN, TCP, ipv4, write_ipv4},
};

/// Bytes of the IPv4 and TCP headers.
const LEN: usize = 40;

/// Makes a TCP segment the reset that answers it; nothing of what must not be answered.
pub fn reset(packet: &Packet, frame: &mut Frame<'_>, (to, from): ([u8; 6], [u8; 6])) -> Verdict {
    let Some((src, dst)) = ipv4(packet.src).zip(ipv4(packet.dst)) else { return Verdict::Drop };
    let answerable = packet.protocol == TCP && packet.flags & RST == 0;
    let header = frame.bytes().get(packet.transport..packet.transport + 20);
    let Some(header) = header.filter(|_| answerable && packet.fragment == Fragment::Whole) else {
        return Verdict::Drop;
    };
    let number = |at: usize| {
        let bytes = header.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        u32::from_be_bytes(bytes.unwrap_or_default())
    };
    let size = usize::from(header[12] >> 4) * 4;
    let bytes = packet.end.saturating_sub(packet.transport + size);
    let flags = usize::from(packet.flags & SYN != 0) + usize::from(packet.flags & FIN != 0);
    let next = number(4).wrapping_add(u32::try_from(bytes + flags).unwrap_or_default());
    // RFC 9293, 3.10.7.1: what has an acknowledgement says where the reset belongs.
    let (sequence, acknowledged, flags) = match packet.flags & ACK {
        0 => (0, next, RST | ACK),
        _ => (number(8), 0, RST),
    };
    let mut message = [0; LEN];
    message[20..22].copy_from_slice(&packet.ports.1.to_be_bytes());
    message[22..24].copy_from_slice(&packet.ports.0.to_be_bytes());
    message[24..28].copy_from_slice(&sequence.to_be_bytes());
    message[28..32].copy_from_slice(&acknowledged.to_be_bytes());
    message[32] = 5 << 4;
    message[33] = flags;
    write_ipv4(&mut message, TCP, 64, dst, src);
    let mut sum = Sum::default();
    sum.bytes(&message[12..]);
    sum.word(u16::from(TCP));
    sum.word(20);
    let sum = sum.checksum();
    message[36..38].copy_from_slice(&sum.to_be_bytes());
    if ETHERNET + LEN > frame.buf.len() {
        return Verdict::Drop;
    }
    frame.address(to, from);
    frame.write(12, &[8, 0]);
    frame.write(ETHERNET, &message);
    frame.replace(ETHERNET + LEN);
    Verdict::Reply
}
