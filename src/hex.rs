//! Lower-case hex, as Meta writes signatures and proofs.

/// The bytes in lower-case hex.
pub(crate) fn encode(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes that are written so, in lower or upper case.
pub(crate) fn decode(hex: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = |[high, low]: &[u8; 2]| u8::try_from(digit(*high)? * 16 + digit(*low)?).ok();
    let (pairs, rest) = hex.as_bytes().as_chunks();
    rest.is_empty().then(|| pairs.iter().map(byte).collect())?
}

#[cfg(test)]
mod tests {
    use super::{decode, encode};

    #[test]
    fn what_was_encoded_is_decoded() {
        let bytes: [u8; 32] =
            std::array::from_fn(|n| u8::try_from(n * 8).expect("it is below 256"));
        assert_eq!(&encode(&bytes)[..10], "0008101820");
        assert_eq!(decode(&encode(&bytes)), Some(bytes.to_vec()));
        assert_eq!(decode(&encode(&bytes).to_uppercase()), Some(bytes.to_vec()));
    }

    #[test]
    fn anything_but_pairs_of_digits_is_nothing() {
        for hex in ["0", "000", "0g", "é", "+0", " 0", "0x00"] {
            assert_eq!(decode(hex), None, "{hex}");
        }
    }
}
