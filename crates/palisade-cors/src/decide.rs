//! Decides about a request by one configuration.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, header, request};
use palisade_core::{ApiError, BoxError, Decision, Halt, Origin, is_preflight};

use crate::{
    allowlist::{Allowlist, OriginCheck, sole_value},
    grant::CorsGrant,
    preflight::Preflight,
    refusal::{ORIGIN_NOT_ALLOWED, REFUSED, Refusal},
    rules::{ORIGIN, Rules},
};

#[inline]
pub(crate) fn decide_by(rules: &Arc<Rules>, request: &request::Parts) -> Decision<CorsGrant> {
    if is_preflight(request) {
        return answer_preflight(rules, request);
    }
    match rules.origins.judge(&request.headers) {
        OriginCheck::NoOrigin => Decision::grant(CorsGrant::to_none(rules, None)),
        OriginCheck::Allowed(origin) => Decision::grant(CorsGrant::to(origin, rules)),
        OriginCheck::Refused => refuse(rules, Refusal::Origin, request),
        OriginCheck::Unknown => look_up(Arc::clone(rules), request),
    }
}

/// A page of this origin may not read the response. Except in strict mode the service runs all the same: CORS is about
/// reading, and clients other than browsers may send an `Origin` too.
#[cold]
pub(crate) fn refuse(
    rules: &Rules,
    refusal: Refusal,
    request: &request::Parts,
) -> Decision<CorsGrant> {
    if is_preflight(request) {
        return Decision::reply(Preflight::new(&request.headers).refused(rules, refusal));
    }
    refuse_actual(rules, refusal, &request.headers).into()
}

fn refuse_actual(rules: &Rules, refusal: Refusal, request: &HeaderMap) -> Result<CorsGrant, Halt> {
    if request.contains_key(header::ORIGIN) {
        rules.log("request", refusal, request);
    } else if refusal == Refusal::AmbiguousPath {
        return Ok(CorsGrant::to_none(rules, None));
    }
    let told = rules.debug.then_some(refusal);
    if !rules.strict {
        return Ok(CorsGrant::to_none(rules, told));
    }
    let mut error = ApiError::from(ORIGIN_NOT_ALLOWED);
    if rules.origins.varies() {
        error = error.with_header(header::VARY, ORIGIN.clone());
    }
    if let Some(refusal) = told {
        let reason = HeaderValue::from_static(refusal.as_str());
        error = error.with_header(REFUSED.clone(), reason);
    }
    Err(error.into())
}

#[cold]
fn answer_preflight(rules: &Arc<Rules>, head: &request::Parts) -> Decision<CorsGrant> {
    let request: &HeaderMap = &head.headers;
    let preflight = Preflight::new(request);
    // A preflight that does not come from exactly one origin is malformed, also where any origin will do.
    if sole_value(request, header::ORIGIN).is_none() {
        return Decision::reply(preflight.refused(rules, Refusal::Origin));
    }
    let verdict = match rules.origins.judge(request) {
        // The single origin is sent to all requests, but does not allow all of them.
        OriginCheck::Allowed(told) if matches!(rules.origins, Allowlist::Only(_)) => {
            if request.get(header::ORIGIN) == Some(&told) {
                OriginCheck::Allowed(told)
            } else {
                OriginCheck::Refused
            }
        }
        verdict => verdict,
    };
    match verdict {
        OriginCheck::Allowed(origin) => Decision::reply(preflight.answered(rules, origin)),
        OriginCheck::NoOrigin | OriginCheck::Refused => {
            Decision::reply(preflight.refused(rules, Refusal::Origin))
        }
        OriginCheck::Unknown => look_up_preflight(Arc::clone(rules), head),
    }
}

/// Asks the lookup about the origin. Rules and headers go along, so that no later configuration answers.
#[cold]
fn look_up(rules: Arc<Rules>, request: &request::Parts) -> Decision<CorsGrant> {
    let answer = ask(&rules, request);
    let request = request.headers.clone();
    Decision::later(async move {
        match answer.await {
            Ok(Some(origin)) => Ok(CorsGrant::to(origin, &rules)),
            Ok(None) => refuse_actual(&rules, Refusal::Origin, &request),
            Err(error) if rules.strict => Err(rules.could_not_tell(error).into()),
            Err(error) => {
                tracing::warn!(target: "palisade::cors", error, "an origin could not be looked up");
                Ok(CorsGrant::to_none(&rules, None))
            }
        }
    })
}

#[cold]
fn look_up_preflight(rules: Arc<Rules>, request: &request::Parts) -> Decision<CorsGrant> {
    let answer = ask(&rules, request);
    let request = request.headers.clone();
    Decision::later(async move {
        let preflight = Preflight::new(&request);
        Err(match answer.await {
            Ok(Some(origin)) => Halt::Reply(Box::new(preflight.answered(&rules, origin))),
            Ok(None) => Halt::Reply(Box::new(preflight.refused(&rules, Refusal::Origin))),
            Err(error) => rules.could_not_tell(error).into(),
        })
    })
}

fn ask(
    rules: &Rules,
    request: &request::Parts,
) -> impl Future<Output = Result<Option<HeaderValue>, BoxError>> + Send + use<> {
    let sent = sole_value(&request.headers, header::ORIGIN).cloned();
    let answer = sent.as_ref().and_then(Origin::from_header).and_then(|origin| {
        let lookup = rules.origins.lookup()?;
        Some(lookup.ask(&origin, request))
    });
    async move {
        match answer {
            Some(answer) => Ok(if answer.await? { sent } else { None }),
            None => Ok(None),
        }
    }
}
