//! Compiles a schema: from JSON, with its references, to a graph of nodes.

use std::collections::HashMap;

use jsonschema::{Draft, PatternOptions, Validator};
use palisade_core::ConfigError;
use referencing::{Registry, Resolver};
use serde_json::{Map, Value};

use super::{
    formats::{self, Format, Formats},
    graph::{self, invalid},
    ids::{ANY, NEVER, NodeId},
    judge::Judge,
    node::{Condition, Contains, Node},
    types::{Types, members},
    union::{Tag, Union},
};

/// The deepest schema, in levels of objects and lists. The library that checks the keywords is recursive.
const MAX_DEPTH: usize = 128;

/// The most schemas, subschemas included.
const MAX_NODES: usize = 65_536;

/// The dialect, which a schema may name as `$schema`.
const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

/// The address of a schema that does not have one.
const ROOT: &str = "json-schema:///";

/// Where a schema comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Written by a person: unknown formats are errors.
    Written,
    /// Derived from a type by `schemars`, which says more than the type does: unknown formats are ignored, and so is
    /// `uniqueItems`, because a set of Rust accepts the same item twice.
    Derived,
}

impl Judge {
    /// Compiles a schema that refers to no other document.
    ///
    /// # Errors
    ///
    /// See [`JsonSchema::compile`].
    #[cfg_attr(not(feature = "schemars"), allow(dead_code, reason = "for the schemas of types"))]
    pub(crate) fn compile(schema: &Value, origin: Origin) -> Result<Self, ConfigError> {
        compile(schema, &[], &Formats::default(), origin)
    }
}

/// Compiles a schema that may refer to the documents.
pub(super) fn compile(
    schema: &Value,
    documents: &[(String, Value)],
    formats: &Formats,
    origin: Origin,
) -> Result<Judge, ConfigError> {
    let mut resources = vec![(ROOT, schema)];
    resources.extend(documents.iter().map(|(uri, document)| (uri.as_str(), document)));
    for (_, document) in &resources {
        check_depth(document)?;
        check_draft(document)?;
        jsonschema::draft202012::meta::validate(document)
            .map_err(|error| invalid(format!("{error} (at `{}`)", error.instance_path())))?;
    }
    let resources = resources
        .into_iter()
        .map(|(uri, document)| (uri, Draft::Draft202012.create_resource_ref(document)));
    let registry = Registry::new()
        .draft(Draft::Draft202012)
        .extend(resources)
        .and_then(referencing::RegistryBuilder::prepare)
        .map_err(unresolved)?;
    let root = referencing::uri::from_str(ROOT).map_err(unresolved)?;
    let mut compiler = Compiler {
        nodes: vec![Node::default(), Node { is_never: true, ..Node::default() }],
        known: HashMap::new(),
        pending: Vec::new(),
        // The scope matters to `$dynamicRef` alone. Without one, a schema is the same from each place that refers to it.
        has_dynamic_scope: schema.to_string().contains("$dynamicRef")
            || documents.iter().any(|(_, document)| document.to_string().contains("$dynamicRef")),
        formats,
        origin,
    };
    let root = compiler.node(schema, &registry.resolver(root))?;
    while let Some((id, keywords, resolver)) = compiler.pending.pop() {
        compiler.nodes[id] = compiler.compile(keywords, &resolver)?;
    }
    graph::finish(compiler.nodes, root)
}

fn unresolved(error: impl std::fmt::Display) -> ConfigError {
    let remedy = format!("{error}. Register other documents with `document`; none is fetched.");
    invalid(remedy)
}

/// Without recursion: this is what makes recursion safe afterwards.
fn check_depth(schema: &Value) -> Result<(), ConfigError> {
    let mut level = vec![schema];
    for _ in 0..MAX_DEPTH {
        level = level.into_iter().flat_map(members).collect();
        if level.is_empty() {
            return Ok(());
        }
    }
    let remedy = format!("must be nested at most {MAX_DEPTH} levels deep; use `$defs` and `$ref`");
    Err(invalid(remedy))
}

/// Older drafts have keywords that 2020-12 ignores, so they would never be checked.
fn check_draft(schema: &Value) -> Result<(), ConfigError> {
    match schema.get("$schema").and_then(Value::as_str) {
        Some(draft) if draft.trim_end_matches('#') != DRAFT => {
            let remedy = format!("only JSON Schema 2020-12 is understood, `{DRAFT}`");
            Err(ConfigError::new("schema", draft.escape_debug(), remedy))
        }
        _ => Ok(()),
    }
}

struct Compiler<'s> {
    nodes: Vec<Node>,
    /// Where a schema is in memory, and the documents through which it was reached.
    known: HashMap<(*const Value, String), NodeId>,
    pending: Vec<(NodeId, &'s Map<String, Value>, Resolver<'s>)>,
    has_dynamic_scope: bool,
    formats: &'s Formats,
    origin: Origin,
}

