//! Reading a document that is at hand: JSON, query strings and forms.

use garde::Validate;
use palisade_core::{ApiError, IssueSource};
use serde::de::DeserializeOwned;

use crate::{
    Validation,
    examine::{Mode, Shape, asked_for, examine},
    issue_codes, json,
    place::{Findings, Found, Place, Step},
    read::{self, Read},
    texts::Texts,
};

impl Validation {
    /// Reads a JSON body as `T` and applies its rules, where there is neither a layer nor an extractor for it.
    ///
    /// # Errors
    ///
    /// 400 `INVALID_JSON`, or `VALIDATION_ERROR` with everything that is wrong.
    pub fn json<T>(&self, body: &[u8]) -> Result<T, ApiError>
    where
        T: DeserializeOwned + Validate,
        T::Context: Default,
    {
        self.json_with(body, &T::Context::default())
    }

    /// The same, with garde's context.
    ///
    /// # Errors
    ///
    /// 400 `INVALID_JSON`, or `VALIDATION_ERROR` with everything that is wrong.
    ///
    /// ```
    /// # use garde::Validate;
    /// # use palisade_validate::Validation;
    /// struct Limits { longest: usize }
    ///
    /// #[derive(Debug, serde::Deserialize, Validate)]
    /// #[garde(context(Limits as limits))]
    /// struct Item {
    ///     #[garde(length(chars, max = limits.longest))]
    ///     name: String,
    /// }
    ///
    /// let body = br#"{"name":"lamp"}"#;
    /// assert!(Validation::new().json_with::<Item>(body, &Limits { longest: 4 }).is_ok());
    /// assert!(Validation::new().json_with::<Item>(body, &Limits { longest: 3 }).is_err());
    /// ```
    pub fn json_with<T>(&self, body: &[u8], context: &T::Context) -> Result<T, ApiError>
    where
        T: DeserializeOwned + Validate,
    {
        let mut findings = Findings::default();
        let value = json::read(body, self, None, context, &mut findings)?;
        self.settle(value, findings)
    }

    /// Reads a query string as `T` and applies its rules. Texts become what the type asks for: numbers, `true` and
    /// `false` (also `1` and `0`), lists of repeated keys, and what is not there its `#[serde(default)]`. An empty text is
    /// there, and is no number, also where the field is an `Option`.
    ///
    /// # Errors
    ///
    /// 400 `VALIDATION_ERROR` with everything that is wrong.
    ///
    /// ```
    /// # use garde::Validate;
    /// # use palisade_validate::Validation;
    /// #[derive(serde::Deserialize, Validate)]
    /// struct Page {
    ///     #[garde(range(max = 100))]
    ///     limit: u32,
    /// }
    ///
    /// let page: Page = Validation::new().query("limit=20")?;
    /// assert_eq!(page.limit, 20);
    ///
    /// assert!(Validation::new().query::<Page>("limit=").is_err());
    /// let error = Validation::new().query::<Page>("limit=1000").err().unwrap();
    /// let issue = &error.issues()[0];
    /// assert_eq!((&*issue.path, &*issue.code, &issue.params["max"]), ("limit", "too_big", &100.into()));
    /// # Ok::<_, palisade_core::ApiError>(())
    /// ```
    pub fn query<T>(&self, query: &str) -> Result<T, ApiError>
    where
        T: DeserializeOwned + Validate,
        T::Context: Default,
    {
        self.urlencoded(query.as_bytes(), IssueSource::Query)
    }

    /// Reads an urlencoded form as `T` and applies its rules, with texts as in [`query`](Validation::query).
    ///
    /// # Errors
    ///
    /// 400 `VALIDATION_ERROR` with everything that is wrong.
    pub fn form<T>(&self, body: &[u8]) -> Result<T, ApiError>
    where
        T: DeserializeOwned + Validate,
        T::Context: Default,
    {
        self.urlencoded(body, IssueSource::Form)
    }

    fn urlencoded<T>(&self, text: &[u8], source: IssueSource) -> Result<T, ApiError>
    where
        T: DeserializeOwned + Validate,
        T::Context: Default,
    {
        let mut findings = Findings::default();
        let texts = Texts::urlencoded(text, source)?;
        let value = self.texts(texts, &T::Context::default(), &mut findings);
        self.settle(value, findings)
    }

    /// Reads names and texts as `T`.
    pub(crate) fn texts<T>(
        &self,
        texts: Texts,
        context: &T::Context,
        findings: &mut Findings,
    ) -> Option<T>
    where
        T: DeserializeOwned + Validate,
    {
        let Texts { value, source, naming, mut unreadable } = texts;
        // The route decides which parameters a path has, and a client cannot leave one out.
        let refuses_unknown = self.json_mode(0).refuses_unknown && source != IssueSource::Path;
        if !refuses_unknown
            && !unreadable.is_empty()
            && let Some(Shape::Struct(known)) = asked_for::<T>()
        {
            unreadable.retain(|name| known.contains(&&**name));
        }
        let text = value.to_string();
        let mode = Mode { coerces_text: true, refuses_unknown, ..self.json_mode(text.len()) };
        let examined = examine::<T>(&text, mode);
        // Rules would see a value in which a text is missing that the client has sent.
        let read = match examined.value {
            Some(value) if unreadable.is_empty() => {
                read::apply_rules(value, &text, mode, context, Vec::new)
            }
            _ => Read { value: None, found: examined.found, truncated: true },
        };
        let not_utf8 = unreadable.iter().map(|name| {
            Found::new(Place::default().name(name), issue_codes::WRONG_TYPE, "must be UTF-8")
                .with_param("expected", "string")
        });
        // A parameter that is not UTF-8 is not in the value, and is not missing.
        let is_readable = |found: &Found| match found.place.0.first() {
            Some(Step::Name(name)) => !unreadable.contains(name),
            _ => true,
        };
        let found = not_utf8.chain(read.found.into_iter().filter(is_readable));
        findings.truncated |= read.truncated;
        findings.add(source, found.map(|found| found.moved(|place| naming.on_the_wire(place))));
        read.value
    }
}
