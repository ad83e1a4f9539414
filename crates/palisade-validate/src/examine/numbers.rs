use std::borrow::Cow;

use serde::{
    Deserializer,
    de::{Error, Visitor},
};
use serde_json::Number;

use super::{
    cursor::Kind,
    examiner::{Examiner, Words},
    fault::Fault,
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
        let wide = rust.ends_with("128");
        if let Some(digits) = &digits {
            let is_integer = |digits: &str| !digits.contains(['.', 'e', 'E']) && digits != "-0";
            if is_integer(digits) {
                match (digits.parse::<u128>(), digits.parse::<i128>()) {
                    (Ok(number), _) if number <= max && wide && rust.starts_with('u') => {
                        return visitor.visit_u128(number);
                    }
                    (_, Ok(number)) if wide && number >= min => return visitor.visit_i128(number),
                    (Ok(number), _) if number <= max && !wide => {
                        return visitor.visit_u64(u64::try_from(number).unwrap_or(u64::MAX));
                    }
                    (Err(_), Ok(number)) if number >= min && !wide => {
                        return visitor.visit_i64(i64::try_from(number).unwrap_or(i64::MIN));
                    }
                    _ => {}
                }
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

/// Hands a number to a visitor as serde_json does.
pub(super) fn visit_number<'t, V: Visitor<'t>>(
    digits: &str,
    visitor: V,
) -> Result<V::Value, Fault> {
    let number = serde_json::from_str::<Number>(digits).ok();
    match number.map(|number| (number.as_u64(), number.as_i64(), number.as_f64())) {
        Some((Some(number), _, _)) => visitor.visit_u64(number),
        Some((_, Some(number), _)) => visitor.visit_i64(number),
        Some((_, _, Some(number))) => visitor.visit_f64(number),
        _ => Err(Fault::custom("a number that is out of range")),
    }
}

/// `NaN` and `inf` are no numbers for a client, and a number must not become infinite.
pub(super) fn is_finite<F: std::str::FromStr + Into<f64>>(digits: &str) -> bool {
    digits.parse::<F>().is_ok_and(|number| number.into().is_finite())
}
