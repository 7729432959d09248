//! The compact serialization: one accepted encoding, no extension, no second meaning.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may panic"
)]

mod support;

use offswitch_verifier::{
    Defect, Jws, MAX_HEADER_BYTES, MAX_TOKEN_BYTES, Part, Refusal, verify_jws,
};
use serde_json::json;
use support::{Minter, NOW, claims, encode, feed};

// V05, X09, X11, X12, X19: the header is validly signed, and refused only because of the member.
#[test]
fn a_header_that_brings_a_key_or_an_extension_is_refused() {
    let minter = Minter::new("ES256");
    let verifier = feed::verifier(&minter);
    let own = minter.jwk();
    let cases = [
        ("crit", json!(["b64"])),
        ("crit", json!(["exp"])),
        ("crit", json!(["alg"])),
        ("crit", json!(["nowhere"])),
        ("crit", json!(["exp", "exp"])),
        ("crit", json!([])),
        ("crit", json!([1])),
        ("crit", json!("exp")),
        ("crit", json!(null)),
        ("crit", json!({})),
        ("crit", json!(false)),
        ("b64", json!(false)),
        ("b64", json!(true)),
        ("b64", json!(null)),
        ("jwk", own.clone()),
        ("jwk", json!(own.to_string())),
        ("jwk", json!(null)),
        ("jku", json!("https://attacker.example/keys")),
        ("jku", json!("")),
        ("x5u", json!("https://attacker.example/chain")),
        ("x5u", json!("file:///etc/keys")),
        ("x5c", json!(["MIIB"])),
        ("x5c", json!([])),
        ("enc", json!("A256GCM")),
        ("zip", json!("DEF")),
        ("cty", json!("JWT")),
        ("cty", json!("jwt")),
        ("cty", json!("application/jwt")),
        ("cty", json!("")),
        ("cty", json!(1)),
        ("typ", json!(null)),
        ("typ", json!(["at+jwt"])),
        ("kid", json!(null)),
        ("kid", json!(1)),
        ("kid", json!([minter.kid])),
    ];
    for (name, value) in cases {
        let mut header = minter.header();
        header[name] = value.clone();
        let token = minter.sign(&header, &claims());
        assert_eq!(verifier.verify(&token, NOW).code(), "malformed", "{name}: {value}");
        assert!(verify_jws(&token, &minter.verifying_key()).is_err(), "{name}: {value}");
    }
    // RFC 7797's own form: the token contains the payload without encoding.
    let header = json!({ "alg": "ES256", "kid": minter.kid, "b64": false, "crit": ["b64"] });
    let signed = format!("{}.{}", encode(header.to_string().as_bytes()), "claims");
    let token = format!("{signed}.{}", encode(&minter.key.sign("ES256", signed.as_bytes())));
    assert_eq!(verifier.verify(&token, NOW).code(), "malformed");
    // Members that only inform are ignored.
    let mut header = minter.header();
    header["x5t"] = json!("thumb");
    header["unknown"] = json!([{}]);
    header["cty"] = json!("JSON");
    assert_eq!(verifier.verify(&minter.sign(&header, &claims()), NOW).code(), "valid");
}

// V05, X18, X19, X20: JWE, JSON serializations, detached payloads and any other number of dots.
#[test]
fn anything_but_three_segments_is_refused() {
    let minter = Minter::new("EdDSA");
    let verifier = feed::verifier(&minter);
    let token = minter.token(&claims());
    let parts: Vec<&str> = token.split('.').collect();
    let (protected, payload, signature) = (parts[0], parts[1], parts[2]);
    let flattened = json!({ "protected": protected, "payload": payload, "signature": signature });
    let general = json!({
        "payload": payload, "signatures": [{ "protected": protected, "signature": signature }],
    });
    let forms = [
        flattened.to_string(),
        general.to_string(),
        format!("{protected}..{signature}"),
        format!("{protected}.{payload}"),
        format!("{protected}.{payload}."),
        format!(".{payload}.{signature}"),
        format!("{token}."),
        format!(".{token}"),
        format!("{token}.{signature}"),
        format!("{token}.{payload}.{signature}"),
        format!("{protected}.{payload}.{payload}.{payload}.{signature}"),
        format!("Bearer {token}"),
        format!("\"{token}\""),
        encode(token.as_bytes()),
        minter.sign_bytes(minter.header().to_string().as_bytes(), token.as_bytes()),
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        ".".repeat(MAX_TOKEN_BYTES),
        ".".repeat(10_000_000),
        format!("{protected}.{}.{signature}", "A".repeat(10_000_000)),
    ];
    for form in forms {
        let verdict = verifier.verify(&form, NOW);
        assert!(!verdict.is_valid() && verdict.code() != "no_snapshot", "{form:.200}");
        let detached = format!("{protected}..{signature}");
        let unsigned = format!("{protected}.{payload}.");
        let code = if [detached, unsigned].contains(&form) { "bad_signature" } else { "malformed" };
        assert_eq!(verdict.code(), code, "{form:.200}");
    }
}

