//! Enumerations whose variants are words on the wire.

use std::fmt;

/// The text is none of the enumeration's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownValue;

impl fmt::Display for UnknownValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unknown value")
    }
}

impl std::error::Error for UnknownValue {}

/// Declares an enumeration with the text of each variant.
macro_rules! enumeration {
    ($name:ident { $($variant:ident = $text:literal,)+ }) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($variant,)+ }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];
            pub const SCHEMA: &'static $crate::Schema =
                &$crate::Schema::new(stringify!($name), $crate::Kind::Enum(&[$($text,)+]));

            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::UnknownValue;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text { $($text => Ok(Self::$variant),)+ _ => Err($crate::UnknownValue) }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl $crate::Shape for $name {
            fn view(&self) -> $crate::View<'_> {
                $crate::View::String(self.as_str())
            }

            fn from_value(value: $crate::Value) -> Option<Self> {
                String::from_value(value)?.parse().ok()
            }
        }
    };
}

pub(crate) use enumeration;
