//! The order of the queue: its stated bounds, and its cost under churn.
#![cfg(not(loom))]

mod random;

use std::{
    collections::VecDeque,
    time::{Duration, Instant as Wall},
};

use random::Random;
use weirpool_core::{
    pool::{
        Cancel, Config, Finish, Order, Outcome, Pool, Priority, Refused, Submit, Take, WorkerId,
    },
    time::Instant,
};

const LEVELS: [Priority; 4] = [
    Priority::Low,
    Priority::Normal,
    Priority::High,
    Priority::Critical,
];

fn with(priority: Priority) -> Submit {
    Submit {
        priority,
        ..Submit::DEFAULT
    }
}

fn run_one<T, const SLOTS: usize>(pool: &Pool<T, SLOTS>, now: Instant) -> Option<T> {
    let Take::Job(running) = pool.take(WorkerId(0), now) else {
        return None;
    };
    let Finish::Settled(done) = pool.finish(running, Outcome::Success, now) else {
        panic!("nobody else is here")
    };
    Some(done.job)
}

/// `Config::ageing`: a job is overtaken only by jobs of a higher level, submitted no later than (difference of levels) ×
/// ageing after it.
#[test]
fn nothing_is_overtaken_beyond_its_bound() {
    const AGEING: u64 = 1_000_000;
    let seed = random::seed();
    println!("WEIRPOOL_SEED={seed}");
    let mut random = Random::new(seed);
    let pool: Pool<(u64, Priority), 64> = Pool::new(Config {
        capacity: 60,
        ageing: Some(Duration::from_micros(AGEING)),
        ..Config::DEFAULT
    });
    let mut waiting: Vec<(u64, Priority)> = Vec::new();
    let (mut now, mut overtakings) = (0, 0);
    for _ in 0..200_000 {
        now += random.below(200_000);
        let at = Instant::from_micros(now);
        // A flood of critical jobs, and now and then something else.
        let priority = if random.below(4) > 0 {
            Priority::Critical
        } else {
            random.one_of(LEVELS)
        };
        if pool.submit((now, priority), with(priority), at).is_ok() {
            waiting.push((now, priority));
        }
        if random.below(10) < 9
            && let Some(job @ (submitted, level)) = run_one(&pool, at)
        {
            let place = waiting
                .iter()
                .position(|&other| other == job)
                .expect("it waited");
            waiting.remove(place);
            for &(earlier, other) in waiting.iter().filter(|(earlier, _)| *earlier < submitted) {
                overtakings += 1;
                let steps = (level as u64)
                    .checked_sub(other as u64)
                    .expect("not by a lower level");
                assert!(steps > 0 && submitted - earlier <= steps * AGEING);
            }
        }
    }
    assert!(
        overtakings > 1000,
        "the flood must have overtaken somebody: {overtakings}"
    );
}

/// The bound in `Config::ageing` as a number: a low job under a flood of critical ones.
#[test]
fn a_flood_of_critical_jobs_delays_a_low_one_for_a_known_time() {
    const SERVICE: u64 = 10_000;
    const CAPACITY: u64 = 50;
    let pool: Pool<u64, 64> = Pool::new(Config {
        capacity: CAPACITY as usize,
        limit: 1,
        ..Config::DEFAULT
    });
    let mut now = 1_000_000;
    pool.submit(0, with(Priority::Low), Instant::from_micros(now))
        .unwrap();
    let low_since = now;
    loop {
        while pool
            .submit(1, with(Priority::Critical), Instant::from_micros(now))
            .is_ok()
        {}
        now += SERVICE;
        if run_one(&pool, Instant::from_micros(now)) == Some(0) {
            break;
        }
        assert!(
            now - low_since <= 3 * 1_000_000 + CAPACITY * SERVICE,
            "past the bound"
        );
    }
    assert!(
        now - low_since > 2_900_000,
        "its ageing is what let it through"
    );
}

