//! The log on a disk: what a crash leaves, what is kept, what is found.

use super::{
    Trail,
    search::search,
    stream::{Limits, Stream, about},
};
use audit::{Page, Query};
use contracts::audit::Event;
use iam::{Caller, Circumstances, Request};
use serde_json::json;
use shapes::cloudtrail::{LookupAttribute, LookupAttributeKey, LookupEventsRequest};
use std::{fs, io::Write as _, path::Path, sync::Arc};
use types::{AccountId, Scope, Timestamp};

const NOW_S: i64 = 1_800_000_000;
const SMALL: Limits =
    Limits { block_bytes: 2000, file_bytes: 10_000, stream_bytes: 50_000, days: 9 };

fn event(account: u64, number: i64, read_only: bool) -> Event {
    let at = Timestamp::from_millis((NOW_S + number) * 1000).to_string();
    serde_json::from_value(json!({
        "eventVersion": "1.11",
        "userIdentity": { "type": "IAMUser", "userName": format!("user-{}", number % 3) },
        "eventTime": format!("{}Z", &at[..19]),
        "eventSource": "ec2.amazonaws.com",
        "eventName": if read_only { "DescribeVpcs" } else { "CreateVpc" },
        "awsRegion": "us-east-1",
        "sourceIPAddress": "127.0.0.1",
        "requestID": "r",
        "eventID": format!("event-{account}-{number}"),
        "readOnly": read_only,
        "eventType": "AwsApiCall",
        "managementEvent": true,
        "recipientAccountId": format!("{account:012}"),
        "eventCategory": "Management",
    }))
    .expect("an event")
}

fn write(stream: &mut Stream, event: &Event) {
    let mut line = serde_json::to_vec(event).expect("JSON");
    line.push(b'\n');
    stream.append(&line, about(event)).expect("room");
}

fn streams(folder: &Path, limits: Limits) -> [Stream; 2] {
    ["changes", "reads"].map(|name| Stream::open(folder, name, limits).expect("opened"))
}

fn query(account: u64, input: LookupEventsRequest) -> Query {
    let account: AccountId = format!("{account:012}").parse().expect("an account");
    let caller = Caller::root(account).coming(Circumstances::default());
    let scope = Scope { account, region: "us-east-1".parse().expect("a region") };
    let now = Timestamp::from_millis((NOW_S + 1_000_000) * 1000);
    audit_query(&Request { caller, scope }, now, input)
}

fn audit_query(request: &Request, now: Timestamp, input: LookupEventsRequest) -> Query {
    struct Take<'a>(&'a Request, Timestamp, LookupEventsRequest);
    impl audit::Visitor for Take<'_> {
        type Out = Query;
        fn search<O: shapes::Operation>(self, run: audit::Search<O>) -> Query {
            let mut given = O::Input::default();
            let members = <LookupEventsRequest as shapes::Structure>::SCHEMA.members();
            for index in 0..members.len() {
                let value = shapes::Members::member(&self.2, index).map(owned);
                if let Some(value) = value {
                    shapes::Structure::set_member(&mut given, index, value);
                }
            }
            run(self.0, self.1, given).expect("a query").query
        }
    }
    audit::visit("LookupEvents", Take(request, now, input)).expect("served")
}

fn owned(view: shapes::View<'_>) -> shapes::Value {
    use shapes::{Value, View};
    match view {
        View::Integer(value) => Value::Integer(value),
        View::String(value) => Value::String(value.to_owned()),
        View::Timestamp(value) => Value::Timestamp(value),
        View::List(list) => {
            Value::List((0..list.len()).filter_map(|at| list.get(at).map(owned)).collect())
        }
        View::Structure(members) => {
            let members = (0..2).filter_map(|at| Some((at, owned(members.member(at)?))));
            Value::Structure(members.collect())
        }
        View::Boolean(_)
        | View::Long(_)
        | View::Float(_)
        | View::Double(_)
        | View::Blob(_)
        | View::Map(_)
        | View::Document(_) => unreachable!("no input of a lookup has this"),
    }
}

fn asked(name: LookupAttributeKey, value: &str) -> LookupEventsRequest {
    let attribute =
        LookupAttribute { attribute_key: Some(name), attribute_value: Some(value.to_owned()) };
    LookupEventsRequest {
        lookup_attributes: Some(vec![attribute]),
        ..LookupEventsRequest::default()
    }
}

/// All that is found, page by page.
fn all(streams: &[Stream; 2], account: u64, input: &LookupEventsRequest) -> Vec<String> {
    let indexes = [streams[0].index(), streams[1].index()];
    let (mut found, mut input) = (Vec::new(), input.clone());
    loop {
        let Page { events, next } = search(&indexes, &query(account, input.clone())).expect("read");
        assert!(events.len() <= 50);
        found.extend(events.into_iter().map(|(event, _)| event.event_id));
        match next {
            Some(token) => input.next_token = Some(token),
            None => return found,
        }
    }
}

