//! A member name that appears twice, at any depth and in any spelling, is refused.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may panic"
)]

mod support;

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use support::{Minter, NOW, claims, feed};

// V07, X13: the well-known spellings of attackers.
#[test]
fn a_repeated_name_in_header_or_payload_is_refused() {
    let minter = Minter::new("EdDSA");
    let verifier = feed::verifier(&minter);
    let header = minter.header().to_string();
    let payload = claims().to_string();
    let (header, payload) = (&header[1..], &payload[1..]);
    for twin in [
        r#""alg":"none","#,
        r#""\u0061lg":"EdDSA","#,
        r#""a\u006cg":"HS256","#,
        r#""kid":"key-1","#,
        r#""k\u0069d":"key-1","#,
        r#""x":{"a":1,"\u0061":1},"#,
        r#""x":[[{"a":1,"a":1}]],"#,
        r#""x":{"":0,"":0},"#,
    ] {
        let token = minter
            .sign_bytes(format!("{{{twin}{header}").as_bytes(), claims().to_string().as_bytes());
        assert_eq!(verifier.verify(&token, NOW).code(), "malformed", "{twin}");
    }
    for twin in [
        r#""exp":1,"#,
        r#""\u0065xp":9999999999,"#,
        r#""jti":"other","#,
        r#""\u006a\u0074\u0069":"other","#,
        r#""sub":"user-1","#,
        r#""x":{"a":1,"\u0061":1},"#,
        r#""x":[{"y":[{"a":1,"b":2,"a":1}]}],"#,
    ] {
        let token = minter.sign_bytes(
            minter.header().to_string().as_bytes(),
            format!("{{{twin}{payload}").as_bytes(),
        );
        assert_eq!(verifier.verify(&token, NOW).code(), "malformed", "{twin}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    // V07, X13: a value of any shape is read, and refused if one name in it appears twice.
    #[test]
    fn a_name_doubled_at_any_depth_is_refused(
        value in json_object(),
        choice in any::<proptest::sample::Index>(),
        escape in any::<bool>(),
        first in any::<bool>(),
    ) {
        let minter = Minter::new("EdDSA");
        let verifier = feed::verifier(&minter);
        let mut claims = claims();
        claims["x"] = value;
        let code = |payload: &str| {
            let token = minter.sign_bytes(minter.header().to_string().as_bytes(), payload.as_bytes());
            verifier.verify(&token, NOW).code()
        };
        let plain = write(&claims, &mut None);
        prop_assert_eq!(code(&plain), "valid");
        let doubled = Doubling { left: choice.index(count_names(&claims)), escape, first };
        let text = write(&claims, &mut Some(doubled));
        prop_assert!(text.len() > plain.len());
        prop_assert_eq!(code(&text), "malformed", "{}", text);
    }
}

struct Doubling {
    left: usize,
    escape: bool,
    first: bool,
}

/// Writes `value`; the name that `doubling` counts down to appears twice in its object.
fn write(value: &Value, doubling: &mut Option<Doubling>) -> String {
    match value {
        Value::Object(members) => {
            let mut texts = vec![];
            for (name, member) in members {
                let twin = doubling.as_mut().and_then(|doubling| {
                    let here = doubling.left == 0;
                    doubling.left = doubling.left.wrapping_sub(1);
                    here.then(|| (spell(name, doubling.escape), doubling.first))
                });
                let text = format!("{}:{}", json!(name), write(member, doubling));
                match twin {
                    Some((twin, true)) => texts.extend([format!("{twin}:0"), text]),
                    Some((twin, false)) => texts.extend([text, format!("{twin}:0")]),
                    None => texts.push(text),
                }
            }
            format!("{{{}}}", texts.join(","))
        }
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| write(item, doubling)).collect();
            format!("[{}]", items.join(","))
        }
        other => other.to_string(),
    }
}

fn spell(name: &str, escape: bool) -> String {
    match escape {
        true => format!(
            "\"{}\"",
            name.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect::<String>()
        ),
        false => json!(name).to_string(),
    }
}

fn count_names(value: &Value) -> usize {
    match value {
        Value::Object(members) => members.values().map(|member| 1 + count_names(member)).sum(),
        Value::Array(items) => items.iter().map(count_names).sum(),
        _ => 0,
    }
}

fn json_object() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        ".{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 40, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(".{0,6}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect::<Map<_, _>>())),
        ]
    })
}
