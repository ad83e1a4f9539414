use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use serde::{Deserialize, Serialize};

/// The format of records. A record of another version is not read.
const VERSION: u8 = 1;

/// Fields that belong to a connection (RFC 9110, section 7.6.1), to one message, or to one client.
const NOT_STORED: [HeaderName; 12] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::DATE,
    header::CONTENT_LENGTH,
    header::SET_COOKIE,
    HeaderName::from_static("idempotent-replayed"),
];

/// The record of a request: its fingerprint, and its response if it could be stored.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) fingerprint: [u8; 32],
    pub(crate) response: Option<StoredResponse>,
}

/// A response with its trailers.
#[derive(Clone, Debug)]
pub(crate) struct StoredResponse {
    pub(crate) head: Response<()>,
    pub(crate) body: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
}

/// A record as it is stored.
#[derive(Deserialize, Serialize)]
struct Encoded<'a> {
    fingerprint: [u8; 32],
    #[serde(borrow)]
    response: Option<EncodedResponse<'a>>,
}

type EncodedFields<'a> = Vec<(&'a str, &'a [u8])>;

#[derive(Deserialize, Serialize)]
struct EncodedResponse<'a> {
    status: u16,
    #[serde(borrow)]
    headers: EncodedFields<'a>,
    trailers: Option<EncodedFields<'a>>,
    body: &'a [u8],
}

/// The record is not one that this version wrote.
#[derive(Debug)]
pub(crate) struct UnknownRecord;

impl fmt::Display for UnknownRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the stored record of an idempotency key cannot be read; another version or program wrote it")
    }
}

impl std::error::Error for UnknownRecord {}

impl Record {
    /// Encodes the record. With `chosen`, only these header fields are stored.
    pub(crate) fn encode(&self, chosen: Option<&[HeaderName]>) -> Bytes {
        let is_stored = |name: &HeaderName| {
            !NOT_STORED.contains(name) && chosen.is_none_or(|chosen| chosen.contains(name))
        };
        let response = self.response.as_ref().map(|response| EncodedResponse {
            status: response.head.status().as_u16(),
            headers: fields(response.head.headers(), is_stored),
            trailers: response.trailers.as_ref().map(|trailers| fields(trailers, |_| true)),
            body: &response.body,
        });
        let record = Encoded { fingerprint: self.fingerprint, response };
        // Encoding into memory does not fail.
        let encoded = postcard::to_extend(&record, vec![VERSION]).unwrap_or_default();
        encoded.into()
    }

    pub(crate) fn decode(bytes: &Bytes) -> Result<Self, UnknownRecord> {
        let Some((&VERSION, rest)) = bytes.split_first() else { return Err(UnknownRecord) };
        let (encoded, []) =
            postcard::take_from_bytes::<Encoded<'_>>(rest).map_err(|_| UnknownRecord)?
        else {
            return Err(UnknownRecord);
        };
        let response = encoded.response.map(|response| StoredResponse::decode(&response, bytes));
        Ok(Self { fingerprint: encoded.fingerprint, response: response.transpose()? })
    }
}

impl StoredResponse {
    fn decode(encoded: &EncodedResponse<'_>, bytes: &Bytes) -> Result<Self, UnknownRecord> {
        let mut head = Response::new(());
        *head.status_mut() = StatusCode::from_u16(encoded.status).map_err(|_| UnknownRecord)?;
        *head.headers_mut() = header_map(&encoded.headers)?;
        Ok(Self {
            head,
            body: bytes.slice_ref(encoded.body),
            trailers: encoded.trailers.as_ref().map(header_map).transpose()?,
        })
    }
}

fn fields(headers: &HeaderMap, is_stored: impl Fn(&HeaderName) -> bool) -> EncodedFields<'_> {
    let stored = headers.iter().filter(|(name, _)| is_stored(name));
    stored.map(|(name, value)| (name.as_str(), value.as_bytes())).collect()
}

fn header_map(fields: &EncodedFields<'_>) -> Result<HeaderMap, UnknownRecord> {
    let mut headers = HeaderMap::with_capacity(fields.len().min(1024));
    for (name, value) in fields {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| UnknownRecord)?;
        let value = HeaderValue::from_bytes(value).map_err(|_| UnknownRecord)?;
        headers.try_append(name, value).map_err(|_| UnknownRecord)?;
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(body: &'static [u8], fields: &[(&'static str, &'static str)]) -> Record {
        let mut head = Response::builder().status(201);
        for (name, value) in fields {
            head = head.header(*name, *value);
        }
        let trailers = HeaderMap::from_iter([(
            HeaderName::from_static("grpc-status"),
            HeaderValue::from_static("0"),
        )]);
        let response = StoredResponse {
            head: head.body(()).unwrap(),
            body: Bytes::from_static(body),
            trailers: Some(trailers),
        };
        Record { fingerprint: [7; 32], response: Some(response) }
    }

    #[test]
    fn record_round_trips_without_connection_fields() {
        let all = [
            ("content-type", "text/plain"),
            ("x-two", "a"),
            ("x-two", "b"),
            ("set-cookie", "id=1"),
            ("date", "Thu, 01 Jan 1970 00:00:00 GMT"),
            ("connection", "close"),
            ("content-length", "4"),
        ];
        let decoded = Record::decode(&record(b"\0\xffok", &all).encode(None)).unwrap();
        assert_eq!(decoded.fingerprint, [7; 32]);
        let response = decoded.response.unwrap();
        assert_eq!((response.head.status().as_u16(), &*response.body), (201, b"\0\xffok" as &[u8]));
        let names: Vec<_> = response.head.headers().keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["content-type", "x-two"]);
        assert_eq!(response.head.headers().get_all("x-two").iter().count(), 2);
        assert_eq!(response.trailers.unwrap()["grpc-status"], "0");

        let chosen = record(b"", &all).encode(Some(&[header::CONTENT_TYPE]));
        let response = Record::decode(&chosen).unwrap().response.unwrap();
        assert_eq!(response.head.headers().len(), 1);
    }

    #[test]
    fn rejects_records_that_are_cut_or_longer() {
        let encoded = record(b"body", &[("content-type", "text/plain")]).encode(None);
        for length in 0..encoded.len() {
            assert!(Record::decode(&encoded.slice(..length)).is_err(), "{length} bytes");
        }
        let longer = [&encoded, &[0u8][..]].concat();
        assert!(Record::decode(&longer.into()).is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Record::decode(&[&[VERSION], &bytes[..]].concat().into());
        }
    }
}
