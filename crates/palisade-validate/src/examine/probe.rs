use serde::{
    Deserializer,
    de::{DeserializeOwned, Error, Visitor, value::Error as Answer},
};

/// What a type asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// With the names that are known on the wire, aliases included.
    Struct(&'static [&'static str]),
    /// Named by the one field of an object.
    Enum,
    /// A list, or a tuple of this length.
    List(Option<usize>),
    /// A string, a number or the like.
    Single,
}

/// Asks a type what it reads. `None`: a map, or a type that does not say.
pub(crate) fn asked_for<T: DeserializeOwned>() -> Option<Shape> {
    let mut shape = None;
    // The first question is the answer; nothing is read.
    let _ = T::deserialize(Probe(&mut shape));
    shape
}

struct Probe<'a>(&'a mut Option<Shape>);

impl Probe<'_> {
    fn answer<T>(self, shape: Option<Shape>) -> Result<T, Answer> {
        *self.0 = shape;
        Err(Answer::custom("this is all"))
    }
}

macro_rules! single {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Answer> {
            self.answer(Some(Shape::Single))
        }
    )*};
}

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = Answer;

    single! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128 deserialize_u8
        deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 deserialize_f32 deserialize_f64
        deserialize_char deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf
        deserialize_identifier
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Answer> {
        self.answer(None)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Answer> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Answer> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Answer> {
        self.answer(Some(Shape::List(None)))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, length: usize, _: V) -> Result<V::Value, Answer> {
        self.answer(Some(Shape::List(Some(length))))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Answer> {
        self.deserialize_tuple(length, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Answer> {
        self.answer(Some(Shape::Struct(known)))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Answer> {
        self.answer(Some(Shape::Enum))
    }

    serde::forward_to_deserialize_any! { unit unit_struct map ignored_any }
}
