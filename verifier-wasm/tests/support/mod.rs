//! Mints tokens like an issuer, with keys that only the tests use.

#![allow(dead_code, reason = "every test file uses a part of this")]

pub(crate) mod body;
pub(crate) mod feed;

use base64ct::{Base64UrlUnpadded, Encoding};
use offswitch_verifier::{Algorithm, AudienceRule, DpopConfig, FeedConfig, IssuerConfig, KeySet};
use offswitch_verifier::{OnStale, UserRule, Verifier, VerifierConfig, VerifyingKey};
use p256::ecdsa::signature::Signer;
use rsa::signature::{RandomizedSigner, SignatureEncoding};
use rsa::traits::PublicKeyParts;
use serde_json::{Value, json};
use sha2::{Digest, Sha256, Sha384, Sha512};

pub(crate) const NOW: u64 = 1_800_000_000;
pub(crate) const ISSUER: &str = "https://issuer.example";
pub(crate) const AUDIENCE: &str = "api";
pub(crate) const ALGORITHMS: [&str; 13] = [
    "EdDSA", "ES256", "ES384", "ES512", "HS256", "HS384", "HS512", "PS256", "PS384", "PS512",
    "RS256", "RS384", "RS512",
];

/// An issuer's key with the name and the algorithm it is published under.
#[derive(Clone)]
pub(crate) struct Minter {
    pub(crate) key: Key,
    pub(crate) alg: &'static str,
    pub(crate) kid: &'static str,
}

#[derive(Clone)]
pub(crate) enum Key {
    Ed25519(ed25519_dalek::SigningKey),
    P256(p256::ecdsa::SigningKey),
    P384(p384::ecdsa::SigningKey),
    P521(p521::ecdsa::SigningKey),
    Rsa(rsa::PrivateKey),
    Secret(Vec<u8>),
}

impl Minter {
    pub(crate) fn new(alg: &'static str) -> Self {
        Self { key: Key::new(alg), alg, kid: "key-1" }
    }

    pub(crate) fn jwk(&self) -> Value {
        let mut jwk = self.key.public();
        jwk["alg"] = json!(self.alg);
        jwk["kid"] = json!(self.kid);
        jwk
    }

    pub(crate) fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey::from_jwk(self.jwk().to_string().as_bytes()).unwrap()
    }

    pub(crate) fn keys(&self) -> KeySet {
        KeySet::from_jwks(self.jwk().to_string().as_bytes(), &[]).unwrap()
    }

    pub(crate) fn header(&self) -> Value {
        json!({ "alg": self.alg, "kid": self.kid, "typ": "at+jwt" })
    }

    pub(crate) fn token(&self, claims: &Value) -> String {
        self.sign(&self.header(), claims)
    }

    pub(crate) fn sign(&self, header: &Value, payload: &Value) -> String {
        self.sign_bytes(header.to_string().as_bytes(), payload.to_string().as_bytes())
    }

    pub(crate) fn sign_bytes(&self, header: &[u8], payload: &[u8]) -> String {
        let signed = format!("{}.{}", encode(header), encode(payload));
        let signature = self.key.sign(self.alg, signed.as_bytes());
        format!("{signed}.{}", encode(&signature))
    }

    pub(crate) fn rules(&self) -> IssuerConfig {
        IssuerConfig {
            algorithms: vec![Algorithm::from_name(self.alg).unwrap()],
            required_claims: ["exp", "iat", "sub", "jti"].map(str::to_owned).to_vec(),
            ..IssuerConfig::offswitch(ISSUER, AUDIENCE)
        }
    }

    /// A verifier that trusts only this key, and has no snapshot.
    pub(crate) fn cold_verifier(&self) -> Verifier {
        self.verifier_with(self.rules())
    }

    pub(crate) fn verifier_with(&self, rules: IssuerConfig) -> Verifier {
        let mut verifier = Verifier::new(config(vec![rules])).unwrap();
        assert!(verifier.set_keys(ISSUER, self.keys()));
        verifier
    }
}

