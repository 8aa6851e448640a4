//! Signatures: the given vectors, and everything that must be refused.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;
use serde_json::Value;
use whatsapp::signature::{Signature, sign};

fn vectors() -> Vec<(String, Vec<u8>, String)> {
    let file: Value =
        serde_json::from_slice(&crate::fixtures::read("signature_vectors.json")).unwrap();
    let text = |vector: &Value, key: &str| vector[key].as_str().unwrap().to_owned();
    file["vectors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|vector| {
            let body = STANDARD.decode(text(vector, "body_base64")).unwrap();
            (text(vector, "app_secret"), body, text(vector, "x_hub_signature_256"))
        })
        .collect()
}

#[test]
fn the_given_vectors_are_verified_and_made() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 3);
    for (secret, body, header) in vectors {
        let secret = SecretString::from(secret);
        assert!(Signature::parse(header.as_bytes()).unwrap().is_by(&secret, &body));
        assert_eq!(sign(&secret, &body).unwrap(), header);
    }
}

#[test]
fn a_changed_or_re_serialised_body_is_refused() {
    for (secret, body, header) in vectors() {
        let secret = SecretString::from(secret);
        let signature = Signature::parse(header.as_bytes()).unwrap();
        for at in [0, body.len() / 2, body.len() - 1] {
            let mut changed = body.clone();
            changed[at] ^= 1;
            assert!(!signature.is_by(&secret, &changed));
        }
        let parsed: Value = serde_json::from_slice(&body).unwrap();
        let again = serde_json::to_vec_pretty(&parsed).unwrap();
        assert!(!signature.is_by(&secret, &again));
    }
}

#[test]
fn any_of_several_active_secrets_is_accepted_and_named() {
    let [old, new, foreign] = ["old", "new", "foreign"].map(SecretString::from);
    let signature = Signature::parse(sign(&new, b"{}").unwrap().as_bytes()).unwrap();
    assert_eq!(signature.signer([&old, &new], b"{}"), Some(1));
    assert_eq!(signature.signer([&old], b"{}"), None);
    assert_eq!(signature.signer([&foreign, &old], b"{}"), None);
    assert_eq!(signature.signer([], b"{}"), None);
}

#[test]
fn an_empty_secret_signs_nothing_and_accepts_nothing() {
    let empty = SecretString::from("");
    assert!(sign(&empty, b"{}").is_none());
    // HMAC-SHA256 of `{}` with an empty key.
    let header = "sha256=22f8eea909400af98adf3681a9f31923ef6b7fcba4abb553d92823a3e9d5c25e";
    assert!(!Signature::parse(header.as_bytes()).unwrap().is_by(&empty, b"{}"));
}

#[test]
fn only_the_exact_form_is_a_signature() {
    let digits = "af2722aa079f804500ec2c0a39766ae7184cc230e471a3d4d80dc9ed31242331";
    assert!(Signature::parse(format!("sha256={digits}").as_bytes()).is_some());
    let upper = digits.to_uppercase();
    for header in [
        String::new(),
        "sha256=".to_owned(),
        digits.to_owned(),
        format!("sha1={digits}"),
        format!("SHA256={digits}"),
        format!("sha256={upper}"),
        format!("sha256={}", &digits[1..]),
        format!("sha256={digits}0"),
        format!("sha256={digits} "),
        format!(" sha256={digits}"),
        format!("sha256= {digits}"),
        format!("sha256={digits}, sha256={digits}"),
        format!("sha256={}g", &digits[1..]),
        format!("sha256=\u{fffd}{}", &digits[3..]),
    ] {
        assert!(Signature::parse(header.as_bytes()).is_none(), "{header:?}");
    }
}
