//! Permits that a machine takes in advance.

use super::*;

#[tokio::test]
async fn leased_permits_are_spent_without_store_calls() {
    let clock = ManualClock::default();
    let server = Server::new(&clock);
    let subject = Subject {
        limit: RateLimit::per_address(Quota::per(100, MINUTE))
            .name("api")
            .clock(Arc::new(clock.clone()))
            .store(SharedStore::new(server.clone()).leased(10))
            .build()
            .unwrap(),
        clock,
    };
    for used in 1..=100 {
        let response = subject.send(PEER).await;
        assert_eq!(response.status(), 200);
        let field = header(&response, "ratelimit").unwrap();
        assert_eq!(field, format!("\"api\";r={};t=60", 100 - used));
    }
    assert_eq!(server.asked.load(Ordering::SeqCst), 10);
    assert_eq!(subject.send(PEER).await.status(), 429);
    let stats = subject.limit.store_stats().unwrap();
    assert_eq!((stats.asked, stats.leased), (11, 90));
}

#[tokio::test]
async fn peek_includes_permits_leased_on_this_machine() {
    let (subject, server) = leasing(100, 10);
    let key = ByAddress::default().key_of("192.0.2.1".parse().unwrap());
    let left = async || subject.limit.peek(key).await.unwrap().remaining();
    assert_eq!(left().await, Some(100));
    for sent in 1..=25 {
        subject.send(PEER).await;
        assert_eq!(left().await, Some(100 - sent));
    }
    assert!(server.asked.load(Ordering::SeqCst) < 25 + 25, "the permits were leased");
}

#[tokio::test]
async fn leasing_fleet_stays_within_the_documented_bounds() {
    const MACHINES: usize = 5;
    const LEASE: u32 = 8;
    const LIMIT: u32 = 100;
    let clock = ManualClock::default();
    let server = Server::new(&clock);
    let fleet: Vec<Subject> = (0..MACHINES)
        .map(|_| Subject {
            limit: RateLimit::per_address(Quota::per(LIMIT, MINUTE).fixed_window())
                .name("api")
                .clock(Arc::new(clock.clone()))
                .store(SharedStore::new(server.clone()).leased(LEASE))
                .build()
                .unwrap(),
            clock: clock.clone(),
        })
        .collect();
    let held_at_most = MACHINES as u32 * LEASE;

    // Under: one machine alone gets the limit less what the others hold at most.
    for machine in &fleet {
        assert_eq!(machine.send(PEER).await.status(), 200);
    }
    let mut admitted = MACHINES as u32;
    for _ in 0..2 * LIMIT {
        admitted += u32::from(fleet[0].send(PEER).await.status() == 200);
    }
    assert!((LIMIT - held_at_most..LIMIT).contains(&admitted), "{admitted}");

    // Over: what was taken late in one window is spent early in the next, and no more than what was held.
    clock.advance(MINUTE * 3 - Duration::from_secs(1));
    for machine in &fleet {
        assert_eq!(machine.send(PEER).await.status(), 200);
    }
    clock.advance(Duration::from_secs(1));
    let mut next = 0;
    for _ in 0..LIMIT {
        for machine in &fleet {
            next += u32::from(machine.send(PEER).await.status() == 200);
        }
    }
    assert!((LIMIT + 1..=LIMIT + held_at_most).contains(&next), "{next}");

    // Permits of a window that is over are lost.
    clock.advance(MINUTE * 3);
    let asked = || server.asked.load(Ordering::SeqCst);
    let before = asked();
    assert_eq!(fleet[1].send(PEER).await.status(), 200);
    clock.advance(MINUTE - Duration::from_nanos(1));
    assert_eq!(fleet[1].send(PEER).await.status(), 200);
    assert_eq!(asked(), before + 1, "one lease");
    clock.advance(Duration::from_nanos(1));
    assert_eq!(fleet[1].send(PEER).await.status(), 200);
    assert_eq!(asked(), before + 2, "it was good for a window");
}

#[tokio::test]
async fn unused_permit_returns_to_its_lease() {
    let clock = ManualClock::default();
    let server = Server::new(&clock);
    let subject = Subject {
        limit: RateLimit::per_address(Quota::per(10, MINUTE))
            .name("api")
            .clock(Arc::new(clock.clone()))
            .only_failures()
            .store(SharedStore::new(server.clone()).leased(5))
            .build()
            .unwrap(),
        clock,
    };
    for _ in 0..50 {
        assert_eq!(subject.send(PEER).await.status(), 200, "successes do not count");
        tokio::task::yield_now().await;
    }
    let mut failures = 0;
    while subject.send_to(PEER, StatusCode::UNAUTHORIZED).await.status() == 401 {
        failures += 1;
    }
    assert_eq!(failures, 10);
}

