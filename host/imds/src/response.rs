//! Answers, with the headers and the error pages that EC2's own service sends.

use time::{format_description::FormatItem, macros::format_description};
use types::Timestamp;

/// HTTP's date format; `time` writes UTC for [`Timestamp::to_date`].
const HTTP_DATE: &[FormatItem<'static>] = format_description!(
    "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
);

/// An answer before it is bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// Media type of the body.
    pub content_type: &'static str,
    /// Headers of this answer alone.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// 200 with a plain text.
    pub(crate) fn text(body: impl Into<Vec<u8>>) -> Self {
        Self { status: 200, content_type: "text/plain", headers: Vec::new(), body: body.into() }
    }

    /// An error with EC2's XHTML page.
    #[must_use]
    pub fn error(status: u16) -> Self {
        let title = format!("{status} - {}", reason(status));
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"iso-8859-1\"?>\n\
             <!DOCTYPE html PUBLIC \"-//W3C//DTD XHTML 1.0 Transitional//EN\"\n\
             \t\"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd\">\n\
             <html xmlns=\"http://www.w3.org/1999/xhtml\" xml:lang=\"en\" lang=\"en\">\n \
             <head>\n  <title>{title}</title>\n </head>\n \
             <body>\n  <h1>{title}</h1>\n </body>\n</html>\n"
        );
        Self { status, content_type: "text/html", headers: Vec::new(), body: body.into_bytes() }
    }

    /// The answer to an instance that asks too often.
    #[must_use]
    pub fn throttled() -> Self {
        Self::error(429)
    }

    /// 405, or 200 to OPTIONS: empty, and says what is allowed, as EC2's does.
    pub(crate) fn allow(status: u16, methods: &str) -> Self {
        let mut response = Self::text("");
        response.status = status;
        response.headers.push(("Allow", methods.to_owned()));
        response
    }

    /// Adds a header.
    pub(crate) fn with(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The answer as HTTP/1.1; an answer to HEAD has no body, but its length.
    pub(crate) fn write(&self, now: Timestamp, head: bool, close: bool, out: &mut Vec<u8>) {
        let mut text = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        let mut header = |name: &str, value: &str| {
            for part in [name, ": ", value, "\r\n"] {
                text.push_str(part);
            }
        };
        for (name, value) in &self.headers {
            header(name, value);
        }
        header("Content-Type", self.content_type);
        header("Content-Length", &self.body.len().to_string());
        header("Date", &http_date(now));
        header("Server", "EC2ws");
        header("Connection", if close { "close" } else { "keep-alive" });
        text.push_str("\r\n");
        out.extend_from_slice(text.as_bytes());
        if !head {
            out.extend_from_slice(&self.body);
        }
    }
}

/// A time as HTTP writes it.
pub(crate) fn http_date(time: Timestamp) -> String {
    time.to_date().format(HTTP_DATE).unwrap_or_default()
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Not Allowed",
        413 => "Request Entity Too Large",
        417 => "Expectation Failed",
        429 => "Too Many Requests",
        501 => "Not Implemented",
        505 => "HTTP Version Not Supported",
        _ => "Internal Server Error",
    }
}
