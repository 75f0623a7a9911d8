//! The pace of restarts: how long the pause before a start is, and how many starts there may be.

use crate::model::restart::{Backoff, RestartLimit, RestartPolicy};
use crate::model::time::Monotonic;
use std::time::Duration;

/// The step by which pauses grow unless `restart_delay` says another one; also Supervisor's, process.py, give_up().
const STEP: Duration = Duration::from_secs(1);

/// The pause between an end and the next automatic start, after so many failures in a row, the last one included.
/// `chance` is any number.
pub fn pause(policy: &RestartPolicy, failures: u32, chance: u32) -> Duration {
    let written = policy.restart_delay;
    let grown = match (failures, policy.restart_backoff) {
        (0, _) | (_, Backoff::Fixed) => written.unwrap_or_default(),
        (n, Backoff::Linear) => written.unwrap_or_default().max(STEP).saturating_mul(n),
        (n, Backoff::Exponential) => {
            let doubled = 1_u32.checked_shl(n - 1).unwrap_or(u32::MAX);
            written.unwrap_or(STEP).saturating_mul(doubled)
        }
    };
    let most = policy.restart_delay_max.or(policy.restart_backoff.most()).unwrap_or(Duration::MAX);
    let pause = grown.min(most);
    // At most 100 percent of what fits.
    let extra = pause.as_secs_f64() * f64::from(policy.restart_jitter) / 100.0 * f64::from(chance)
        / f64::from(u32::MAX);
    pause.saturating_add(Duration::try_from_secs_f64(extra).unwrap_or_default())
}

/// Counts an automatic start at `now` among those before it, unless there were as many within the time of the limit:
/// then it must not be.
pub fn count_start(starts: &mut Vec<Monotonic>, limit: RestartLimit, now: Monotonic) -> bool {
    starts.retain(|start| now.since(*start) < limit.within);
    let is_allowed = starts.len() < limit.starts as usize;
    if is_allowed {
        starts.push(now);
    }
    is_allowed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(policy: &RestartPolicy) -> Vec<f64> {
        (0..6).map(|failures| pause(policy, failures, 0).as_secs_f64()).collect()
    }

    #[test]
    fn pauses_grow_as_they_are_told() {
        let policy = |restart_backoff, delay: Option<f64>, most: Option<f64>| RestartPolicy {
            restart_backoff,
            restart_delay: delay.map(Duration::from_secs_f64),
            restart_delay_max: most.map(Duration::from_secs_f64),
            ..RestartPolicy::default()
        };
        use Backoff::*;
        for (policy, expected) in [
            (policy(Linear, None, None), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]),
            (policy(Linear, Some(0.2), None), [0.2, 1.0, 2.0, 3.0, 4.0, 5.0]),
            (policy(Linear, Some(2.0), None), [2.0, 2.0, 4.0, 6.0, 8.0, 10.0]),
            (policy(Linear, Some(2.0), Some(5.0)), [2.0, 2.0, 4.0, 5.0, 5.0, 5.0]),
            (policy(Exponential, None, None), [0.0, 1.0, 2.0, 4.0, 8.0, 16.0]),
            (policy(Exponential, Some(0.1), None), [0.1, 0.1, 0.2, 0.4, 0.8, 1.6]),
            (policy(Exponential, Some(10.0), None), [10.0, 10.0, 20.0, 40.0, 60.0, 60.0]),
            (policy(Exponential, Some(10.0), Some(15.0)), [10.0, 10.0, 15.0, 15.0, 15.0, 15.0]),
            (policy(Fixed, None, None), [0.0; 6]),
            (policy(Fixed, Some(3.0), None), [3.0; 6]),
        ] {
            assert_eq!(seconds(&policy), expected, "{policy:?}");
        }
        let exponential = policy(Exponential, None, None);
        assert_eq!(pause(&exponential, u32::MAX, 0), Duration::from_secs(60));
        let endless = policy(Linear, Some(1e9), None);
        assert!(pause(&endless, u32::MAX, u32::MAX) > Duration::from_secs(1));
    }

    #[test]
    fn jitter_lengthens_a_pause_by_no_more_than_its_share() {
        let delay = Some(Duration::from_secs(10));
        let policy = RestartPolicy { restart_delay: delay, restart_jitter: 20, ..RestartPolicy::default() };
        assert_eq!(pause(&policy, 0, 0), Duration::from_secs(10));
        assert_eq!(pause(&policy, 0, u32::MAX), Duration::from_secs(12));
        let half = pause(&policy, 0, u32::MAX / 2).as_secs_f64();
        assert!((half - 11.0).abs() < 0.001, "{half}");
    }

    #[test]
    fn starts_are_counted_within_the_time_of_the_limit() {
        let limit = RestartLimit { starts: 2, within: Duration::from_secs(60) };
        let at = |seconds: u64| Monotonic(seconds * 1_000_000_000);
        let mut starts = Vec::new();
        let mut counted = |second: u64| (count_start(&mut starts, limit, at(second)), starts.len());
        assert_eq!(counted(100), (true, 1));
        assert_eq!(counted(110), (true, 2));
        assert_eq!(counted(159), (false, 2), "the third within a minute");
        assert_eq!(counted(160), (true, 2), "the first is a minute ago");
        assert_eq!(counted(161), (false, 2));
    }
}
