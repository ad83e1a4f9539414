//! What the scripts decide, to the millisecond, under a clock that the test sets.

mod support;

use std::{sync::Arc, time::Duration};

use palisade_rate_limit::{Algorithm, Fit, Quota};
use palisade_rate_limit_redis::{Redis, RedisStore, testing::RedisServer};
use support::{Client, Dice, Hand, MINUTE, after, reading};

/// A store on a server of its own, at a time of the test's choice.
fn store_at(server: &RedisServer, clock: &Arc<Hand>) -> RedisStore {
    let redis = Redis::builder(server.url())
        // a debug build on a busy machine
        .response_timeout(Duration::from_secs(5))
        .connect_timeout(Duration::from_secs(5))
        .build()
        .expect("a server");
    RedisStore::with_clock(redis, clock.clone())
}

/// A whole number of minutes, of recent years.
const EPOCH: u64 = 1_700_000_000 / 60 * 60 * 1000;

#[tokio::test]
async fn the_published_vectors_of_the_sliding_window_hold() {
    let Some(server) = RedisServer::start() else { return };
    // limit, milliseconds into the window, count before, count, cost: the wait
    let vectors = [
        (10, 24_000, 10, 4, 1, 1),
        (10, 0, 10, 0, 1, 1),
        (10, 30_000, 0, 10, 1, 30_001),
        (10, 59_999, 10, 10, 1, 2),
        (10, 15_000, 4, 5, 5, 30_001),
        (10, 15_000, 4, 5, 3, 1),
    ];
    for (number, (limit, elapsed, before, count, cost, wait)) in vectors.into_iter().enumerate() {
        let clock = Hand::at(EPOCH);
        let client =
            Client::new(&store_at(&server, &clock), "vectors", [Quota::per(limit, MINUTE)])
                .of(number as u64);
        // The history is written in the windows in which it happened. Where it would not be admitted at once, the limit was
        // higher then.
        let generous = Client { quotas: [Quota::per(1000, MINUTE)].into(), ..client.clone() };
        clock.set(EPOCH);
        assert_eq!(generous.charge(before).await.charged, Some(before));
        clock.set(EPOCH + 60_000 + elapsed);
        assert_eq!(generous.charge(count).await.charged, Some(count));

        let refused = client.charge(cost).await;
        assert_eq!(refused.charged, None, "vector {number}");
        assert_eq!(refused.readings[0].fit, after(wait), "vector {number}");
        if wait > 1 {
            clock.advance(wait - 1);
            assert_eq!(client.charge(cost).await.readings[0].fit, after(1), "vector {number}");
        }
        clock.advance(wait.min(1));
        assert_eq!(client.charge(cost).await.charged, Some(cost), "vector {number}");
    }
}

#[tokio::test]
async fn counts_the_published_example_of_cloudflare() {
    let Some(server) = RedisServer::start() else { return };
    let clock = Hand::at(EPOCH);
    let client = Client::new(&store_at(&server, &clock), "api", [Quota::per(100, MINUTE)]);
    client.charge(42).await;
    clock.set(EPOCH + 60_000);
    client.charge(18).await;
    clock.set(EPOCH + 75_000);
    assert_eq!(client.remaining().await, 51);
    let verdict = client.charge(1).await;
    assert_eq!((verdict.charged, verdict.moment), (Some(1), EPOCH + 75_000));
    assert_eq!(verdict.readings[0].remaining, 50);
    assert_eq!(verdict.readings[0].fit, Fit::Fits);
}

#[tokio::test]
async fn cost_over_the_limit_never_fits_and_limit_0_refuses_all() {
    let Some(server) = RedisServer::start() else { return };
    let clock = Hand::at(EPOCH);
    let store = store_at(&server, &clock);
    for by in
        [Quota::sliding_window, Quota::strict, Quota::gcra, Quota::fixed_window, Quota::exact_log]
    {
        let ten = Client::new(&store, "ten", [by(Quota::per(10, MINUTE))]);
        let verdict = ten.charge(11).await;
        assert_eq!(
            (verdict.charged, verdict.readings[0].fit),
            (None, Fit::Never),
            "{ten:?}",
            ten = ten.quotas
        );
        // with nothing charged there is never more
        assert_eq!(verdict.readings[0].more_in, None);

        let none = Client::new(&store, "none", [by(Quota::per(0, MINUTE))]);
        let verdict = none.charge(1).await;
        assert_eq!((verdict.charged, verdict.readings[0].fit), (None, Fit::Never));
        assert_eq!((verdict.readings[0].remaining, verdict.readings[0].more_in), (0, None));
    }
    assert!(server.keys().is_empty(), "{:?}", server.keys());
}

