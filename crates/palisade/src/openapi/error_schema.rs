use palisade_core::ErrorFormat;
use serde_json::{Value, json};

/// The schema of the body of an error, and its name among the components. `None`: the body is not JSON, or is not known.
pub(super) fn error_schema(format: &ErrorFormat) -> Option<(&'static str, Value)> {
    let issues = json!({"type": "array", "items": {
        "type": "object",
        "required": ["path", "code", "message"],
        "properties": {
            "path": {"type": "string"},
            "code": {"type": "string"},
            "message": {"type": "string"},
            "source": {"type": "string"},
            "pointer": {"type": "string"},
            "params": {"type": "object"},
        },
    }});
    let text = json!({"type": "string"});
    Some(match format {
        ErrorFormat::Envelope => (
            "ErrorEnvelope",
            json!({"type": "object", "required": ["error"], "properties": {"error": {
                "type": "object",
                "required": ["code", "message"],
                "properties": {
                    "code": text, "message": text, "field": text, "request_id": text,
                    "issues": issues, "truncated": {"type": "boolean"},
                },
            }}}),
        ),
        ErrorFormat::Flat => (
            "FlatError",
            json!({
                "type": "object",
                "required": ["error", "code"],
                "properties": {
                    "error": text, "code": text, "issues": issues, "truncated": {"type": "boolean"},
                },
            }),
        ),
        ErrorFormat::Problem => (
            "Problem",
            json!({
                "type": "object",
                "required": ["type", "title", "status", "detail", "code"],
                "properties": {
                    "type": text, "title": text, "status": {"type": "integer"}, "detail": text,
                    "instance": text, "code": text, "issues": issues,
                    "truncated": {"type": "boolean"},
                },
            }),
        ),
        _ => return None,
    })
}
