//! Random trees of combinators.

use palisade_core::Allowed;

use super::*;

/// A tree of combinators.
#[derive(Clone, Debug)]
enum Tree {
    Scheme(usize, bool),
    AnyOf(Box<Tree>, Box<Tree>),
    /// Several in a row.
    Then(Box<Tree>, Box<Tree>),
    Role(usize),
    When(bool, Box<Tree>),
    Shadow(Box<Tree>),
}

fn trees() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        3 => (0..3usize, any::<bool>()).prop_map(|(at, later)| Tree::Scheme(at, later)),
        1 => (0..3usize).prop_map(Tree::Role),
    ];
    leaf.prop_recursive(4, 24, 2, |inner| {
        let two = (inner.clone(), inner.clone());
        prop_oneof![
            3 => two.clone().prop_map(|(a, b)| Tree::AnyOf(a.into(), b.into())),
            3 => two.prop_map(|(a, b)| Tree::Then(a.into(), b.into())),
            1 => (any::<bool>(), inner.clone()).prop_map(|(asked, tree)| Tree::When(asked, tree.into())),
            1 => inner.prop_map(|tree| Tree::Shadow(tree.into())),
        ]
    })
}

/// Any policy, as one type.
#[derive(Clone)]
struct Erased(Arc<dyn AnyPolicy>);

struct Granted {
    grant: Box<dyn Any + Send>,
    abstains: bool,
}

trait AnyPolicy: Send + Sync {
    fn decide(&self, request: &request::Parts) -> Decision<Granted>;
    fn admit(&self, granted: &mut Granted, request: &mut request::Parts);
    fn finish(&self, granted: Granted, response: &mut response::Parts);
}

impl<P: Policy> AnyPolicy for P {
    fn decide(&self, request: &request::Parts) -> Decision<Granted> {
        let erase = |grant| Granted {
            abstains: P::allowed(&grant) != Allowed::ByDecision,
            grant: Box::new(grant),
        };
        match Policy::decide(self, request) {
            Decision::Now(outcome) => Decision::Now(outcome.map(erase)),
            Decision::Later(decision) => Decision::later(async move { decision.await.map(erase) }),
        }
    }

    fn admit(&self, granted: &mut Granted, request: &mut request::Parts) {
        Policy::admit(self, granted.grant.downcast_mut().unwrap(), request);
    }

    fn finish(&self, granted: Granted, response: &mut response::Parts) {
        Policy::finish(self, *granted.grant.downcast().unwrap(), response);
    }
}

impl Policy for Erased {
    type Grant = Granted;

    fn decide(&self, request: &request::Parts) -> Decision<Granted> {
        self.0.decide(request)
    }

    fn admit(&self, granted: &mut Granted, request: &mut request::Parts) {
        self.0.admit(granted, request);
    }

    fn finish(&self, granted: Granted, response: &mut response::Parts) {
        self.0.finish(granted, response);
    }

    fn allowed(granted: &Granted) -> Allowed {
        if granted.abstains { Allowed::WithoutDecision } else { Allowed::ByDecision }
    }
}

impl Tree {
    fn policy(&self) -> Erased {
        match self {
            Self::Scheme(at, later) => erased(Scheme { name: NAMES[*at], later: *later }),
            Self::Role(at) => erased(RequireRole::any([NAMES[*at]])),
            Self::AnyOf(a, b) => erased(any_of(a.policy(), b.policy())),
            Self::Then(a, b) => erased(a.policy().then(b.policy())),
            Self::When(asked, tree) => {
                let asked = *asked;
                erased(when(move |_| asked, tree.policy()))
            }
            Self::Shadow(tree) => erased(shadow(tree.policy())),
        }
    }

    /// The reference: who the caller is after this, or the status; `caller` is who it was before.
    fn model(&self, sent: [Sent; 3], caller: Option<usize>) -> Result<Passed, u16> {
        let decided = |caller| Ok(Passed { caller, decided: true });
        match self {
            Self::Scheme(at, _) => match sent[*at] {
                Sent::Good => decided(Some(*at)),
                Sent::Nothing | Sent::Bad => Err(401),
                Sent::Unknown => Err(503),
            },
            Self::Role(at) => match caller {
                None => Err(401),
                Some(caller) if caller == *at => decided(Some(caller)),
                Some(_) => Err(403),
            },
            Self::Then(a, b) => {
                let a = a.model(sent, caller)?;
                let b = b.model(sent, a.caller)?;
                Ok(Passed { caller: b.caller, decided: a.decided || b.decided })
            }
            Self::AnyOf(a, b) => match (a.model(sent, caller), b.model(sent, caller)) {
                (Ok(a), _) if a.decided => Ok(a),
                (_, Ok(b)) if b.decided => Ok(b),
                (Err(a), Err(b)) => Err([503, 403, 401]
                    .into_iter()
                    .find(|status| [a, b].contains(status))
                    .unwrap_or(a)),
                (Err(status), _) | (_, Err(status)) => Err(status),
                (Ok(a), Ok(_)) => Ok(a),
            },
            Self::When(true, tree) => tree.model(sent, caller),
            Self::When(false, _) | Self::Shadow(_) => Ok(Passed { caller, decided: false }),
        }
    }

    /// True if a request without any good credentials may pass by design.
    fn has_exceptions(&self) -> bool {
        match self {
            Self::Scheme(..) | Self::Role(_) => false,
            Self::AnyOf(a, b) | Self::Then(a, b) => a.has_exceptions() || b.has_exceptions(),
            Self::When(..) | Self::Shadow(_) => true,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Passed {
    caller: Option<usize>,
    decided: bool,
}

fn erased(policy: impl IntoPolicy) -> Erased {
    Erased(Arc::new(policy.into_policy()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn random_trees_of_combinators_match_the_model(tree in trees(), sent in sent()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (status, caller) = runtime.block_on(ask(tree.policy(), sent));
        match tree.model(sent, None) {
            Ok(passed) => {
                let expected = passed.caller.map_or("anonymous", |at| NAMES[at]);
                prop_assert_eq!((status, &*caller), (200, expected));
            }
            Err(expected) => prop_assert_eq!((status, &*caller), (expected, "")),
        }
        // independent of the model: only good credentials make a caller, and only they open a door
        if let Some(at) = NAMES.iter().position(|name| *name == caller) {
            prop_assert_eq!(sent[at], Sent::Good);
        }
        if !sent.contains(&Sent::Good) && !tree.has_exceptions() {
            prop_assert_ne!(status, 200);
        }
    }
}