impl Key {
    pub(crate) fn new(alg: &str) -> Self {
        match alg {
            "EdDSA" => Self::Ed25519(ed25519_dalek::SigningKey::from_bytes(&[3; 32])),
            "ES256" => Self::P256(p256::ecdsa::SigningKey::from_slice(&[5; 32]).unwrap()),
            "ES384" => Self::P384(p384::ecdsa::SigningKey::from_slice(&[5; 48]).unwrap()),
            "ES512" => Self::P521(p521::ecdsa::SigningKey::from_slice(&P521_SECRET).unwrap()),
            "HS256" | "HS384" | "HS512" => Self::Secret((0..64).collect()),
            _ => Self::Rsa(rsa_key()),
        }
    }

    /// The JWK without `alg` and `kid`; for a secret there is no other part to publish.
    pub(crate) fn public(&self) -> Value {
        match self {
            Self::Ed25519(key) => json!({
                "kty": "OKP", "crv": "Ed25519", "x": encode(key.verifying_key().as_bytes()),
            }),
            Self::P256(key) => point("P-256", key.verifying_key().to_sec1_point(false).as_bytes()),
            Self::P384(key) => point("P-384", key.verifying_key().to_sec1_point(false).as_bytes()),
            Self::P521(key) => point("P-521", key.verifying_key().to_sec1_point(false).as_bytes()),
            Self::Rsa(key) => json!({
                "kty": "RSA",
                "n": encode(&key.n().to_be_bytes_trimmed_vartime()),
                "e": encode(&key.e().to_be_bytes_trimmed_vartime()),
            }),
            Self::Secret(secret) => json!({ "kty": "oct", "k": encode(secret) }),
        }
    }

    pub(crate) fn sign(&self, alg: &str, message: &[u8]) -> Vec<u8> {
        match (self, alg) {
            (Self::Ed25519(key), _) => key.sign(message).to_bytes().to_vec(),
            (Self::P256(key), _) => {
                let signature: p256::ecdsa::Signature = key.sign(message);
                signature.to_bytes().to_vec()
            }
            (Self::P384(key), _) => {
                let signature: p384::ecdsa::Signature = key.sign(message);
                signature.to_bytes().to_vec()
            }
            (Self::P521(key), _) => {
                let signature: p521::ecdsa::Signature = key.sign(message);
                signature.to_bytes().to_vec()
            }
            (Self::Secret(secret), "HS256") => hmac::<Sha256>(secret, message, 64),
            (Self::Secret(secret), "HS384") => hmac::<Sha384>(secret, message, 128),
            (Self::Secret(secret), _) => hmac::<Sha512>(secret, message, 128),
            (Self::Rsa(key), "RS256") => {
                pkcs1v15(rsa::pkcs1v15::SigningKey::<Sha256>::new, key, message)
            }
            (Self::Rsa(key), "RS384") => {
                pkcs1v15(rsa::pkcs1v15::SigningKey::<Sha384>::new, key, message)
            }
            (Self::Rsa(key), "RS512") => {
                pkcs1v15(rsa::pkcs1v15::SigningKey::<Sha512>::new, key, message)
            }
            (Self::Rsa(key), "PS256") => pss(rsa::pss::SigningKey::<Sha256>::new, key, message),
            (Self::Rsa(key), "PS384") => pss(rsa::pss::SigningKey::<Sha384>::new, key, message),
            (Self::Rsa(key), _) => pss(rsa::pss::SigningKey::<Sha512>::new, key, message),
        }
    }
}

/// The JWK of an uncompressed point (SEC 1 section 2.3.3): 4, x, y.
fn point(curve: &str, bytes: &[u8]) -> Value {
    let (x, y) = bytes[1..].split_at(bytes.len() / 2);
    json!({ "kty": "EC", "crv": curve, "x": encode(x), "y": encode(y) })
}

/// Below the order, whose highest byte is 1.
const P521_SECRET: [u8; 66] = {
    let mut secret = [5; 66];
    secret[0] = 0;
    secret
};

/// Claims that every verifier here accepts at [`NOW`].
pub(crate) fn claims() -> Value {
    json!({
        "iss": ISSUER, "sub": "user-1", "aud": AUDIENCE, "iat": NOW - 60, "exp": NOW + 600,
        "jti": "token-1", "sid": "session-1", "ver": 1,
    })
}

/// [`claims`] with one of them replaced, or added.
pub(crate) fn claims_with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

pub(crate) fn claims_without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

pub(crate) fn config(issuers: Vec<IssuerConfig>) -> VerifierConfig {
    VerifierConfig {
        issuers,
        feed: FeedConfig {
            id: feed::FEED.to_owned(),
            public_keys: vec![encode(feed::signing_key(1).verifying_key().as_bytes())],
            max_staleness_seconds: 60,
            on_stale: OnStale::Deny,
        },
        dpop: DpopConfig::default(),
    }
}

