//! One key, one algorithm; values that only look like signatures.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may panic"
)]

mod support;

use offswitch_verifier::{Algorithm, Refusal, VerifyingKey, verify_jws};
use serde_json::{Value, json};
use support::{ALGORITHMS, Minter, NOW, claims, decode, encode, feed, hex};

// V02: every key with every name: only its own name is accepted. A token that the key has signed
// with another algorithm of its family has a real signature, and is still refused.
#[test]
fn a_key_verifies_its_own_algorithm_and_no_other() {
    for own in ALGORITHMS {
        let verifier = feed::verifier(&Minter::new(own));
        for other in ALGORITHMS {
            let token = Minter::new(other).token(&claims());
            let code = verifier.verify(&token, NOW).code();
            assert_eq!(code == "valid", own == other, "a {own} key, a {other} token: {code}");
            if own != other {
                assert_eq!(code, "unsupported_algorithm", "a {own} key, a {other} token");
            }
        }
    }
}

// V02: EdDSA and Ed25519 name one algorithm (RFC 9864); no other algorithm has a second name.
#[test]
fn the_two_names_of_ed25519_are_one_algorithm() {
    let minter = Minter::new("EdDSA");
    let mut header = minter.header();
    header["alg"] = json!("Ed25519");
    let token = minter.sign(&header, &claims());
    assert_eq!(feed::verifier(&minter).verify(&token, NOW).code(), "valid");
    assert_eq!(Algorithm::from_name("Ed448"), None);
    assert_eq!(Algorithm::from_name("ES256K"), None);
    assert_eq!(Algorithm::from_name("ES521"), None);
}

// V02, X01: alg none, and every text that is not exactly a name.
#[test]
fn an_alg_that_is_not_exactly_a_known_name_is_refused() {
    for own in ["HS256", "EdDSA", "ES256", "RS256"] {
        let minter = Minter::new(own);
        let verifier = feed::verifier(&minter);
        let mut names: Vec<Value> = ["none", "NONE", "noNe", "None", "nOnE", " none", "none\0", ""]
            .map(|name| json!(name))
            .to_vec();
        names.push(json!(own.to_lowercase()));
        names.push(json!(format!("{own} ")));
        names.push(json!(format!(" {own}")));
        names.push(json!(format!("{own}\0")));
        names.push(json!(own.replace('S', "s")));
        names.push(json!(own.replace('2', "\u{ff12}").replace('E', "\u{ff25}")));
        names.extend([json!(null), json!(0), json!(true), json!([own]), json!({ "alg": own })]);
        for name in names {
            let mut header = minter.header();
            header["alg"] = name.clone();
            let code = if name.is_string() { "unsupported_algorithm" } else { "malformed" };
            let signed = minter.sign(&header, &claims());
            assert_eq!(verifier.verify(&signed, NOW).code(), code, "{name}");
            let (unsigned, _) = signed.rsplit_once('.').unwrap();
            let found = verifier.verify(&format!("{unsigned}."), NOW);
            assert_eq!(found.code(), code, "{name} without a signature");
        }
        let mut header = minter.header();
        header.as_object_mut().unwrap().remove("alg");
        assert_eq!(verifier.verify(&minter.sign(&header, &claims()), NOW).code(), "malformed");
    }
}

// V02, X03: the configured list is a limit even if the keys allow more; a key without alg is not
// loaded.
#[test]
fn an_algorithm_that_is_not_configured_is_refused() {
    let minter = Minter::new("ES256");
    let mut rules = minter.rules();
    rules.algorithms = vec![Algorithm::EdDsa];
    let verifier = feed::with_base(minter.verifier_with(rules), vec![]);
    assert_eq!(verifier.verify(&minter.token(&claims()), NOW).code(), "unsupported_algorithm");
    for alg in ALGORITHMS {
        let mut jwk = Minter::new(alg).jwk();
        jwk.as_object_mut().unwrap().remove("alg");
        assert!(VerifyingKey::from_jwk(jwk.to_string().as_bytes()).is_err(), "{alg}");
    }
}

