use http::HeaderValue;

use crate::syntax::percent_encode;

/// The most bytes of a `grpc-message`. Clients that get more than 8 KiB of header fields see none of them, and so not
/// even the status.
const MAX_MESSAGE: usize = 1024;

/// Truncates a message so that it fits after percent-encoding.
pub(crate) fn short(message: &str) -> &str {
    let mut length = 0;
    let too_far = message.char_indices().find(|(_, char)| {
        length += if is_plain(*char) { 1 } else { 3 * char.len_utf8() };
        length > MAX_MESSAGE
    });
    &message[..too_far.map_or(message.len(), |(at, _)| at)]
}

fn is_plain(char: char) -> bool {
    matches!(char, ' '..='~') && char != '%'
}

/// A `grpc-message`: bytes outside the printable ASCII range, and `%`, are percent-encoded.
pub(super) fn encode_message(message: &str) -> HeaderValue {
    let encoded = percent_encode(message, |byte| is_plain(char::from(byte)));
    // Only printable ASCII is left.
    HeaderValue::try_from(encoded).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_message_is_cut_between_characters() {
        for (message, bytes) in [("x", 1024), ("\u{20ac}", 113 * 9), ("%", 341 * 3)] {
            let sent = encode_message(short(&message.repeat(2000)));
            assert_eq!(sent.len(), bytes, "{message}");
        }
        let fits = "y".repeat(1024);
        assert_eq!(short(&fits), fits);
    }

    #[test]
    fn grpc_message_is_percent_encoded() {
        assert_eq!(encode_message("50% of \"ü\"\n"), "50%25 of \"%C3%BC\"%0A");
    }
}
