//! The tables of the combinators.

use super::*;

fn verdict(rule: &impl Rule<About = ()>) -> char {
    match rule.decide(&ada(), &()) {
        Verdict::Allow => 'A',
        Verdict::Deny(_) => 'D',
        Verdict::Abstain => 'N',
        Verdict::CouldNotTell(_) => 'U',
    }
}

const ALL: [char; 4] = ['A', 'D', 'N', 'U'];

#[test]
fn rule_and_follows_its_truth_table() {
    for (left, row) in ALL.into_iter().zip(["ADAU", "DDDD", "ADNU", "UUUU"]) {
        for (right, expected) in ALL.into_iter().zip(row.chars()) {
            let (a, b) = (says(left), says(right));
            assert_eq!(verdict(&a.clone().and(b.clone())), expected, "{left} and {right}");
            assert_eq!(a.asked(), 1);
            assert_eq!(b.asked(), usize::from("AN".contains(left)), "{left} and {right}");
        }
    }
}

#[test]
fn rule_or_follows_its_truth_table() {
    for (left, row) in ALL.into_iter().zip(["AAAA", "ADDU", "ADNU", "AUUU"]) {
        for (right, expected) in ALL.into_iter().zip(row.chars()) {
            let (a, b) = (says(left), says(right));
            assert_eq!(verdict(&a.clone().or(b.clone())), expected, "{left} or {right}");
            assert_eq!(a.asked(), 1);
            assert_eq!(b.asked(), usize::from(left != 'A'), "{left} or {right}");
        }
    }
}

#[test]
fn rule_not_swaps_allow_and_deny_only() {
    for (what, expected) in ALL.into_iter().zip("DANU".chars()) {
        assert_eq!(verdict(&says(what).not()), expected, "not {what}");
        assert_eq!(verdict(&says(what).not().not()), what);
    }
    // "Could not tell" stays what it is however deep it is.
    assert_eq!(verdict(&says('A').and(says('U')).not()), 'U');
    assert_eq!(verdict(&says('U').or(says('D')).not()), 'U');
    assert_eq!(status(&says('U').not()), 503);
}

#[test]
fn only_allow_passes() {
    for (what, expected) in ALL.into_iter().zip([200, 403, 403, 503]) {
        assert_eq!(status(&says(what)), expected, "{what}");
        let shared: Arc<dyn Rule<About = ()>> = Arc::new(says(what));
        assert_eq!(status(&shared), expected, "{what}");
        assert_eq!(status(&*shared), expected, "{what}");
    }
}

#[test]
fn explicit_deny_overrides_any_allow() {
    // What the predicate says, and what then becomes of a rule that would be allowed. A predicate that could not tell
    // denies: it is 403, not 503.
    for (what, expected) in ALL.into_iter().zip([403, 200, 200, 403]) {
        let no = || deny(says(what));
        assert_eq!(status(&says('A').and(no())), expected, "{what}");
        assert_eq!(status(&no().and(says('A'))), expected, "{what}");
        assert_eq!(status(&says('A').or(no())), expected, "{what}");
        assert_eq!(status(&no().or(says('A'))), expected, "{what}");
        // on a side that `and` would never have asked
        assert_eq!(status(&says('D').and(no()).or(says('A'))), expected, "{what}");
        // behind another rule that could not tell
        assert_eq!(status(&says('U').or(no()).or(says('A'))), expected, "{what}");
        let shared: Arc<dyn Rule<About = ()>> = Arc::new(no());
        assert_eq!(status(&says('A').or(shared)), expected, "{what}");
        assert_eq!(
            status(&deny(says(what).not()).or(says('A'))),
            [200, 403, 200, 403][ALL.iter().position(|own| *own == what).unwrap()]
        );
        // Alone it allows no caller.
        assert_eq!(status(&no()), 403, "{what}");
    }
}

#[test]
fn hidden_denial_is_404() {
    for (what, expected) in ALL.into_iter().zip([200, 404, 404, 503]) {
        assert_eq!(status(&says(what).hide_as_not_found()), expected, "{what}");
    }
    assert_eq!(status(&deny(says('A')).hide_as_not_found().or(says('A'))), 404);
    // A part that hides the resource overrides the other part.
    assert_eq!(status(&says('D').hide_as_not_found().or(says('D'))), 404);
    assert_eq!(status(&says('D').or(says('D').hide_as_not_found())), 404);
    assert_eq!(status(&says('N').or(says('N').hide_as_not_found())), 404);
    // where all rules abstain, a hidden one among them hides it
    let abstains = || deny(says('D'));
    let hidden = || abstains().hide_as_not_found();
    assert_eq!(status(&abstains().and(abstains())), 403);
    assert_eq!(status(&abstains().or(abstains())), 403);
    for rule in [
        Arc::new(hidden().and(abstains())) as Arc<dyn Rule<About = ()>>,
        Arc::new(abstains().and(hidden())),
        Arc::new(hidden().or(abstains())),
        Arc::new(abstains().or(hidden())),
    ] {
        assert_eq!(status(&rule), 404);
    }
    // and what is not hidden is told
    assert_eq!(status(&says('A').hide_as_not_found().and(says('D'))), 403);

    let identity = Identity::new((), ada());
    let hidden = identity.require(&scope("x").hide_as_not_found(), &()).unwrap_err();
    let absent = ApiError::not_found();
    assert_eq!((hidden.status(), hidden.code()), (absent.status(), absent.code()));
    assert_eq!((hidden.message(), hidden.headers()), (absent.message(), absent.headers()));
}

#[test]
fn rule_or_reports_the_more_specific_failure() {
    let identity = Identity::new((), ada());
    let challenge = |rule: &dyn Rule<About = ()>| {
        let error = identity.require(rule, &()).unwrap_err();
        assert_eq!(error.status(), StatusCode::FORBIDDEN);
        error
            .headers()
            .get(header::WWW_AUTHENTICATE)
            .map(|value| value.to_str().unwrap().to_owned())
    };
    let lacks = |scope| Some(format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\""));
    assert_eq!(challenge(&role("admin")), None);
    assert_eq!(challenge(&role("admin").or(scope("orders:write"))), lacks("orders:write"));
    assert_eq!(challenge(&scope("orders:write").or(role("admin"))), lacks("orders:write"));
    assert_eq!(challenge(&scope("first").or(scope("second"))), lacks("first"));
    assert_eq!(challenge(&role("admin").and(scope("orders:write"))), None);
    assert_eq!(challenge(&scope("a b")), lacks("a b"));
    // what cannot be in a header is left out of it
    for odd in ["", "  ", "a\"b", "ä", "a\\b"] {
        assert_eq!(challenge(&scope(odd)).as_deref(), Some("Bearer error=\"insufficient_scope\""));
    }
}
