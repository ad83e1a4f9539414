//! Credentials that are verified without a request.

use super::*;

#[tokio::test]
async fn a_jwt_is_verified_without_a_request() {
    let auth = builder().build().unwrap();
    assert_eq!(auth.verify(&token()).await.unwrap().principal().subject(), "ada");
    for bad in ["", "a.b.c", "not a token", &format!("Bearer {}", token())] {
        assert_eq!(auth.verify(bad).await.unwrap_err().status(), 401, "{bad:?}");
    }
}

#[tokio::test]
async fn an_api_key_is_verified_without_a_request() {
    let key = ApiKey::generate("acme", Principal::new("billing")).unwrap();
    let plaintext = key.plaintext().to_owned();
    let store = InMemoryApiKeys::from_iter([key.into_record()]);
    let auth = ApiKeys::builder("acme", store).build().unwrap();
    assert_eq!(auth.verify(&plaintext).await.unwrap().principal().subject(), "billing");
    for bad in ["", "acme_", &plaintext[..plaintext.len() - 1], &format!("{plaintext}0")] {
        assert_eq!(auth.verify(bad).await.unwrap_err().status(), 401, "{bad:?}");
    }
}

#[tokio::test]
async fn a_session_is_verified_without_a_request() {
    for auth in [Sessions::builder(Store), Sessions::builder(Store).bearer()] {
        let auth = auth.build().unwrap();
        assert_eq!(auth.verify("good").await.unwrap().principal().subject(), "ada");
        assert_eq!(auth.verify("down").await.unwrap_err().status(), 503);
        for bad in ["", "other", "go od", &"x".repeat(257)] {
            let error = auth.verify(bad).await.unwrap_err();
            assert_eq!(error.status(), 401, "{bad:?}");
            assert!(error.headers().contains_key(header::WWW_AUTHENTICATE));
        }
    }
}

#[tokio::test]
async fn a_password_is_verified_without_a_request() {
    let auth = Basic::builder(|user: String, password: Password| async move {
        let is_good = user == "ada" && password.reveal() == "correct:horse";
        Ok::<_, BoxError>(is_good.then(|| Identity::new((), Principal::new(user))))
    })
    .max_credentials(32)
    .build()
    .unwrap();
    assert_eq!(auth.verify("ada", "correct:horse").await.unwrap().principal().subject(), "ada");
    for (user, password) in
        [("ada", "wrong"), ("eve", "correct:horse"), ("", ""), ("ada:correct", "horse")]
    {
        assert_eq!(auth.verify(user, password).await.unwrap_err().status(), 401);
    }

    let anything = |limit| {
        Basic::builder(|user: String, _: Password| async move {
            Ok::<_, BoxError>(Some(Identity::new((), Principal::new(user))))
        })
        .max_credentials(limit)
        .build()
        .unwrap()
    };
    assert!(anything(8).verify("ada", "xy").await.is_ok());
    assert_eq!(anything(8).verify("ada", "xyz").await.unwrap_err().status(), 401);
    assert_eq!(anything(64).verify("ada", "x\u{7}").await.unwrap_err().status(), 401);
    assert_eq!(anything(64).verify("a\nb", "x").await.unwrap_err().status(), 401);
}
