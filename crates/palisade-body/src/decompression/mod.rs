//! Request bodies that arrive compressed.

mod body;
mod coding;
mod future;
mod layer;
mod source;

pub use body::DecodedBody;
pub use future::DecompressionFuture;
pub use layer::{Decompression, DecompressionService};

/// The name of this layer on trails.
const NAME: &str = "Decompression";
