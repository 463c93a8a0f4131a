//! A map's bytes.

use super::{Entry, Map, Member, NodeId, Standing, Version};
use crate::SLOTS;
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut, TryGetError};
use std::{collections::BTreeMap, sync::OnceLock};

const FORMAT: u8 = 1;

impl Map {
    /// `format u8 · cluster 16 bytes · session u64 · epoch u64 · replicas u8 · reserved u64 · next
    /// node u16 · count u16 · nodes · 4,096 slots`; a node is `id u16 · weight u32 · standing u8 ·
    /// seen u64 · name · domain`, a text `length u16 · bytes`, a slot `count u8` and `id u16 · in
    /// sync u8` each. Big-endian.
    pub fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(64 << 10);
        bytes.put_u8(FORMAT);
        bytes.put_slice(&self.cluster);
        bytes.put_u64(self.version.session);
        bytes.put_u64(self.version.epoch);
        bytes.put_u8(u8::try_from(self.replicas).unwrap_or(u8::MAX));
        bytes.put_u64(self.reserved);
        bytes.put_u16(self.next_node);
        bytes.put_u16(NodeId::try_from(self.nodes.len()).unwrap_or(NodeId::MAX));
        for (id, entry) in &self.nodes {
            bytes.put_u16(*id);
            bytes.put_u32(entry.weight);
            bytes.put_u8(match entry.standing {
                Standing::In => 0,
                Standing::Draining => 1,
                Standing::Out => 2,
            });
            bytes.put_u64(entry.seen);
            put_text(&mut bytes, &entry.name);
            put_text(&mut bytes, &entry.domain);
        }
        for members in &self.slots {
            bytes.put_u8(u8::try_from(members.len()).unwrap_or(u8::MAX));
            for member in members {
                bytes.put_u16(member.node);
                bytes.put_u8(u8::from(member.in_sync));
            }
        }
        bytes.freeze()
    }

    /// None if these aren't a map's bytes.
    pub fn decode(bytes: Bytes) -> Option<Self> {
        Self::parse(bytes).ok().flatten()
    }

    fn parse(mut bytes: Bytes) -> Result<Option<Self>, TryGetError> {
        if bytes.try_get_u8()? != FORMAT {
            return Ok(None);
        }
        let mut cluster = [0; 16];
        bytes.try_copy_to_slice(&mut cluster)?;
        let version = Version { session: bytes.try_get_u64()?, epoch: bytes.try_get_u64()? };
        let replicas = usize::from(bytes.try_get_u8()?);
        let reserved = bytes.try_get_u64()?;
        let next_node = bytes.try_get_u16()?;
        let mut nodes = BTreeMap::new();
        for _ in 0..bytes.try_get_u16()? {
            let id = bytes.try_get_u16()?;
            let weight = bytes.try_get_u32()?;
            let standing = match bytes.try_get_u8()? {
                0 => Standing::In,
                1 => Standing::Draining,
                2 => Standing::Out,
                _ => return Ok(None),
            };
            let seen = bytes.try_get_u64()?;
            let (Some(name), Some(domain)) = (text(&mut bytes)?, text(&mut bytes)?) else {
                return Ok(None);
            };
            nodes.insert(id, Entry { name, domain, weight, standing, seen });
        }
        let mut slots = Vec::with_capacity(usize::from(SLOTS));
        for _ in 0..SLOTS {
            let mut members = Vec::with_capacity(3);
            for _ in 0..bytes.try_get_u8()? {
                let node = bytes.try_get_u16()?;
                members.push(Member { node, in_sync: bytes.try_get_u8()? == 1 });
            }
            slots.push(members);
        }
        Ok(Some(Self {
            cluster,
            version,
            replicas,
            reserved,
            next_node,
            nodes,
            slots,
            summary: OnceLock::new(),
        }))
    }
}

fn put_text(bytes: &mut BytesMut, text: &str) {
    let len = text.len().min(usize::from(u16::MAX));
    bytes.put_u16(u16::try_from(len).unwrap_or(u16::MAX));
    bytes.put_slice(&text.as_bytes()[..len]);
}

fn text(bytes: &mut Bytes) -> Result<Option<String>, TryGetError> {
    let len = usize::from(bytes.try_get_u16()?);
    if bytes.len() < len {
        return Ok(None);
    }
    Ok(String::from_utf8(bytes.split_to(len).to_vec()).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_survives_its_encoding_and_no_cut_of_it_does() {
        let entry = |name: &str, standing| Entry {
            name: name.into(),
            domain: "räck".into(),
            weight: 7,
            standing,
            seen: 3,
        };
        let entries = vec![entry("a", Standing::In), entry("b", Standing::Out)];
        let mut map = Map::new([9; 16], 3, entries);
        map.version = Version { session: 1 << 40, epoch: 5 };
        map.slots[7] = vec![Member { node: 1, in_sync: false }, Member { node: 0, in_sync: true }];
        let bytes = map.encode();
        assert_eq!(Map::decode(bytes.clone()), Some(map));
        for cut in (0..bytes.len()).step_by(7) {
            assert_eq!(Map::decode(bytes.slice(..cut)), None);
        }
    }
}
