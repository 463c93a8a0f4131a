//! The thread that makes events of calls and writes them.

use super::{
    Answered, Counts, Message, Parameters,
    refused::RefusedLog,
    stream::{Stream, about},
};
use crate::cloud::now;
use audit::Call;
use contracts::audit::Event;
use protocol::Payload;
use serde_json::json;
use std::{
    sync::{Arc, atomic::Ordering, mpsc},
    time::{Duration, Instant},
};

/// How long events wait for others, to be written with them.
const FLUSH_EVERY: Duration = Duration::from_millis(10);
/// How long what is written may be away from the disk.
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// How often old files are looked for.
const FORGET_EVERY: Duration = Duration::from_secs(600);

/// What writes the log.
pub struct Writer {
    /// Of changes and of reads.
    streams: [Stream; 2],
    refused: RefusedLog,
    counts: Arc<Counts>,
    /// The events lost that the log has told of.
    told: u64,
    /// Since when something is not in the files.
    waiting: Option<Instant>,
    /// Since when something is away from the disk.
    dirty: Option<Instant>,
    looked: Option<Instant>,
}

impl Writer {
    pub fn new(streams: [Stream; 2], refused: RefusedLog, counts: Arc<Counts>) -> Self {
        Self { streams, refused, counts, told: 0, waiting: None, dirty: None, looked: None }
    }

    /// Writes what it is told until it is told to end, or nobody is left to tell.
    pub fn run(mut self, queue: mpsc::Receiver<Message>) {
        loop {
            self.look_after();
            let message = match queue.try_recv() {
                Ok(message) => message,
                Err(_) => {
                    let left = |since: Instant, all: Duration| all.saturating_sub(since.elapsed());
                    let wait = match (self.waiting, self.dirty) {
                        (Some(since), _) => left(since, FLUSH_EVERY),
                        (None, Some(since)) => left(since, SYNC_EVERY),
                        (None, None) => FORGET_EVERY,
                    };
                    match queue.recv_timeout(wait) {
                        Ok(message) => message,
                        Err(mpsc::RecvTimeoutError::Timeout) => continue,
                        Err(mpsc::RecvTimeoutError::Disconnected) => {
                            self.flush();
                            return self.sync();
                        }
                    }
                }
            };
            match message {
                Message::Answered(answered, _place) => {
                    for event in events(*answered) {
                        self.write(&event);
                    }
                }
                Message::Event(event, _place) => self.write(&event),
                Message::Refused(refusal, _place) => self.refused.write(&refusal),
                Message::Flush(done) => {
                    self.flush();
                    let _ = done.send(());
                }
                Message::Close(done) => {
                    self.flush();
                    self.sync();
                    // From here on, whoever notes something sees that it is lost.
                    drop(queue);
                    let _ = done.send(());
                    return;
                }
            }
        }
    }

    /// Does what is due by the clock.
    fn look_after(&mut self) {
        if self.waiting.is_some_and(|since| since.elapsed() >= FLUSH_EVERY) {
            self.flush();
        }
        if self.dirty.is_some_and(|since| since.elapsed() >= SYNC_EVERY) {
            self.flush();
            self.sync();
        }
        if self.looked.is_none_or(|at| at.elapsed() >= FORGET_EVERY) {
            self.looked = Some(Instant::now());
            for stream in &mut self.streams {
                stream.forget(now());
            }
        }
    }

    fn write(&mut self, event: &Event) {
        let lost = self.counts.dropped.load(Ordering::Relaxed);
        if lost > self.told {
            let gap = json!({
                "eventTime": now().to_string(),
                "eventSource": "fogbank",
                "eventName": "EventsLost",
                "count": lost - self.told,
            });
            self.told = lost;
            let [changes, _] = &mut self.streams;
            let written = changes.append(format!("{gap}\n").as_bytes(), None);
            self.count(written, 0);
        }
        let Ok(mut line) = serde_json::to_vec(event) else {
            return self.count(Err(1), 0);
        };
        line.push(b'\n');
        let [changes, reads] = &mut self.streams;
        let stream = if event.read_only { reads } else { changes };
        let written = stream.append(&line, about(event));
        self.count(written, 1);
        let now = Instant::now();
        self.waiting.get_or_insert(now);
        self.dirty.get_or_insert(now);
    }

    fn count(&self, written: Result<(), u64>, events: u64) {
        match written {
            Ok(()) => self.counts.written.fetch_add(events, Ordering::Relaxed),
            Err(lost) => self.counts.dropped.fetch_add(lost, Ordering::Relaxed),
        };
    }

    fn flush(&mut self) {
        self.waiting = None;
        for at in 0..self.streams.len() {
            let flushed = self.streams.get_mut(at).map_or(Ok(()), Stream::flush);
            self.count(flushed, 0);
        }
    }

    fn sync(&mut self) {
        self.dirty = None;
        for stream in &mut self.streams {
            if let Err(error) = stream.sync() {
                log::error!("the audit log is not on the disk: {error}");
            }
        }
    }
}

/// The events of a call.
fn events(answered: Answered) -> Vec<Event> {
    let Answered {
        identity,
        service,
        operation,
        region,
        parameters,
        output,
        fault,
        was_sent,
        host,
        request_id,
        at,
        size_bytes,
    } = answered;
    let (input, unread) = match service.served(&operation) {
        None => (None, Vec::new()),
        Some(served) => read(service, served.input, parameters),
    };
    let call = Call {
        identity,
        service,
        operation,
        region,
        input,
        unread,
        output,
        fault,
        was_sent,
        host,
        request_id,
        at,
        size_bytes,
    };
    call.events(crate::http::request_id)
}

/// A call's input; its parameters with their names, where it can't be read.
fn read(
    service: &'static shapes::Service,
    schema: &'static shapes::Schema,
    parameters: Parameters,
) -> (Option<shapes::Value>, Vec<(String, String)>) {
    match parameters {
        Parameters::Form(form) => {
            let payload = Payload::Form(form);
            match (protocol::decode_input(service, schema, &payload), payload) {
                (Ok(value), _) => (Some(value), Vec::new()),
                (Err(_), Payload::Form(form)) => {
                    let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
                    (None, form.iter().map(own).collect())
                }
                (Err(_), Payload::Json { .. }) => (None, Vec::new()),
            }
        }
        Parameters::Json(target, body) => {
            let payload = Payload::Json { target: &target, body: &body };
            (protocol::decode_input(service, schema, &payload).ok(), Vec::new())
        }
    }
}
