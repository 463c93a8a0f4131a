//! What a codec knows of a shape: its kind, and the names and places of its members.

use crate::limits::Limits;

/// A shape of the model. Schemas refer to each other and may be recursive.
#[derive(Debug)]
pub struct Schema {
    pub name: &'static str,
    pub kind: Kind,
    pub namespace: Option<Namespace>,
    /// What the model limits; none where it doesn't, or where the service's own words are better.
    pub limits: Option<Limits>,
}

impl Schema {
    #[must_use]
    pub const fn new(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, namespace: None, limits: None }
    }

    #[must_use]
    pub const fn limited(mut self, limits: Limits) -> Self {
        self.limits = Some(limits);
        self
    }

    /// The members of a structure; none for any other kind.
    #[must_use]
    pub fn members(&self) -> &'static [Member] {
        if let Kind::Structure(members) = self.kind { members } else { &[] }
    }
}

/// The name of the schema of an input or output that the model leaves out.
pub const UNIT: &str = "Unit";

#[derive(Debug, Clone, Copy)]
pub enum Kind {
    Boolean,
    Integer,
    Long,
    Float,
    Double,
    String,
    Blob,
    /// `None`: the protocol's own format.
    Timestamp(Option<TimestampFormat>),
    Enum(&'static [&'static str]),
    List {
        element: Element,
        flattened: bool,
    },
    Map {
        key: Element,
        value: Element,
        flattened: bool,
    },
    Structure(&'static [Member]),
    /// Whatever JSON can say.
    Document,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampFormat {
    /// `2015-01-01T00:00:00Z`
    Iso8601,
    /// Seconds since the epoch.
    Unix,
    /// `Thu, 01 Jan 2015 00:00:00 GMT`
    Http,
}

/// An element of a list, or the key or value of a map.
#[derive(Debug, Clone, Copy)]
pub struct Element {
    /// The name on the wire, where it is not the protocol's own.
    pub name: Option<&'static str>,
    pub schema: &'static Schema,
    pub namespace: Option<Namespace>,
}

impl Element {
    #[must_use]
    pub const fn new(name: Option<&'static str>, schema: &'static Schema) -> Self {
        Self { name, schema, namespace: None }
    }
}

/// An XML namespace to declare on an element.
#[derive(Debug, Clone, Copy)]
pub struct Namespace {
    pub prefix: Option<&'static str>,
    pub uri: &'static str,
}

/// A member of a structure.
#[derive(Debug)]
pub struct Member {
    /// The model's name.
    pub name: &'static str,
    /// The name on the wire.
    pub wire: &'static str,
    /// The name in requests of the ec2 protocol, which has rules of its own.
    pub ec2: &'static str,
    pub schema: &'static Schema,
    pub location: Location,
    pub namespace: Option<Namespace>,
    pub required: bool,
    /// Lists and maps: the elements stand in the parent, without an element around them.
    pub flattened: bool,
    pub xml_attribute: bool,
    pub idempotency_token: bool,
    /// A secret, or a list of secrets: never to be in a log.
    pub sensitive: bool,
}

impl Member {
    #[must_use]
    pub const fn new(
        name: &'static str,
        wire: &'static str,
        ec2: &'static str,
        schema: &'static Schema,
    ) -> Self {
        Self {
            name,
            wire,
            ec2,
            schema,
            location: Location::Body,
            namespace: None,
            required: false,
            flattened: false,
            xml_attribute: false,
            idempotency_token: false,
            sensitive: false,
        }
    }

    #[must_use]
    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    #[must_use]
    pub const fn flattened(mut self) -> Self {
        self.flattened = true;
        self
    }

    #[must_use]
    pub const fn xml_attribute(mut self) -> Self {
        self.xml_attribute = true;
        self
    }

    #[must_use]
    pub const fn idempotency_token(mut self) -> Self {
        self.idempotency_token = true;
        self
    }

    #[must_use]
    pub const fn sensitive(mut self) -> Self {
        self.sensitive = true;
        self
    }

    #[must_use]
    pub const fn namespace(mut self, namespace: Namespace) -> Self {
        self.namespace = Some(namespace);
        self
    }

    #[must_use]
    pub const fn at(mut self, location: Location) -> Self {
        self.location = location;
        self
    }
}

/// Where in a message a member stands; all but `Body` are for the REST protocols.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Location {
    Body,
    Header,
    Headers,
    Query,
    Path,
    Status,
}

pub static BOOLEAN: Schema = Schema::new("Boolean", Kind::Boolean);
pub static INTEGER: Schema = Schema::new("Integer", Kind::Integer);
pub static LONG: Schema = Schema::new("Long", Kind::Long);
pub static FLOAT: Schema = Schema::new("Float", Kind::Float);
pub static DOUBLE: Schema = Schema::new("Double", Kind::Double);
pub static STRING: Schema = Schema::new("String", Kind::String);
pub static BLOB: Schema = Schema::new("Blob", Kind::Blob);
pub static TIMESTAMP: Schema = Schema::new("Timestamp", Kind::Timestamp(None));
pub static TIMESTAMP_ISO: Schema =
    Schema::new("Timestamp", Kind::Timestamp(Some(TimestampFormat::Iso8601)));
pub static TIMESTAMP_UNIX: Schema =
    Schema::new("Timestamp", Kind::Timestamp(Some(TimestampFormat::Unix)));
pub static TIMESTAMP_HTTP: Schema =
    Schema::new("Timestamp", Kind::Timestamp(Some(TimestampFormat::Http)));
