//! The values of directives that have no sources.

use palisade_core::ConfigError;

/// [HTML, iframe sandbox](https://html.spec.whatwg.org/multipage/iframe-embed-object.html#attr-iframe-sandbox), and
/// `allow-storage-access-by-user-activation` of the
/// [Storage Access API](https://privacycg.github.io/storage-access/).
const SANDBOX_FLAGS: [&str; 14] = [
    "allow-downloads",
    "allow-forms",
    "allow-modals",
    "allow-orientation-lock",
    "allow-pointer-lock",
    "allow-popups",
    "allow-popups-to-escape-sandbox",
    "allow-presentation",
    "allow-same-origin",
    "allow-scripts",
    "allow-storage-access-by-user-activation",
    "allow-top-navigation",
    "allow-top-navigation-by-user-activation",
    "allow-top-navigation-to-custom-protocols",
];

pub(super) fn check_sandbox(flags: &[String]) -> Result<(), ConfigError> {
    let unknown = flags.iter().find(|flag| !SANDBOX_FLAGS.contains(&flag.as_str()));
    match unknown {
        Some(flag) => Err(ConfigError::new(
            "sandbox",
            flag,
            "name a flag of the HTML standard in lower case, such as `allow-scripts`",
        )),
        None => once_each("sandbox", flags),
    }
}

/// [Trusted Types, section 5.2](https://www.w3.org/TR/trusted-types/#trusted-types-csp-directive).
pub(super) fn check_trusted_types(policies: &[String]) -> Result<(), ConfigError> {
    const SETTING: &str = "trusted_types";
    for policy in policies {
        let wrong = |remedy: &'static str| Err(ConfigError::new(SETTING, policy, remedy));
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-#=_/@.%".contains(&byte);
        match policy.as_str() {
            "'none'" if policies.len() > 1 => {
                return wrong("remove it: it has an effect only if it is alone");
            }
            "'none'" | "'allow-duplicates'" | "*" => {}
            "none" => return wrong("write `'none'`, with the quotes"),
            "allow-duplicates" => return wrong("write `'allow-duplicates'`, with the quotes"),
            name if name.is_empty() || !name.bytes().all(fits) => {
                return wrong(
                    "a name has letters, digits and `-#=_/@.%` only; list each by itself",
                );
            }
            _ => {}
        }
    }
    once_each(SETTING, policies)
}

fn once_each(setting: &'static str, values: &[String]) -> Result<(), ConfigError> {
    let repeated = |(place, value): &(usize, &String)| values[..*place].contains(value);
    match values.iter().enumerate().find(repeated) {
        Some((_, twice)) => Err(ConfigError::new(setting, twice, "list it once")),
        None => Ok(()),
    }
}

/// A name in `Reporting-Endpoints`, which is a key of a dictionary (RFC 9651, section 3.1.2).
pub(crate) fn check_endpoint(setting: &'static str, name: &str) -> Result<(), ConfigError> {
    let fits =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.*".contains(&byte);
    let begins = name.starts_with(|first: char| first.is_ascii_lowercase() || first == '*');
    if begins && name.bytes().all(fits) {
        return Ok(());
    }
    Err(ConfigError::new(
        setting,
        name,
        "name an endpoint of `Reporting-Endpoints` in lower-case letters and digits, not an address",
    ))
}

pub(super) fn check_report_uri(addresses: &[String]) -> Result<(), ConfigError> {
    const SETTING: &str = "report_uri";
    if addresses.is_empty() {
        return Err(ConfigError::without_value(SETTING, "name an address, or leave it out"));
    }
    let wrong = addresses.iter().find(|address| !is_report_address(address));
    match wrong {
        Some(address) => Err(ConfigError::new(SETTING, address, REPORT_ADDRESS)),
        None => once_each(SETTING, addresses),
    }
}

pub(crate) const REPORT_ADDRESS: &str = "write an address that begins with `https://` or `/`, without white space, `;`, `,`, quotes and backslashes";

/// Returns true for an address that reports can be sent to, and that ends neither its directive nor its header. http is for
/// the machine itself only.
pub(crate) fn is_report_address(address: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_graphic() && !b";,\"\\".contains(&byte);
    let local = ["http://localhost", "http://127.0.0.1"];
    let is_local = local.iter().any(|local| {
        address
            .strip_prefix(local)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/']))
    });
    let is_path = address.starts_with('/') && !address.starts_with("//");
    let is_https = address.strip_prefix("https://").is_some_and(|rest| !rest.is_empty());
    address.bytes().all(fits) && (is_https || is_path || is_local)
}
