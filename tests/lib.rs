//! Starts the examples as a user would, and talks to them as a user's clients would.

mod browser;
mod client;
mod example;
mod tools;
mod workspace;

pub use browser::{Browser, Wiretap};
pub use client::{Answer, Client};
pub use example::Example;
pub use tools::{did_not_run, installed};
pub use workspace::Workspace;
