//! Externally tagged enums: a text, or an object of one member.

use std::borrow::Cow;

use serde::{
    Deserializer,
    de::{DeserializeSeed, EnumAccess, VariantAccess, Visitor, value::CowStrDeserializer},
};

use super::{
    Path,
    access::read,
    cursor::Kind,
    examiner::Examiner,
    fault::{Fault, one_of},
    round::Fact,
};
use crate::{issue_codes, place::Found};

impl<'t> Examiner<'t, '_> {
    pub(super) fn variant<V: Visitor<'t>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let start = self.round.cursor.at();
        let of = Fact::Closed(typeid::of::<V>());
        let variant = match self.kind() {
            Kind::String => Some(self.round.cursor.string()),
            Kind::Object => {
                self.round.cursor.enter();
                self.round.cursor.advance().then(|| self.round.cursor.name())
            }
            _ => None,
        };
        // A variant may take every other name, and the list of names does not say so.
        if let Some(variant) = variant
            && (variants.contains(&&*variant) || !self.round.knowledge.has(&of))
        {
            let round = self.round;
            let is_known = variants.contains(&&*variant);
            round.cursor.seek(start);
            let outcome = match self.kind() {
                Kind::String => {
                    self.skip();
                    visitor.visit_enum(CowStrDeserializer::new(variant))
                }
                _ => {
                    round.cursor.enter();
                    round.cursor.advance();
                    round.cursor.name();
                    visitor.visit_enum(Variant { name: variant, object: self })
                }
            };
            if !is_known && outcome.is_err() {
                round.learn(of);
            }
            return outcome;
        }
        self.round.cursor.seek(start);
        self.skip();
        self.round.note(self.path, |place| {
            Found::new(place, issue_codes::INVALID_OPTION, one_of(variants))
                .with_param("options", variants.to_vec())
        });
        self.replace(|absent| absent.deserialize_enum(name, variants, visitor))
    }
}

/// The one member of an object that stands for a variant.
pub(super) struct Variant<'t, 'r> {
    pub(super) name: Cow<'t, str>,
    pub(super) object: Examiner<'t, 'r>,
}

impl<'t> Variant<'t, '_> {
    fn read<S: DeserializeSeed<'t>>(self, is_newtype: bool, seed: S) -> Result<S::Value, Fault> {
        let Examiner { path, round, trail, .. } = self.object;
        let trail = match round.resolver {
            Some(resolver) => resolver.of_variant(trail, is_newtype),
            None => trail,
        };
        let value = read(&Path::Field(path, &self.name, 0), round, trail, seed)?;
        if round.cursor.advance() {
            round.note(path, |place| {
                let words = "must be an object with one field";
                Found::new(place, issue_codes::WRONG_TYPE, words).with_param("expected", "object")
            });
            loop {
                round.cursor.name();
                round.cursor.skip();
                if !round.cursor.advance() {
                    break;
                }
            }
        }
        Ok(value)
    }
}

impl<'de> EnumAccess<'de> for Variant<'de, '_> {
    type Error = Fault;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Fault> {
        let name = CowStrDeserializer::<Fault>::new(self.name.clone());
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'de, '_> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        self.read(false, std::marker::PhantomData::<()>)
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Fault> {
        self.read(true, seed)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Fault> {
        self.read(false, Content { fields: None, visitor })
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.read(false, Content { fields: Some(fields), visitor })
    }
}

/// What a variant with several fields contains.
struct Content<V> {
    fields: Option<&'static [&'static str]>,
    visitor: V,
}

impl<'de, V: Visitor<'de>> DeserializeSeed<'de> for Content<V> {
    type Value = V::Value;

    fn deserialize<D: Deserializer<'de>>(self, content: D) -> Result<V::Value, D::Error> {
        match self.fields {
            Some(fields) => content.deserialize_struct("", fields, self.visitor),
            None => content.deserialize_seq(self.visitor),
        }
    }
}