// X05: r and s at the limits of their range, and signatures of every wrong length.
#[test]
fn an_ecdsa_signature_out_of_range_or_length_is_refused() {
    for (alg, order) in ORDERS {
        let minter = Minter::new(alg);
        let (key, order) = (minter.verifying_key(), hex(order));
        let (message, size) = (b"message", order.len());
        let good = minter.key.sign(alg, message);
        let small = |number: u8| [vec![0; size - 1], vec![number]].concat();
        let above = |number: u8| {
            let mut bytes = order.clone();
            bytes[size - 1] += number;
            bytes
        };
        assert!(key.accepts(&good, message));
        let borders = [small(0), small(1), order.clone(), above(1), above(2), vec![0xff; size]];
        let numbers: Vec<&[u8]> =
            borders.iter().map(|one| &one[..]).chain(good.chunks(size)).collect();
        for left in &numbers {
            for right in &numbers {
                let forged = [*left, *right].concat();
                assert_eq!(key.accepts(&forged, message), forged == good, "{alg} {forged:?}");
            }
        }
        for length in (0..3 * size).filter(|length| *length != 2 * size) {
            let mut other = good.clone();
            other.resize(length, 0);
            assert!(!key.accepts(&other, message), "{alg} {length}");
        }
    }
    let minter = Minter::new("ES256");
    let good = minter.key.sign("ES256", b"message");
    let der: p256::ecdsa::Signature = p256::ecdsa::Signature::from_slice(&good).unwrap();
    assert!(!minter.verifying_key().accepts(der.to_der().as_bytes(), b"message"));
}

// X06, V15: a high S is valid JWS (RFC 7518 says nothing against it) and must be accepted.
#[test]
fn both_twins_of_an_ecdsa_signature_are_accepted() {
    for (alg, order) in ORDERS {
        let minter = Minter::new(alg);
        let (key, order) = (minter.verifying_key(), hex(order));
        for number in 0..20u8 {
            let signature = minter.key.sign(alg, &[number]);
            let twin = twin(&signature, &order);
            assert_ne!(twin, signature);
            assert!(key.accepts(&signature, &[number]), "{alg}");
            assert!(key.accepts(&twin, &[number]), "{alg}");
            assert!(!key.accepts(&twin, &[number.wrapping_add(1)]), "{alg}");
        }
    }
}

// V01: the example of ES512 in RFC 7515 appendix A.4.
#[test]
fn the_example_of_es512_in_rfc_7515_is_accepted() {
    let jwk = json!({
        "kty": "EC", "crv": "P-521", "alg": "ES512",
        "x": "AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_\
              NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk",
        "y": "ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDl\
              y79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2",
    });
    let token = "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.\
        AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZq\
        wqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8Kp\
        EHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn";
    let key = VerifyingKey::from_jwk(jwk.to_string().as_bytes()).unwrap();
    assert!(verify_jws(token, &key).is_ok());
    let other = token.replace("UGF5bG9hZA", "UGF5bG9hZB");
    assert!(verify_jws(&other, &key).is_err());
}

// X07, V15: S + L is the same scalar in another encoding; R of small order proves nothing.
#[test]
fn an_ed25519_signature_that_is_not_canonical_is_refused() {
    let minter = Minter::new("EdDSA");
    let key = minter.verifying_key();
    let good = minter.key.sign("EdDSA", b"message");
    assert!(key.accepts(&good, b"message"));
    let mut carry = 0;
    let mut forged = good.clone();
    for (byte, order) in forged[32..].iter_mut().zip(ED25519_ORDER) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        (*byte, carry) = (sum.to_le_bytes()[0], sum >> 8);
    }
    assert_eq!(carry, 0);
    assert!(!key.accepts(&forged, b"message"));
    for bit in 0..512 {
        let mut forged = good.clone();
        forged[bit / 8] ^= 1 << (bit % 8);
        assert!(!key.accepts(&forged, b"message"), "bit {bit}");
    }
    for length in (0..130).filter(|length| *length != 64) {
        let mut other = good.clone();
        other.resize(length, 0);
        assert!(!key.accepts(&other, b"message"), "{length}");
    }
    for r in [[0; 32], {
        let mut one = [0; 32];
        one[0] = 1;
        one
    }] {
        for s in [[0; 32], {
            let mut one = [0; 32];
            one[0] = 1;
            one
        }] {
            assert!(!key.accepts(&[r, s].concat(), b"message"));
        }
    }
}

