//! How values are written: explicitly, field after field, with nothing left to the compiler.
//!
//! | value | bytes |
//! |---|---|
//! | unsigned number | LEB128, at most 10 bytes, no longer than needed is not asked for |
//! | signed number | zigzag, then LEB128 |
//! | bool | one byte, 0 or 1 |
//! | bytes, text (UTF-8), a list | how many, then they |
//! | an optional value | 0, or 1 and the value |
//! | hashes and the like | as they are, their length being fixed |
//!
//! What is read was sent by somebody else: nothing is taken for granted, and memory is taken
//! only for bytes that are there. Elements of lists are larger in memory than on the wire (an
//! empty name takes 1 byte there and 24 here), so all that one packet has may take [`ROOM`].

use std::mem::size_of;

use yore_store::Hash;

/// Bytes of memory that the elements of a packet's lists may take together. What they point to
/// was in the packet, and is bounded by its length.
pub const ROOM: usize = 8 << 20;

/// What came is not what the protocol says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed message: {0}")]
pub struct Malformed(pub &'static str);

/// The result of reading.
pub type Decoded<T> = Result<T, Malformed>;

/// Reads values from a packet.
#[derive(Debug)]
pub struct Input<'a> {
    bytes: &'a [u8],
    /// What is left of [`ROOM`].
    room: usize,
}

impl<'a> Input<'a> {
    /// From the bytes of one packet.
    pub fn new(bytes: &'a [u8]) -> Self {
        Input { bytes, room: ROOM }
    }

    /// Bytes that have not been read.
    pub fn left(&self) -> usize {
        self.bytes.len()
    }

    /// Takes memory for so many values off what the packet may have.
    pub fn take_room<T>(&mut self, count: usize) -> Decoded<()> {
        let left = count
            .checked_mul(size_of::<T>())
            .and_then(|bytes| self.room.checked_sub(bytes));
        self.room = left.ok_or(Malformed("more values than a packet may have"))?;
        Ok(())
    }

    /// The next so many bytes.
    pub fn take(&mut self, count: usize) -> Decoded<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or(Malformed("it ends early"))?;
        self.bytes = rest;
        Ok(taken)
    }

    /// The next value.
    pub fn get<T: Wire>(&mut self) -> Decoded<T> {
        T::read(self)
    }

    /// Nothing may follow.
    pub fn end(self) -> Decoded<()> {
        match self.bytes.is_empty() {
            true => Ok(()),
            false => Err(Malformed("something follows its end")),
        }
    }
}

/// A value that travels.
pub trait Wire: Sized {
    /// Appends it.
    fn write(&self, out: &mut Vec<u8>);
    /// Reads it.
    fn read(input: &mut Input<'_>) -> Decoded<Self>;
}

impl Wire for u64 {
    fn write(&self, out: &mut Vec<u8>) {
        let mut left = *self;
        while left >= 0x80 {
            out.push(left as u8 | 0x80);
            left >>= 7;
        }
        out.push(left as u8);
    }

    fn read(input: &mut Input<'_>) -> Decoded<Self> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = input.take(1)?[0];
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed("a number of more than 64 bits"))
    }
}

impl Wire for i64 {
    fn write(&self, out: &mut Vec<u8>) {
        ((self << 1 ^ self >> 63) as u64).write(out);
    }
    fn read(input: &mut Input<'_>) -> Decoded<Self> {
        let zigzag: u64 = input.get()?;
        Ok((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64))
    }
}

/// Smaller numbers travel as large ones.
macro_rules! narrow {
    ($($type:ty),*) => {$(
        impl Wire for $type {
            fn write(&self, out: &mut Vec<u8>) {
                u64::from(*self).write(out);
            }
            fn read(input: &mut Input<'_>) -> Decoded<Self> {
                <$type>::try_from(input.get::<u64>()?).map_err(|_| Malformed("a number that is too large"))
            }
        }
    )*};
}
narrow!(u8, u16, u32);

impl Wire for bool {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
    fn read(input: &mut Input<'_>) -> Decoded<Self> {
        match input.take(1)? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(Malformed("neither yes nor no")),
        }
    }
}

