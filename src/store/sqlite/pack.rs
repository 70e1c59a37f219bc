//! How values lie in the file: a byte for the form, the length, then zstd.
//!
//! The forms outlive the version of Larum that wrote them: a new one gets a new byte, and the old
//! ones stay readable.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::fault::{Outcome, corrupt, refused};

/// Largest value that is kept, unpacked, in bytes. SQLite takes blobs of up to 10^9 bytes.
pub(super) const MAX_VALUE: usize = 900_000_000;
/// zstd's own default: rows shrink to about a tenth of their size, far faster than they come.
const LEVEL: i32 = 3;
/// Length of the form and the unpacked length.
const HEAD: usize = 5;

/// Bytes as they are.
const PLAIN: u8 = 1;
/// A value in postcard's form 1; its fields are those of the first format.
const POSTCARD: u8 = 2;
/// A value as JSON.
const JSON: u8 = 3;

/// Packs bytes.
pub(super) fn bytes(plain: &[u8]) -> Outcome<Vec<u8>> {
    packed(PLAIN, plain)
}

/// Packs a value whose shape is fixed.
pub(super) fn value<T: Serialize>(value: &T) -> Outcome<Vec<u8>> {
    let plain = postcard::to_stdvec(value).map_err(|error| refused(format!("cannot encode: {error}")))?;
    packed(POSTCARD, &plain)
}

/// Packs a value that holds JSON, or whose shape may grow.
pub(super) fn json<T: Serialize>(value: &T) -> Outcome<Vec<u8>> {
    let plain = serde_json::to_vec(value).map_err(|error| refused(format!("cannot encode: {error}")))?;
    packed(JSON, &plain)
}

fn packed(form: u8, plain: &[u8]) -> Outcome<Vec<u8>> {
    let too_long = || refused(format!("a value of {} bytes is too long to keep", plain.len()));
    let len = u32::try_from(plain.len()).ok().filter(|_| plain.len() <= MAX_VALUE).ok_or_else(too_long)?;
    let body =
        zstd::bulk::compress(plain, LEVEL).map_err(|error| refused(format!("cannot pack: {error}")))?;
    let mut packed = Vec::with_capacity(HEAD + body.len());
    packed.push(form);
    packed.extend_from_slice(&len.to_le_bytes());
    packed.extend_from_slice(&body);
    Ok(packed)
}

/// Unpacks bytes; `what` names them where they are broken.
pub(super) fn read_bytes(packed: &[u8], what: &str) -> Outcome<Vec<u8>> {
    match unpacked(packed, what)? {
        (PLAIN, plain) => Ok(plain),
        (form, _) => Err(corrupt(format!("{what}: unknown form {form}"))),
    }
}

/// Unpacks a value in whichever form it was written.
pub(super) fn read<T: DeserializeOwned>(packed: &[u8], what: &str) -> Outcome<T> {
    match unpacked(packed, what)? {
        (POSTCARD, plain) => {
            postcard::from_bytes(&plain).map_err(|error| corrupt(format!("{what}: {error}")))
        }
        (JSON, plain) => serde_json::from_slice(&plain).map_err(|error| corrupt(format!("{what}: {error}"))),
        (form, _) => Err(corrupt(format!("{what}: unknown form {form}"))),
    }
}

/// Length of a value, unpacked.
pub(super) fn len(packed: &[u8]) -> usize {
    match packed {
        [_, a, b, c, d, ..] => u32::from_le_bytes([*a, *b, *c, *d]) as usize,
        _ => 0,
    }
}

fn unpacked(packed: &[u8], what: &str) -> Outcome<(u8, Vec<u8>)> {
    let len = len(packed);
    let (Some(form), Some(body)) = (packed.first(), packed.get(HEAD..)) else {
        return Err(corrupt(format!("{what}: cut short")));
    };
    if len > MAX_VALUE {
        return Err(corrupt(format!("{what}: says that it is {len} bytes long")));
    }
    let plain = zstd::bulk::decompress(body, len).map_err(|error| corrupt(format!("{what}: {error}")))?;
    if plain.len() != len {
        return Err(corrupt(format!("{what}: {} bytes instead of {len}", plain.len())));
    }
    Ok((*form, plain))
}
