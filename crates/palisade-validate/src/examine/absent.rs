use std::{any::type_name, cell::Cell};

use serde::{
    Deserializer,
    de::{
        DeserializeSeed, EnumAccess, IntoDeserializer, VariantAccess, Visitor,
        value::{MapDeserializer, SeqDeserializer},
    },
};

use super::{
    Path,
    examiner::RAW,
    fault::Fault,
    round::{Fact, Round},
};

/// The value that a type is handed in place of a missing one or one of the wrong kind, so that it goes on reading. It is of
/// the kind that the type asks for, and nothing is noted about it.
#[derive(Clone, Copy)]
pub(super) struct Absent<'r> {
    round: &'r Round<'r>,
    text: &'static str,
    depth: usize,
}

/// Strings that the types people use take: names, ids, dates, addresses.
const TEXTS: [&str; 8] = [
    "",
    "00000000-0000-0000-0000-000000000000",
    "1970-01-01T00:00:00Z",
    "1970-01-01",
    "127.0.0.1",
    "http://localhost/",
    "1",
    "00:00:00",
];

/// Deeper stand-ins are of types that contain themselves.
const DEEPEST: usize = 8;

impl<'r> Absent<'r> {
    /// Hands a stand-in to a type. If it is rejected, the next round tries another.
    pub(super) fn hand_to<T>(
        round: &'r Round<'_>,
        path: &Path<'_>,
        read: impl FnOnce(Self) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let of = type_name::<T>();
        let at = round.knowledge.rejected(of);
        let text = TEXTS.get(at).copied().unwrap_or_default();
        let outcome = read(Self { round, text, depth: 0 });
        if outcome.is_err() {
            round.learn(if at < TEXTS.len() {
                Fact::Rejected(of, at)
            } else {
                Fact::EndedAt(path.to_place())
            });
        }
        outcome
    }

    fn inner(self) -> Result<Self, Fault> {
        if self.depth >= DEEPEST || !self.round.may_stand_in() {
            return Err(Fault::Noted);
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }

    /// The document has nothing to do with the reason to reject a stand-in.
    fn quiet<T>(self, outcome: Result<T, Fault>) -> Result<T, Fault> {
        outcome.map_err(|_| Fault::Noted)
    }
}

macro_rules! stand_ins {
    ($($($method:ident)* => |$this:ident, $visitor:ident| $visit:expr;)*) => {$($(
        fn $method<V: Visitor<'de>>(self, $visitor: V) -> Result<V::Value, Fault> {
            let $this = self;
            $this.quiet($visit)
        }
    )*)*};
}

impl<'de> Deserializer<'de> for Absent<'_> {
    type Error = Fault;

    stand_ins! {
        deserialize_any deserialize_unit deserialize_ignored_any => |this, visitor| visitor.visit_unit();
        deserialize_bool => |this, visitor| visitor.visit_bool(false);
        // Many numbers must not be 0.
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 => |this, visitor| visitor.visit_i64(1);
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 => |this, visitor| visitor.visit_u64(1);
        deserialize_i128 => |this, visitor| visitor.visit_i128(1);
        deserialize_u128 => |this, visitor| visitor.visit_u128(1);
        deserialize_f32 deserialize_f64 => |this, visitor| visitor.visit_f64(1.0);
        deserialize_char => |this, visitor| visitor.visit_char('a');
        deserialize_str deserialize_string deserialize_identifier => |this, visitor| visitor.visit_str(this.text);
        deserialize_bytes deserialize_byte_buf => |this, visitor| visitor.visit_borrowed_bytes(&[]);
        deserialize_option => |this, visitor| visitor.visit_none();
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        if name == RAW {
            return visitor.visit_map(MapDeserializer::new([(RAW, "null")].into_iter()));
        }
        self.quiet(visitor.visit_newtype_struct(self.inner()?))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_tuple(0, visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let items = std::iter::repeat_n(self.inner()?, length);
        self.quiet(visitor.visit_seq(SeqDeserializer::new(items)))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_tuple(length, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_struct("", &[], visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let of = type_name::<V>();
        let field = self.inner()?;
        let last = Cell::new("");
        // All fields that the struct knows: which of them it needs is not known.
        let fields =
            known.iter().filter(|name| !self.round.knowledge.has(&Fact::Aliased(of, name)));
        let fields = fields.map(|name| {
            last.set(name);
            (*name, field)
        });
        let outcome = visitor.visit_map(MapDeserializer::new(fields));
        if let Err(Fault::Duplicate) = outcome {
            self.round.learn(Fact::Aliased(of, last.get()));
        }
        self.quiet(outcome)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let name = variants.first().copied().unwrap_or_default();
        self.quiet(visitor.visit_enum(Variant { name, content: self.inner()? }))
    }
}

impl<'de> IntoDeserializer<'de, Fault> for Absent<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

struct Variant<'r> {
    name: &'static str,
    content: Absent<'r>,
}

impl<'de, 'r> EnumAccess<'de> for Variant<'r> {
    type Error = Fault;
    type Variant = Absent<'r>;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Self::Variant), Fault> {
        let name = IntoDeserializer::<Fault>::into_deserializer(self.name);
        Ok((seed.deserialize(name)?, self.content))
    }
}

impl<'de> VariantAccess<'de> for Absent<'_> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Fault> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_tuple(length, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_struct("", fields, visitor)
    }
}
