//! The control socket, and what it does to volumes.

use crate::{
    client::{Client, FLUSH, TRIM, WRITE, ZERO, request},
    host::{Agent, Host, MIB, volume},
};
use contracts::card::{EbsPatch, Reply};
use std::{fs, os::unix::fs::MetadataExt as _};
use types::{ResourceId as _, VolumeId};

fn serve(agent: &mut Agent, config: contracts::card::VolumeConfig) -> Vec<(String, String)> {
    agent.apply(EbsPatch { serve: vec![config], ..EbsPatch::default() })
}

#[test]
fn the_first_request_brings_everything() {
    let host = Host::new();
    let mut agent = host.agent();
    let refused = |reply| matches!(reply, Some(Reply::Refused(_)));
    assert!(refused(
        agent.ask_raw("{\"Apply\":{\"reset\":false,\"serve\":[],\"close\":[],\"delete\":[]}}\n")
    ));
    assert!(refused(agent.ask_raw("nonsense\n")));
    assert!(matches!(agent.ask_raw("\"Status\"\n"), Some(Reply::Status(_))));
    // Until then a client waits: its connection is in the backlog, without a greeting.
    let early = std::os::unix::net::UnixStream::connect(host.nbd()).unwrap();
    early.set_read_timeout(Some(std::time::Duration::from_millis(100))).unwrap();
    assert!(std::io::Read::read(&mut &early, &mut [0; 18]).is_err());
    host.reset(vec![]);
    early.set_read_timeout(None).unwrap();
    assert_eq!(std::io::Read::read(&mut &early, &mut [0; 18]).unwrap(), 18);
    // A new agent takes over.
    assert!(agent.ask_raw("\"Status\"\n").is_none());
}

#[test]
fn serve_close_delete() {
    let host = Host::new();
    host.reset(vec![volume(1, 8 * MIB, None, "one"), volume(2, 8 * MIB, None, "")]);
    let mut client = Client::open(&host.nbd(), "one").unwrap();
    assert_eq!(client.size, 8 * MIB);
    assert_eq!(client.write(4096, &[7; 4096]), 0);
    for unknown in ["two", "", "vol-00000000000000002"] {
        assert!(Client::open(&host.nbd(), unknown).is_err());
    }

    let mut agent = host.agent();
    // Applying what is already so disturbs nobody.
    assert_eq!(serve(&mut agent, volume(1, 8 * MIB, None, "one")), []);
    assert_eq!(client.read(4096, 4096).unwrap(), [7; 4096]);
    // Names are one volume's; a volume never shrinks; sizes are whole blocks.
    assert_eq!(serve(&mut agent, volume(2, 8 * MIB, None, "one")).len(), 1);
    assert_eq!(serve(&mut agent, volume(1, 4 * MIB, None, "one")).len(), 1);
    assert_eq!(serve(&mut agent, volume(3, 1000, None, "three")).len(), 1);
    assert!(!host.volume_folder(3).exists());
    // Another name sends the old client away.
    assert_eq!(serve(&mut agent, volume(1, 8 * MIB, None, "uno")), []);
    assert!(client.read(4096, 4096).is_err());
    let mut client = Client::open(&host.nbd(), "uno").unwrap();
    assert_eq!(client.read(4096, 4096).unwrap(), [7; 4096]);
    assert_eq!(agent.count("vol-00000000000000001", "connections"), 1);

    let id = VolumeId::from_number(1);
    assert_eq!(agent.apply(EbsPatch { close: vec![id], ..EbsPatch::default() }), []);
    assert!(client.read(4096, 4096).is_err());
    assert!(Client::open(&host.nbd(), "uno").is_err());
    assert!(host.volume_folder(1).exists());
    let delete = EbsPatch { delete: vec![id, VolumeId::from_number(9)], ..EbsPatch::default() };
    assert_eq!(agent.apply(delete), []);
    assert!(!host.volume_folder(1).exists() && host.volume_folder(2).exists());
}

#[test]
fn a_served_volume_grows() {
    let host = Host::new();
    host.reset(vec![volume(1, 4 * MIB, None, "one")]);
    let mut client = Client::open(&host.nbd(), "one").unwrap();
    assert_eq!(client.write(0, &[1; 512]), 0);
    assert_eq!(client.write(20 * MIB, &[1; 512]), 28);
    let mut agent = host.agent();
    assert_eq!(serve(&mut agent, volume(1, 64 * MIB, None, "one")), []);
    assert_eq!(client.write(20 * MIB, &[2; 512]), 0);
    assert_eq!(client.flush(), 0);
    drop(client);
    host.reset(vec![]);
    host.reset(vec![volume(1, 64 * MIB, None, "one")]);
    let mut client = Client::open(&host.nbd(), "one").unwrap();
    assert_eq!(client.size, 64 * MIB);
    assert_eq!(client.read(0, 512).unwrap(), [1; 512]);
    assert_eq!(client.read(20 * MIB, 512).unwrap(), [2; 512]);
}

