//! Which entries of a store are a cron job's runs: their keys tell.

use crate::js;

/// Is this the key of one run of a cron job, such as `agent:main:cron:<job>:run:<id>`?
///
/// The gateway trims the key, ignores capitals and drops empty parts; the agent's name may not be
/// blank. The job itself (`agent:main:cron:<job>`), what lies below a run and runs under another
/// prefix are no runs.
///
/// ```
/// use cron_session_reaper::session_key::is_cron_run;
/// assert!(is_cron_run("agent:main:cron:nightly:run:7f3c"));
/// assert!(is_cron_run(" AGENT::main:cron:nightly:run:7f3c: "));
/// assert!(!is_cron_run("agent:main:cron:nightly"));
/// assert!(!is_cron_run("agent:main:cron:nightly:run:7f3c:sub"));
/// assert!(!is_cron_run("agent:main:slack:cron:nightly:run:7f3c"));
/// ```
#[must_use]
pub fn is_cron_run(key: &str) -> bool {
    let mut parts = js::trim(key).split(':').filter(|part| !part.is_empty());
    let (Some(agent), Some(name), Some(cron), Some(_job), Some(run), Some(_id), None) = (
        parts.next(),
        parts.next(),
        parts.next(),
        parts.next(),
        parts.next(),
        parts.next(),
        parts.next(),
    ) else {
        return false;
    };
    // The gateway lower-cases all of Unicode, but of the letters outside ASCII only K (U+212A, the
    // kelvin sign) and İ (U+0130) give ASCII ones, k and i, and none of these words has either.
    agent.eq_ignore_ascii_case("agent")
        && !js::trim(name).is_empty()
        && cron.eq_ignore_ascii_case("cron")
        && run.eq_ignore_ascii_case("run")
}

#[cfg(test)]
mod tests {
    use super::is_cron_run;
    use proptest::prelude::*;

    /// The contract's sentence, word for word.
    fn by_the_contract(key: &str) -> bool {
        let key = crate::js::trim(key).to_lowercase();
        let parts: Vec<&str> = key.split(':').filter(|part| !part.is_empty()).collect();
        if parts.len() < 3 || parts[0] != "agent" || crate::js::trim(parts[1]).is_empty() {
            return false;
        }
        let rest = &parts[2..];
        rest.len() == 4 && rest[0] == "cron" && rest[2] == "run"
    }

    #[test]
    fn only_two_letters_outside_ascii_lower_case_into_ascii() {
        let into_ascii: String = ('\u{80}'..=char::MAX)
            .filter(|c| c.to_lowercase().any(|lower| lower.is_ascii()))
            .collect();
        assert_eq!(into_ascii, "\u{130}\u{212a}");
        assert!(!"agentcronrun".contains(['i', 'k']));
    }

    #[test]
    fn an_agent_of_white_space_alone_has_no_runs() {
        assert!(!is_cron_run("agent: :cron:j:run:x"));
        assert!(!is_cron_run("agent:\u{feff}:cron:j:run:x"));
        assert!(is_cron_run("agent:\u{85}:cron:j:run:x"));
    }

    #[test]
    fn a_job_or_run_of_white_space_is_one_all_the_same() {
        assert!(is_cron_run("agent:a:cron: :run:x"));
    }

    proptest! {
        #[test]
        fn the_rule_is_the_contracts(
            parts in proptest::collection::vec(
                prop_oneof![
                    4 => Just("agent"), 4 => Just("cron"), 4 => Just("run"), 3 => Just("main"),
                    1 => Just("Agent"), 1 => Just("CRON"), 1 => Just("rUn"), 1 => Just(""),
                    1 => Just(" "), 1 => Just("\u{feff}"), 1 => Just("\u{212a}"),
                    1 => Just("run "), 1 => Just("\n"), 1 => Just("cr\u{f6}n"),
                ],
                0..9,
            ),
        ) {
            let key = parts.join(":");
            prop_assert_eq!(is_cron_run(&key), by_the_contract(&key), "{:?}", key);
        }

        #[test]
        fn near_a_run_the_rule_is_the_contracts(
            at in 0_usize..28, length in 0_usize..4, put in "[:a-zA-Z \u{feff}\u{130}]{0,3}",
        ) {
            let mut key = "agent:main:cron:job:run:id-1".to_owned();
            key.replace_range(at..(at + length).min(key.len()), &put);
            prop_assert_eq!(is_cron_run(&key), by_the_contract(&key), "{:?}", key);
        }
    }
}
