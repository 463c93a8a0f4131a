//! What the codecs know of services and operations.

use crate::schema::Schema;
use crate::value::Structure;

/// An operation that we serve.
pub trait Operation: 'static {
    const NAME: &'static str;
    const SERVICE: &'static Service;
    type Input: Structure + Send + 'static;
    type Output: Structure + Send + 'static;
}

/// A service's facts.
#[derive(Debug)]
pub struct Service {
    /// The name in endpoints and in credential scopes, as `ec2`.
    pub name: &'static str,
    pub protocol: Protocol,
    /// As `2016-11-15`.
    pub api_version: &'static str,
    /// The XML namespace of answers.
    pub namespace: &'static str,
    /// Every operation of AWS's model in alphabetical order, whether we serve it or not.
    pub operations: &'static [&'static str],
    /// The operations that we serve, in alphabetical order.
    pub served: &'static [Served],
}

impl Service {
    /// The operation's schemas, if we serve it.
    #[must_use]
    pub fn served(&self, operation: &str) -> Option<&'static Served> {
        let at = self.served.binary_search_by(|served| served.name.cmp(operation)).ok()?;
        self.served.get(at)
    }

    /// Whether AWS's model knows the operation.
    #[must_use]
    pub fn knows(&self, operation: &str) -> bool {
        self.operations.binary_search(&operation).is_ok()
    }
}

/// A served operation's name and schemas.
#[derive(Debug)]
pub struct Served {
    pub name: &'static str,
    pub input: &'static Schema,
    pub output: &'static Schema,
}

/// How a service speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Ec2,
    Query,
    /// The operation is named by the header `X-Amz-Target`: `PREFIX.Operation`.
    Json {
        version: JsonVersion,
        /// As `TrentService`.
        target: &'static str,
    },
    RestJson,
    RestXml,
}

/// The version of AWS's JSON protocol; they differ in their media type alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonVersion {
    V1_0,
    V1_1,
}

/// Declares the operations of a service, in alphabetical order.
macro_rules! operations {
    ($($name:ident: $input:ident => $output:ident,)*) => {
        $(
            #[derive(Debug, Clone, Copy)]
            pub struct $name;

            impl $crate::Operation for $name {
                const NAME: &'static str = stringify!($name);
                const SERVICE: &'static $crate::Service = &super::SERVICE;
                type Input = super::$input;
                type Output = super::$output;
            }
        )*

        pub(super) static SERVED: &[$crate::Served] = &[$($crate::Served {
            name: stringify!($name),
            input: <super::$input as $crate::Structure>::SCHEMA,
            output: <super::$output as $crate::Structure>::SCHEMA,
        },)*];
    };
}

pub(crate) use operations;
