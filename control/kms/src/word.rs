//! Enumerations of the API in rows, by their words.

use serde::{Deserialize, Deserializer, Serializer, de::Error as _};
use std::{borrow::Cow, fmt::Display, str::FromStr};

pub(crate) fn serialize<T: Display, S: Serializer>(
    value: &T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

pub(crate) fn deserialize<'de, T: FromStr, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    let text = Cow::<'de, str>::deserialize(deserializer)?;
    text.parse().map_err(|_| D::Error::custom(format!("unknown word {text}")))
}

/// Lists of them.
pub(crate) mod list {
    use super::{D, Deserialize, Display, FromStr, S};
    use serde::ser::SerializeSeq as _;

    pub(crate) fn serialize<T: Display, Z: S>(
        values: &[T],
        serializer: Z,
    ) -> Result<Z::Ok, Z::Error> {
        let mut list = serializer.serialize_seq(Some(values.len()))?;
        for value in values {
            list.serialize_element(&value.to_string())?;
        }
        list.end()
    }

    pub(crate) fn deserialize<'de, T: FromStr, Z: D<'de>>(
        deserializer: Z,
    ) -> Result<Vec<T>, Z::Error> {
        use serde::de::Error as _;
        let words = Vec::<String>::deserialize(deserializer)?;
        let parse = |word: &String| {
            word.parse().map_err(|_| Z::Error::custom(format!("unknown word {word}")))
        };
        words.iter().map(parse).collect()
    }
}

use Deserializer as D;
use Serializer as S;
