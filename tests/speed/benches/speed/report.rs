//! The table at the end, and the same as `speed.json`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    thread,
};

use serde_json::{Value, json};
use walkdir::WalkDir;

/// What is aimed at.
enum Target {
    /// The peer takes at least so many times as long.
    Ratio(f64),
    /// At most so many nanoseconds.
    Nanos(f64),
}

/// Comparison, number of threads if there is one, contender.
type Key = (String, String, String);

/// What weirpool's own contender of a comparison is called, or begins with.
const OURS: &str = "weirpool";

/// The median of each contender in each round, in nanoseconds.
#[derive(Default)]
pub(crate) struct Report(BTreeMap<Key, Vec<f64>>);

impl Report {
    /// Adds what criterion has saved of a round.
    pub(crate) fn collect(&mut self, folder: &Path) {
        for entry in WalkDir::new(criterion(folder)) {
            let path = entry.unwrap().into_path();
            if !path.ends_with("new/estimates.json") {
                continue;
            }
            let name = read(&path.with_file_name("benchmark.json"));
            let text = |field: &str| name[field].as_str().unwrap_or_default().to_owned();
            let key = (text("group_id"), text("value_str"), text("function_id"));
            let median = read(&path)["median"]["point_estimate"].as_f64().unwrap();
            self.0.entry(key).or_default().push(median);
        }
    }

    /// Prints the table and writes it down.
    pub(crate) fn finish(&self, folder: &Path) {
        let cores = thread::available_parallelism().map_or(0, usize::from);
        println!(
            "\n{cores} cores. Medians of the rounds' medians, with the least and the greatest; the ratio says how many\n\
             times as long as weirpool a contender takes.\n\n\
             {:>44} {:>10} {:>19} {:>12} {:>7}",
            "", "ns", "least–greatest", "a second", "ratio"
        );
        let mut rows = Vec::new();
        let mut comparison = None;
        for (key, rounds) in &self.0 {
            let (group, threads, contender) = key;
            if comparison != Some((group, threads)) {
                comparison = Some((group, threads));
                let plural = if threads == "1" { "" } else { "s" };
                match threads.as_str() {
                    "" => println!("{group}"),
                    _ => println!("{group}, {threads} thread{plural}"),
                }
            }
            let nanos = median(rounds);
            let ratio = self.ours(key).map(|ours| nanos / ours);
            let (verdict, met) = verdict(key, nanos, ratio);
            let (least, greatest) = (
                rounds.iter().copied().reduce(f64::min),
                rounds.iter().copied().reduce(f64::max),
            );
            println!(
                "{contender:>44} {nanos:>10.1} {:>19} {:>12.0} {:>7} {verdict}",
                format!("{:.1}–{:.1}", least.unwrap(), greatest.unwrap()),
                1e9 / nanos,
                ratio.map_or(String::new(), |ratio| format!("{ratio:.2}")),
            );
            rows.push(json!({
                "comparison": group,
                "threads": threads.parse::<u32>().ok(),
                "contender": contender,
                "nanoseconds": nanos,
                "rounds": rounds,
                "ratio": ratio,
                "targetMet": met,
            }));
        }
        let file = folder.join("speed.json");
        let report =
            serde_json::to_string_pretty(&json!({ "cores": cores, "rows": rows })).unwrap();
        fs_err::write(&file, report + "\n").unwrap();
        println!("\nwritten to {}", file.display());
    }

    /// The time of weirpool in a contender's comparison, if the contender is another.
    fn ours(&self, (group, threads, contender): &Key) -> Option<f64> {
        if contender.starts_with(OURS) {
            return None;
        }
        let same =
            |(key, _): &(&Key, _)| key.0 == *group && key.1 == *threads && key.2.starts_with(OURS);
        Some(median(self.0.iter().find(same)?.1))
    }
}

fn verdict(
    (group, threads, contender): &Key,
    nanos: f64,
    ratio: Option<f64>,
) -> (String, Option<bool>) {
    let target = match (group.as_str(), threads.as_str(), contender.as_str()) {
        ("every gate on, 64 slots", _, _) => Target::Nanos(150.0),
        ("queue, 64 slots", "1", "crossbeam ArrayQueue") => Target::Ratio(1.0 / 3.0),
        ("queue, 64 slots", "2" | "4" | "8", contender) if contender.contains("Mutex") => {
            Target::Ratio(1.0)
        }
        (group, _, _)
            if ["breaker", "rate", "histogram"]
                .iter()
                .any(|part| group.starts_with(part)) =>
        {
            Target::Ratio(1.0)
        }
        ("pool, empty jobs", _, _) => Target::Ratio(5.0),
        _ => return (String::new(), None),
    };
    let (aim, met) = match (target, ratio) {
        (Target::Nanos(most), _) => (format!("at most {most} ns"), nanos <= most),
        (Target::Ratio(least), Some(ratio)) => (format!("at least {least:.2}"), ratio >= least),
        (Target::Ratio(_), None) => return (String::new(), None),
    };
    let word = if met { "met" } else { "MISSED" };
    (format!("{aim}: {word}"), Some(met))
}

/// Where everything of a run goes: `speed` in cargo's target folder.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("speed")
}

/// Where criterion saves its estimates.
pub(crate) fn criterion(folder: &Path) -> PathBuf {
    folder.join("criterion")
}

fn read(file: &Path) -> Value {
    serde_json::from_str(&fs_err::read_to_string(file).unwrap()).unwrap()
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