impl Wire for f64 {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_bits().to_le_bytes());
    }
    fn read(input: &mut Input<'_>) -> Decoded<Self> {
        let bytes = input.take(8)?.try_into().expect("8 bytes");
        Ok(f64::from_bits(u64::from_le_bytes(bytes)))
    }
}

/// Bytes of a fixed length.
impl<const N: usize> Wire for [u8; N] {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
    fn read(input: &mut Input<'_>) -> Decoded<Self> {
        Ok(input.take(N)?.try_into().expect("N bytes"))
    }
}

impl Wire for Hash {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
    }
    fn read(input: &mut Input<'_>) -> Decoded<Self> {
        Ok(Hash(input.get()?))
    }
}

/// Bytes of any length.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Blob(pub Vec<u8>);

impl Wire for Blob {
    fn write(&self, out: &mut Vec<u8>) {
        write_bytes(&self.0, out);
    }
    fn read(input: &mut Input<'_>) -> Decoded<Self> {
        Ok(Blob(read_bytes(input)?))
    }
}

/// Writes bytes with their length.
pub fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    (bytes.len() as u64).write(out);
    out.extend_from_slice(bytes);
}

/// Reads bytes with their length.
pub fn read_bytes(input: &mut Input<'_>) -> Decoded<Vec<u8>> {
    let count = usize::try_from(input.get::<u64>()?).map_err(|_| Malformed("it ends early"))?;
    Ok(input.take(count)?.to_vec())
}

impl Wire for String {
    fn write(&self, out: &mut Vec<u8>) {
        write_bytes(self.as_bytes(), out);
    }
    fn read(input: &mut Input<'_>) -> Decoded<Self> {
        String::from_utf8(read_bytes(input)?).map_err(|_| Malformed("a text that is not UTF-8"))
    }
}

impl<T: Wire> Wire for Option<T> {
    fn write(&self, out: &mut Vec<u8>) {
        self.is_some().write(out);
        if let Some(value) = self {
            value.write(out);
        }
    }
    fn read(input: &mut Input<'_>) -> Decoded<Self> {
        Ok(match input.get::<bool>()? {
            true => Some(input.get()?),
            false => None,
        })
    }
}

impl<T: Wire> Wire for Box<T> {
    fn write(&self, out: &mut Vec<u8>) {
        (**self).write(out);
    }
    fn read(input: &mut Input<'_>) -> Decoded<Self> {
        Ok(Box::new(input.get()?))
    }
}

impl<A: Wire, B: Wire> Wire for (A, B) {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
        self.1.write(out);
    }
    fn read(input: &mut Input<'_>) -> Decoded<Self> {
        Ok((input.get()?, input.get()?))
    }
}

/// A list of values, each of which takes at least a byte.
pub fn write_list<T: Wire>(list: &[T], out: &mut Vec<u8>) {
    (list.len() as u64).write(out);
    list.iter().for_each(|value| value.write(out));
}

/// Reads a list. A count that the packet cannot hold costs no memory.
pub fn read_list<T: Wire>(input: &mut Input<'_>) -> Decoded<Vec<T>> {
    let count = usize::try_from(input.get::<u64>()?).unwrap_or(usize::MAX);
    if count > input.left() {
        return Err(Malformed("it ends early"));
    }
    input.take_room::<T>(count)?;
    let mut list = Vec::with_capacity(count);
    for _ in 0..count {
        list.push(input.get()?);
    }
    Ok(list)
}

macro_rules! lists {
    ($($type:ty),* $(,)?) => {$(
        impl Wire for Vec<$type> {
            fn write(&self, out: &mut Vec<u8>) {
                write_list(self, out);
            }
            fn read(input: &mut Input<'_>) -> Decoded<Self> {
                read_list(input)
            }
        }
    )*};
}
pub(crate) use lists;
lists!(
    String,
    Blob,
    [u8; 16],
    [u8; 32],
    Option<[u8; 32]>,
    Hash,
    Option<Hash>,
    (Hash, u64),
    (u64, u64)
);

/// Values of plain bytes: names, paths.
impl Wire for Vec<u8> {
    fn write(&self, out: &mut Vec<u8>) {
        write_bytes(self, out);
    }
    fn read(input: &mut Input<'_>) -> Decoded<Self> {
        read_bytes(input)
    }
}

