//! The object store's questions, asked over a socket.

use super::*;
use crate::{cloud::Cloud, hosts::Hosts, identities::Links, store::Memory, uses::Uses};
use iam::AccessKey;
use kms::{Key, MasterKey};
use session::SessionKey;
use std::collections::BTreeMap;

struct Link(BufReader<UnixStream>);

impl Link {
    async fn ask(&mut self, ask: &Ask) -> Answer {
        self.0.get_mut().write_all(&Line::of(ask).unwrap().0).await.unwrap();
        let mut line = String::new();
        self.0.read_line(&mut line).await.unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

async fn world() -> (Arc<Dispatcher>, AccessKey, Link) {
    let folder = tempfile::tempdir().unwrap();
    let cloud = Cloud::start(Box::new(Memory::default())).unwrap();
    let make = |tx: &mut state::Tx| Ok(AccessKey::create(tx, AccountId::DEFAULT));
    let key = cloud.mutate(false, make).await.unwrap();
    let dispatcher = Arc::new(Dispatcher {
        cloud,
        hosts: Arc::new(Hosts::default()),
        trust_any_key: false,
        master: MasterKey::new([5; 32]),
        sessions: SessionKey::new([6; 32]),
        links: Arc::new(Links::default()),
        uses: Uses::default(),
        verifier: protocol::sigv4::Verifier::new(),
        codes: iam::UsedCodes::default(),
        issuers: crate::issuers::Issuers::new(false),
        trail: crate::trail::Trail::open(folder.path(), 1).unwrap(),
        rates: crate::rates::Rates::new(None),
    });
    let (ours, theirs) = UnixStream::pair().unwrap();
    let serving = dispatcher.clone();
    tokio::spawn(async move { answer_all(&serving, ours).await });
    (dispatcher, key, Link(BufReader::new(theirs)))
}

fn ask(key: &AccessKey, want: Want) -> Ask {
    Ask {
        access_key_id: key.id.clone(),
        session_token: None,
        source_ip: None,
        user_agent: None,
        secure: false,
        region: "eu-west-1".to_owned(),
        context: [("aws:s3:arn".to_owned(), "arn:aws:s3:::b/k".to_owned())].into(),
        want,
    }
}

fn refused(answer: Answer) -> String {
    let Answer::Refused { code, ours: false, .. } = answer else { panic!("{answer:?}") };
    code
}

#[tokio::test]
async fn a_data_key_is_made_and_opened_in_its_own_context() {
    let (dispatcher, key, mut link) = world().await;
    let generate = ask(&key, Want::Generate { key_id: None });
    let Answer::Made { plaintext, ciphertext, key_arn } = link.ask(&generate).await else {
        panic!("no key")
    };
    let state = dispatcher.cloud.state();
    let [made] = state.iter::<Key>().collect::<Vec<_>>()[..] else { panic!("one key") };
    assert_eq!(made.arn(), key_arn, "the account's own key for S3, in the bucket's region");
    let open = ask(&key, Want::Open { ciphertext });
    assert_eq!(link.ask(&open).await, Answer::Opened { plaintext });
    let elsewhere = Ask { context: BTreeMap::new(), ..open.clone() };
    assert_eq!(refused(link.ask(&elsewhere).await), "InvalidCiphertextException");
    let Answer::Made { key_arn: again, .. } = link.ask(&generate).await else { panic!("no key") };
    assert_eq!(again, key_arn, "it is made once");
    let id = Some("alias/nothing".to_owned());
    let missing = ask(&key, Want::Generate { key_id: id });
    assert_eq!(refused(link.ask(&missing).await), "NotFoundException");
    let nobody = Ask { access_key_id: "AKIANOBODY".to_owned(), ..open };
    assert_eq!(refused(link.ask(&nobody).await), "AccessDeniedException");
}

#[tokio::test]
async fn nonsense_ends_the_link() {
    let (_, _, mut link) = world().await;
    link.0.get_mut().write_all(b"{\"Sync\": 1}\n").await.unwrap();
    let mut rest = String::new();
    assert_eq!(link.0.read_line(&mut rest).await.unwrap(), 0);
}
