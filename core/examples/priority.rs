//! The priority pool: four levels, and none of them starves. Time is an argument, so here it is made up.
//!
//! `cargo run -p weirpool-core --example priority`

use std::time::Duration;

use weirpool_core::{
    pool::{Config, Finish, Outcome, Pool, Priority, Submit, Take, WorkerId},
    time::Instant,
};

/// One worker. A level is worth 100 ms.
static POOL: Pool<&str, 17> = Pool::new(Config {
    limit: 1,
    most_running: 1,
    ageing: Some(Duration::from_millis(100)),
    ..Config::DEFAULT
});

fn main() {
    let submit = |job, priority, now| {
        let options = Submit {
            priority,
            ..Submit::DEFAULT
        };
        POOL.submit(job, options, now).expect("there is room");
    };
    let mut now = Instant::from_millis(0);
    submit("report", Priority::Low, now);
    submit("thumbnail", Priority::Normal, now);
    submit("page", Priority::High, now);

    // A job that takes 50 ms for every one that it takes 50 ms to run: the lower levels go as they age.
    for round in 0..12 {
        if round < 9 {
            submit("alarm", Priority::Critical, now);
        }
        let Take::Job(running) = POOL.take(WorkerId(0), now) else {
            break;
        };
        now = now.saturating_add(Duration::from_millis(50));
        if let Finish::Settled(done) = POOL.finish(running, Outcome::Success, now) {
            println!("{:9} waited {:?}", done.job, done.wait);
        }
    }
}
