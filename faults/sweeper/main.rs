//! Sweeps one store and prints the report as JSON, one line for each sweep.
//!
//! `cargo run --package sweeper -- <store> [--retention <ms>] [--now <ms>] [--while <file>]`
//!
//! With `--while` it sweeps again and again, for as long as that file is there. This is the program
//! that the campaigns of `faults/run.mjs` kill, freeze and starve. `FAULT=<name>` has it make one
//! deliberate mistake, to show that a campaign would notice: see `wrong.rs`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use cron_session_reaper::store::survey_cache::SurveyCache;
use cron_session_reaper::sweep::{Outcome, Request, sweep};
use cron_session_reaper::system::{Os, System};

mod wrong;

const DAY_MS: f64 = 86_400_000.0;

struct Arguments {
    store: PathBuf,
    retention_ms: f64,
    now_ms: Option<f64>,
    r#while: Option<PathBuf>,
}

fn main() -> std::io::Result<()> {
    let arguments = match read_arguments() {
        Ok(arguments) => arguments,
        Err(problem) => {
            eprintln!("{problem}");
            std::process::exit(2);
        }
    };
    match std::env::var("FAULT") {
        Ok(name) => run(&wrong::Wrong::named(&name), &arguments),
        Err(_) => run(&Os, &arguments),
    }
}

fn read_arguments() -> Result<Arguments, String> {
    let mut arguments = std::env::args_os().skip(1);
    let store = arguments.next().ok_or("which store?")?;
    let store = std::path::absolute(store).map_err(|error| error.to_string())?;
    let mut read = Arguments {
        store,
        retention_ms: DAY_MS,
        now_ms: None,
        r#while: None,
    };
    while let Some(option) = arguments.next() {
        let value = arguments.next().ok_or("every option takes a value")?;
        let number = || value.to_str().and_then(|text| text.parse().ok());
        match option.to_str() {
            Some("--retention") => read.retention_ms = number().ok_or("not a number")?,
            Some("--now") => read.now_ms = Some(number().ok_or("not a number")?),
            Some("--while") => read.r#while = Some(value.into()),
            _ => return Err(format!("unknown option {}", option.display())),
        }
    }
    Ok(read)
}

fn run<S: System>(system: &S, arguments: &Arguments) -> std::io::Result<()> {
    loop {
        let request = Request {
            store: &arguments.store,
            now_ms: arguments.now_ms.unwrap_or_else(wall_clock_ms),
            retention_ms: arguments.retention_ms,
        };
        let line = to_json(&sweep(system, request, &SurveyCache::new()));
        // One write, so that whoever reads it knows: what is printed was done before.
        std::io::stdout().write_all(format!("{line}\n").as_bytes())?;
        if !arguments.r#while.as_deref().is_some_and(Path::exists) {
            return Ok(());
        }
    }
}

fn wall_clock_ms() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0.0, |since| since.as_secs_f64() * 1000.0)
}

fn to_json(outcome: &Outcome) -> serde_json::Value {
    let report = outcome.result.as_ref().ok();
    serde_json::json!({
        "swept": report.is_some_and(|report| report.swept),
        "pruned": report.map_or(0, |report| report.pruned),
        "log": outcome.log,
    })
}
