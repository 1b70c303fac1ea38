//! The core's speed beside its peers, as ratios taken in one run: `cargo xtask bench --native`, or
//! `cargo bench -p weirpool-speed` with, after `--`, a part of a name and criterion's own options.
//!
//! Every contender runs once in each of several rounds, so that what else the machine does meanwhile meets all of
//! them; the figures are medians of the rounds' medians.

mod gates;
mod go;
mod path;
mod pool;
mod queue;
mod report;
mod threads;

use std::time::Duration;

use criterion::Criterion;

use report::Report;

const ROUNDS: usize = 3;

fn main() {
    let folder = report::folder();
    let estimates = report::criterion(&folder);
    let mut report = Report::default();
    for round in 1..=ROUNDS {
        println!("round {round} of {ROUNDS}");
        // Without what an earlier round left, which criterion would compare with.
        if estimates.exists() {
            fs_err::remove_dir_all(&estimates).unwrap();
        }
        fs_err::create_dir_all(&estimates).unwrap();
        let mut criterion = Criterion::default()
            .output_directory(&estimates)
            .without_plots()
            .warm_up_time(Duration::from_millis(100))
            .measurement_time(Duration::from_millis(400))
            .sample_size(20)
            .nresamples(1_000)
            .configure_from_args();
        path::bench(&mut criterion);
        queue::bench(&mut criterion);
        gates::bench(&mut criterion);
        pool::bench(&mut criterion);
        report.collect(&folder);
    }
    report.finish(&folder);
}
