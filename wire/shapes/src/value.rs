//! Values between a codec and a shape: borrowed views to encode, owned values to decode.

use std::collections::BTreeMap;

use crate::schema::Schema;
use types::Timestamp;

/// A value to encode, borrowed from a shape.
#[derive(Clone, Copy)]
pub enum View<'a> {
    Boolean(bool),
    Integer(i32),
    Long(i64),
    Float(f32),
    Double(f64),
    String(&'a str),
    Blob(&'a [u8]),
    Timestamp(Timestamp),
    List(&'a dyn List),
    Map(&'a dyn Map),
    Structure(&'a dyn Members),
    /// JSON, as text.
    Document(&'a str),
}

/// A list to encode.
pub trait List {
    fn len(&self) -> usize;
    fn get(&self, index: usize) -> Option<View<'_>>;

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A map to encode.
pub trait Map {
    fn is_empty(&self) -> bool;
    fn each(&self, entry: &mut dyn FnMut(&str, View<'_>));
}

/// A structure to encode: its members by their index in the schema.
pub trait Members {
    fn member(&self, index: usize) -> Option<View<'_>>;
}

/// A decoded value, whose kinds are those of the schema it was decoded by.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Boolean(bool),
    Integer(i32),
    Long(i64),
    Float(f32),
    Double(f64),
    String(String),
    Blob(Vec<u8>),
    Timestamp(Timestamp),
    List(Vec<Value>),
    Map(BTreeMap<String, Value>),
    /// The members that are present, with their index in the schema, in ascending order.
    Structure(Vec<(usize, Value)>),
    /// JSON, as text.
    Document(String),
}

/// A type of the wire.
pub trait Shape: Sized {
    fn view(&self) -> View<'_>;

    /// `None` if the value is of another kind, which a value decoded by this shape's schema never is.
    fn from_value(value: Value) -> Option<Self>;
}

/// A structure of the wire.
pub trait Structure: Shape + Members + Default {
    const SCHEMA: &'static Schema;

    fn set_member(&mut self, index: usize, value: Value);
}

/// A member's view, if it is present.
pub fn view<T: Shape>(member: &Option<T>) -> Option<View<'_>> {
    member.as_ref().map(Shape::view)
}

/// What is shown of a member that the model calls sensitive: whether it is there.
#[derive(Debug)]
pub(crate) struct Hidden;

/// Hides a sensitive member's value.
pub(crate) fn hidden<T>(member: &Option<T>) -> Option<Hidden> {
    member.as_ref().map(|_| Hidden)
}

/// The structure that a value decoded by its schema holds.
pub(crate) fn structure_from_value<T: Structure>(value: Value) -> Option<T> {
    let Value::Structure(members) = value else { return None };
    let mut structure = T::default();
    for (index, value) in members {
        structure.set_member(index, value);
    }
    Some(structure)
}

/// Makes shapes of structures.
macro_rules! structures {
    ($($name:ident,)+) => {$(
        impl $crate::Shape for $name {
            fn view(&self) -> $crate::View<'_> {
                $crate::View::Structure(self)
            }

            fn from_value(value: $crate::Value) -> Option<Self> {
                $crate::value::structure_from_value(value)
            }
        }
    )+};
}

pub(crate) use structures;

macro_rules! scalar {
    ($($type:ty => $kind:ident,)+) => {$(
        impl Shape for $type {
            fn view(&self) -> View<'_> {
                View::$kind(*self)
            }

            fn from_value(value: Value) -> Option<Self> {
                if let Value::$kind(value) = value { Some(value) } else { None }
            }
        }
    )+};
}

scalar! {
    bool => Boolean,
    i32 => Integer,
    i64 => Long,
    f32 => Float,
    f64 => Double,
    Timestamp => Timestamp,
}

impl Shape for String {
    fn view(&self) -> View<'_> {
        View::String(self)
    }

    fn from_value(value: Value) -> Option<Self> {
        if let Value::String(value) = value { Some(value) } else { None }
    }
}

/// A blob: a byte by itself is no shape, so this is no list.
impl Shape for Vec<u8> {
    fn view(&self) -> View<'_> {
        View::Blob(self)
    }

    fn from_value(value: Value) -> Option<Self> {
        if let Value::Blob(value) = value { Some(value) } else { None }
    }
}

impl<T: Shape> Shape for Box<T> {
    fn view(&self) -> View<'_> {
        self.as_ref().view()
    }

    fn from_value(value: Value) -> Option<Self> {
        T::from_value(value).map(Box::new)
    }
}

impl<T: Shape> Shape for Vec<T> {
    fn view(&self) -> View<'_> {
        View::List(self)
    }

    fn from_value(value: Value) -> Option<Self> {
        let Value::List(elements) = value else { return None };
        elements.into_iter().map(T::from_value).collect()
    }
}

impl<T: Shape> Shape for BTreeMap<String, T> {
    fn view(&self) -> View<'_> {
        View::Map(self)
    }

    fn from_value(value: Value) -> Option<Self> {
        let Value::Map(entries) = value else { return None };
        entries.into_iter().map(|(key, value)| Some((key, T::from_value(value)?))).collect()
    }
}

impl<T: Shape> List for Vec<T> {
    fn len(&self) -> usize {
        self.len()
    }

    fn get(&self, index: usize) -> Option<View<'_>> {
        self.as_slice().get(index).map(Shape::view)
    }
}

impl<T: Shape> Map for BTreeMap<String, T> {
    fn is_empty(&self) -> bool {
        self.is_empty()
    }

    fn each(&self, entry: &mut dyn FnMut(&str, View<'_>)) {
        for (key, value) in self {
            entry(key, value.view());
        }
    }
}

/// A decoded value can be encoded again.
impl Shape for Value {
    fn view(&self) -> View<'_> {
        match self {
            Self::Boolean(value) => View::Boolean(*value),
            Self::Integer(value) => View::Integer(*value),
            Self::Long(value) => View::Long(*value),
            Self::Float(value) => View::Float(*value),
            Self::Double(value) => View::Double(*value),
            Self::String(value) => View::String(value),
            Self::Blob(value) => View::Blob(value),
            Self::Timestamp(value) => View::Timestamp(*value),
            Self::List(elements) => View::List(elements),
            Self::Map(entries) => View::Map(entries),
            Self::Structure(members) => View::Structure(members),
            Self::Document(json) => View::Document(json),
        }
    }

    fn from_value(value: Value) -> Option<Self> {
        Some(value)
    }
}

impl Members for Vec<(usize, Value)> {
    fn member(&self, index: usize) -> Option<View<'_>> {
        let at = self.binary_search_by_key(&index, |(index, _)| *index).ok()?;
        self.get(at).map(|(_, value)| value.view())
    }
}