impl Wire for Vec<Vec<u8>> {
    fn write(&self, out: &mut Vec<u8>) {
        write_list(self, out);
    }
    fn read(input: &mut Input<'_>) -> Decoded<Self> {
        read_list(input)
    }
}

/// A struct as its fields, in this order.
macro_rules! record {
    ($type:ty { $($field:ident),* $(,)? }) => {
        impl $crate::codec::Wire for $type {
            fn write(&self, out: &mut Vec<u8>) {
                $($crate::codec::Wire::write(&self.$field, out);)*
            }
            fn read(input: &mut $crate::codec::Input<'_>) -> $crate::codec::Decoded<Self> {
                $(let $field = input.get()?;)*
                Ok(Self { $($field),* })
            }
        }
    };
}
pub(crate) use record;

/// An enum as a number, then the fields of that variant in this order.
macro_rules! variants {
    ($type:ty, $what:literal { $($code:literal => $variant:ident $( { $($field:ident),* $(,)? } )? $( ( $($value:ident),* ) )? ),* $(,)? }) => {
        impl $crate::codec::Wire for $type {
            fn write(&self, out: &mut Vec<u8>) {
                match self {
                    $(Self::$variant $( { $($field),* } )? $( ( $($value),* ) )? => {
                        out.push($code);
                        $($($crate::codec::Wire::write($field, out);)*)?
                        $($($crate::codec::Wire::write($value, out);)*)?
                    })*
                }
            }
            fn read(input: &mut $crate::codec::Input<'_>) -> $crate::codec::Decoded<Self> {
                match input.take(1)?[0] {
                    $($code => {
                        $($(let $field = input.get()?;)*)?
                        $($(let $value = input.get()?;)*)?
                        Ok(Self::$variant $( { $($field),* } )? $( ( $($value),* ) )?)
                    })*
                    _ => Err($crate::codec::Malformed(concat!("an unknown kind of ", $what))),
                }
            }
        }
    };
}
pub(crate) use variants;

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back<T: Wire + PartialEq + std::fmt::Debug>(value: T) -> usize {
        let mut bytes = Vec::new();
        value.write(&mut bytes);
        let mut input = Input::new(&bytes);
        assert_eq!(input.get::<T>(), Ok(value));
        assert_eq!(input.end(), Ok(()));
        bytes.len()
    }

    #[test]
    fn values_come_back_as_written() {
        for number in [0u64, 1, 127, 128, 1 << 32, u64::MAX] {
            there_and_back(number);
        }
        for number in [0i64, -1, 63, -64, i64::MAX, i64::MIN] {
            there_and_back(number);
        }
        assert_eq!(there_and_back(-1i64), 1);
        there_and_back(Some("text".to_owned()));
        there_and_back(None::<u32>);
        there_and_back(vec![b"a".to_vec(), b"\xff".to_vec()]);
        there_and_back(vec![(1u64, 2u64)]);
        there_and_back(1.5f64);
    }

    #[test]
    fn lengths_that_are_not_there_are_refused_without_memory() {
        let mut huge = Vec::new();
        (u64::MAX >> 1).write(&mut huge);
        assert!(Input::new(&huge).get::<Vec<u8>>().is_err());
        assert!(Input::new(&huge).get::<Vec<(u64, u64)>>().is_err());
        assert!(Input::new(&[0xff; 11]).get::<u64>().is_err());
        assert!(
            Input::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2])
                .get::<u64>()
                .is_err()
        );
        assert!(Input::new(&[2]).get::<bool>().is_err());
    }

    #[test]
    fn many_small_values_do_not_take_much_memory() {
        let names = |count: usize| {
            let mut bytes = Vec::new();
            write_list(&vec![Vec::<u8>::new(); count], &mut bytes);
            bytes
        };
        let fit = ROOM / size_of::<Vec<u8>>();
        assert!(Input::new(&names(fit)).get::<Vec<Vec<u8>>>().is_ok());
        assert!(Input::new(&names(fit + 1)).get::<Vec<Vec<u8>>>().is_err());
    }
}
