//! The definitions, in plain Rust over a list of all that ever was, and every wait found by trying each millisecond.

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
        let pauses = [0, 0, 1, 3, longest / 20, longest / 20, longest / 7, longest, 3 * longest];
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
async fn all_algorithms_together_agree_with_their_definitions() {
    let quotas = vec![
        Quota::per(12, ms(300)).named("a"),
        Quota::per(30, ms(1000)).strict().named("b"),
        Quota::per(25, ms(700)).gcra().named("c"),
        Quota::per(20, ms(500)).fixed_window().named("d"),
        Quota::per(28, ms(900)).exact_log().named("e"),
    ];
    compare(10, quotas, 3000).await;
}