// V06, X17, V16: with any other value of one byte, the token is not accepted.
#[test]
fn every_byte_of_a_token_has_exactly_one_accepted_value() {
    for alg in ["EdDSA", "HS256"] {
        let minter = Minter::new(alg);
        let key = minter.verifying_key();
        // Segments of length 2, 3 and 0 modulo 4: every kind of last character occurs.
        for payload in ["{}", "{ }", "{  }"] {
            let header = format!("{{\"alg\":\"{alg}\"}}{}", " ".repeat(payload.len() % 3));
            let token = minter.sign_bytes(header.as_bytes(), payload.as_bytes());
            assert_eq!(verify_jws(&token, &key).unwrap(), payload.as_bytes());
            let mut bytes = token.clone().into_bytes();
            for at in 0..bytes.len() {
                for byte in 0..=255u8 {
                    let kept = std::mem::replace(&mut bytes[at], byte);
                    if let Ok(text) = str::from_utf8(&bytes) {
                        let accepted = verify_jws(text, &key).is_ok();
                        assert_eq!(accepted, byte == kept, "{at} {byte} in {token}");
                    }
                    bytes[at] = kept;
                }
            }
        }
    }
}

// V06, X17: the attacker has the key here, so that only the encoding is judged: of the 64 last
// characters of a segment only the one without stray bits is accepted, and nothing may be added.
#[test]
fn a_segment_with_stray_bits_padding_or_white_space_is_refused_even_if_signed() {
    let minter = Minter::new("EdDSA");
    let key = minter.verifying_key();
    let sign = |header: &str, payload: &str| {
        let signed = format!("{header}.{payload}");
        format!("{signed}.{}", encode(&minter.key.sign("EdDSA", signed.as_bytes())))
    };
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for spaces in 0..3 {
        let header = encode(format!("{{\"alg\":\"EdDSA\"}}{}", " ".repeat(spaces)).as_bytes());
        let stem = &header[..header.len() - 1];
        let read = |last: &char| verify_jws(&sign(&format!("{stem}{last}"), "e30"), &key).is_ok();
        let read: Vec<char> = alphabet.chars().filter(read).collect();
        assert_eq!(read, [header.chars().last().unwrap()], "{header}");
    }
    let header = encode(br#"{"alg":"EdDSA"}"#);
    for stem in ["e3", "YW", "AA", "A"] {
        for last in alphabet.chars() {
            let payload = format!("{stem}{last}");
            let again = canonical(&payload);
            let found = verify_jws(&sign(&header, &payload), &key);
            assert_eq!(found.is_ok(), again == Some(payload.clone()), "{payload}");
        }
    }
    let frills = ["=", "==", "\n", "\r\n", " ", "\t", "\0", "%3D", "+", "/", "A", "\u{feff}", "é"];
    let signature = encode(&minter.key.sign("EdDSA", format!("{header}.e30").as_bytes()));
    for frill in frills {
        for (h, p, s) in [
            (format!("{header}{frill}"), "e30".to_owned(), None),
            (format!("{frill}{header}"), "e30".to_owned(), None),
            (header.clone(), format!("e30{frill}"), None),
            (header.clone(), format!("{frill}e30"), None),
            (header.clone(), "e30".to_owned(), Some(format!("{signature}{frill}"))),
            (header.clone(), "e30".to_owned(), Some(format!("{frill}{signature}"))),
        ] {
            let token = match s {
                Some(signature) => format!("{h}.{p}.{signature}"),
                None => sign(&h, &p),
            };
            let found = verify_jws(&token, &key);
            assert!(found.as_deref() != Ok(b"{}"), "{token}");
        }
    }
}

// V09: text that is not one plain UTF-8 object is neither a payload nor a header, even if it is
// signed.
#[test]
fn a_payload_or_header_that_is_not_one_object_is_refused() {
    let minter = Minter::new("EdDSA");
    let verifier = feed::verifier(&minter);
    let utf16 = |text: &str, little: bool| -> Vec<u8> {
        let unit = |unit: u16| if little { unit.to_le_bytes() } else { unit.to_be_bytes() };
        text.encode_utf16().flat_map(unit).collect()
    };
    let (payload, header) = (claims().to_string(), minter.header().to_string());
    for (good, is_header) in [(&payload, false), (&header, true)] {
        let mut texts: Vec<Vec<u8>> =
            ["", "null", "true", "1", "\"a\"", "[]", "foo", "{", "}", "\0"]
                .map(|text| text.as_bytes().to_vec())
                .to_vec();
        texts.push(format!("[{good}]").into_bytes());
        texts.push(json!(good).to_string().into_bytes());
        for tail in ["x", "{}", ",", "\0", "]", "//", "/**/", "\u{a0}", "\u{2028}", "\u{feff}"] {
            texts.push(format!("{good}{tail}").into_bytes());
            texts.push(format!("{tail}{good}").into_bytes());
        }
        texts.push(utf16(good, true));
        texts.push(utf16(good, false));
        texts.push(utf16(&format!("\u{feff}{good}"), true));
        texts.push([&good.as_bytes()[..good.len() - 1], b",\"z\":\"\xff\"}"].concat());
        texts.push([&good.as_bytes()[..good.len() - 1], b",\"z\":\"\xc0\xaf\"}"].concat());
        texts.push([&good.as_bytes()[..good.len() - 1], b",\"z\":\"\xed\xa0\x80\"}"].concat());
        texts.push([&good.as_bytes()[..good.len() - 1], b",\"z\":\"\\ud800\"}"].concat());
        texts.push([&good.as_bytes()[..good.len() - 1], b",\"z\":01}"].concat());
        texts.push([&good.as_bytes()[..good.len() - 1], b",\"z\":NaN}"].concat());
        texts.push([&good.as_bytes()[..good.len() - 1], b",\"z\":\"\n\"}"].concat());
        texts.push([&good.as_bytes()[..good.len() - 1], b",}"].concat());
        for text in texts {
            let token = match is_header {
                true => minter.sign_bytes(&text, payload.as_bytes()),
                false => minter.sign_bytes(header.as_bytes(), &text),
            };
            let code = verifier.verify(&token, NOW).code();
            assert_eq!(code, "malformed", "{:?}", String::from_utf8_lossy(&text));
        }
        let spaced = format!(" \t\r\n{good}\n ");
        let token = match is_header {
            true => minter.sign_bytes(spaced.as_bytes(), payload.as_bytes()),
            false => minter.sign_bytes(header.as_bytes(), spaced.as_bytes()),
        };
        assert_eq!(verifier.verify(&token, NOW).code(), "valid");
    }
}

// X10: a kid is compared byte by byte and is only a name.
#[test]
fn a_kid_that_is_not_exactly_a_known_one_finds_no_key() {
    let minter = Minter::new("EdDSA");
    let verifier = feed::verifier(&minter);
    for kid in [
        "",
        "KEY-1",
        "key-1 ",
        " key-1",
        "key-1\0",
        "key-2",
        "../key-1",
        "key-1/../key-1",
        "*",
        "' OR '1'='1",
        "key-1\n",
        "ｋey-1",
        "key\u{2010}1",
        "__proto__",
        "/dev/null",
        "0",
    ] {
        let mut header = minter.header();
        header["kid"] = json!(kid);
        assert_eq!(
            verifier.verify(&minter.sign(&header, &claims()), NOW).code(),
            "unknown_key",
            "{kid:?}"
        );
    }
    let mut header = minter.header();
    // D39: a token without a kid uses the only key of its algorithm.
    header.as_object_mut().unwrap().remove("kid");
    assert_eq!(verifier.verify(&minter.sign(&header, &claims()), NOW).code(), "valid");
    for (length, code) in [(256, "unknown_key"), (257, "malformed"), (2048, "malformed")] {
        header["kid"] = json!("k".repeat(length));
        assert_eq!(verifier.verify(&minter.sign(&header, &claims()), NOW).code(), code, "{length}");
    }
}

// V12, X20: both limits of size, one byte on either side.
#[test]
fn a_token_or_header_over_its_size_limit_is_refused() {
    let minter = Minter::new("HS256");
    let key = minter.verifying_key();
    let padded = |header: usize, payload: usize| {
        let header = format!("{{\"alg\":\"HS256\"}}{}", " ".repeat(header));
        minter.sign_bytes(header.as_bytes(), " ".repeat(payload).as_bytes())
    };
    assert_eq!(padded(3072 - 15, 0).find('.'), Some(MAX_HEADER_BYTES));
    assert!(verify_jws(&padded(3072 - 15, 0), &key).is_ok());
    assert_eq!(
        verify_jws(&padded(3073 - 15, 0), &key),
        Err(too_long(Part::Header, MAX_HEADER_BYTES))
    );
    let base = padded(0, 0).len();
    let room = (MAX_TOKEN_BYTES - base) / 4 * 3;
    let longest =
        (room..room + 4).rev().find(|size| padded(0, *size).len() <= MAX_TOKEN_BYTES).unwrap();
    assert!(verify_jws(&padded(0, longest), &key).is_ok());
    assert_eq!(
        verify_jws(&padded(0, longest + 1), &key),
        Err(too_long(Part::Token, MAX_TOKEN_BYTES))
    );
    assert!(Jws::parse(&"é".repeat(MAX_TOKEN_BYTES)).is_err());
}

fn too_long(part: Part, limit_bytes: usize) -> Refusal {
    Refusal::Malformed(Defect::TooLong { part, limit_bytes })
}

/// The one encoding of the bytes that `text` leniently decodes to; `None` if it cannot be decoded.
fn canonical(text: &str) -> Option<String> {
    let index = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'-' => 62,
        _ => 63,
    };
    let bits: Vec<bool> = text
        .bytes()
        .flat_map(|byte| (0..6).rev().map(move |bit| index(byte) >> bit & 1 == 1))
        .collect();
    let bytes: Vec<u8> = bits
        .chunks_exact(8)
        .map(|bits| bits.iter().fold(0, |byte, bit| byte << 1 | u8::from(*bit)))
        .collect();
    (text.len() % 4 != 1).then(|| encode(&bytes))
}
