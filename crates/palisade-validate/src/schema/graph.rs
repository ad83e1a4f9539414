//! What is known of a node only with all others: what tells the branches of a union apart, and which verdicts have to be
//! remembered.

use std::collections::HashMap;

use palisade_core::ConfigError;

use super::{
    ids::{NEVER, NodeId},
    judge::Judge,
    node::Node,
    types::Types,
    union::Union,
};

/// How many schemas may judge the same value one inside another: references, `allOf`, `anyOf` and the like.
const MAX_IN_PLACE: usize = 64;

/// Computes what is known of each node only with all others.
pub(super) fn finish(mut nodes: Vec<Node>, root: NodeId) -> Result<Judge, ConfigError> {
    let order = in_place_order(&nodes)?;
    let mut types = vec![Types::ALL; nodes.len()];
    for id in order {
        let mut unions = std::mem::take(&mut nodes[id].unions);
        for union in &mut unions {
            union.look_into_branches(&nodes, &types);
        }
        let own = nodes[id].types.unwrap_or(Types::ALL);
        let referred = nodes[id].all.iter().map(|node| types[*node]);
        types[id] = referred.chain(unions.iter().map(Union::all_types)).fold(own, Types::and);
        if id == NEVER {
            types[id] = Types::EMPTY;
        }
        nodes[id].unions = unions;
        let node = &nodes[id];
        let knows = !node.fields.is_empty() || node.in_place().any(|it| nodes[it].knows_fields);
        nodes[id].knows_fields = knows;
    }
    // A value meets a schema twice only where one schema has several for the same value.
    let branches = |node: &Node| {
        let members = !node.patterns.is_empty() || node.contains.is_some();
        members || node.in_place().count() + usize::from(node.children().next().is_some()) > 1
    };
    let evaluates =
        |node: &Node| node.unevaluated_properties.is_some() || node.unevaluated_items.is_some();
    // `unevaluated…` asks the schemas of a value again which of its members they have judged.
    let judges_twice = nodes.iter().any(evaluates);
    let has_branches = nodes.iter().any(branches);
    let mut edges = vec![0_usize; nodes.len()];
    for node in &nodes {
        node.in_place().chain(node.children()).for_each(|to| edges[to] += 1);
    }
    for (id, node) in nodes.iter_mut().enumerate() {
        let has_edges = node.in_place().chain(node.children()).next().is_some();
        node.has_edges = has_edges;
        // The root has an edge that is not in the graph.
        let paths = edges[id] + usize::from(id == root);
        node.is_shared = node.has_edges && (judges_twice || has_branches && paths > 1);
    }
    Ok(Judge { nodes, root })
}

/// Returns the error for a schema that cannot be compiled.
pub(super) fn invalid(remedy: String) -> ConfigError {
    ConfigError::without_value("schema", remedy)
}

/// Returns the nodes, each after those that judge the same value. A circle of them would never end.
fn in_place_order(nodes: &[Node]) -> Result<Vec<NodeId>, ConfigError> {
    let mut order = Vec::with_capacity(nodes.len());
    // How many nodes are below each one; `None` while its own are visited.
    let mut heights: HashMap<NodeId, Option<usize>> = HashMap::new();
    for start in 0..nodes.len() {
        let mut open = vec![(start, false)];
        while let Some((id, is_done)) = open.pop() {
            if is_done {
                let below =
                    nodes[id].in_place().filter_map(|it| heights.get(&it).copied().flatten());
                let height = below.max().unwrap_or(0) + 1;
                if height > MAX_IN_PLACE {
                    let remedy = format!(
                        "at most {MAX_IN_PLACE} schemas may refer to each other for the same value"
                    );
                    return Err(invalid(remedy));
                }
                heights.insert(id, Some(height));
                order.push(id);
                continue;
            }
            match heights.get(&id) {
                Some(Some(_)) => continue,
                Some(None) => {
                    let remedy = "a reference leads back to itself without a step into the value";
                    return Err(invalid(remedy.to_owned()));
                }
                None => {}
            }
            heights.insert(id, None);
            open.push((id, true));
            open.extend(nodes[id].in_place().map(|it| (it, false)));
        }
    }
    Ok(order)
}
