//! The scripts: how they are put together, what they are asked, and what they answer.
//!
//! Nothing of a decision is made here. A script reads one hash, in which a client has a field for each quota, reads the
//! server's clock, and checks, charges and sets the expiry in one step, during which the server does nothing else.
//!
//! A script is put together for the algorithms of a demand in their order, such as `sg`, of sections of the algorithms'
//! files, in which `_N` stands for the number of the quota. It contains nothing that the demand does not need: what a script
//! defines is built again at each call, and takes longer than to count.

mod assembly;

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
    time::Duration,
};

use palisade_core::{Clock, SystemClock};
use palisade_rate_limit::{
    Action, Algorithm, Ban, Block, Demand, Fit, Intervention, Quota, Reading, Refund, Verdict,
};
use palisade_redis::{Redis, Script};

use crate::{
    error::Failure,
    exact::{self, Counted},
    key::Keys,
};

/// Where the scripts take the time from.
#[derive(Clone)]
pub(crate) enum Time {
    Server,
    #[cfg(feature = "testing")]
    Told(std::sync::Arc<dyn Clock>),
}

/// A script with its keys and arguments.
pub(crate) struct Asked {
    pub(crate) script: Script,
    pub(crate) keys: Vec<String>,
    pub(crate) arguments: Vec<Vec<u8>>,
}

/// Scripts as they are needed.
pub(crate) struct Scripts {
    redis: Redis,
    intervene: Script,
    made: RwLock<HashMap<(Purpose, String), Script>>,
    time: Time,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Purpose {
    Charge,
    ChargeOrBan,
    Refund,
}

impl Scripts {
    /// Scripts that new connections of `redis` load.
    pub(crate) fn new(redis: &Redis, time: Time) -> Self {
        let intervene = assembly::intervene(time.source());
        redis.preload(&intervene);
        let scripts = Self { redis: redis.clone(), intervene, made: RwLock::default(), time };
        // The default algorithm.
        scripts.get(Purpose::Charge, "s");
        scripts.get(Purpose::Refund, "s");
        scripts
    }

    /// Makes the scripts of a quota that a limit will use.
    pub(crate) fn prepare(&self, quota: &Quota) {
        if let Ok(letter) = exact::letter(quota) {
            self.get(Purpose::Charge, &letter.to_string());
        }
    }

    /// Returns the script for algorithms in this order. There are at most 1,554 for each purpose: six letters, four quotas.
    fn get(&self, purpose: Purpose, letters: &str) -> Script {
        let name = (purpose, letters.to_owned());
        let made = self.made.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(script) = made.get(&name) {
            return script.clone();
        }
        drop(made);
        let script = match purpose {
            Purpose::Charge => assembly::charge(self.time.source(), letters, false),
            Purpose::ChargeOrBan => assembly::charge(self.time.source(), letters, true),
            Purpose::Refund => assembly::refund(self.time.source(), letters),
        };
        self.redis.preload(&script);
        let mut made = self.made.write().unwrap_or_else(PoisonError::into_inner);
        made.entry(name).or_insert(script).clone()
    }

    /// # Errors
    ///
    /// If one of the quotas cannot be counted: which ones there are may depend on the request.
    pub(crate) fn charge(&self, keys: &Keys, demand: &Demand) -> Result<Asked, Failure> {
        let most = demand.most.max(demand.cost);
        let mut numbers = Numbers::default();
        numbers.add_u32(demand.cost).add_u32(most);
        let purpose = if demand.ban.is_some() { Purpose::ChargeOrBan } else { Purpose::Charge };
        let keys = vec![keys.name(&demand.limit, &demand.key)];
        self.ask(purpose, keys, numbers, &demand.quotas, demand.ban.as_ref())
    }

    /// # Errors
    ///
    /// As [`charge`](Self::charge).
    pub(crate) fn refund(&self, keys: &Keys, refund: &Refund) -> Result<Asked, Failure> {
        let mut numbers = Numbers::default();
        numbers.add_u32(refund.amount).add_u64(refund.moment);
        let key = keys.name(&refund.limit, &refund.key);
        let mark = format!("{key}:r:{:x}", refund.id);
        self.ask(Purpose::Refund, vec![key, mark], numbers, &refund.quotas, None)
    }

    pub(crate) fn intervene(
        &self,
        keys: &Keys,
        intervention: &Intervention,
    ) -> Result<Asked, Failure> {
        let Intervention { limit, key, action } = intervention;
        let (action, length) = match action {
            Action::Reset => ("reset", &Duration::ZERO),
            Action::Block(length) => ("block", length),
            Action::Unblock => ("unblock", &Duration::ZERO),
            _ => return Err(Failure::UnknownAction),
        };
        let message = keys.message(limit, key);
        let channel = self.redis.channel().to_owned();
        let arguments = [action.to_owned(), millis(*length).to_string(), channel, message];
        let mut arguments: Vec<_> = arguments.map(String::into_bytes).into();
        arguments.extend(self.time.argument());
        let keys = vec![keys.name(limit, key)];
        Ok(Asked { script: self.intervene.clone(), keys, arguments })
    }