#[test]
fn each_account_finds_its_own_events_the_newest_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut streams = streams(folder.path(), SMALL);
    for number in 0..120 {
        let of = event(1 + u64::from(number % 4 == 0), number, number % 3 == 0);
        let which = usize::from(of.read_only);
        write(&mut streams[which], &of);
    }
    streams.iter_mut().for_each(|stream| stream.flush().expect("written"));
    let numbers = |account: u64, keep: &dyn Fn(i64) -> bool| {
        let own = (0..120).rev().filter(|number| (number % 4 == 0) == (account == 2));
        let own = own.filter(|number| keep(*number));
        own.map(|number| format!("event-{account}-{number}")).collect::<Vec<_>>()
    };
    let everything = LookupEventsRequest::default();
    assert_eq!(all(&streams, 1, &everything), numbers(1, &|_| true));
    assert_eq!(all(&streams, 2, &everything), numbers(2, &|_| true));
    assert_eq!(all(&streams, 3, &everything), [""; 0]);
    let reads = asked(LookupAttributeKey::ReadOnly, "true");
    assert_eq!(all(&streams, 1, &reads), numbers(1, &|number| number % 3 == 0));
    let of_user = asked(LookupAttributeKey::Username, "user-2");
    assert_eq!(all(&streams, 2, &of_user), numbers(2, &|number| number % 3 == 2));
    assert_eq!(all(&streams, 1, &asked(LookupAttributeKey::EventId, "event-1-7")), ["event-1-7"]);
    assert_eq!(all(&streams, 2, &asked(LookupAttributeKey::EventId, "event-1-7")), [""; 0]);
    let second = |number: i64| Some(Timestamp::from_millis((NOW_S + number) * 1000));
    let between = LookupEventsRequest {
        start_time: second(10),
        end_time: second(20),
        max_results: Some(2),
        ..LookupEventsRequest::default()
    };
    assert_eq!(all(&streams, 1, &between), numbers(1, &|number| (10..=20).contains(&number)));
}

#[test]
fn what_a_crash_tears_is_cut_off_and_the_rest_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let newest = |folder: &Path, ending: &str| {
        let names =
            fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("there").path());
        let name = |path: &std::path::PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.starts_with("changes") && name.ends_with(ending)
        };
        names.filter(name).max().expect("a file")
    };
    let mut expected = Vec::new();
    for round in 0..4 {
        let mut streams = streams(folder.path(), SMALL);
        let everything = LookupEventsRequest::default();
        assert_eq!(all(&streams, 1, &everything), expected, "round {round}");
        for number in round * 40..(round + 1) * 40 {
            write(&mut streams[0], &event(1, number, false));
            expected.insert(0, format!("event-1-{number}"));
        }
        streams[0].flush().expect("written");
        drop(streams);
        // A line that was being written, and an index that is lost, torn, or lies.
        let path = newest(folder.path(), ".jsonl");
        let mut file = fs::OpenOptions::new().append(true).open(path).expect("there");
        file.write_all(b"{\"eventVersion\":\"1.1").expect("torn");
        let index = newest(folder.path(), ".index");
        match round {
            0 => fs::remove_file(index).expect("removed"),
            1 => fs::write(index, "0 17 1 2").expect("torn"),
            _ => fs::write(index, "0 999999 1 2 *\n5 7 1 2 -\n").expect("lying"),
        }
    }
    let streams = streams(folder.path(), SMALL);
    // The oldest files are gone where there is too much: what is there is in order.
    let found = all(&streams, 1, &LookupEventsRequest::default());
    assert_eq!(found, expected);
}

#[test]
fn what_is_too_old_or_too_much_is_forgotten() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut stream = Stream::open(folder.path(), "reads", SMALL).expect("opened");
    for number in 0..1000 {
        write(&mut stream, &event(1, number, true));
        stream.flush().expect("written");
        stream.forget(Timestamp::from_millis(NOW_S * 1000));
    }
    let kept = || -> u64 {
        let files = fs::read_dir(folder.path()).expect("a folder");
        files.map(|entry| entry.and_then(|entry| entry.metadata()).expect("there").len()).sum()
    };
    assert!((40_000..65_000).contains(&kept()), "{}", kept());
    // All but the last file is older than nine days.
    stream.forget(Timestamp::from_millis((NOW_S + 20 * 24 * 3600) * 1000));
    assert!(kept() < 15_000, "{}", kept());
    write(&mut stream, &event(1, 1000, true));
    stream.flush().expect("written");
}

#[test]
fn a_disk_that_is_full_loses_events_and_says_how_many() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut stream = Stream::open(folder.path(), "changes", SMALL).expect("opened");
    write(&mut stream, &event(1, 1, false));
    stream.flush().expect("written");
    stream.fail_with(fs::OpenOptions::new().write(true).open("/dev/full").expect("there"));
    write(&mut stream, &event(1, 2, false));
    write(&mut stream, &event(1, 3, false));
    assert_eq!(stream.flush(), Err(2));
}

#[tokio::test]
async fn what_was_noted_before_a_search_is_found_and_kept_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().expect("a folder");
    let trail = Trail::open(&folder.path().join("audit"), 90).expect("opened");
    for number in 0..5 {
        trail.take(event(1, number, false), 1000).await;
    }
    let page = trail.search(query(1, LookupEventsRequest::default())).await.expect("read");
    assert_eq!(page.events.len(), 5);
    assert_eq!(trail.status().written, 5);
    trail.close().await;
    // Nobody takes any more: the loss is counted.
    trail.take(event(1, 6, false), 1000).await;
    assert_eq!(trail.status().dropped, 1);
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&folder.path().join("audit")), 0o700);
    for entry in fs::read_dir(folder.path().join("audit")).expect("a folder") {
        assert_eq!(mode(&entry.expect("there").path()), 0o600);
    }
    let again = Trail::open(&folder.path().join("audit"), 90).expect("opened");
    let page = again.search(query(1, LookupEventsRequest::default())).await.expect("read");
    assert_eq!(page.events.len(), 5);
}

#[tokio::test]
async fn reads_leave_half_of_the_queue_to_changes() {
    let folder = tempfile::tempdir().expect("a folder");
    let trail = Arc::new(Trail::open(&folder.path().join("audit"), 90).expect("opened"));
    let mut held = Vec::new();
    while let Some(place) = trail.place(1 << 20, true) {
        held.push(place);
    }
    assert!((31..=32).contains(&held.len()), "{}", held.len());
    assert!(trail.place(1 << 20, false).is_some());
}