/// `Order::Deadline`: a job is overtaken only by jobs that were submitted no later than horizon + (difference of levels) ×
/// ageing after it.
#[test]
fn deadlines_overtake_nothing_beyond_their_bound() {
    const AGEING: i64 = 1_000;
    const HORIZON: i64 = 3_000;
    let seed = random::seed();
    println!("WEIRPOOL_SEED={seed}");
    let mut random = Random::new(seed);
    let pool: Pool<(u64, Priority), 64> = Pool::new(Config {
        capacity: 60,
        ageing: Some(Duration::from_millis(AGEING as u64)),
        order: Order::Deadline {
            horizon: Duration::from_millis(HORIZON as u64),
        },
        ..Config::DEFAULT
    });
    let mut waiting: Vec<(u64, Priority)> = Vec::new();
    let (mut now, mut overtakings, mut within_level) = (0, 0, 0);
    for _ in 0..100_000 {
        now += random.below(200);
        let at = Instant::from_millis(now);
        // A flood of urgent jobs, and now and then one that has time.
        let (priority, within) = match random.below(4) {
            0 => (random.one_of(LEVELS), random.one_of([None, Some(60_000)])),
            _ => (Priority::High, Some(2_000 + random.below(2_000))),
        };
        let options = Submit {
            total_timeout: within.map(Duration::from_millis),
            ..with(priority)
        };
        if pool.submit((now, priority), options, at).is_ok() {
            waiting.push((now, priority));
        }
        if random.below(10) == 0 {
            continue;
        }
        let job = match pool.take(WorkerId(0), at) {
            Take::Job(running) => {
                let job = *running.job();
                let _ = pool.finish(running, Outcome::Success, at);
                job
            }
            // Its deadline has passed: its turn had come all the same.
            Take::Settled(done) => done.job,
            _ => continue,
        };
        let place = waiting.iter().position(|&other| other == job);
        waiting.remove(place.expect("it waited"));
        let (submitted, level) = job;
        for &(earlier, other) in waiting.iter().filter(|(earlier, _)| *earlier < submitted) {
            overtakings += 1;
            within_level += u32::from(other == level);
            let bound = HORIZON + AGEING * (level as i64 - other as i64);
            assert!((submitted - earlier) as i64 <= bound);
        }
    }
    assert!(
        overtakings > 1000 && within_level > 100,
        "the flood must have overtaken somebody: {overtakings}, {within_level}"
    );
}

/// The bound in `Order::Deadline` as a number: a job that has no deadline under a flood of those that have.
#[test]
fn a_flood_of_urgent_jobs_delays_a_patient_one_for_a_known_time() {
    const SERVICE: u64 = 10;
    const CAPACITY: u64 = 50;
    const HORIZON: u64 = 5_000;
    let pool: Pool<u64, 64> = Pool::new(Config {
        capacity: CAPACITY as usize,
        limit: 1,
        order: Order::Deadline {
            horizon: Duration::from_millis(HORIZON),
        },
        ..Config::DEFAULT
    });
    let urgent = Submit {
        total_timeout: Some(Duration::from_secs(1)),
        ..Submit::DEFAULT
    };
    let began = 1_000;
    let mut now = began;
    pool.submit(0, Submit::DEFAULT, Instant::from_millis(now))
        .unwrap();
    loop {
        while pool.submit(1, urgent, Instant::from_millis(now)).is_ok() {}
        now += SERVICE;
        if run_one(&pool, Instant::from_millis(now)) == Some(0) {
            break;
        }
        assert!(
            now - began <= HORIZON + CAPACITY * SERVICE,
            "past the bound"
        );
    }
    assert!(
        now - began > HORIZON - 1_000,
        "the horizon is what let it through"
    );
}

#[test]
fn strict_priority_starves_and_says_so() {
    let pool: Pool<u32, 16> = Pool::new(Config {
        capacity: 8,
        ageing: None,
        ..Config::DEFAULT
    });
    pool.submit(0, with(Priority::Low), Instant::ZERO).unwrap();
    for hour in 1..1000 {
        let now = Instant::from_millis(hour * 3_600_000);
        pool.submit(1, with(Priority::Normal), now).unwrap();
        assert_eq!(run_one(&pool, now), Some(1));
    }
    assert_eq!(run_one(&pool, Instant::MAX), Some(0));
}

