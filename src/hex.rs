//! Lower-case hex, as Meta writes signatures and proofs.

/// The bytes in lower-case hex.
pub(crate) fn encode(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of a SHA-256 written in hex; none for anything else.
pub(crate) fn decode_sha256(hex: &str) -> Option<[u8; 32]> {
    let digits = hex.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = u8::try_from(high * 16 + low).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::{decode_sha256, encode};

    #[test]
    fn what_was_encoded_is_decoded() {
        let bytes: [u8; 32] =
            std::array::from_fn(|n| u8::try_from(n * 8).expect("it is below 256"));
        assert_eq!(&encode(&bytes)[..10], "0008101820");
        assert_eq!(decode_sha256(&encode(&bytes)), Some(bytes));
        assert_eq!(decode_sha256(&encode(&bytes).to_uppercase()), Some(bytes));
    }

    #[test]
    fn anything_but_64_hex_digits_is_nothing() {
        let long = "0".repeat(66);
        for hex in [
            "",
            "00",
            &long[..63],
            &long[..65],
            &long,
            &"é".repeat(32),
            &("+".to_string() + &long[..63]),
        ] {
            assert_eq!(decode_sha256(hex), None, "{hex}");
        }
    }
}
