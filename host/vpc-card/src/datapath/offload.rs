//! Partial checksums: passed on to guests that take them, completed for everybody else.

use crate::{
    engine::{
        checksum::Sum,
        packet::{Frame, Packet, UDP},
    },
    vhost_user::{F_CSUM, F_GUEST_CSUM, memory::Chain, ring::HEADER},
};

/// `VIRTIO_NET_HDR_F_NEEDS_CSUM`.
const NEEDS_CHECKSUM: u8 = 1;

/// Whether a guest says, and may say, that its frame's checksum is partial. Where the checksum is
/// follows from the packet, whatever the guest says.
pub fn is_partial(header: [u8; HEADER], features: u64) -> bool {
    features & F_CSUM != 0 && header[0] & NEEDS_CHECKSUM != 0
}

/// The header of a frame for a guest; a checksum that the guest would not complete is completed.
pub fn header(frame: &mut Frame<'_>, body: &Chain, features: u64) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    if !frame.partial {
        return header;
    }
    if features & F_GUEST_CSUM == 0 {
        complete(frame, body);
        return header;
    }
    let places = Packet::parse(frame).ok().and_then(|packet| {
        let start = u16::try_from(packet.transport).ok()?;
        let offset = u16::try_from(packet.partial_at()? - packet.transport).ok()?;
        Some((start, offset))
    });
    if let Some((start, offset)) = places {
        header[0] = NEEDS_CHECKSUM;
        header[6..8].copy_from_slice(&start.to_le_bytes());
        header[8..10].copy_from_slice(&offset.to_le_bytes());
    }
    header
}

/// Completes a partial checksum; what is beyond the head is in the sender's buffers.
pub fn complete(frame: &mut Frame<'_>, body: &Chain) {
    if !std::mem::replace(&mut frame.partial, false) {
        return;
    }
    let Ok(packet) = Packet::parse(frame) else { return };
    let Some(at) = packet.partial_at() else { return };
    // The field itself has the sum of the pseudo header.
    let mut sum = Sum::default();
    sum.bytes(frame.bytes().get(packet.transport..).unwrap_or_default());
    // The head ends at an even place of the packet if anything follows it.
    let mut place = frame.head;
    let mut bytes = [0; 2048];
    while place < frame.len {
        let part = bytes.len().min(frame.len - place);
        let read = body.read(HEADER + place, &mut bytes[..part]);
        if read == 0 {
            return;
        }
        sum.bytes(&bytes[..read]);
        place += read;
    }
    let checksum = match sum.checksum() {
        0 if packet.protocol == UDP => 0xffff,
        checksum => checksum,
    };
    frame.write(at, &checksum.to_be_bytes());
}