impl<'s> Compiler<'s> {
    /// The node of a schema, which is compiled later unless it is known.
    fn node(&mut self, schema: &'s Value, resolver: &Resolver<'s>) -> Result<NodeId, ConfigError> {
        let keywords = match schema {
            Value::Bool(false) => return Ok(NEVER),
            Value::Object(keywords) => keywords,
            Value::Bool(true) => return Ok(ANY),
            _ => return Err(invalid("a schema must be an object or a boolean".to_owned())),
        };
        let resource = Draft::Draft202012.create_resource_ref(schema);
        let resolver = resolver.in_subresource(resource).map_err(unresolved)?;
        let key = (std::ptr::from_ref(schema), self.scope(&resolver));
        if let Some(id) = self.known.get(&key) {
            return Ok(*id);
        }
        let id = self.nodes.len();
        if id >= MAX_NODES {
            return Err(invalid(format!("must have at most {MAX_NODES} subschemas")));
        }
        self.nodes.push(Node::default());
        self.known.insert(key, id);
        self.pending.push((id, keywords, resolver));
        Ok(id)
    }

    /// What `$dynamicRef` depends on: the documents that were entered, outermost first.
    fn scope(&self, resolver: &Resolver<'_>) -> String {
        let mut scope: Vec<String> = Vec::new();
        if self.has_dynamic_scope {
            let entered = resolver.dynamic_scope();
            let mut entered: Vec<_> = entered.iter().map(|uri| uri.as_str().to_owned()).collect();
            entered.reverse();
            for uri in entered {
                if !scope.contains(&uri) {
                    scope.push(uri);
                }
            }
            scope.push(resolver.base_uri().as_str().to_owned());
        }
        scope.join(" ")
    }

    fn list(
        &mut self,
        schemas: Option<&'s Value>,
        resolver: &Resolver<'s>,
    ) -> Result<Vec<NodeId>, ConfigError> {
        let schemas = schemas.and_then(Value::as_array).into_iter().flatten();
        schemas.map(|schema| self.node(schema, resolver)).collect()
    }

    fn map(
        &mut self,
        schemas: Option<&'s Value>,
        resolver: &Resolver<'s>,
    ) -> Result<Vec<(String, NodeId)>, ConfigError> {
        let schemas = schemas.and_then(Value::as_object).into_iter().flatten();
        schemas.map(|(name, schema)| Ok((name.clone(), self.node(schema, resolver)?))).collect()
    }

    fn compile(
        &mut self,
        keywords: &'s Map<String, Value>,
        resolver: &Resolver<'s>,
    ) -> Result<Node, ConfigError> {
        let get = |name: &str| keywords.get(name);
        let origin = self.origin;
        let mut one = |name: &str| get(name).map(|schema| self.node(schema, resolver)).transpose();
        let mut node = Node {
            types: get("type").map(types).transpose()?,
            options: options(keywords),
            unique_items: origin == Origin::Written
                && get("uniqueItems").is_some_and(|unique| unique == true),
            required: texts(get("required")),
            additional: one("additionalProperties")?,
            names: one("propertyNames")?,
            unevaluated_properties: one("unevaluatedProperties")?,
            items: one("items")?,
            unevaluated_items: one("unevaluatedItems")?,
            not: one("not")?,
            ..Node::default()
        };
        let contains = one("contains")?;
        let count = |name: &str| get(name).and_then(Value::as_f64);
        node.contains = contains.map(|node| Contains {
            node,
            min: count("minContains").map_or(1, |min| min as u64),
            max: count("maxContains").map_or(u64::MAX, |max| max as u64),
        });
        if let Some(test) = one("if")? {
            let then = one("then")?.unwrap_or(ANY);
            let otherwise = one("else")?.unwrap_or(ANY);
            node.condition = Some(Condition { test, then, otherwise });
        }
        node.fields = self.map(get("properties"), resolver)?;
        let index = node.fields.iter().enumerate().map(|(at, (name, _))| (name.clone(), at));
        node.field_index = index.collect();
        node.dependent = self.map(get("dependentSchemas"), resolver)?;
        for (pattern, schema) in self.map(get("patternProperties"), resolver)? {
            let keyword = Map::from_iter([("pattern".to_owned(), Value::from(pattern))]);
            node.patterns.push((self.assertions(keyword)?, schema));
        }
        let dependent = get("dependentRequired").and_then(Value::as_object).into_iter().flatten();
        node.dependent_required =
            dependent.map(|(name, others)| (name.clone(), texts(Some(others)))).collect();
        node.prefix = self.list(get("prefixItems"), resolver)?;
        node.all = self.list(get("allOf"), resolver)?;
        for keyword in ["$ref", "$dynamicRef"] {
            if let Some(reference) = get(keyword).and_then(Value::as_str) {
                let found = resolver.lookup(reference).map_err(unresolved)?;
                node.all.push(self.node(found.contents(), found.resolver())?);
            }
        }
        for keyword in ["oneOf", "anyOf"] {
            if let Some(schemas) = get(keyword).and_then(Value::as_array) {
                let branches = self.list(get(keyword), resolver)?;
                let tag = discriminator(get("discriminator"), schemas);
                node.unions.push(Union::new(branches, keyword == "oneOf", tag));
            }
        }
        let mut assertions = Map::new();
        for keyword in ASSERTIONS {
            if let Some(value) = get(keyword) {
                assertions.insert((*keyword).to_owned(), value.clone());
            }
        }
        if let Some(format) = get("format").and_then(Value::as_str) {
            match self.formats.find(format) {
                Format::Checked => _ = assertions.insert("format".to_owned(), format.into()),
                Format::Range { min, max } => {
                    assertions.entry("minimum").or_insert(min);
                    assertions.entry("maximum").or_insert(max);
                }
                Format::Unchecked => {}
                Format::Unknown if self.origin == Origin::Derived => {}
                Format::Unknown => {
                    let remedy = "is a `format` that is not known; register its check with \
                        `format`, or `ignore_format` if it is a remark";
                    return Err(ConfigError::new("schema", format.escape_debug(), remedy));
                }
            }
        }
        if !assertions.is_empty() {
            node.assertions = Some(self.assertions(assertions)?);
        }
        Ok(node)
    }

