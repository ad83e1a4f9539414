use garde::Validate;
use http::{HeaderMap, header};
use palisade_core::ApiError;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use crate::{Validation, examine, rules};

/// Refuses bodies that do not say they are JSON. What a form or plain text may hold is never parsed as JSON: any page
/// may send those without a preflight.
pub(crate) fn check_media_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let mut fields = headers.get_all(header::CONTENT_TYPE).iter();
    let field = fields.next().and_then(|field| field.to_str().ok());
    match field {
        Some(field) if fields.next().is_none() && is_json(field) => Ok(()),
        _ => Err(ApiError::unsupported_media_type()
            .with_message("the body must be sent as `Content-Type: application/json`")),
    }
}

/// `application/json` or any `+json`, in UTF-8 (RFC 8259, section 8.1).
fn is_json(content_type: &str) -> bool {
    let mut parts = content_type.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
    let json = match essence.split_once('/') {
        Some(("application", "json")) => true,
        Some((_, subtype)) => subtype.len() > "+json".len() && subtype.ends_with("+json"),
        None => false,
    };
    json && parts.all(|parameter| {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        !name.eq_ignore_ascii_case("charset")
            || value.trim_matches('"').eq_ignore_ascii_case("utf-8")
    })
}

/// Reads a JSON body as `T` and applies its rules.
pub(crate) fn read<T>(body: &[u8], settings: Validation) -> Result<T, ApiError>
where
    T: DeserializeOwned + Validate,
    T::Context: Default,
{
    if body.is_empty() {
        return Err(
            ApiError::invalid_json().with_message("the body is empty, and JSON is expected")
        );
    }
    match serde_json::from_slice::<T>(body) {
        Ok(value) => {
            let issues = rules::check(&value, Vec::new());
            if issues.is_empty() { Ok(value) } else { Err(settings.refuse(issues)) }
        }
        Err(error) if error.classify() == Category::Data => {
            // JSON, but not a `T`. It is looked at again, slowly, for all that is wrong with it.
            let value = serde_json::from_slice(body).map_err(|error| malformed(&error))?;
            let (value, mut issues) = examine::json::<T>(&value, body.len());
            if let Some(value) = value {
                issues = rules::check(&value, issues);
            }
            if issues.is_empty() {
                issues.push(examine::not_as_expected());
            }
            Err(settings.refuse(issues))
        }
        Err(error) => Err(malformed(&error)),
    }
}

fn malformed(error: &serde_json::Error) -> ApiError {
    ApiError::invalid_json().with_message(format!(
        "the body is not valid JSON: line {}, column {}",
        error.line(),
        error.column()
    ))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_json_is_json() {
        let check = |fields: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for field in fields {
                headers.append(header::CONTENT_TYPE, HeaderValue::from_static(field));
            }
            check_media_type(&headers).map_err(|error| error.status().as_u16())
        };
        for good in [
            "application/json",
            "Application/JSON; charset=UTF-8",
            "application/json;charset=\"utf-8\"",
            "application/vnd.api+json",
        ] {
            assert_eq!(check(&[good]), Ok(()), "{good}");
        }
        for bad in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "application/json; charset=latin1",
            "application/jsonp",
            "application/+json",
            "json",
            "",
        ] {
            assert_eq!(check(&[bad]), Err(415), "{bad}");
        }
        assert_eq!(check(&[]), Err(415));
        assert_eq!(check(&["application/json", "text/plain"]), Err(415));
    }
}