/// First in, first out inside a level, whatever the clock does.
#[test]
fn equal_and_backward_times_keep_the_order() {
    let pool: Pool<u32, 64> = Pool::new(Config {
        capacity: 60,
        ..Config::DEFAULT
    });
    let times = [
        5_000,
        5_000,
        4_000,
        u64::MAX,
        0,
        9_000,
        u64::MAX,
        u64::MAX,
        1,
    ];
    for (job, &time) in (0..).zip(&times) {
        pool.submit(job, Submit::DEFAULT, Instant::from_micros(time))
            .unwrap();
    }
    for job in 0..times.len() as u32 {
        assert_eq!(run_one(&pool, Instant::from_micros(7)), Some(job));
    }
}

#[test]
fn exactly_as_many_as_the_capacity_wait() {
    fn check<const SLOTS: usize>() {
        let pool: Box<Pool<usize, SLOTS>> = Box::new(Pool::new(Config {
            capacity: SLOTS - 1,
            limit: 1,
            most_running: 1,
            ..Config::DEFAULT
        }));
        for round in 0..3 {
            for job in 0..SLOTS - 1 {
                pool.submit(job, Submit::DEFAULT, Instant::ZERO).unwrap();
            }
            assert_eq!(
                pool.submit(9, Submit::DEFAULT, Instant::ZERO),
                Err(Refused::Full(9)),
                "round {round}"
            );
            let Take::Job(running) = pool.take(WorkerId(0), Instant::ZERO) else {
                panic!("jobs wait")
            };
            pool.submit(SLOTS - 1, Submit::DEFAULT, Instant::ZERO)
                .expect("a job that runs holds no place");
            assert_eq!(*running.job(), 0);
            let _ = pool.finish(running, Outcome::Success, Instant::ZERO);
            for job in 1..SLOTS {
                assert_eq!(run_one(&pool, Instant::ZERO), Some(job));
            }
            assert_eq!(run_one(&pool, Instant::ZERO), None);
        }
    }
    check::<2>();
    check::<3>();
    check::<8>();
    check::<9>();
    check::<64>();
    check::<65>();
    check::<513>();
    check::<4097>();
}

/// A waiting head, and a million jobs submitted and cancelled behind it: the head still comes first, the queue is
/// never exhausted, and a job costs the same at the end as at the beginning.
#[test]
fn churn_behind_a_waiting_head() {
    const ROUNDS: u64 = 1_000_000;
    let pool: Box<Pool<u64, 4096>> = Box::new(Pool::new(Config {
        capacity: 4000,
        limit: 16,
        most_running: 16,
        ..Config::DEFAULT
    }));
    let head = pool.submit(0, Submit::DEFAULT, Instant::ZERO).unwrap();
    let mut behind = VecDeque::new();
    let mut quarters = Vec::new();
    let mut begun = Wall::now();
    for job in 1..=ROUNDS {
        let handle = pool
            .submit(job, Submit::DEFAULT, Instant::from_micros(job))
            .expect("there is room");
        behind.push_back(handle);
        // The depth wanders between 1 and 3 999.
        let depth = (job / 500) % 3_999;
        while behind.len() as u64 > depth {
            let handle = behind.pop_front().unwrap();
            assert!(matches!(
                pool.cancel(handle, Instant::ZERO),
                Cancel::Removed(_)
            ));
        }
        if job % (ROUNDS / 4) == 0 {
            quarters.push(begun.elapsed());
            begun = Wall::now();
        }
    }
    println!("quarters of {ROUNDS} submissions and cancellations: {quarters:?}");
    let Take::Job(running) = pool.take(WorkerId(0), Instant::ZERO) else {
        panic!("the head waits")
    };
    assert_eq!((*running.job(), running.handle()), (0, head));
    assert_eq!(pool.snapshot().queued as usize, behind.len());
}