    /// Keywords that the library judges.
    fn assertions(&self, keywords: Map<String, Value>) -> Result<Validator, ConfigError> {
        let options = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .should_validate_formats(true)
            .with_pattern_options(PatternOptions::regex());
        let options = self.formats.add_to(options);
        let pattern = keywords.get("pattern").and_then(Value::as_str).map(str::to_owned);
        options.build(&Value::Object(keywords)).map_err(|error| match pattern {
            Some(pattern) if formats::needs_backtracking(&pattern) => ConfigError::new(
                "schema",
                pattern,
                "is a pattern with look-around or a back-reference, which cannot be matched in \
                 linear time; use several patterns in `allOf` and `not`",
            ),
            _ => invalid(error.to_string()),
        })
    }
}

/// Keywords that look at a value without its members.
const ASSERTIONS: &[&str] = &[
    "const",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "pattern",
];

fn texts(list: Option<&Value>) -> Vec<String> {
    let list = list.and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn types(types: &Value) -> Result<Types, ConfigError> {
    let names = match types {
        Value::String(name) => vec![name.clone()],
        _ => texts(Some(types)),
    };
    names.iter().try_fold(Types::EMPTY, |all, name| {
        let one = Types::from_name(name);
        one.map(|one| all.with(one)).ok_or_else(|| invalid(format!("`{name}` is not a type")))
    })
}

/// The constants that a value can have, if it is a word or a number: what a tag is.
fn options(keywords: &Map<String, Value>) -> Option<Vec<Value>> {
    let options = match keywords.get("const") {
        Some(constant) => vec![constant.clone()],
        None => keywords.get("enum")?.as_array()?.clone(),
    };
    let is_plain = |value: &Value| !value.is_object() && !value.is_array();
    (!options.is_empty() && options.iter().all(is_plain)).then_some(options)
}

/// The tag of OpenAPI 3.1, "Discriminator Object": the mapping names schemas, and so does the end of a reference.
fn discriminator(discriminator: Option<&Value>, branches: &[Value]) -> Option<Tag> {
    let discriminator = discriminator?;
    let name = discriminator.get("propertyName")?.as_str()?.to_owned();
    let reference = |branch: &Value| Some(branch.get("$ref")?.as_str()?.to_owned());
    let references: Vec<String> = branches.iter().map(reference).collect::<Option<_>>()?;
    let end = |reference: &str| reference.rsplit(['/', '#']).next().unwrap_or_default().to_owned();
    let mut values: Vec<(Value, usize)> = Vec::new();
    let mapping = discriminator.get("mapping").and_then(Value::as_object);
    for (value, target) in mapping.into_iter().flatten() {
        let target = target.as_str()?;
        // A mapping has a reference or the bare name of a schema.
        let is_target = |one: &String| one == target || end(one) == target;
        let branch = references.iter().position(is_target)?;
        values.push((value.as_str().into(), branch));
    }
    for (branch, reference) in references.iter().enumerate() {
        let implied = Value::from(end(reference));
        if values.iter().all(|(value, known)| *value != implied && *known != branch) {
            values.push((implied, branch));
        }
    }
    Some(Tag { name, values })
}
