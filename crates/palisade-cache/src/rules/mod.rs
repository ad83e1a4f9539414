//! The rules of RFC 9111 as pure functions: of the head of a request, the head of a response or of a stored response, and the time.
//! A file is a section.

mod directives;
mod fields;
mod freshness;
mod invalidation;
mod reuse;
mod status;
mod storing;
mod targeted;
mod validation;
mod vary;

pub(crate) use directives::Directives;
pub(crate) use fields::{remove_unstorable, stripped_security_field};
pub(crate) use freshness::{Terms, Times, unix_of_date};
pub(crate) use invalidation::{CHANGED, invalidates, same_origin_target};
pub(crate) use reuse::{Reuse, decide};
pub(crate) use status::{CACHE_STATUS, CacheStatus};
pub(crate) use storing::{Asked, Mode, NotStored, Rules, Scope, Signals, terms_of};
pub(crate) use validation::{freshen, make_conditional};
pub(crate) use vary::{Nominated, matches};

#[cfg(test)]
mod field_tests;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;
