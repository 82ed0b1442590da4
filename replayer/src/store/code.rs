//! Values as bytes, one after the other: numbers in as few as they need, texts by their number where it is known.
//!
//! Only what this process wrote is read, and by the same build: there is no version, and no field has a name.
//! What does not read back is still an error and no panic, for a disk may give other bytes than it was given.

use super::words::Words;

/// The bytes are not what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken;

/// A value that is kept as bytes.
pub(super) trait Coded: Sized {
    fn put(&self, to: &mut Encoder<'_>);
    fn take(from: &mut Decoder<'_>) -> Result<Self, Broken>;
}

/// Writes values.
#[derive(Debug, Default)]
pub(super) struct Encoder<'a> {
    pub(super) bytes: Vec<u8>,
    /// Where shared texts are, and which session is being written.
    words: Option<(&'a mut Words, u32)>,
}

impl<'a> Encoder<'a> {
    pub(super) fn sharing(words: &'a mut Words, session: u32) -> Self {
        Self { bytes: Vec::new(), words: Some((words, session)) }
    }

    /// Seven bits a byte, the lowest first; the highest bit of a byte says that more follow (LEB128).
    #[allow(clippy::cast_possible_truncation)] // seven bits each
    pub(super) fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.bytes.push(number as u8);
    }

    /// Its length or its number, doubled, the latter and one; then the text itself, if it has no number.
    fn text(&mut self, text: &str) {
        let known = self.words.as_mut().and_then(|(words, session)| words.number(text, *session));
        if let Some(number) = known {
            return self.number(u64::from(number) << 1 | 1);
        }
        self.number((text.len() as u64) << 1);
        self.bytes.extend_from_slice(text.as_bytes());
    }
}

/// Reads values in the order in which they were written.
#[derive(Debug)]
pub(super) struct Decoder<'a> {
    rest: &'a [u8],
    words: &'a Words,
}

impl<'a> Decoder<'a> {
    pub(super) fn new(bytes: &'a [u8], words: &'a Words) -> Self {
        Self { rest: bytes, words }
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn byte(&mut self) -> Result<u8, Broken> {
        let (first, rest) = self.rest.split_first().ok_or(Broken)?;
        self.rest = rest;
        Ok(*first)
    }

    pub(super) fn number(&mut self) -> Result<u64, Broken> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Broken)
    }

    pub(super) fn bytes(&mut self, count: usize) -> Result<&'a [u8], Broken> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Broken)?;
        self.rest = rest;
        Ok(taken)
    }

    fn text(&mut self) -> Result<&'a str, Broken> {
        let number = self.number()?;
        if number & 1 == 1 {
            let number = u32::try_from(number >> 1).map_err(|_| Broken)?;
            return self.words.text(number).ok_or(Broken);
        }
        let bytes = self.bytes(usize::try_from(number >> 1).map_err(|_| Broken)?)?;
        std::str::from_utf8(bytes).map_err(|_| Broken)
    }
}

macro_rules! coded_numbers {
    ($($number:ty),*) => {$(
        impl Coded for $number {
            #[allow(clippy::allow_attributes, clippy::useless_conversion, reason = "one of them is u64 itself")]
            fn put(&self, to: &mut Encoder<'_>) {
                to.number(u64::try_from(*self).expect("no number is wider than 64 bits"));
            }

            fn take(from: &mut Decoder<'_>) -> Result<Self, Broken> {
                Self::try_from(from.number()?).map_err(|_| Broken)
            }
        }
    )*};
}

coded_numbers!(u8, u16, u32, u64, usize);

/// The sign in the lowest bit, so that small ones of either sign are short.
impl Coded for i64 {
    fn put(&self, to: &mut Encoder<'_>) {
        to.number((self.cast_unsigned() << 1) ^ (self >> 63).cast_unsigned());
    }

    fn take(from: &mut Decoder<'_>) -> Result<Self, Broken> {
        let number = from.number()?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }
}

impl Coded for i16 {
    fn put(&self, to: &mut Encoder<'_>) {
        i64::from(*self).put(to);
    }

    fn take(from: &mut Decoder<'_>) -> Result<Self, Broken> {
        Self::try_from(i64::take(from)?).map_err(|_| Broken)
    }
}

impl Coded for bool {
    fn put(&self, to: &mut Encoder<'_>) {
        to.bytes.push(u8::from(*self));
    }

    fn take(from: &mut Decoder<'_>) -> Result<Self, Broken> {
        Ok(from.byte()? == 1)
    }
}

impl Coded for char {
    fn put(&self, to: &mut Encoder<'_>) {
        u32::from(*self).put(to);
    }