    fn ask(
        &self,
        purpose: Purpose,
        keys: Vec<String>,
        mut numbers: Numbers,
        quotas: &[Quota],
        ban: Option<&Ban>,
    ) -> Result<Asked, Failure> {
        if quotas.is_empty() {
            return Err(Failure::NoQuotas);
        }
        let mut fields = Vec::with_capacity(quotas.len());
        let mut letters = String::with_capacity(quotas.len());
        for (which, quota) in quotas.iter().enumerate() {
            let Counted { letter, window } = exact::check(quota).map_err(Failure::Unsupported)?;
            fields.push(field(&quotas[..which], quota, letter).into_bytes());
            numbers.add_u32(quota.limit()).add_millis(window);
            if let Algorithm::Gcra { burst } = quota.algorithm() {
                numbers.add_u32(burst);
            }
            if let Some(starts) = quota.window_starts(self.time.on_this_machine()) {
                for start in starts {
                    numbers.add_millis(millis(start));
                }
            }
            letters.push(letter);
        }
        if let Some(ban) = ban {
            numbers.add_u32(ban.rejections());
            for time in [ban.window(), ban.first(), ban.longest()] {
                numbers.add_millis(millis(time).max(1));
            }
        }
        let mut arguments = Vec::with_capacity(quotas.len() + 2);
        arguments.push(numbers.0);
        arguments.extend(fields);
        arguments.extend(self.time.argument());
        Ok(Asked { script: self.get(purpose, &letters), keys, arguments })
    }
}

/// The numbers of a script's first argument, the most significant byte first.
#[derive(Default)]
struct Numbers(Vec<u8>);

impl Numbers {
    fn add_u32(&mut self, number: u32) -> &mut Self {
        self.0.extend(number.to_be_bytes());
        self
    }

    fn add_u64(&mut self, number: u64) -> &mut Self {
        self.0.extend(number.to_be_bytes());
        self
    }

    /// Adds a time of at most 2^48 milliseconds.
    fn add_millis(&mut self, number: u64) -> &mut Self {
        self.0.extend(&number.to_be_bytes()[2..]);
        self
    }
}

/// Returns whole milliseconds, 146 years of them at most.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).min(exact::LONGEST_WINDOW)
}

/// Names the field of a quota: the algorithm, the window in milliseconds, the time zone of a calendar, and how many quotas
/// with the same the demand has before it. A limit that is raised or lowered keeps its counts, and so does a client whose
/// tier has another name.
fn field(before: &[Quota], quota: &Quota, letter: char) -> String {
    let is_alike = |other: &&Quota| {
        let zones = other.time_zone() == quota.time_zone();
        exact::letter(other).ok() == Some(letter) && other.window() == quota.window() && zones
    };
    let alike = before.iter().filter(is_alike).count();
    let window = quota.window().as_millis();
    match quota.time_zone() {
        None => format!("{letter}{window}:{alike}"),
        Some(zone) => format!("{letter}{window}:{alike}:{zone}"),
    }
}

impl Time {
    fn source(&self) -> &'static str {
        match self {
            Self::Server => include_str!("server_time.lua"),
            #[cfg(feature = "testing")]
            Self::Told(_) => include_str!("told_time.lua"),
        }
    }

    /// Returns the time since the Unix epoch by the clock of this machine.
    fn on_this_machine(&self) -> Duration {
        match self {
            Self::Server => SystemClock.unix(),
            #[cfg(feature = "testing")]
            Self::Told(clock) => clock.unix(),
        }
    }

    fn argument(&self) -> Option<Vec<u8>> {
        match self {
            Self::Server => None,
            #[cfg(feature = "testing")]
            Self::Told(clock) => Some(clock.unix().as_millis().to_string().into_bytes()),
        }
    }
}

