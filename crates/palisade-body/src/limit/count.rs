/// Counts what has arrived, and says when it is too much.
#[derive(Clone, Copy, Debug)]
pub(super) enum Count {
    /// All bytes of the body.
    Whole { seen: u64 },
    /// The bytes of each gRPC message, as its prefix declares them: a flag, and a length of four bytes.
    EachMessage { prefix: [u8; 5], have: usize, left: u64 },
}

impl Count {
    pub(super) fn whole() -> Self {
        Self::Whole { seen: 0 }
    }

    pub(super) fn each_message() -> Self {
        Self::EachMessage { prefix: [0; 5], have: 0, left: 0 }
    }

    /// False once it is too much.
    #[inline]
    pub(super) fn takes(&mut self, data: &[u8], limit: u64) -> bool {
        match self {
            Self::Whole { seen } => {
                *seen = seen.saturating_add(data.len() as u64);
                *seen <= limit
            }
            Self::EachMessage { prefix, have, left } => {
                let mut data = data;
                while !data.is_empty() {
                    if *left > 0 {
                        let here = usize::try_from(*left).unwrap_or(usize::MAX).min(data.len());
                        *left -= here as u64;
                        data = &data[here..];
                    } else {
                        let here = (prefix.len() - *have).min(data.len());
                        prefix[*have..*have + here].copy_from_slice(&data[..here]);
                        *have += here;
                        data = &data[here..];
                        if *have == prefix.len() {
                            let [_, length @ ..] = *prefix;
                            (*have, *left) = (0, u64::from(u32::from_be_bytes(length)));
                            // Refused by its prefix, before a byte of it is read.
                            if *left > limit {
                                return false;
                            }
                        }
                    }
                }
                true
            }
        }
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
    fn a_stream_of_messages_may_be_longer_than_any_one_of_them() {
        let stream: Vec<u8> = [8, 0, 3, 8, 8].into_iter().flat_map(message).collect();
        for chunk in 1..=stream.len() {
            let mut count = Count::each_message();
            assert!(stream.chunks(chunk).all(|data| count.takes(data, 8)), "chunks of {chunk}");
        }
    }

    #[test]
    fn one_message_too_long_is_too_much_wherever_the_chunks_are_cut() {
        let stream: Vec<u8> = [8, 9].into_iter().flat_map(message).collect();
        for chunk in 1..=stream.len() {
            let mut count = Count::each_message();
            assert!(!stream.chunks(chunk).all(|data| count.takes(data, 8)), "chunks of {chunk}");
        }
        assert!(!Count::each_message().takes(&[0, 0, 0, 0, 9], 8), "by its prefix alone");
    }
}