    fn take(from: &mut Decoder<'_>) -> Result<Self, Broken> {
        Self::from_u32(u32::take(from)?).ok_or(Broken)
    }
}

impl Coded for String {
    fn put(&self, to: &mut Encoder<'_>) {
        to.text(self);
    }

    fn take(from: &mut Decoder<'_>) -> Result<Self, Broken> {
        from.text().map(str::to_owned)
    }
}

impl<T: Coded> Coded for Option<T> {
    fn put(&self, to: &mut Encoder<'_>) {
        self.is_some().put(to);
        if let Some(value) = self {
            value.put(to);
        }
    }

    fn take(from: &mut Decoder<'_>) -> Result<Self, Broken> {
        bool::take(from)?.then(|| T::take(from)).transpose()
    }
}

impl<T: Coded> Coded for Vec<T> {
    fn put(&self, to: &mut Encoder<'_>) {
        self.len().put(to);
        for value in self {
            value.put(to);
        }
    }

    fn take(from: &mut Decoder<'_>) -> Result<Self, Broken> {
        let count = usize::take(from)?;
        // A count that is wrong must not ask for memory: each value takes a byte at least.
        let mut values = Self::with_capacity(count.min(from.rest.len()));
        for _ in 0..count {
            values.push(T::take(from)?);
        }
        Ok(values)
    }
}

impl<T: Coded> Coded for Box<T> {
    fn put(&self, to: &mut Encoder<'_>) {
        self.as_ref().put(to);
    }

    fn take(from: &mut Decoder<'_>) -> Result<Self, Broken> {
        T::take(from).map(Self::new)
    }
}

/// A struct, field by field; one that is left out does not compile.
macro_rules! coded_struct {
    ($name:ty { $($field:ident),* $(,)? }) => {
        impl Coded for $name {
            fn put(&self, to: &mut Encoder<'_>) {
                let Self { $($field),* } = self;
                $($field.put(to);)*
            }

            fn take(from: &mut Decoder<'_>) -> Result<Self, Broken> {
                Ok(Self { $($field: Coded::take(from)?),* })
            }
        }
    };
}

/// An enum: the number of its variant, then what that holds.
macro_rules! coded_enum {
    ($name:ty { $($number:literal => $variant:ident $({ $($field:ident),* })? $(($inner:ident))?),* $(,)? }) => {
        impl Coded for $name {
            fn put(&self, to: &mut Encoder<'_>) {
                match self {
                    $(Self::$variant $({ $($field),* })? $(($inner))? => {
                        to.bytes.push($number);
                        $($($field.put(to);)*)?
                        $($inner.put(to);)?
                    })*
                }
            }

            fn take(from: &mut Decoder<'_>) -> Result<Self, Broken> {
                Ok(match from.byte()? {
                    $($number => Self::$variant
                        $({ $($field: Coded::take(from)?),* })?
                        $(({ let $inner = Coded::take(from)?; $inner }))?,)*
                    _ => return Err(Broken),
                })
            }
        }
    };
}

pub(super) use {coded_enum, coded_struct};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn again<T: Coded>(value: &T) -> Result<T, Broken> {
        let mut to = Encoder::default();
        value.put(&mut to);
        let words = Words::default();
        let mut from = Decoder::new(&to.bytes, &words);
        let read = T::take(&mut from)?;
        if from.rest.is_empty() { Ok(read) } else { Err(Broken) }
    }

    #[test]
    fn numbers_take_as_few_bytes_as_they_need() {
        let bytes = |number: u64| {
            let mut to = Encoder::default();
            number.put(&mut to);
            to.bytes.len()
        };
        assert_eq!([0, 127, 128, 1 << 21, u64::MAX].map(bytes), [1, 1, 2, 4, 10]);
    }

    #[test]
    fn what_was_not_written_is_an_error() {
        let words = Words::default();
        let wrong: [&[u8]; 4] = [&[], &[0x80], &[0xFF; 11], &[3]];
        for bytes in wrong {
            assert_eq!(String::take(&mut Decoder::new(bytes, &words)), Err(Broken), "{bytes:?}");
        }
        assert_eq!(Vec::<u64>::take(&mut Decoder::new(&[0xFF, 0xFF, 0xFF, 0x7F, 1], &words)), Err(Broken));
    }

    proptest! {
        #[test]
        fn values_read_back(number: u64, signed: i64, zone: i16, texts: Vec<String>, sign: Option<char>) {
            prop_assert_eq!(again(&number), Ok(number));
            prop_assert_eq!(again(&signed), Ok(signed));
            prop_assert_eq!(again(&zone), Ok(zone));
            prop_assert_eq!(again(&texts), Ok(texts));
            prop_assert_eq!(again(&sign), Ok(sign));
        }
    }
}