#[tokio::test]
async fn looking_and_being_refused_write_nothing() {
    let Some(server) = RedisServer::start() else { return };
    let clock = Hand::at(EPOCH);
    let store = store_at(&server, &clock);
    let client =
        Client::new(&store, "api", [Quota::per(2, MINUTE), Quota::per(9, MINUTE).named("b")]);
    let verdict = client.peek().await;
    assert_eq!((verdict.charged, verdict.readings[0].remaining), (Some(0), 2));
    assert!(server.keys().is_empty());

    client.charge(2).await;
    let dump = || {
        let mut keys = server.keys();
        keys.sort();
        keys.into_iter().map(|key| server.command(&["HGETALL", &key])).collect::<Vec<_>>()
    };
    let before = dump();
    assert_eq!(client.charge(1).await.charged, None);
    assert_eq!(client.charge(50).await.charged, None);
    assert_eq!(client.peek().await.charged, Some(0));
    assert_eq!(dump(), before);
}

#[tokio::test]
async fn several_quotas_are_charged_together_or_not_at_all() {
    let Some(server) = RedisServer::start() else { return };
    let clock = Hand::at(EPOCH);
    let quotas = [
        Quota::per(3, Duration::from_secs(1)).named("burst"),
        Quota::per(5, Duration::from_secs(3600)).fixed_window().named("hourly"),
    ];
    let client = Client::new(&store_at(&server, &clock), "api", quotas);
    assert_eq!(client.charge(3).await.charged, Some(3));

    // The burst refuses, and the hour is not charged for it.
    let verdict = client.charge(1).await;
    assert_eq!(verdict.charged, None);
    assert_eq!(verdict.readings[0], reading(0, 1001, after(1001)));
    assert_eq!((verdict.readings[1].remaining, verdict.readings[1].fit), (2, Fit::Fits));

    clock.advance(2000);
    assert_eq!(client.charge(2).await.charged, Some(2));
    // Now it is the hour.
    let verdict = client.charge(1).await;
    assert_eq!(verdict.charged, None);
    assert_eq!((verdict.readings[0].remaining, verdict.readings[0].fit), (1, Fit::Fits));
    let to_the_hour = 3_600_000 - (EPOCH + 2000) % 3_600_000;
    assert_eq!(verdict.readings[1], reading(0, to_the_hour, after(to_the_hour)));
}

#[tokio::test]
async fn as_much_is_taken_in_advance_as_fits_every_quota() {
    let Some(server) = RedisServer::start() else { return };
    let clock = Hand::at(EPOCH);
    let quotas = [Quota::per(10, MINUTE), Quota::per(7, MINUTE).gcra().named("even")];
    let client = Client::new(&store_at(&server, &clock), "api", quotas);
    assert_eq!(client.up_to(1, 4).await.charged, Some(4));
    let verdict = client.up_to(1, 100).await;
    assert_eq!(verdict.charged, Some(3));
    assert_eq!(verdict.readings[0].remaining, 3);
    assert_eq!(verdict.readings[1].remaining, 0);
    assert_eq!(client.up_to(1, 100).await.charged, None);
    // of nothing, nothing is taken
    assert_eq!(client.up_to(0, 100).await.charged, Some(0));
}

#[tokio::test]
async fn a_clock_that_goes_backwards_grants_nothing() {
    let Some(server) = RedisServer::start() else { return };
    for quota in [
        Quota::per(10, MINUTE),
        Quota::per(10, MINUTE).strict(),
        Quota::per(10, MINUTE).gcra(),
        Quota::per(10, MINUTE).fixed_window(),
        Quota::per(10, MINUTE).exact_log(),
    ] {
        let now = EPOCH + 600_000 + 20_000;
        let clock = Hand::at(now);
        let client = Client::new(&store_at(&server, &clock), "api", [quota.clone()]);
        assert_eq!(client.charge(10).await.charged, Some(10));
        let refused = client.charge(1).await.readings[0].fit;
        let Fit::After(wait) = refused else { panic!("{quota:?}: {refused:?}") };
        let wait = wait.as_millis() as u64;

        for back in [1, 19_999, 20_001, 60_000, 600_000, 10_000_000] {
            clock.set(now - back);
            let verdict = client.charge(1).await;
            assert_eq!(verdict.charged, None, "{quota:?}, {back} ms back");
            // at the time that it would have been without the jump
            assert_eq!(verdict.readings[0].fit, after(wait + back), "{quota:?}, {back} ms back");
        }
        clock.set(now + wait - 1);
        assert_eq!(client.charge(1).await.charged, None, "{quota:?}");
        clock.set(now + wait);
        assert_eq!(client.charge(1).await.charged, Some(1), "{quota:?}");
    }
}