#[test]
fn thin_on_a_base() {
    let host = Host::new();
    let base = host.folder.join("base.raw");
    let content = (0..(MIB + 700)).map(|n| u8::try_from(n % 251).unwrap()).collect::<Vec<_>>();
    fs::write(&base, &content).unwrap();
    host.reset(vec![volume(1, 1024 * MIB, Some(&base), "one")]);
    let used = |name: &str| fs::metadata(host.volume_folder(1).join(name)).unwrap().blocks();
    assert_eq!(used("data"), 0, "a launch copies nothing");
    let mut client = Client::open(&host.nbd(), "one").unwrap();
    let mut expected = content.clone();
    expected.resize(2 << 20, 0);
    assert_eq!(client.read(0, 2 << 20).unwrap(), expected);

    assert_eq!(client.write(1024, &[255; 512]), 0);
    expected[1024..1536].fill(255);
    for (command, offset, length) in [(TRIM, 8192, 12_288_usize), (ZERO, 33_280, 9216)] {
        let header = request(command, 0, 1, offset, u32::try_from(length).unwrap());
        assert_eq!(client.ask(&header, &[]).unwrap(), 0);
        expected[usize::try_from(offset).unwrap()..][..length].fill(0);
    }
    assert_eq!(client.write(MIB + 512, &[254; 512]), 0);
    let end = usize::try_from(MIB).unwrap() + 512;
    expected[end..end + 512].fill(254);
    assert_eq!(client.read(0, 2 << 20).unwrap(), expected);
    assert_eq!(client.flush(), 0);
    assert!(used("data") <= 64, "{}", used("data"));
    assert_eq!(fs::read(&base).unwrap(), content, "the base is never written");

    drop(client);
    host.reset(vec![]);
    // The base may move, but not change.
    let moved = host.folder.join("moved.raw");
    fs::rename(&base, &moved).unwrap();
    let mut agent = host.agent();
    assert_eq!(serve(&mut agent, volume(1, 1024 * MIB, Some(&base), "one")).len(), 1);
    assert_eq!(serve(&mut agent, volume(1, 1024 * MIB, None, "one")).len(), 1);
    assert_eq!(serve(&mut agent, volume(1, 1024 * MIB, Some(&moved), "one")), []);
    let mut client = Client::open(&host.nbd(), "one").unwrap();
    assert_eq!(client.read(0, 2 << 20).unwrap(), expected);
}

#[test]
fn counters() {
    let host = Host::new();
    host.reset(vec![volume(1, MIB, None, "one")]);
    let mut client = Client::open(&host.nbd(), "one").unwrap();
    client.write(0, &[1; 8192]);
    client.read(0, 512).unwrap();
    client.flush();
    client.ask(&request(WRITE, 0, 1, MIB, 512), &[0; 512]).unwrap();
    client.ask(&request(FLUSH, 0, 1, 0, 0), &[]).unwrap();
    let mut agent = host.agent();
    for (name, count) in
        [("writes", 1), ("write_bytes", 8192), ("reads", 1), ("flushes", 2), ("invalid", 1)]
    {
        assert_eq!(agent.count("vol-00000000000000001", name), count, "{name}");
        assert_eq!(agent.count("card", name), count, "{name}");
    }
}

/// Opens an export as another user; none if we may not be one.
fn open_as(host: &Host, uid: u32, name: &'static str) -> Option<std::io::Result<Client>> {
    let socket = host.nbd();
    let open = move || {
        let user = rustix::fs::Uid::from_raw(uid);
        // Of this thread only.
        rustix::thread::set_thread_res_uid(user, user, user).ok()?;
        Some(Client::open(&socket, name))
    };
    std::thread::spawn(open).join().unwrap()
}

#[test]
fn a_name_is_of_no_use_to_another_user() {
    let host = Host::new();
    fs::set_permissions(host.nbd(), std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    let of = |number, name, uid| {
        let mut config = volume(number, 8 * MIB, None, name);
        config.uid = Some(uid);
        config
    };
    host.reset(vec![of(1, "one", 610_001), of(2, "two", 610_002), volume(3, MIB, None, "three")]);
    assert!(Client::open(&host.nbd(), "one").is_ok(), "the card's own user may do everything");
    let Some(own) = open_as(&host, 610_001, "one") else { return };
    let mut own = own.unwrap();
    assert_eq!(own.write(0, &[1; 512]), 0);
    for (uid, name) in [(610_002, "one"), (610_001, "two"), (610_001, "three"), (610_003, "one")] {
        assert!(open_as(&host, uid, name).unwrap().is_err(), "{uid} {name}");
    }
    // Another user by the same name sends the first away.
    assert_eq!(serve(&mut host.agent(), of(1, "one", 610_002)), []);
    assert!(own.read(0, 512).is_err());
    assert!(open_as(&host, 610_001, "one").unwrap().is_err());
    assert_eq!(open_as(&host, 610_002, "one").unwrap().unwrap().read(0, 512).unwrap(), [1; 512]);
}
