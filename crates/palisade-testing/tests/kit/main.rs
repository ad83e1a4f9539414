//! The kit, used as its users do; and each assertion, failing as intended.

mod assertions;
mod client;
mod grpc;
mod issuer;
mod over_hyper;
mod routes;
mod whole_stack;

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};

const SECRET: &str = "a signing key of at least thirty-two bytes";

/// Returns the message of a panic.
fn message_of(act: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(act)).expect_err("the assertion fails");
    text_of(&*panic)
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap()
}
