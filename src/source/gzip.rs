//! Gzip as files have it: members one after the other, zeros behind them, and what is neither.
//!
//! Tools for gzip leave out what follows the last member. So does this, and tells of it, for it may be what is
//! left of a member.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::GzDecoder;

/// Packed bytes that are read at a time.
const CHUNK: usize = 32 << 10;

/// What follows the last member.
#[derive(Debug, thiserror::Error)]
#[error(
    "what follows its gzip data is no gzip and was left out, and all lines before it were read; get the file again if there should be more"
)]
pub(super) struct Behind;

/// The members of a file, unpacked.
pub(super) struct Members<R> {
    state: State<R>,
    /// What was unpacked last ends a line.
    line_ended: bool,
}

enum State<R> {
    Member(Box<GzDecoder<BufReader<R>>>),
    Between(BufReader<R>),
    /// Behind the last member stands something else, and it was not told of yet.
    Behind,
    Over,
}

/// What stands between two members, or behind the last one.
enum Next {
    Member,
    End,
    Other,
}

impl<R: Read> Members<R> {
    pub(super) fn new(packed: R) -> Self {
        let first = GzDecoder::new(BufReader::with_capacity(CHUNK, packed));
        Self { state: State::Member(Box::new(first)), line_ended: true }
    }
}

impl<R: Read> Read for Members<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        loop {
            match &mut self.state {
                State::Member(member) => {
                    let len = member.read(into)?;
                    if len > 0 {
                        self.line_ended = into[len - 1] == b'\n';
                        return Ok(len);
                    }
                }
                State::Between(rest) => {
                    let next = next(rest)?;
                    self.state = match (next, std::mem::replace(&mut self.state, State::Over)) {
                        (Next::Member, State::Between(rest)) => State::Member(Box::new(GzDecoder::new(rest))),
                        (Next::Other, _) => State::Behind,
                        (Next::Member | Next::End, _) => State::Over,
                    };
                    continue;
                }
                // The last line is whole, for its member is.
                State::Behind if !self.line_ended => {
                    self.line_ended = true;
                    into[0] = b'\n';
                    return Ok(1);
                }
                State::Behind => {
                    self.state = State::Over;
                    return Err(io::Error::new(io::ErrorKind::InvalidData, Behind));
                }
                State::Over => return Ok(0),
            }
            if let State::Member(member) = std::mem::replace(&mut self.state, State::Over) {
                self.state = State::Between(member.into_inner());
            }
        }
    }
}

/// Passes over zeros, with which tapes are filled up.
fn next(rest: &mut impl BufRead) -> io::Result<Next> {
    loop {
        let bytes = rest.fill_buf()?;
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        match bytes.get(zeros) {
            None if zeros == 0 => return Ok(Next::End),
            None => rest.consume(zeros),
            Some(0x1f) => {
                rest.consume(zeros);
                return Ok(Next::Member);
            }
            Some(_) => return Ok(Next::Other),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn gzip(text: &str) -> Vec<u8> {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(text.as_bytes()).unwrap();
        packed.finish().unwrap()
    }

    /// What is unpacked of `parts`, and what is told at the end.
    fn unpacked(parts: &[&[u8]]) -> (String, Option<String>) {
        let (mut text, packed) = (Vec::new(), parts.concat());
        let mut members = Members::new(packed.as_slice());
        let told = members.read_to_end(&mut text).err().map(|error| error.to_string());
        assert_eq!(members.read(&mut [0; 8]).unwrap_or(0), 0);
        (String::from_utf8(text).unwrap(), told)
    }

    #[test]
    fn members_are_one_text_and_what_follows_them_is_told_unless_it_is_zeros() {
        let (one, two, zeros) = (gzip("one\n"), gzip("two"), vec![0; 20_000]);
        let whole = ("one\ntwo".to_owned(), None);
        assert_eq!(unpacked(&[&one, &two]), whole);
        assert_eq!(unpacked(&[&one, &gzip(""), &two, &zeros]), whole);
        assert_eq!(unpacked(&[&one, &zeros, &two]), whole);
        let behind = Some(Behind.to_string());
        for other in [b"x".as_slice(), b"\0\0rubbish", b"one\n"] {
            assert_eq!(unpacked(&[&one, &two, other]), ("one\ntwo\n".to_owned(), behind.clone()));
            assert_eq!(unpacked(&[&one, other]), ("one\n".to_owned(), behind.clone()));
        }
    }

    #[test]
    fn a_member_that_is_cut_off_gives_what_there_is() {
        let (one, two) = (gzip("one\n"), gzip(&"two\n".repeat(100)));
        for len in 1..two.len() {
            let (text, told) = unpacked(&[&one, &two[..len]]);
            assert!(text.starts_with("one\n") && told.is_some(), "{len}: {text} {told:?}");
        }
    }
}