#[tokio::test]
async fn a_window_never_holds_more_than_the_limit_when_it_is_strict() {
    let Some(server) = RedisServer::start() else { return };
    let clock = Hand::at(EPOCH + 13);
    // 1001 is no multiple of 8
    let quotas = [Quota::per(20, Duration::from_millis(1001)).strict()];
    let client = Client::new(&store_at(&server, &clock), "api", quotas);
    let mut dice = Dice(3);
    let mut admitted = Vec::new();
    for _ in 0..2000 {
        let cost = dice.throw(4) as u32;
        let (verdict, now) = (client.charge(cost).await, clock.millis());
        admitted.extend((0..verdict.charged.unwrap_or(0)).map(|_| now));
        clock.advance(dice.throw(60));
    }
    assert!(admitted.len() > 500);
    for (i, first) in admitted.iter().enumerate() {
        let within = admitted[i..].iter().take_while(|time| **time - first <= 1001).count();
        assert!(within <= 20, "{within} from {first} on");
    }
}

#[tokio::test]
async fn a_tariff_that_changes_keeps_what_was_counted() {
    let Some(server) = RedisServer::start() else { return };
    let clock = Hand::at(EPOCH);
    let store = store_at(&server, &clock);
    let quotas: [fn(u32) -> Quota; 4] = [
        |limit| Quota::per(limit, MINUTE),
        |limit| Quota::per(limit, MINUTE).strict(),
        |limit| Quota::per(limit, MINUTE).fixed_window(),
        |limit| Quota::per(limit, MINUTE).exact_log(),
    ];
    for quota in quotas {
        let client = |limit| Client::new(&store, "tariff", [quota(limit)]);
        client(10).charge(10).await;
        assert_eq!(client(30).remaining().await, 20);
        let lowered = client(5).peek().await;
        assert_eq!((lowered.charged, lowered.readings[0].remaining), (None, 0));
        assert!(matches!(lowered.readings[0].fit, Fit::After(_)));
    }
    // An even rate owes time. Ten of ten a minute are a minute, and that is thirty of thirty.
    let client = |limit| Client::new(&store, "tariff", [Quota::per(limit, MINUTE).gcra()]);
    client(10).charge(10).await;
    assert_eq!(client(30).remaining().await, 0);
    clock.advance(20_000);
    assert_eq!(client(30).remaining().await, 10);
    assert_eq!(client(7).remaining().await, 2);
}

mod refunds {
    use super::*;

    #[tokio::test]
    async fn what_is_given_back_can_be_spent_again_and_no_more() {
        let Some(server) = RedisServer::start() else { return };
        for quota in [
            Quota::per(10, MINUTE),
            Quota::per(10, MINUTE).strict(),
            Quota::per(10, MINUTE).gcra(),
            Quota::per(10, MINUTE).fixed_window(),
            Quota::per(10, MINUTE).exact_log(),
        ] {
            let clock = Hand::at(EPOCH);
            let client = Client::new(&store_at(&server, &clock), "api", [quota.clone()]);
            let moment = client.charge(4).await.moment;
            client.refund(3, moment).await;
            assert_eq!(client.remaining().await, 9, "{quota:?}");
            // never negative
            client.refund(10, moment).await;
            client.refund(10, moment).await;
            assert_eq!(client.remaining().await, 10, "{quota:?}");
            assert_eq!(client.charge(11).await.charged, None, "{quota:?}");
            assert_eq!(client.charge(10).await.charged, Some(10), "{quota:?}");
        }
        assert_eq!(server.keys_without_expiry(), [""; 0]);
    }

