//! The extractors as input of operations, for aide.

use aide::{
    OperationInput,
    generate::GenContext,
    openapi::{Operation, Parameter},
    operation::{ParamLocation, add_parameters, parameters_from_schema},
};
use schemars::{JsonSchema, Schema};

use super::{Cookies, Extractor, Headers, Valid};

/// What is inside describes itself: `Valid<(Path<A>, Query<B>, Json<C>)>` has the parameters and the body of all three. The
/// rules of garde are constraints of the schema, because `schemars` reads them. The errors are those of the whole stack,
/// which `palisade::openapi` adds.
impl<E: Extractor + OperationInput> OperationInput for Valid<E> {
    fn operation_input(context: &mut GenContext, operation: &mut Operation) {
        E::operation_input(context, operation);
    }
}

#[cfg(feature = "schemars")]
impl<T: JsonSchema> OperationInput for super::SchemaJson<T> {
    fn operation_input(context: &mut GenContext, operation: &mut Operation) {
        axum::Json::<T>::operation_input(context, operation);
    }
}

impl<T: JsonSchema> OperationInput for Headers<T> {
    fn operation_input(context: &mut GenContext, operation: &mut Operation) {
        let schema = context.schema.subschema_for::<T>();
        let mut headers = parameters(context, &schema, ParamLocation::Header);
        headers.retain_mut(|header| {
            let Parameter::Header { parameter_data, .. } = header else { return false };
            // The name on the wire: `user_agent` and `userAgent` are read from `user-agent`.
            parameter_data.name = dashed(&parameter_data.name);
            // OpenAPI 3.1, "Parameter Object": these are described in other places.
            !matches!(&*parameter_data.name, "accept" | "authorization" | "content-type")
        });
        add_parameters(context, operation, headers);
    }
}

impl<T: JsonSchema> OperationInput for Cookies<T> {
    fn operation_input(context: &mut GenContext, operation: &mut Operation) {
        let schema = context.schema.subschema_for::<T>();
        let cookies = parameters(context, &schema, ParamLocation::Cookie);
        add_parameters(context, operation, cookies);
    }
}

/// The fields of a schema. Texts are never null: a field that may be null may be absent.
fn parameters(context: &mut GenContext, schema: &Schema, place: ParamLocation) -> Vec<Parameter> {
    let mut schema = context.resolve_schema(schema).clone();
    let fields = schema.get_mut("properties").and_then(serde_json::Value::as_object_mut);
    for field in fields.into_iter().flat_map(|fields| fields.values_mut()) {
        let Some(types) = field.get_mut("type") else { continue };
        if let Some([only]) = types.as_array_mut().map(|types| {
            types.retain(|name| name != "null");
            &**types
        }) {
            *types = only.clone();
        }
    }
    parameters_from_schema(context, schema, place)
}

/// The name of a header in lower case, with a dash before each word.
fn dashed(name: &str) -> String {
    let mut dashed = String::new();
    for character in name.chars() {
        match character {
            '_' => dashed.push('-'),
            'A'..='Z' => {
                if !dashed.is_empty() && !dashed.ends_with('-') {
                    dashed.push('-');
                }
                dashed.push(character.to_ascii_lowercase());
            }
            other => dashed.push(other),
        }
    }
    dashed
}

#[cfg(feature = "multipart")]
mod multipart {
    use aide::{
        openapi::{MediaType, RequestBody, SchemaObject},
        operation::set_body,
    };

    use super::{GenContext, JsonSchema, Operation, OperationInput};
    use crate::{JsonOrForm, Multipart, MultipartStream};

    const FORM_DATA: &str = "multipart/form-data";

    /// Describes a body that may be sent as any of these media types.
    fn body<T: JsonSchema>(
        context: &mut GenContext,
        operation: &mut Operation,
        media_types: &[&str],
    ) {
        // The names of the files are those of the client, so they are not listed.
        let schema = context.schema.subschema_for::<T>();
        let mut body = RequestBody { required: true, ..RequestBody::default() };
        for media_type in media_types {
            let json_schema = schema.clone();
            let schema = SchemaObject { json_schema, external_docs: None, example: None };
            let content = MediaType { schema: Some(schema), ..MediaType::default() };
            body.content.insert((*media_type).to_owned(), content);
        }
        set_body(context, operation, body);
    }

    impl<T: JsonSchema> OperationInput for JsonOrForm<T> {
        fn operation_input(context: &mut GenContext, operation: &mut Operation) {
            let media_types = ["application/json", crate::axum::body::FORM, FORM_DATA];
            body::<T>(context, operation, &media_types);
        }
    }

    impl<T: JsonSchema> OperationInput for Multipart<T> {
        fn operation_input(context: &mut GenContext, operation: &mut Operation) {
            body::<T>(context, operation, &[FORM_DATA]);
        }
    }

    impl<T: JsonSchema> OperationInput for MultipartStream<T> {
        fn operation_input(context: &mut GenContext, operation: &mut Operation) {
            body::<T>(context, operation, &[FORM_DATA]);
        }
    }
}