/// Reads the answer to a charge.
///
/// # Errors
///
/// If it is not one: a proxy or a server of another kind may answer anything.
pub(crate) fn verdict(answer: &[i64], demand: &Demand) -> Result<Verdict, Failure> {
    let [outcome, moment, readings @ ..] = answer else {
        return Err(Failure::Unexpected);
    };
    let moment = u64::try_from(*moment).map_err(|_| Failure::Unexpected)?;
    let (charged, readings, block) = match (*outcome, readings) {
        (-1, readings) => (None, refused(readings), None),
        (-2 | -3, [readings @ .., rest]) => {
            let rest = wait(*rest)?.ok_or(Failure::Unexpected)?;
            let block = Block { rest, is_new: *outcome == -3 };
            (None, refused(readings), Some(block))
        }
        (charged, readings) => (Some(amount(charged)?), admitted(readings), None),
    };
    let readings = readings.ok_or(Failure::Unexpected)?;
    let most = demand.most.max(demand.cost);
    let is_off = charged.is_some_and(|charged| !(demand.cost..=most).contains(&charged));
    if is_off || readings.len() != demand.quotas.len() {
        return Err(Failure::Unexpected);
    }
    Ok(Verdict { charged, readings, moment, block })
}

fn admitted(numbers: &[i64]) -> Option<Vec<Reading>> {
    let (readings, []) = numbers.as_chunks::<2>() else { return None };
    readings.iter().map(|[left, more_in]| reading(*left, *more_in, 0)).collect()
}

fn refused(numbers: &[i64]) -> Option<Vec<Reading>> {
    let (readings, []) = numbers.as_chunks::<3>() else { return None };
    readings.iter().map(|[left, more_in, fits_in]| reading(*left, *more_in, *fits_in)).collect()
}

fn reading(left: i64, more_in: i64, fits_in: i64) -> Option<Reading> {
    let fit = match wait(fits_in).ok()? {
        None => Fit::Never,
        Some(Duration::ZERO) => Fit::Fits,
        Some(wait) => Fit::After(wait),
    };
    Some(Reading { remaining: amount(left).ok()?, more_in: wait(more_in).ok()?, fit })
}

fn amount(number: i64) -> Result<u32, Failure> {
    u32::try_from(number).map_err(|_| Failure::Unexpected)
}

/// -1 is never.
fn wait(millis: i64) -> Result<Option<Duration>, Failure> {
    match millis {
        -1 => Ok(None),
        millis => {
            let millis = u64::try_from(millis).map_err(|_| Failure::Unexpected)?;
            Ok(Some(Duration::from_millis(millis)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demand(cost: u32, most: u32) -> Demand {
        let quotas = [Quota::per(10, Duration::from_secs(60))];
        let (limit, quotas) = ("api".into(), quotas.into());
        Demand { limit, key: [0; 16], quotas, cost, most, ban: None }
    }

    #[test]
    fn reads_replies_to_the_millisecond() {
        let verdict = verdict(&[1, 77, 9, 6000], &demand(1, 1)).unwrap();
        let reading =
            Reading { remaining: 9, more_in: Some(Duration::from_secs(6)), fit: Fit::Fits };
        let expected =
            Verdict { charged: Some(1), readings: vec![reading], moment: 77, block: None };
        assert_eq!(verdict, expected);
    }

    #[test]
    fn rejection_contains_the_wait_or_never() {
        let read = |fits_in| {
            let verdict = verdict(&[-1, 77, 0, -1, fits_in], &demand(3, 3)).unwrap();
            assert_eq!((verdict.charged, verdict.block), (None, None));
            assert_eq!(verdict.readings[0].more_in, None);
            verdict.readings[0].fit
        };
        assert_eq!(read(-1), Fit::Never);
        assert_eq!(read(1500), Fit::After(Duration::from_millis(1500)));
    }

    #[test]
    fn block_contains_its_remaining_time_and_whether_it_is_new() {
        for (outcome, is_new) in [(-2, false), (-3, true)] {
            let verdict = verdict(&[outcome, 77, 4, 10, 0, 1500], &demand(1, 1)).unwrap();
            let rest = Duration::from_millis(1500);
            assert_eq!((verdict.charged, verdict.readings[0].remaining), (None, 4));
            assert_eq!(verdict.block, Some(Block { rest, is_new }));
        }
    }

    #[test]
    fn rejects_replies_that_are_not_verdicts() {
        let strange = [
            &[][..],
            &[1],
            // no reading, half of one, one too many
            &[1, 77],
            &[1, 77, 9],
            &[1, 77, 9, 6000, 9, 6000],
            &[-1, 77, 9, 6000],
            &[-1, 77, 9, 6000, 1, 9, 6000, 1],
            &[-2, 77, 9, 6000, 1],
            &[-2, 77, 9, 6000, 1, -1],
            // more than was asked for, and less than nothing
            &[2, 77, 9, 6000],
            &[0, 77, 9, 6000],
            &[-4, 77, 9, 6000, 0],
            &[1, -77, 9, 6000],
            &[1, 77, -9, 6000],
            &[1, 77, i64::MAX, 6000],
            &[1, 77, 9, -6000],
        ];
        for strange in strange {
            assert!(verdict(strange, &demand(1, 1)).is_err(), "{strange:?}");
        }
    }
}