    #[tokio::test]
    async fn nothing_is_given_back_of_a_window_that_is_over() {
        let Some(server) = RedisServer::start() else { return };
        for (quota, over) in [
            (Quota::per(10, MINUTE), 120_000),
            (Quota::per(10, MINUTE).strict(), 67_500),
            (Quota::per(10, MINUTE).gcra(), 24_000),
            (Quota::per(10, MINUTE).fixed_window(), 60_000),
            (Quota::per(10, MINUTE).exact_log(), 60_000),
        ] {
            let clock = Hand::at(EPOCH);
            let client = Client::new(&store_at(&server, &clock), "api", [quota.clone()]);
            let moment = client.charge(4).await.moment;
            clock.advance(over);
            client.charge(10).await;
            client.refund(4, moment).await;
            assert_eq!(client.remaining().await, 0, "{quota:?}");
        }
    }

    #[tokio::test]
    async fn what_was_charged_in_the_window_before_is_given_back_there() {
        let Some(server) = RedisServer::start() else { return };
        let clock = Hand::at(EPOCH);
        let client = Client::new(&store_at(&server, &clock), "api", [Quota::per(10, MINUTE)]);
        let moment = client.charge(8).await.moment;
        clock.set(EPOCH + 60_000 + 30_000);
        client.charge(3).await;
        assert_eq!(client.remaining().await, 3);
        client.refund(8, moment).await;
        assert_eq!(client.remaining().await, 7);
    }

    #[tokio::test]
    async fn of_an_even_rate_only_what_has_not_flowed_off_is_given_back() {
        let Some(server) = RedisServer::start() else { return };
        let clock = Hand::at(EPOCH);
        let client =
            Client::new(&store_at(&server, &clock), "api", [Quota::per(10, MINUTE).gcra()]);
        // one each 6 seconds
        let moment = client.charge(1).await.moment;
        clock.advance(5_500);
        client.charge(5).await;
        assert_eq!(client.remaining().await, 4);
        client.refund(1, moment).await;
        // as if it had never been: what came later is not forgiven in its place
        assert_eq!(client.peek().await.readings[0], reading(5, 6_000, Fit::Fits));
        clock.advance(500);
        client.refund(1, moment).await;
        assert_eq!(client.peek().await.readings[0], reading(5, 5_500, Fit::Fits));
    }

    #[tokio::test]
    async fn a_refund_without_a_charge_writes_nothing() {
        let Some(server) = RedisServer::start() else { return };
        let clock = Hand::at(EPOCH);
        let client = Client::new(&store_at(&server, &clock), "api", [Quota::per(10, MINUTE)]);
        client.refund(5, EPOCH).await;
        client.refund(0, EPOCH).await;
        assert!(server.keys().is_empty());
    }
}

/// The definitions, in plain Rust over a list of all that ever was, and every wait found by trying each millisecond.
mod oracle {
    use super::*;

    #[derive(Clone, Debug)]
    struct History {
        quota: Quota,
        /// When, how many.
        charges: Vec<(u64, u64)>,
        /// The theoretical arrival time in the limit's parts of a millisecond.
        arrival: u128,
    }

    impl History {
        fn window(&self) -> u64 {
            self.quota.window().as_millis() as u64
        }

        fn charged_where(&self, counts: impl Fn(u64) -> bool) -> u128 {
            let counted = self.charges.iter().rev().take_while(|(at, _)| {
                // older ones count for no algorithm
                at + 4 * self.window() > self.charges.last().map_or(0, |(at, _)| *at)
            });
            counted.filter(|(at, _)| counts(*at)).map(|(_, n)| u128::from(*n)).sum()
        }

        fn admits(&self, now: u64, n: u64) -> bool {
            let (limit, window, n) = (u128::from(self.quota.limit()), self.window(), u128::from(n));
            match self.quota.algorithm() {
                Algorithm::SlidingWindow => {
                    let index = now / window;
                    let left = u128::from(window - now % window);
                    let before = self.charged_where(|at| at / window + 1 == index);
                    let count = self.charged_where(|at| at / window == index);
                    let window = u128::from(window);
                    before * left / window + count + n <= limit
                }
                Algorithm::FixedWindow => {
                    self.charged_where(|at| at / window == now / window) + n <= limit
                }
                Algorithm::Strict => {
                    let part = |time: u64| time * 8 / window;
                    self.charged_where(|at| part(at) + 8 >= part(now)) + n <= limit
                }
                Algorithm::ExactLog => self.charged_where(|at| at + window > now) + n <= limit,
                Algorithm::Gcra { burst } => {
                    let now = u128::from(now) * limit;
                    let window = u128::from(window);
                    self.arrival.max(now) + n * window <= now + u128::from(burst) * window
                        || n > 0 && limit == 0
                }
                other => unreachable!("{other:?}"),
            }
        }