// X08: padding that an implementation would accept if it parsed the block instead of rebuilding it;
// the block is raised to the private exponent, so that only the padding is wrong.
#[test]
fn an_rsa_signature_with_any_other_padding_is_refused() {
    let support::Key::Rsa(private) = support::Key::new("RS256") else { unreachable!() };
    let key = Minter::new("RS256").verifying_key();
    let digest = <sha2::Sha256 as sha2::Digest>::digest(b"message").to_vec();
    let info = [hex("3031300d060960864801650304020105000420"), digest.clone()].concat();
    let without_null =
        [hex("302f300b0609608648016503040201 0420".replace(' ', "").as_str()), digest.clone()]
            .concat();
    let block = |padding: usize, filler: u8, kind: u8, separator: u8, info: &[u8]| {
        let mut block = vec![0, kind];
        block.extend(vec![filler; padding]);
        block.push(separator);
        block.extend(info);
        block.resize(256, 0);
        block
    };
    let sign = |block: &[u8]| raw_rsa(&private, block);
    let whole = 256 - 3 - info.len();
    assert!(key.accepts(&sign(&block(whole, 0xff, 1, 0, &info)), b"message"), "the right padding");
    let wrong = [
        block(8, 0xff, 1, 0, &info),
        block(0, 0xff, 1, 0, &info),
        block(whole - 1, 0xff, 1, 0, &info),
        block(whole, 0x00, 1, 0, &info),
        block(whole, 0xfe, 1, 0, &info),
        block(whole, 0xff, 2, 0, &info),
        block(whole, 0xff, 0, 0, &info),
        block(whole, 0xff, 1, 1, &info),
        block(whole + 2, 0xff, 1, 0, &without_null),
        block(256 - 3 - 32, 0xff, 1, 0, &digest),
        block(whole, 0xff, 1, 0, &[&info[..1], &[0x81], &info[1..info.len() - 1]].concat()),
    ];
    for block in wrong {
        assert!(!key.accepts(&sign(&block), b"message"), "{block:?}");
    }
    let good = sign(&block(whole, 0xff, 1, 0, &info));
    for other in
        [&good[..255], &[&[0], &good[..]].concat(), &[&good[..], &[0]].concat(), &[0; 256], &[]]
    {
        assert!(!key.accepts(other, b"message"));
    }
}

// V19, X24: a tag that is cut or padded is not accepted.
#[test]
fn an_hmac_tag_of_another_length_is_refused() {
    for alg in ["HS256", "HS384", "HS512"] {
        let minter = Minter::new(alg);
        let token = minter.token(&claims());
        let (signed, tag) = token.rsplit_once('.').unwrap();
        let tag = decode(tag);
        let key = minter.verifying_key();
        for length in 0..2 * tag.len() {
            let mut other = tag.clone();
            other.resize(length, 0);
            let found = verify_jws(&format!("{signed}.{}", encode(&other)), &key);
            assert_eq!(found.is_ok(), length == tag.len(), "{alg} {length}");
        }
        assert_eq!(verify_jws(&format!("{signed}."), &key), Err(Refusal::BadSignature));
    }
}

/// `(r, n - s)` for `(r, s)`.
fn twin(signature: &[u8], order: &[u8]) -> Vec<u8> {
    let (r, s) = signature.split_at(order.len());
    let mut borrow = 0;
    let mut twin: Vec<u8> = order
        .iter()
        .zip(s)
        .rev()
        .map(|(n, s)| {
            let difference = i16::from(*n) - i16::from(*s) - borrow;
            borrow = i16::from(difference < 0);
            difference.to_le_bytes()[0]
        })
        .collect();
    twin.reverse();
    [r, &twin].concat()
}

/// `block` to the power of the private exponent, by square and multiply.
fn raw_rsa(key: &rsa::PrivateKey, block: &[u8]) -> Vec<u8> {
    let number = rsa::BoxedUint::from_be_slice(block, 2048).unwrap();
    let signed =
        rsa::hazmat::rsa_decrypt_and_check(key, None::<&mut NoRandomness>, &number).unwrap();
    signed.to_be_bytes().to_vec()
}

struct NoRandomness;

impl rsa::rand_core::TryRng for NoRandomness {
    type Error = std::convert::Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(1)
    }
    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(1)
    }
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        bytes.fill(1);
        Ok(())
    }
}

impl rsa::rand_core::TryCryptoRng for NoRandomness {}

/// The orders of the curves.
const ORDERS: [(&str, &str); 3] = [
    ("ES256", "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551"),
    (
        "ES384",
        "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf\
         581a0db248b0a77aecec196accc52973",
    ),
    (
        "ES512",
        "01fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff\
         ffa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409",
    ),
];

/// The order of Ed25519's base point, little-endian.
const ED25519_ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x10,
];
