//! Our own signature checks compared with independent implementations: the `rsa` crate and
//! ed25519-dalek.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may panic"
)]

mod support;

use offswitch_verifier::VerifyingKey;
use rsa::signature::{SignatureEncoding, Verifier as _};
use serde_json::json;
use sha2::{Sha256, Sha384, Sha512};
use support::{Counter, Key, encode};

/// Sizes that fill their limbs and bytes, and sizes that leave one bit or all but one bit unused.
const RSA_BITS: [usize; 6] = [2048, 2049, 2056, 2081, 3072, 4096];
const EXPONENTS: [u64; 4] = [3, 65_537, (1 << 32) + 15, u64::MAX - 58];

// X08, V01: keys of many sizes and exponents, every algorithm: a signature of the crate is accepted
// here, and a changed one neither here nor there.
#[test]
fn rsa_signatures_get_the_verdict_of_the_rsa_crate() {
    let mut random = Counter(11);
    for bits in RSA_BITS {
        for (at, exponent) in EXPONENTS.into_iter().enumerate() {
            if bits > 2100 && at != 1 {
                continue;
            }
            let exponent = rsa::BoxedUint::from(exponent);
            let key = rsa::PrivateKey::new_with_exp(&mut random, bits, exponent);
            // Not every exponent fits every pair of primes; then the next pair is tried.
            let Ok(key) = key else { continue };
            let key = Key::Rsa(key);
            for alg in ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"] {
                compare(alg, &key, &mut random);
            }
        }
    }
}

fn compare(alg: &str, key: &Key, random: &mut Counter) {
    let mut jwk = key.public();
    jwk["alg"] = json!(alg);
    let ours = VerifyingKey::from_jwk(jwk.to_string().as_bytes()).unwrap();
    let Key::Rsa(private) = key else { unreachable!() };
    let signature = key.sign(alg, b"message");
    assert!(ours.accepts(&signature, b"message"), "{alg} {jwk}");
    assert!(!ours.accepts(&signature, b"massage"));
    for _ in 0..6 {
        let mut changed = signature.clone();
        let number = random.next();
        let place = usize::try_from(number).unwrap() % changed.len();
        changed[place] ^= 1 << (number >> 61);
        let theirs = crate_accepts(alg, private, &changed, b"message");
        assert_eq!(ours.accepts(&changed, b"message"), theirs, "{alg} {place}");
    }
    for other in ["RS256", "PS256", "RS512", "PS512"] {
        let signature = key.sign(other, b"message");
        assert_eq!(ours.accepts(&signature, b"message"), other == alg, "{alg} {other}");
    }
}

fn crate_accepts(alg: &str, key: &rsa::PrivateKey, signature: &[u8], message: &[u8]) -> bool {
    let key = rsa::PublicKey::from(key);
    macro_rules! check {
        ($scheme:ident, $hash:ident) => {{
            let key = rsa::$scheme::VerifyingKey::<$hash>::new(key);
            let signature = rsa::$scheme::Signature::try_from(signature);
            signature.is_ok_and(|signature| key.verify(message, &signature).is_ok())
        }};
    }
    match alg {
        "RS256" => check!(pkcs1v15, Sha256),
        "RS384" => check!(pkcs1v15, Sha384),
        "RS512" => check!(pkcs1v15, Sha512),
        "PS256" => check!(pss, Sha256),
        "PS384" => check!(pss, Sha384),
        _ => check!(pss, Sha512),
    }
}

// A salt of another length than the hash's is another algorithm (RFC 7518 section 3.5).
#[test]
fn a_pss_salt_of_another_length_is_refused() {
    let key = Key::new("PS256");
    let Key::Rsa(private) = &key else { unreachable!() };
    let mut jwk = key.public();
    jwk["alg"] = json!("PS256");
    let ours = VerifyingKey::from_jwk(jwk.to_string().as_bytes()).unwrap();
    for length in [0, 20, 31, 32, 33, 64] {
        use rsa::signature::RandomizedSigner;
        let signing = rsa::pss::SigningKey::<Sha256>::new_with_salt_len(private.clone(), length);
        let signature = signing.sign_with_rng(&mut Counter(3), b"message").to_vec();
        assert_eq!(ours.accepts(&signature, b"message"), length == 32, "{length}");
    }
}

// V15, X07: the verdict of ed25519-dalek's strict check, before a key has its table and after.
#[test]
fn ed25519_signatures_get_the_verdict_of_ed25519_dalek() {
    use ed25519_dalek::Signer;
    let mut random = Counter(5);
    for seed in 1..=4 {
        let signing = ed25519_dalek::SigningKey::from_bytes(&[seed; 32]);
        let theirs = signing.verifying_key();
        let x = encode(theirs.as_bytes());
        let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "x": x });
        let ours = VerifyingKey::from_jwk(jwk.to_string().as_bytes()).unwrap();
        for round in 0..100u64 {
            let message = random.next().to_le_bytes();
            let signature = signing.sign(&message).to_bytes();
            assert!(ours.accepts(&signature, &message), "{seed} {round}");
            let mut changed = signature;
            let number = random.next();
            changed[usize::try_from(number).unwrap() % 64] ^= 1 << (number >> 61);
            let expected = ed25519_dalek::Signature::from_slice(&changed)
                .is_ok_and(|signature| theirs.verify_strict(&message, &signature).is_ok());
            assert_eq!(ours.accepts(&changed, &message), expected, "{seed} {round}");
        }
    }
}

// X07: the owner of the key can make R of small order fit, and then back ends differ.
#[test]
fn an_ed25519_signature_with_a_small_r_is_refused_before_any_host_is_asked() {
    use curve25519_dalek::constants::EIGHT_TORSION;
    use curve25519_dalek::scalar::Scalar;
    use sha2::Digest;
    let seed = [9; 32];
    let signing = ed25519_dalek::SigningKey::from_bytes(&seed);
    let secret: Scalar = signing.to_scalar();
    let public = signing.verifying_key();
    let x = encode(public.as_bytes());
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "x": x });
    let ours = VerifyingKey::from_jwk(jwk.to_string().as_bytes()).unwrap();
    for (at, point) in EIGHT_TORSION.iter().enumerate() {
        let r = point.compress().to_bytes();
        let hash = Sha512::new().chain_update(r).chain_update(public.as_bytes());
        let k = Scalar::from_hash(hash.chain_update(b"message"));
        let signature = [r, (k * secret).to_bytes()].concat();
        assert!(!ours.could_accept(&signature), "{at}");
        assert!(!ours.accepts(&signature, b"message"), "{at}");
        if at == 0 {
            // The equation itself holds: a lenient check accepts this signature.
            let signature = ed25519_dalek::Signature::from_slice(&signature).unwrap();
            assert!(public.verify(b"message", &signature).is_ok());
            assert!(public.verify_strict(b"message", &signature).is_err());
        }
    }
}
