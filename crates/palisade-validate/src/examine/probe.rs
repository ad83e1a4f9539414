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

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = Answer;

    methods! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128 deserialize_u8
        deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 deserialize_f32 deserialize_f64
        deserialize_char deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf
        deserialize_identifier => |this, _visitor| this.answer(Some(Shape::Single));
        deserialize_any => |this, _visitor| this.answer(None);
        deserialize_option => |this, visitor| visitor.visit_some(this);
        deserialize_seq => |this, _visitor| this.answer(Some(Shape::List(None)));
    }

    methods_with! {
        deserialize_newtype_struct(_name: &'static str) => |this, visitor| visitor.visit_newtype_struct(this);
        deserialize_tuple(length: usize) => |this, _visitor| this.answer(Some(Shape::List(Some(length))));
        deserialize_tuple_struct(_name: &'static str, length: usize) => |this, visitor| {
            this.deserialize_tuple(length, visitor)
        };
        deserialize_struct(_name: &'static str, known: &'static [&'static str]) => |this, _visitor| {
            this.answer(Some(Shape::Struct(known)))
        };
        deserialize_enum(_name: &'static str, _variants: &'static [&'static str]) => |this, _visitor| {
            this.answer(Some(Shape::Enum))
        };
    }

    serde::forward_to_deserialize_any! { unit unit_struct map ignored_any }
}
