use std::borrow::Cow;

use serde::{Deserializer, de::Visitor};

use super::{
    cursor::Kind,
    examiner::Examiner,
    fault::Fault,
    visit::{Words, visit_number},
};

impl<'t> Examiner<'t, '_> {
    pub(super) fn integer<V: Visitor<'t>>(
        self,
        visitor: V,
        rust: &str,
        (min, max): (i128, u128),
    ) -> Result<V::Value, Fault> {
        let start = self.round.cursor.at();
        let digits: Option<Cow<'t, str>> = match self.kind() {
            Kind::Number => Some(self.skip().into()),
            _ => self.coercible(),
        };
        let wide = max > u64::MAX.into();
        if let Some(digits) = &digits {
            // `-0` is a float, as for serde_json.
            let signed = digits.parse::<i128>().ok().filter(|_| **digits != *"-0");
            match signed {
                Some(number) if number < min => {}
                Some(number) if wide && min < 0 => return visitor.visit_i128(number),
                Some(number) if number < 0 => {
                    return visitor.visit_i64(i64::try_from(number).unwrap_or(i64::MIN));
                }
                Some(number) if wide => return visitor.visit_u128(number.unsigned_abs()),
                Some(number) if number.unsigned_abs() <= max => {
                    return visitor.visit_u64(u64::try_from(number).unwrap_or(u64::MAX));
                }
                None if wide && min == 0 => {
                    if let Ok(number) = digits.parse() {
                        return visitor.visit_u128(number);
                    }
                }
                _ => {}
            }
            // A type with a visitor of its own may take what the primitive type does not.
            if !self.round.mode.coerces_text && !wide && Words(&visitor).to_string() != rust {
                return visit_number(digits, visitor);
            }
        }
        self.round.cursor.seek(start);
        let words = format!("an integer from {min} to {max}");
        self.stand_in("integer", words, |absent| match min {
            0 if wide => absent.deserialize_u128(visitor),
            0 => absent.deserialize_u64(visitor),
            _ if wide => absent.deserialize_i128(visitor),
            _ => absent.deserialize_i64(visitor),
        })
    }

    pub(super) fn float<V: Visitor<'t>>(
        self,
        visitor: V,
        is_finite: impl Fn(&str) -> bool,
    ) -> Result<V::Value, Fault> {
        let start = self.round.cursor.at();
        let digits: Option<Cow<'t, str>> = match self.kind() {
            Kind::Number => Some(self.skip().into()),
            _ => self.coercible(),
        };
        match digits.filter(|digits| is_finite(digits)) {
            Some(digits) if !self.round.mode.coerces_text => visit_number(&digits, visitor),
            Some(digits) => visitor.visit_f64(digits.parse().unwrap_or_default()),
            None => {
                self.round.cursor.seek(start);
                self.stand_in("number", "a number", |absent| absent.deserialize_f64(visitor))
            }
        }
    }
}
