use base64::{Engine, engine::general_purpose::STANDARD};

/// Counts the bytes that have arrived, and reports when there are too many.
#[derive(Clone, Copy, Debug)]
pub(super) enum Count {
    /// All bytes of the body.
    Whole { seen: u64 },
    /// The bytes of each gRPC message.
    EachMessage(Messages),
    /// Messages of gRPC-web in base64, which is decoded four characters at a time.
    EachTextMessage { quad: [u8; 4], have: u8, messages: Messages },
}

impl Count {
    pub(super) fn whole() -> Self {
        Self::Whole { seen: 0 }
    }

    pub(super) fn each_message() -> Self {
        Self::EachMessage(Messages::default())
    }

    pub(super) fn each_text_message() -> Self {
        Self::EachTextMessage { quad: [0; 4], have: 0, messages: Messages::default() }
    }

    /// Returns false once there are too many bytes.
    pub(super) fn takes(&mut self, data: &[u8], limit: u64) -> bool {
        match self {
            Self::Whole { seen } => {
                *seen = seen.saturating_add(data.len() as u64);
                *seen <= limit
            }
            Self::EachMessage(messages) => messages.take(data, limit),
            Self::EachTextMessage { quad, have, messages } => {
                for byte in data {
                    quad[usize::from(*have)] = *byte;
                    *have += 1;
                    if usize::from(*have) < quad.len() {
                        continue;
                    }
                    *have = 0;
                    let mut bytes = [0; 3];
                    let Ok(count) = STANDARD.decode_slice(*quad, &mut bytes) else {
                        // There are no messages in such a body: all of it counts from here on.
                        *self = Self::Whole { seen: 0 };
                        return self.takes(data, limit);
                    };
                    if !messages.take(&bytes[..count], limit) {
                        return false;
                    }
                }
                true
            }
        }
    }
}

/// Reads the prefixes of gRPC messages: a flag, and a length of four bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Messages {
    prefix: [u8; 5],
    have: u8,
    left: u32,
}

impl Messages {
    /// Returns false if a message is longer than `limit` by its prefix, before a byte of it is read.
    fn take(&mut self, mut data: &[u8], limit: u64) -> bool {
        let Self { prefix, have, left } = self;
        while !data.is_empty() {
            if *left > 0 {
                let here = usize::try_from(*left).unwrap_or(usize::MAX).min(data.len());
                *left -= here as u32;
                data = &data[here..];
            } else {
                let missing = &mut prefix[usize::from(*have)..];
                let here = missing.len().min(data.len());
                missing[..here].copy_from_slice(&data[..here]);
                *have += here as u8;
                data = &data[here..];
                if usize::from(*have) == prefix.len() {
                    let [_, length @ ..] = *prefix;
                    (*have, *left) = (0, u32::from_be_bytes(length));
                    if u64::from(*left) > limit {
                        return false;
                    }
                }
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(length: u32) -> Vec<u8> {
        let mut bytes = vec![0];
        bytes.extend(length.to_be_bytes());
        bytes.extend(std::iter::repeat_n(7, length as usize));
        bytes
    }

    #[test]
    fn stream_may_exceed_the_limit_of_each_message() {
        let stream: Vec<u8> = [8, 0, 3, 8, 8].into_iter().flat_map(message).collect();
        for chunk in 1..=stream.len() {
            let mut count = Count::each_message();
            assert!(stream.chunks(chunk).all(|data| count.takes(data, 8)), "chunks of {chunk}");
        }
    }

    #[test]
    fn message_over_the_limit_is_found_across_any_chunks() {
        let stream: Vec<u8> = [8, 9].into_iter().flat_map(message).collect();
        for chunk in 1..=stream.len() {
            let mut count = Count::each_message();
            assert!(!stream.chunks(chunk).all(|data| count.takes(data, 8)), "chunks of {chunk}");
        }
        assert!(!Count::each_message().takes(&[0, 0, 0, 0, 9], 8), "by its prefix alone");
    }

    #[test]
    fn text_messages_are_counted_by_their_decoded_length() {
        let encode = |lengths: &[u32]| {
            lengths.iter().map(|length| STANDARD.encode(message(*length))).collect::<String>()
        };
        for chunk in 1..40 {
            let takes = |text: &str| {
                let mut count = Count::each_text_message();
                text.as_bytes().chunks(chunk).all(|data| count.takes(data, 8))
            };
            assert!(takes(&encode(&[8, 0, 3, 8, 8])), "chunks of {chunk}");
            assert!(!takes(&encode(&[8, 9])), "chunks of {chunk}");
            assert!(!takes(&format!("***{}", "*".repeat(64))), "no base64, chunks of {chunk}");
        }
    }
}