/// The most lenient rules that a configuration can have: `exp` alone, any audience, any type.
pub(crate) fn lax_rules(minter: &Minter) -> IssuerConfig {
    IssuerConfig {
        audience: AudienceRule::Unchecked,
        required_claims: vec!["exp".to_owned()],
        types: vec![None, Some("at+jwt".to_owned())],
        user_rule: UserRule::VersionElseIssuedAt,
        leeway_seconds: 0,
        ..minter.rules()
    }
}

pub(crate) fn encode(bytes: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(bytes)
}

pub(crate) fn decode(text: &str) -> Vec<u8> {
    Base64UrlUnpadded::decode_vec(text).unwrap()
}

pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap();
    text.as_bytes()
        .chunks(2)
        .map(|pair| u8::try_from(digit(pair[0]) * 16 + digit(pair[1])).unwrap())
        .collect()
}

/// RFC 2104, written out so that it shares no code with the verifier's.
pub(crate) fn hmac<D: Digest>(secret: &[u8], message: &[u8], block_bytes: usize) -> Vec<u8> {
    let mut block = match secret.len() > block_bytes {
        true => D::digest(secret).to_vec(),
        false => secret.to_vec(),
    };
    block.resize(block_bytes, 0);
    let keyed = |pad: u8, text: &[u8]| {
        let pad: Vec<u8> = block.iter().map(|byte| byte ^ pad).collect();
        D::digest([pad.as_slice(), text].concat()).to_vec()
    };
    keyed(0x5c, &keyed(0x36, message))
}

fn pkcs1v15<K: Signer<rsa::pkcs1v15::Signature>>(
    wrap: fn(rsa::PrivateKey) -> K,
    key: &rsa::PrivateKey,
    message: &[u8],
) -> Vec<u8> {
    wrap(key.clone()).sign(message).to_vec()
}

fn pss<K: RandomizedSigner<rsa::pss::Signature>>(
    wrap: fn(rsa::PrivateKey) -> K,
    key: &rsa::PrivateKey,
    message: &[u8],
) -> Vec<u8> {
    wrap(key.clone()).sign_with_rng(&mut Counter(1), message).to_vec()
}

/// An RSA key from two fixed primes: enough for tests, and the same in every run.
fn rsa_key() -> rsa::PrivateKey {
    let prime = |text: &str| rsa::BoxedUint::from_be_slice_vartime(&hex(text));
    rsa::PrivateKey::from_p_q(prime(PRIME_P), prime(PRIME_Q), 65_537u64.into()).unwrap()
}

/// Generates the same numbers in every run (SplitMix64): nothing here must be secret.
pub(crate) struct Counter(pub(crate) u64);

impl Counter {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let number = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        number ^ (number >> 31)
    }
}

impl rsa::rand_core::TryRng for Counter {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        self.try_next_u64().map(|number| (number >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(self.next())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        for chunk in bytes.chunks_mut(8) {
            let number = self.try_next_u64()?.to_le_bytes();
            chunk.copy_from_slice(&number[..chunk.len()]);
        }
        Ok(())
    }
}

impl rsa::rand_core::TryCryptoRng for Counter {}

const PRIME_P: &str = "cf4ecb3e68efa7bc61abf60281635e323132ccc4b8a195e3c6cd4b7987a66bf635afaa14\
    1c225a8f247b85c1cee73df31ac9885d93188f926602036e19cf690b09a521b579ec72c2d5d3d0d538c5efd727cc\
    c80b03a645cf990ac56d8c889d0a78f3fd548bb17d4d8500aa9e95d95fce6bb71a8eeac1485b8bc580a21d3415cd";
const PRIME_Q: &str = "c1d6c1e1b582b2eabf305fe3b8b23649d5e78484732fabc2f49f4d1852f1c3ce99aa396f\
    6a23b83b18f29026e57ed2a5f8fbb3f78edab1c1ef0b9a2686c71e884bd827972e05ce8e8ee6f3954c2cd44c1a0b\
    93aed5af3d2acf4b5e3ba510a32de0684670a1e033a4de5e5d22a051fa995eecf0a935f3869f6a991934df98eb7b";