        fn charge(&mut self, now: u64, n: u64) {
            self.charges.push((now, n));
            let (limit, window) = (u128::from(self.quota.limit()), u128::from(self.window()));
            self.arrival = self.arrival.max(u128::from(now) * limit) + u128::from(n) * window;
        }

        fn refund(&mut self, now: u64, moment: u64, n: u64) {
            let mut left = n;
            for (at, charged) in &mut self.charges {
                if *at == moment {
                    let back = left.min(*charged);
                    *charged -= back;
                    left -= back;
                }
            }
            let (limit, window) = (u128::from(self.quota.limit()), u128::from(self.window()));
            let flowed_off = u128::from(now - moment) * limit;
            let back = (u128::from(n) * window).saturating_sub(flowed_off);
            self.arrival = self.arrival.saturating_sub(back).max(u128::from(now) * limit);
        }

        fn largest(&self) -> u64 {
            match self.quota.algorithm() {
                Algorithm::Gcra { burst } => burst.into(),
                _ => self.quota.limit().into(),
            }
        }

        fn wait(&self, now: u64, n: u64) -> Option<u64> {
            if n > self.largest() {
                return None;
            }
            (0..).find(|wait| self.admits(now + wait, n))
        }

        fn remaining(&self, now: u64) -> u64 {
            (0..=self.largest()).rev().find(|n| self.admits(now, *n)).unwrap_or(0)
        }
    }

    fn millis(wait: Option<u64>) -> Option<Duration> {
        wait.map(Duration::from_millis)
    }

    async fn compare(seed: u64, quotas: Vec<Quota>, steps: u64) {
        let Some(server) = RedisServer::start() else { return };
        let mut dice = Dice(seed);
        let clock = Hand::at(EPOCH + dice.throw(100_000));
        let client = Client::new(&store_at(&server, &clock), "oracle", quotas.clone());
        let mut histories = quotas
            .iter()
            .map(|quota| History { quota: quota.clone(), charges: vec![], arrival: 0 })
            .collect::<Vec<_>>();
        let longest = histories.iter().map(History::window).max().expect("a quota");
        let (mut charges, mut admitted, mut refused) = (Vec::new(), 0, 0);

        for step in 0..steps {
            let now = clock.millis();
            if !charges.is_empty() && dice.throw(5) == 0 {
                let i = dice.throw(charges.len() as u64) as usize;
                let (moment, charged): (u64, u32) = charges.swap_remove(i);
                let amount = 1 + dice.throw(charged.into()) as u32;
                client.refund(amount, moment).await;
                for history in &mut histories {
                    history.refund(now, moment, amount.into());
                }
                if charges.len() > 20 {
                    charges.drain(..10);
                }
            }

            let cost = dice.pick(&[0, 1, 1, 1, 2, 3, 5, 12]);
            let most = cost + dice.pick(&[0, 0, 0, 4]);
            let verdict = client.up_to(cost, most).await;

            let fits = |n: u32| histories.iter().all(|history| history.admits(now, n.into()));
            let expected = (cost..=most).rev().find(|n| fits(*n));
            let context = format!("step {step}, {cost}..={most} at {now} of {histories:?}");
            assert_eq!(verdict.charged, expected, "{context}");
            assert_eq!(verdict.moment, now);
            for (history, reading) in histories.iter_mut().zip(&verdict.readings) {
                let fit = match history.wait(now, cost.into()) {
                    None => Fit::Never,
                    Some(0) => Fit::Fits,
                    Some(wait) => after(wait),
                };
                assert_eq!(reading.fit, fit, "{context}");
                if let Some(charged @ 1..) = verdict.charged {
                    history.charge(now, charged.into());
                }
                let remaining = history.remaining(now);
                assert_eq!(u64::from(reading.remaining), remaining, "{context}");
                let more_in = history.wait(now, remaining + 1);
                assert_eq!(reading.more_in, millis(more_in), "{context}");
            }
            match verdict.charged {
                Some(0) => {}
                Some(charged) => {
                    admitted += 1;
                    charges.push((now, charged));
                }
                None => refused += 1,
            }
            let pauses =
                [0, 0, 1, 3, longest / 20, longest / 20, longest / 7, longest, 3 * longest];
            let most = dice.pick(&pauses);
            clock.advance(dice.throw(most + 1));
        }
        assert!(admitted > steps / 10 && refused > steps / 10, "{admitted}, {refused}");
        assert_eq!(server.keys_without_expiry(), [""; 0]);
    }

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[tokio::test]
    async fn the_sliding_window_agrees_with_its_definition() {
        compare(1, vec![Quota::per(10, ms(1000))], 1500).await;
        compare(2, vec![Quota::per(7, ms(37))], 1500).await;
    }