#[tokio::test]
async fn parallel_requests_hold_at_most_one_lease() {
    let clock = ManualClock::default();
    let server = Server::new(&clock);
    let by = SharedStore::new(server.clone()).leased(50);
    let limit = RateLimit::per_address(Quota::per(1000, MINUTE)).name("api");
    let limit = limit.clock(Arc::new(clock.clone()));
    let subject = Subject { limit: limit.store(by).build().unwrap(), clock };
    let all = all_of((0..10).map(|_| subject.send(PEER))).await;
    assert!(all.iter().all(|response| response.status() == 200));
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    let used: u32 = server.counts.lock().unwrap().values().sum();
    assert!(used <= 10 + 50, "{used} were taken for ten requests and one lease");
}

/// A machine that leases, on a server's clock.
fn leasing(limit: u32, permits: u32) -> (Subject, Server) {
    let clock = ManualClock::default();
    let server = Server::new(&clock);
    let builder = RateLimit::per_address(Quota::per(limit, MINUTE).fixed_window()).name("api");
    let builder = builder.clock(Arc::new(clock.clone()));
    let limit = builder.store(SharedStore::new(server.clone()).leased(permits)).build().unwrap();
    (Subject { limit, clock }, server)
}

#[tokio::test]
async fn burst_without_a_lease_is_charged_exactly() {
    let (subject, _) = leasing(1000, 100);
    let burst = all_of((0..100).map(|_| subject.send(PEER))).await;
    assert!(burst.iter().all(|response| response.status() == 200));
    let mut more = 0;
    for _ in 0..1000 {
        more += u32::from(subject.send(PEER).await.status() == 200);
    }
    assert_eq!(more, 900);
}

#[tokio::test]
async fn cancelled_requests_do_not_lose_their_lease() {
    let (subject, _) = leasing(1000, 100);
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    for _ in 0..10 {
        let mut request = Box::pin(subject.send(PEER));
        assert!(request.as_mut().poll(&mut cx).is_pending());
    }
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    let mut admitted = 0;
    for _ in 0..1000 {
        admitted += u32::from(subject.send(PEER).await.status() == 200);
    }
    assert_eq!(admitted, 990, "each of the ten has its own permit, and one has got a lease");
}

#[tokio::test]
async fn permits_of_an_expired_lease_do_not_join_another() {
    let clock = ManualClock::default();
    let server = Server::new(&clock);
    let builder = RateLimit::per_address(Quota::per(10, MINUTE).fixed_window()).name("api");
    let builder = builder.clock(Arc::new(clock.clone())).only_failures();
    let limit = builder.store(SharedStore::new(server).leased(10)).build().unwrap();

    // Ten requests that take longer than the window, and succeed.
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let mut slow = Vec::new();
    for _ in 0..10 {
        let gate = Arc::clone(&gate);
        let service = limit.layer().layer(service_fn(move |_: Request<Script>| {
            let gate = Arc::clone(&gate);
            async move {
                gate.acquire().await.unwrap().forget();
                Ok::<_, Infallible>(Response::new(Script::empty()))
            }
        }));
        let peer = PeerAddr(format!("{PEER}:4000").parse().unwrap());
        let request = Request::get("/").extension(peer).body(Script::empty()).unwrap();
        let mut request = Box::pin(service.oneshot(request));
        for _ in 0..5 {
            assert!(request.as_mut().poll(&mut cx).is_pending());
            tokio::task::yield_now().await;
        }
        slow.push(request);
    }
    clock.advance(MINUTE);

    // Ten guesses in the next window, and then the slow ones are back.
    let subject = Subject { limit, clock };
    let guesses = async || {
        let mut guesses = 0;
        for _ in 0..20 {
            let answer = subject.send_to(PEER, StatusCode::UNAUTHORIZED).await;
            guesses += u32::from(answer.status() == 401);
        }
        guesses
    };
    assert_eq!(guesses().await, 10);
    gate.add_permits(10);
    for request in slow {
        assert_eq!(request.await.unwrap().status(), 200);
    }
    assert_eq!(guesses().await, 0);
}

/// Polls all futures in turn until they are done.
async fn all_of<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.map(Box::pin).collect();
    let mut done: Vec<Option<F::Output>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(|cx| {
        for (future, done) in futures.iter_mut().zip(&mut done) {
            if done.is_none()
                && let std::task::Poll::Ready(output) = future.as_mut().poll(cx)
            {
                *done = Some(output);
            }
        }
        if done.iter().all(Option::is_some) {
            return std::task::Poll::Ready(());
        }
        std::task::Poll::Pending
    })
    .await;
    done.into_iter().flatten().collect()
}
