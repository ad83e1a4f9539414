//! Types with a schema: the derived JSON Schema says where a document that the type rejects is wrong.

use std::{
    any::{TypeId, type_name},
    collections::HashMap,
    sync::{Arc, OnceLock, PoisonError, RwLock},
};

use garde::Validate;
use palisade_core::{ApiError, ConfigError};
use schemars::{JsonSchema as Described, generate::SchemaSettings};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    Validation, json,
    place::Findings,
    schema::{Judge, Origin},
};

/// Returns the JSON Schema (2020-12) of the documents that a type reads, for a route that serves it or for an OpenAPI
/// document. It has serde's names and those of garde's rules that a schema can express.
///
/// ```
/// use garde::Validate;
/// use palisade_validate::schema_of;
/// use schemars::JsonSchema;
/// use serde::Deserialize;
///
/// #[derive(Deserialize, JsonSchema, Validate)]
/// #[serde(rename_all = "camelCase")]
/// struct Item {
///     #[garde(length(chars, min = 1))]
///     item_name: String,
/// }
///
/// assert_eq!(schema_of::<Item>()["properties"]["itemName"]["minLength"], 1);
/// ```
pub fn schema_of<T: Described>() -> Value {
    let settings = SchemaSettings::draft2020_12().for_deserialize();
    settings.into_generator().into_root_schema_for::<T>().to_value()
}

type Judges = RwLock<HashMap<TypeId, Arc<Judge>>>;

/// Returns the compiled schema of a type. It is compiled once in each process.
pub(crate) fn judge_of<T: Described + 'static>() -> Result<Arc<Judge>, ConfigError> {
    static JUDGES: OnceLock<Judges> = OnceLock::new();
    let judges = JUDGES.get_or_init(Judges::default);
    let known =
        judges.read().unwrap_or_else(PoisonError::into_inner).get(&TypeId::of::<T>()).cloned();
    if let Some(judge) = known {
        return Ok(judge);
    }
    let judge = Arc::new(Judge::compile(&schema_of::<T>(), Origin::Derived)?);
    let mut judges = judges.write().unwrap_or_else(PoisonError::into_inner);
    Ok(Arc::clone(judges.entry(TypeId::of::<T>()).or_insert(judge)))
}

/// Says that a schema is a mistake of the service, while a request is answered.
pub(crate) fn unusable<T>(error: &ConfigError) -> String {
    format!("the schema of `{}` cannot be used: {error}", type_name::<T>())
}

impl Validation {
    /// Reads a JSON body as `T` and applies its rules, as [`json`](Validation::json) does. A body that `T` rejects is judged
    /// against the schema of `T`, so that every mistake is reported in its exact place, in unions and flattened structs
    /// as well.
    ///
    /// # Errors
    ///
    /// 400 `INVALID_JSON`, or `VALIDATION_ERROR`; 500 if the schema cannot be compiled.
    pub fn json_by_schema<T>(&self, body: &[u8]) -> Result<T, ApiError>
    where
        T: DeserializeOwned + Described + Validate + 'static,
        T::Context: Default,
    {
        let judge = judge_of::<T>()
            .map_err(|error| ApiError::internal().with_source(unusable::<T>(&error)))?;
        let mut findings = Findings::default();
        let context = T::Context::default();
        let value = json::read(body, self, Some(&judge), &context, &mut findings)?;
        self.settle(value, findings)
    }
}
