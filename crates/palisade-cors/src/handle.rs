use palisade_core::ConfigError;

use crate::{Cors, CorsBuilder, rules::SharedRules};

/// Replaces the configuration of a [`Cors`](crate::Cors) at run time. Created by [`Cors::handle`](crate::Cors::handle).
///
/// All clones of the policy in all layers and routes use the new configuration at once. A request in progress keeps the
/// configuration that it began with. Browsers keep the result of a preflight for the [`max_age`](CorsBuilder::max_age) of its
/// response.
///
/// ```
/// use http::{Request, header};
/// use palisade_core::{Decision, Policy};
/// use palisade_cors::Cors;
///
/// let cors = Cors::allow_origins(["https://app.example.com"]).build()?;
/// let handle = cors.handle();
///
/// let preflight = Request::options("/")
///     .header(header::ORIGIN, "https://admin.example.com")
///     .header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST");
/// let (request, ()) = preflight.body(()).unwrap().into_parts();
/// let status = || match cors.decide(&request) {
///     Decision::Now(Err(palisade_core::Halt::Reply(reply))) => reply.status().as_u16(),
///     _ => panic!("a preflight is answered"),
/// };
///
/// assert_eq!(status(), 403);
/// handle.reconfigure(Cors::allow_origins(["https://app.example.com", "https://admin.example.com"]))?;
/// assert_eq!(status(), 204);
///
/// // A mistake changes nothing.
/// assert!(handle.reconfigure(Cors::allow_origins(["https://app.example.com/"])).is_err());
/// assert_eq!(status(), 204);
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct CorsHandle {
    rules: SharedRules,
}

impl CorsHandle {
    /// Checks the new configuration, and takes it for every request that begins from now on.
    ///
    /// # Errors
    ///
    /// Those of [`CorsBuilder::build`]. The old configuration stays.
    pub fn reconfigure(&self, new: CorsBuilder) -> Result<(), ConfigError> {
        self.rules.replace(new.rules()?);
        Ok(())
    }
}

impl Cors {
    /// Replaces the configuration while this policy, and every clone of it, serves.
    pub fn handle(&self) -> CorsHandle {
        CorsHandle { rules: self.rules.clone() }
    }
}
