//! The scripts: what they are asked, and what they answer.
//!
//! Nothing of a decision is made here. A script sees all keys of a demand, reads the server's clock, and checks, charges and
//! sets the expiries in one step, during which the server does nothing else.

use std::{sync::Arc, time::Duration};

use palisade_rate_limit::{Algorithm, Demand, Fit, Quota, Reading, Refund, Verdict};
use palisade_redis::Script;

use crate::{
    error::Failure,
    exact::{self, Counted},
    key::Keys,
};

const SERVER_TIME: &str = include_str!("server_time.lua");
#[cfg(feature = "testing")]
const TOLD_TIME: &str = include_str!("told_time.lua");
const METERS: &str = include_str!("meters.lua");
const CHARGE: &str = include_str!("charge.lua");
const REFUND: &str = include_str!("refund.lua");

/// Where the scripts take the time from.
#[derive(Clone)]
pub(crate) enum Time {
    Server,
    #[cfg(feature = "testing")]
    Told(Arc<dyn palisade_core::Clock>),
}

/// A script and what it is asked.
pub(crate) struct Asked<'a> {
    pub(crate) script: &'a Script,
    pub(crate) keys: Vec<String>,
    pub(crate) arguments: Vec<String>,
}

/// The two scripts.
pub(crate) struct Scripts {
    charge: Script,
    refund: Script,
    time: Time,
}

impl Scripts {
    pub(crate) fn new(time: Time) -> Self {
        let clock = match &time {
            Time::Server => SERVER_TIME,
            #[cfg(feature = "testing")]
            Time::Told(_) => TOLD_TIME,
        };
        Self {
            charge: Script::new([clock, METERS, CHARGE].concat()),
            refund: Script::new([clock, METERS, REFUND].concat()),
            time,
        }
    }

    /// # Errors
    ///
    /// If one of the quotas cannot be counted: which ones there are may depend on the request.
    pub(crate) fn charge(&self, keys: &Keys, demand: &Demand) -> Result<Asked<'_>, Failure> {
        let most = demand.most.max(demand.cost);
        let own = [u64::from(demand.cost), u64::from(most)];
        let keys = keys.of(&demand.limit, &demand.key, &demand.quotas);
        self.ask(&self.charge, keys, own, &demand.quotas)
    }

    pub(crate) fn refund(&self, keys: &Keys, refund: &Refund) -> Result<Asked<'_>, Failure> {
        let own = [u64::from(refund.amount), refund.moment];
        let keys = keys.of(&refund.limit, &refund.key, &refund.quotas);
        self.ask(&self.refund, keys, own, &refund.quotas)
    }

    fn ask<'a>(
        &self,
        script: &'a Script,
        keys: Vec<String>,
        own: [u64; 2],
        quotas: &Arc<[Quota]>,
    ) -> Result<Asked<'a>, Failure> {
        if quotas.is_empty() {
            return Err(Failure::NoQuotas);
        }
        let mut arguments = Vec::with_capacity(own.len() + 4 * quotas.len() + 1);
        arguments.extend(own.map(|own| own.to_string()));
        for quota in quotas.iter() {
            let Counted { letter, window } = exact::check(quota).map_err(Failure::Unsupported)?;
            let burst = match quota.algorithm() {
                Algorithm::Gcra { burst } => burst,
                _ => 0,
            };
            arguments.push(letter.to_string());
            arguments.push(quota.limit().to_string());
            arguments.push(window.to_string());
            arguments.push(burst.to_string());
        }
        match &self.time {
            Time::Server => {}
            #[cfg(feature = "testing")]
            Time::Told(clock) => arguments.push(clock.unix().as_millis().to_string()),
        }
        Ok(Asked { script, keys, arguments })
    }
}

/// Reads the answer to a charge.
///
/// # Errors
///
/// If it is not one: a proxy or a server of another kind may answer anything.
pub(crate) fn verdict(answer: &[i64], demand: &Demand) -> Result<Verdict, Failure> {
    let [charged, moment, readings @ ..] = answer else {
        return Err(Failure::Unexpected);
    };
    let (readings, rest) = readings.as_chunks::<3>();
    if readings.len() != demand.quotas.len() || !rest.is_empty() {
        return Err(Failure::Unexpected);
    }
    let charged = match *charged {
        -1 => None,
        charged => Some(amount(charged)?),
    };
    let most = demand.most.max(demand.cost);
    if charged.is_some_and(|charged| !(demand.cost..=most).contains(&charged)) {
        return Err(Failure::Unexpected);
    }
    let readings = readings.iter().map(reading).collect::<Result<_, _>>()?;
    let moment = u64::try_from(*moment).map_err(|_| Failure::Unexpected)?;
    Ok(Verdict { charged, readings, moment })
}

fn reading([remaining, more_in, fits_in]: &[i64; 3]) -> Result<Reading, Failure> {
    let fit = match wait(*fits_in)? {
        None => Fit::Never,
        Some(Duration::ZERO) => Fit::Fits,
        Some(wait) => Fit::After(wait),
    };
    Ok(Reading { remaining: amount(*remaining)?, more_in: wait(*more_in)?, fit })
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
        Demand { limit: "api".into(), key: [0; 16], quotas: quotas.into(), cost, most }
    }

    #[test]
    fn an_answer_is_read_to_the_millisecond() {
        let verdict = verdict(&[1, 77, 9, 6000, 0], &demand(1, 1)).unwrap();
        let reading =
            Reading { remaining: 9, more_in: Some(Duration::from_secs(6)), fit: Fit::Fits };
        assert_eq!(verdict, Verdict { charged: Some(1), readings: vec![reading], moment: 77 });
    }

    #[test]
    fn a_refusal_says_when_or_never() {
        let read = |fits_in| {
            let verdict = verdict(&[-1, 77, 0, -1, fits_in], &demand(3, 3)).unwrap();
            assert_eq!(verdict.charged, None);
            assert_eq!(verdict.readings[0].more_in, None);
            verdict.readings[0].fit
        };
        assert_eq!(read(-1), Fit::Never);
        assert_eq!(read(1500), Fit::After(Duration::from_millis(1500)));
    }

    #[test]
    fn what_is_not_an_answer_is_an_error_and_no_verdict() {
        let strange = [
            &[][..],
            &[1],
            // no reading, half of one, one too many
            &[1, 77],
            &[1, 77, 9, 6000],
            &[1, 77, 9, 6000, 0, 9, 6000, 0],
            // more than was asked for, and less than nothing
            &[2, 77, 9, 6000, 0],
            &[0, 77, 9, 6000, 0],
            &[-2, 77, 9, 6000, 0],
            &[1, -77, 9, 6000, 0],
            &[1, 77, -9, 6000, 0],
            &[1, 77, i64::MAX, 6000, 0],
            &[1, 77, 9, -6000, 0],
        ];
        for strange in strange {
            assert!(verdict(strange, &demand(1, 1)).is_err(), "{strange:?}");
        }
    }
}
