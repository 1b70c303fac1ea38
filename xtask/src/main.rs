//! The one entry point of the repository: set-up, build, test, demo.

fn main() {}
