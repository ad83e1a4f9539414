//! References to nodes of a schema.

/// The index of a node.
pub(super) type NodeId = usize;

/// The node of the schema `true`, which every value satisfies.
pub(super) const ANY: NodeId = 0;

/// The node of the schema `false`, which no value satisfies.
pub(super) const NEVER: NodeId = 1;