    #[tokio::test]
    async fn the_fixed_window_agrees_with_its_definition() {
        compare(3, vec![Quota::per(9, ms(700)).fixed_window()], 1500).await;
    }

    #[tokio::test]
    async fn strict_agrees_with_its_definition() {
        compare(4, vec![Quota::per(12, ms(800)).strict()], 1500).await;
        // parts that are not whole milliseconds
        compare(5, vec![Quota::per(12, ms(37)).strict()], 1500).await;
    }

    #[tokio::test]
    async fn the_exact_log_agrees_with_its_definition() {
        compare(6, vec![Quota::per(11, ms(500)).exact_log()], 1500).await;
    }

    #[tokio::test]
    async fn gcra_agrees_with_its_definition() {
        compare(7, vec![Quota::per(10, ms(1000)).gcra()], 1500).await;
        // an interval that is not whole milliseconds, and one that is less than one
        compare(8, vec![Quota::per(7, ms(1000)).gcra_with_burst(12)], 1500).await;
        compare(9, vec![Quota::per(30, ms(20)).gcra_with_burst(9)], 1500).await;
    }

    #[tokio::test]
    async fn all_of_them_together_agree_with_their_definitions() {
        let quotas = vec![
            Quota::per(12, ms(300)).named("a"),
            Quota::per(30, ms(1000)).strict().named("b"),
            Quota::per(25, ms(700)).gcra().named("c"),
            Quota::per(20, ms(500)).fixed_window().named("d"),
            Quota::per(28, ms(900)).exact_log().named("e"),
        ];
        compare(10, quotas, 3000).await;
    }
}

#[tokio::test]
async fn the_largest_quotas_are_counted_without_rounding() {
    let Some(server) = RedisServer::start() else { return };
    // an odd number of milliseconds short of 2^51, and a time late in a window
    let (limit, window) = (u32::MAX, 524_287_u64);
    let clock = Hand::at(window * 3_300_000);
    let store = store_at(&server, &clock);
    let sliding = Client::new(&store, "large", [Quota::per(limit, Duration::from_millis(window))]);
    assert_eq!(sliding.charge(limit).await.charged, Some(limit));
    clock.set(window * 3_300_001 + 1);
    // one millisecond of the window before is gone
    let freed = limit.div_ceil(window as u32);
    let verdict = sliding.up_to(1, limit).await;
    assert_eq!(verdict.charged, Some(freed));
    let covered = u128::from(limit) * u128::from(window - 1);
    let fits = |elapsed: u64| {
        let left = u128::from(limit) * u128::from(window - elapsed) / u128::from(window);
        left + u128::from(freed + 1) <= u128::from(limit)
    };
    assert!(covered > 1 << 50);
    let more_in = (1..).find(|elapsed| fits(*elapsed)).expect("a time") - 1;
    assert_eq!(verdict.readings[0].more_in, Some(Duration::from_millis(more_in)));

    // a millisecond pays 4294967295 of 524287
    let gcra =
        Client::new(&store, "even", [Quota::per(limit, Duration::from_millis(window)).gcra()]);
    assert_eq!(gcra.charge(limit).await.charged, Some(limit));
    clock.advance(1);
    let freed = limit / window as u32;
    assert_eq!(gcra.up_to(1, limit).await.charged, Some(freed));
    clock.advance(window - 1);
    let (paid, spent) = (u64::from(limit) * window, u64::from(freed) * window);
    assert_eq!(gcra.up_to(1, limit).await.charged, Some(((paid - spent) / window) as u32));

    let log = Client::new(&store, "log", [Quota::per(1000, MINUTE).exact_log()]);
    assert_eq!(log.charge(1000).await.charged, Some(1000));
    assert_eq!(log.charge(1).await.readings[0], reading(0, 60_000, after(60_000)));
}
