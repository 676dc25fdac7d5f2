//! The committed OpenAPI document is the one that the server makes.

use std::path::Path;

/// Set to rewrite the document instead of comparing it.
const BLESS: &str = "INKHOOK_BLESS";

#[test]
fn the_committed_document_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../openapi.json");
    let document = inkhook_server::api::openapi().to_pretty_json().expect("JSON") + "\n";
    if std::env::var_os(BLESS).is_some() {
        std::fs::write(&path, &document).expect("written");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == document, "openapi.json is out of date: run this test with {BLESS}=1");
}

#[test]
fn every_operation_says_what_it_is_and_refuses_in_the_same_way() {
    let document = serde_json::to_value(inkhook_server::api::openapi()).expect("JSON");
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().expect("paths");
    assert!(paths.len() > 3, "{}", paths.len());
    for (path, item) in paths {
        assert!(!path.ends_with('/'), "{path}: the document names the form without a trailing slash");
        for (method, operation) in item.as_object().expect("operations") {
            let name = format!("{method} {path}");
            assert!(operation["summary"].is_string(), "{name} has a summary");
            // One that takes no key says so.
            let is_public = operation["security"] == serde_json::json!([{}]);
            if path.starts_with("/api/") && !is_public {
                assert!(operation["responses"]["401"]["content"].is_object(), "{name} documents 401");
            }
        }
    }
}
