//! The spelling that idempotency compares.

use proptest::prelude::*;

use super::*;

fn canon(text: &str) -> String {
    String::from_utf8(super::canonical(&raw(text)).unwrap()).unwrap()
}

#[test]
fn keys_are_sorted_at_every_depth() {
    assert_eq!(
        canon(r#" { "b" : [ { "d" : 1 , "c" : 2 } ] , "a" : null } "#),
        r#"{"a":null,"b":[{"c":2,"d":1}]}"#
    );
}

#[test]
fn numbers_stay_as_written_and_strings_have_one_spelling() {
    assert_eq!(
        canon("[1.00,1e400,-0,123456789012345678901234567890]"),
        "[1.00,1e400,-0,123456789012345678901234567890]"
    );
    assert_eq!(canon(r#"["\u0041\/\u00e9\ud83c\udf88"]"#), r#"["A/é🎈"]"#);
    assert_eq!(canon(r#"["\b\f\n\r\t\"\\\u0000"]"#), r#"["\b\f\n\r\t\"\\\u0000"]"#);
    assert_eq!(canon(r#"{"\u0062":1,"a":2}"#), r#"{"a":2,"b":1}"#);
    assert_ne!(canon("1"), canon("1.0"));
}

#[test]
fn it_is_made_of_the_data_as_given() {
    let given = raw(&mail().to_string());
    let valid = with_owner(|_| {}, |owner| validate_data(EventType::MessageReceived, &given, owner));
    assert_eq!(valid.unwrap().canonical_hash_input, super::canonical(&given).unwrap());
}

/// Any JSON value of moderate depth, with whole numbers.
pub(super) fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 64, 24, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..24)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// The same value with every character outside ASCII letters written as an escape, keys in
/// reverse and white space between the tokens.
fn respell(value: &Value) -> String {
    let string = |text: &str| {
        let mut out = String::from("\"");
        for c in text.chars() {
            if c.is_ascii_alphabetic() {
                out.push(c);
            } else {
                let units = c.encode_utf16(&mut [0; 2]).to_vec();
                out.extend(units.iter().map(|unit| format!("\\u{unit:04X}")));
            }
        }
        out + "\""
    };
    match value {
        Value::String(text) => string(text),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(respell).collect();
            format!("[ {} ]", items.join(" ,\n"))
        }
        Value::Object(map) => {
            let members = map.iter().rev();
            let members: Vec<_> =
                members.map(|(key, value)| format!("{} :\t{}", string(key), respell(value))).collect();
            format!("{{ {} }}", members.join(" , "))
        }
        other => other.to_string(),
    }
}

proptest! {
    #[test]
    fn it_says_what_the_text_said(value in any_json()) {
        let text = canon(&value.to_string());
        prop_assert_eq!(&serde_json::from_str::<Value>(&text).unwrap(), &value);
        // `Value` keeps its keys sorted, so its own text is the canonical one.
        prop_assert_eq!(&text, &value.to_string());
        prop_assert_eq!(&canon(&text), &text);
    }

    #[test]
    fn spelling_does_not_matter(value in any_json()) {
        prop_assert_eq!(canon(&respell(&value)), canon(&value.to_string()));
    }
}
