//! A supervisor for tests: it has the listening socket and starts cards, which are this test's
//! own executable, run with another purpose.

use contracts::card::{EbsPatch, EbsRequest, Reply, VolumeConfig};
use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};
use types::{ResourceId as _, VolumeId};

const FOLDER: &str = "EBS_CARD_TEST_FOLDER";
pub const MIB: u64 = 1 << 20;

/// Not a test: the card's process, if a test has started it.
#[test]
fn card_process() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let stdin = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
    ebs_card::run(ebs_card::Config {
        control: folder.join("control"),
        nbd: UnixListener::from(stdin),
        volumes: folder.join("volumes"),
    })
    .unwrap();
}

pub struct Host {
    pub folder: PathBuf,
    listener: UnixListener,
    card: Option<Child>,
}

impl Host {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("ebs-card-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        let listener = UnixListener::bind(folder.join("nbd")).unwrap();
        let mut host = Self { folder, listener, card: None };
        host.start();
        host
    }

    pub fn start(&mut self) {
        let stdin = OwnedFd::from(self.listener.try_clone().unwrap());
        let card = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "host::card_process", "--nocapture"])
            .env(FOLDER, &self.folder)
            .stdin(Stdio::from(stdin))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        self.card = Some(card);
    }

    /// kill -9
    pub fn kill(&mut self) {
        let mut card = self.card.take().unwrap();
        card.kill().unwrap();
        card.wait().unwrap();
    }

    /// SIGTERM, and whether it ended well.
    pub fn end(&mut self) -> bool {
        let mut card = self.card.take().unwrap();
        let pid = card.id().to_string();
        assert!(Command::new("kill").arg(pid).status().unwrap().success());
        card.wait().unwrap().success()
    }

    pub fn pid(&self) -> u32 {
        self.card.as_ref().unwrap().id()
    }

    /// A connection to the control socket, as soon as the card has made it.
    pub fn agent(&self) -> Agent {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            match UnixStream::connect(self.folder.join("control")) {
                Ok(stream) => return Agent(BufReader::new(stream)),
                Err(error) if Instant::now() > deadline => panic!("no control socket: {error}"),
                Err(_) => thread::sleep(Duration::from_millis(2)),
            }
        }
    }

    /// Serves exactly these volumes.
    pub fn reset(&self, serve: Vec<VolumeConfig>) {
        let patch = EbsPatch { reset: true, serve, ..EbsPatch::default() };
        assert_eq!(self.agent().apply(patch), []);
    }

    pub fn nbd(&self) -> PathBuf {
        self.folder.join("nbd")
    }

    pub fn volume_folder(&self, number: u64) -> PathBuf {
        self.folder.join("volumes").join(VolumeId::from_number(number).to_string())
    }

    /// The name by which QEMU's tools know an export.
    pub fn url(&self, name: &str) -> String {
        format!("nbd+unix:///{name}?socket={}", self.nbd().display())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if self.card.is_some() {
            self.kill();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

pub struct Agent(BufReader<UnixStream>);

impl Agent {
    pub fn ask_raw(&mut self, line: &str) -> Option<Reply> {
        self.0.get_mut().write_all(line.as_bytes()).ok()?;
        let mut reply = String::new();
        self.0.read_line(&mut reply).ok().filter(|count| *count > 0)?;
        Some(serde_json::from_str(&reply).unwrap())
    }

    pub fn ask(&mut self, request: &EbsRequest) -> Reply {
        self.ask_raw(&format!("{}\n", serde_json::to_string(request).unwrap())).unwrap()
    }

    /// What failed.
    pub fn apply(&mut self, patch: EbsPatch) -> Vec<(String, String)> {
        match self.ask(&EbsRequest::Apply(patch)) {
            Reply::Applied { failed } => failed.into_iter().collect(),
            other @ (Reply::Status(_) | Reply::Refused(_)) => panic!("{other:?}"),
        }
    }

    pub fn count(&mut self, object: &str, name: &str) -> u64 {
        match self.ask(&EbsRequest::Status) {
            Reply::Status(status) => status[object][name],
            other @ (Reply::Applied { .. } | Reply::Refused(_)) => panic!("{other:?}"),
        }
    }
}

pub fn volume(number: u64, size_bytes: u64, base: Option<&Path>, export: &str) -> VolumeConfig {
    VolumeConfig {
        id: VolumeId::from_number(number),
        size_bytes,
        base: base.map(Path::to_owned),
        export: (!export.is_empty()).then(|| export.to_owned()),
        uid: None,
    }
}
