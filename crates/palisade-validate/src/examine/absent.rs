use std::cell::Cell;

use serde::{
    Deserializer,
    de::{
        DeserializeSeed, EnumAccess, IntoDeserializer, VariantAccess, Visitor,
        value::{MapDeserializer, SeqDeserializer},
    },
};

use super::{
    Path,
    fault::Fault,
    round::{Fact, Round},
    visit::RAW,
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
        let of = typeid::of::<T>();
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
        // The document has nothing to do with the reason to reject a stand-in.
        outcome.map_err(|_| Fault::Noted)
    }

    fn inner(self) -> Result<Self, Fault> {
        if self.depth >= DEEPEST || !self.round.may_stand_in() {
            return Err(Fault::Noted);
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }
}

impl<'de> Deserializer<'de> for Absent<'_> {
    type Error = Fault;

    methods! {
        deserialize_any deserialize_unit deserialize_ignored_any => |_this, visitor| visitor.visit_unit();
        deserialize_bool => |_this, visitor| visitor.visit_bool(false);
        // Many numbers must not be 0.
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 => |_this, visitor| visitor.visit_i64(1);
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 => |_this, visitor| visitor.visit_u64(1);
        deserialize_i128 => |_this, visitor| visitor.visit_i128(1);
        deserialize_u128 => |_this, visitor| visitor.visit_u128(1);
        deserialize_f32 deserialize_f64 => |_this, visitor| visitor.visit_f64(1.0);
        deserialize_char => |_this, visitor| visitor.visit_char('a');
        deserialize_str deserialize_string deserialize_identifier => |this, visitor| visitor.visit_str(this.text);
        deserialize_bytes deserialize_byte_buf => |_this, visitor| visitor.visit_borrowed_bytes(&[]);
        deserialize_option => |_this, visitor| visitor.visit_none();
        deserialize_seq => |this, visitor| this.deserialize_tuple(0, visitor);
        deserialize_map => |this, visitor| this.deserialize_struct("", &[], visitor);
    }

    methods_with! {
        deserialize_unit_struct(_name: &'static str) => |_this, visitor| visitor.visit_unit();
        deserialize_newtype_struct(name: &'static str) => |this, visitor| match name {
            RAW => visitor.visit_map(MapDeserializer::new([(RAW, "null")].into_iter())),
            _ => visitor.visit_newtype_struct(this.inner()?),
        };
        deserialize_tuple(length: usize) => |this, visitor| {
            visitor.visit_seq(SeqDeserializer::new(std::iter::repeat_n(this.inner()?, length)))
        };
        deserialize_tuple_struct(_name: &'static str, length: usize) => |this, visitor| {
            this.deserialize_tuple(length, visitor)
        };
        deserialize_struct(_name: &'static str, known: &'static [&'static str]) => |this, visitor| {
            let of = typeid::of::<V>();
            let field = this.inner()?;
            let last = Cell::new("");
            // All fields that the struct knows: which of them it needs is not known.
            let fields = known.iter().filter(|name| !this.round.knowledge.has(&Fact::Aliased(of, name)));
            let fields = fields.map(|name| {
                last.set(name);
                (*name, field)
            });
            visitor.visit_map(MapDeserializer::new(fields)).map_err(|fault| {
                if let Fault::Duplicate = fault {
                    this.round.learn(Fact::Aliased(of, last.get()));
                }
                Fault::Noted
            })
        };
        deserialize_enum(_name: &'static str, variants: &'static [&'static str]) => |this, visitor| {
            let name = variants.first().copied().unwrap_or_default();
            visitor.visit_enum(Variant { name, content: this.inner()? })
        };
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
