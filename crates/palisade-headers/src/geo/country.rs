use std::fmt;

use http::Extensions;
use palisade_core::ConfigError;

/// A country, by its two letters in
/// [ISO 3166-1 alpha-2](https://www.iso.org/iso-3166-country-codes.html).
///
/// [`Geo`](crate::Geo) inserts it into the extensions of allowed requests, so that handlers need not read a header that any
/// client can write.
///
/// ```
/// use palisade_headers::Country;
///
/// let germany: Country = "DE".parse()?;
/// assert_eq!(germany.code(), "DE");
///
/// let error = "UK".parse::<Country>().unwrap_err();
/// assert_eq!(error.to_string(), "country `UK` is not valid: write `GB`");
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Country([u8; 2]);

/// The codes that are assigned, by their first letter, and `XK`: ISO has left it to its users, and all of them mean Kosovo.
const ASSIGNED: &str = "\
AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ \
CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR \
GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP \
KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT \
MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW \
SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ \
UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW";

/// The assigned codes.
static ALL: Countries = Countries::assigned();

impl Country {
    /// Returns the country that [`Geo`](crate::Geo) has set.
    pub fn from_extensions(extensions: &Extensions) -> Option<Self> {
        extensions.get().copied()
    }

    /// The two letters, in upper case.
    pub fn code(&self) -> &str {
        // They are ASCII.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Parses the header of a proxy. Returns `None` for codes such as `XX` and `T1`, which mean an unknown country.
    pub(super) fn read(value: &[u8]) -> Option<Self> {
        let letters: [u8; 2] = value.try_into().ok()?;
        let country = Self(letters.map(|letter| letter.to_ascii_uppercase()));
        ALL.contain(country).then_some(country)
    }
}

impl std::str::FromStr for Country {
    type Err = ConfigError;

    fn from_str(code: &str) -> Result<Self, ConfigError> {
        let wrong = |remedy: String| Err(ConfigError::new("country", code, remedy));
        let upper = code.to_ascii_uppercase();
        match Self::read(upper.as_bytes()) {
            Some(country) if upper == code => Ok(country),
            Some(country) => wrong(format!("write `{}`", country.code())),
            None if upper == "UK" => wrong("write `GB`".to_owned()),
            None if upper == "EL" => wrong("write `GR`".to_owned()),
            None if upper == "EU" => wrong("it is not a country: list the countries".to_owned()),
            None => wrong(
                "write the two letters that ISO 3166-1 has assigned, as in `DE`; for requests whose country is not \
                 known there is `insecure_allow_unknown`"
                    .to_owned(),
            ),
        }
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Country({})", self.code())
    }
}

/// A set of countries: a bit for each second letter, by the first.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Countries([u32; 26]);

impl Countries {
    pub(super) fn from_list(countries: &[Country]) -> Self {
        let mut set = Self([0; 26]);
        for country in countries {
            set.insert(country.0);
        }
        set
    }

    pub(super) fn contain(&self, country: Country) -> bool {
        let [first, second] = country.0.map(|letter| letter.wrapping_sub(b'A'));
        second < 26 && self.0.get(usize::from(first)).is_some_and(|row| row >> second & 1 == 1)
    }

    const fn assigned() -> Self {
        let mut set = Self([0; 26]);
        let codes = ASSIGNED.as_bytes();
        let mut at = 0;
        while at < codes.len() {
            set.insert([codes[at], codes[at + 1]]);
            at += 3;
        }
        set
    }

    const fn insert(&mut self, [first, second]: [u8; 2]) {
        self.0[(first - b'A') as usize] |= 1 << (second - b'A');
    }
}

impl fmt::Debug for Countries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters = b'A'..=b'Z';
        let all =
            letters.clone().flat_map(|first| letters.clone().map(move |second| [first, second]));
        f.debug_set().entries(all.map(Country).filter(|it| self.contain(*it))).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn accepts_the_249_assigned_codes_and_kosovo() {
        let codes: Vec<_> = ASSIGNED.split(' ').collect();
        assert_eq!(codes.len(), 250);
        assert!(codes.is_sorted());
        assert_eq!(ALL.0.iter().map(|row| row.count_ones()).sum::<u32>(), 250);
        for code in codes {
            assert_eq!(code.parse::<Country>().unwrap().code(), code);
        }
    }

    #[test]
    fn invalid_country_is_an_error_with_a_remedy() {
        for (code, remedy) in [
            ("UK", "write `GB`"),
            ("EL", "write `GR`"),
            ("de", "write `DE`"),
            ("De", "write `DE`"),
            ("EU", "list the countries"),
            ("XX", "insecure_allow_unknown"),
            ("T1", "insecure_allow_unknown"),
            ("ZZ", "two letters"),
            ("AN", "two letters"),
            ("DEU", "two letters"),
            ("Germany", "two letters"),
            ("D", "two letters"),
            ("", "two letters"),
            ("DÉ", "two letters"),
        ] {
            let error = code.parse::<Country>().expect_err(code).to_string();
            assert!(error.contains(remedy), "{error}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_header_yields_an_assigned_code_or_none(
            value in prop::collection::vec(any::<u8>(), 0..4),
        ) {
            if let Some(country) = Country::read(&value) {
                let upper = value.to_ascii_uppercase();
                prop_assert_eq!(country.code().as_bytes(), upper.as_slice());
                prop_assert!(ASSIGNED.split(' ').any(|code| code == country.code()));
            }
        }
    }
}
