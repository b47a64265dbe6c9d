pub fn delta(_old: &[u8], _new: &[u8]) -> crate::Result<Vec<u8>> { unimplemented!() }
pub fn apply(_old: &[u8], _new: &[u8]) -> crate::Result<Vec<u8>> { unimplemented!() }
