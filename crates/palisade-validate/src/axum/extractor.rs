//! The extractors that `Valid` accepts. The traits are bounds of `Valid` itself, so that the compiler names the missing
//! implementation at the handler's argument, instead of reporting that the function is not a handler.

use axum::{
    Form, Json,
    extract::{Path, Query},
};
use garde::Validate;
use serde::de::DeserializeOwned;

/// An extractor that [`Valid`](crate::Valid) can validate.
///
/// It cannot be implemented elsewhere.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be validated",
    label = "`Valid` does not take this extractor",
    note = "`Valid` takes `Path`, `Query`, `Headers`, `Cookies`, `Json`, `Form`, or a tuple of them with the body last",
    note = "with features of this crate also `SchemaJson`, `JsonOrForm`, `Multipart` and `MultipartStream`"
)]
pub trait Extractor {}

/// A type with garde's rules: each type that implements [`garde::Validate`].
///
/// ```
/// use palisade_validate::HasRules;
///
/// #[derive(garde::Validate)]
/// struct Item {
///     #[garde(length(chars, min = 1))]
///     name: String,
/// }
///
/// fn has_rules<T: HasRules>() {}
/// has_rules::<Item>();
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no rules: `garde::Validate` is not implemented for it",
    label = "`garde::Validate` is missing",
    note = "add `#[derive(garde::Validate)]` to `{Self}`, and a rule or `#[garde(skip)]` to each of its fields"
)]
pub trait HasRules: Validate {}

// Otherwise the compiler names garde's trait and not the remedy.
#[diagnostic::do_not_recommend]
impl<T: Validate> HasRules for T {}

macro_rules! extractors {
    ($($extractor:ident)*) => {$(
        impl<T: DeserializeOwned + HasRules> Extractor for $extractor<T> {}
    )*};
}

extractors! { Form Json Path Query }

macro_rules! tuples {
    ($(($($part:ident),+);)*) => {$(
        impl<$($part: Extractor),+> Extractor for ($($part,)+) {}
    )*};
}

tuples! {
    (A);
    (A, B);
    (A, B, C);
    (A, B, C, D);
    (A, B, C, D, E);
}
