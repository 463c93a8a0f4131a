//! The QMP client against a server of our own, and against garbage.

use hypervisor::qmp::{Client, Command, EndedBy, Event, Message, Session};
use proptest::prelude::*;
use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    time::Duration,
};

const LIMIT: Duration = Duration::from_secs(5);

/// Answers each line with what `answers` says, after the greeting.
fn serve(answers: &'static [&'static str]) -> UnixStream {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    std::thread::spawn(move || {
        theirs.write_all(b"{\"QMP\": {\"version\": {}}}\r\n").unwrap();
        let mut lines = BufReader::new(theirs.try_clone().unwrap()).lines();
        for answer in answers {
            if lines.next().is_none() {
                return;
            }
            theirs.write_all(answer.as_bytes()).unwrap();
        }
        // Then it keeps silent until the client goes away.
        lines.for_each(drop);
    });
    ours
}

#[test]
fn answers_events_and_errors() {
    let stream = serve(&[
        "{\"return\": {}, \"id\": 1}\n",
        "{\"event\": \"SHUTDOWN\", \"data\": {\"guest\": true, \"reason\": \"guest-shutdown\"}}\n{\"return\": {\"status\": \"running\"}, \"id\": 2}\n",
        "{\"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}, \"id\": 3}\n",
    ]);
    let mut client = Client::new(stream, LIMIT).unwrap();
    let status = client.execute(&Command::QueryStatus, LIMIT).unwrap();
    assert_eq!(status["status"], "running");
    let error = client.execute(&Command::Powerdown, LIMIT).unwrap_err();
    assert!(error.to_string().contains("no"));
    assert_eq!(client.into_parts().2, [Event::Shutdown { by: EndedBy::Guest }]);
}

#[test]
fn a_silent_qemu_is_not_waited_for() {
    let stream = serve(&["{\"return\": {}, \"id\": 1}\n"]);
    let mut client = Client::new(stream, LIMIT).unwrap();
    let error = client.execute(&Command::QueryStatus, Duration::from_millis(50)).unwrap_err();
    assert!(error.to_string().contains("in time"), "{error}");
}

#[test]
fn pieces_make_lines() {
    let mut session = Session::default();
    for byte in b"\r\n{\"return\": 1, \"id\": 7}\r\n" {
        session.feed(&[*byte]);
        if *byte != b'\n' {
            assert_eq!(session.message().unwrap(), None);
        }
    }
    let message = session.message().unwrap();
    assert_eq!(message, Some(Message::Return { id: 7, value: 1.into() }));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>, text in "[{}\\[\\]\":,a-zQMP0-9\n]{0,200}") {
        for input in [bytes, text.into_bytes()] {
            let mut session = Session::default();
            session.feed(&input);
            while let Ok(Some(_)) = session.message() {}
        }
    }
}
