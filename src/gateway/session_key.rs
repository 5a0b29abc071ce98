//! Which entries of a store are a cron job's runs, and what the others are: their keys tell.

use std::borrow::Cow;

use crate::gateway::js;

/// Is this the key of one run of a cron job, such as `agent:main:cron:<job>:run:<id>`?
///
/// The gateway trims the key, ignores capitals and drops empty parts; the agent's name may not be
/// blank. The job itself (`agent:main:cron:<job>`), what lies below a run and runs under another
/// prefix are no runs.
///
/// ```
/// use cron_session_reaper::gateway::session_key::is_cron_run;
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

/// What [`kind`] calls the run of a cron job.
pub const CRON_RUN: &str = "cron run";

/// What [`kind`] calls an entry whose key tells nothing that it knows.
pub const OTHER: &str = "other";

/// No kind has a longer name, in bytes. The longest channel of the gateway has 14.
const LONGEST_KIND: usize = 32;

/// What sort of session a key is for, to be shown to people; nothing is decided by it.
///
/// `cron run`, `cron job` (the job's own session, and what lies below a run), `main`, or the word
/// that follows the agent's name if more follows on it: a channel (`telegram`), `subagent`, `acp`,
/// `hook`, …. Old keys without an agent are read in the same way. Everything else is `other`.
///
/// ```
/// use cron_session_reaper::gateway::session_key::kind;
/// assert_eq!(kind("agent:main:cron:nightly:run:7f3c"), "cron run");
/// assert_eq!(kind("agent:main:cron:nightly"), "cron job");
/// assert_eq!(kind("agent:main:Telegram:direct:12345"), "telegram");
/// assert_eq!(kind("agent:main:main"), "main");
/// assert_eq!(kind("agent:main:a-chat-of-its-own"), "other");
/// ```
#[must_use]
pub fn kind(key: &str) -> Cow<'_, str> {
    if is_cron_run(key) {
        return CRON_RUN.into();
    }
    let mut parts = js::trim(key).split(':').filter(|part| !part.is_empty());
    let mut word = parts.next().unwrap_or_default();
    if word.eq_ignore_ascii_case("agent") {
        word = parts.nth(1).unwrap_or_default();
    }
    let has_more = parts.next().is_some();
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if word.eq_ignore_ascii_case("cron") && has_more {
        "cron job".into()
    } else if word.eq_ignore_ascii_case("main") {
        "main".into()
    } else if !has_more || word.len() > LONGEST_KIND || !word.bytes().all(is_name) {
        OTHER.into()
    } else if word.bytes().any(|byte| byte.is_ascii_uppercase()) {
        word.to_ascii_lowercase().into()
    } else {
        word.into()
    }
}

/// The job whose run this key is, in lower case as the gateway reads it; `None` if it is no run's.
///
/// ```
/// use cron_session_reaper::gateway::session_key::job;
/// assert_eq!(job("agent:main:cron:Nightly:run:7f3c").as_deref(), Some("nightly"));
/// assert_eq!(job("agent:main:cron:nightly"), None);
/// ```
#[must_use]
pub fn job(key: &str) -> Option<String> {
    let mut parts = js::trim(key).split(':').filter(|part| !part.is_empty());
    is_cron_run(key).then(|| parts.nth(3).unwrap_or_default().to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::{is_cron_run, job, kind};
    use proptest::prelude::*;

    /// The contract's sentence, word for word.
    fn by_the_contract(key: &str) -> bool {
        let key = crate::gateway::js::trim(key).to_lowercase();
        let parts: Vec<&str> = key.split(':').filter(|part| !part.is_empty()).collect();
        if parts.len() < 3 || parts[0] != "agent" || crate::gateway::js::trim(parts[1]).is_empty() {
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

    #[test]
    fn a_kind_is_a_word_that_only_a_channel_or_the_gateway_uses() {
        for (key, expected) in [
            ("agent:main:discord:channel:7:thread:8", "discord"),
            ("agent:main:whatsapp:default:direct:+4912345", "whatsapp"),
            ("agent:main:subagent:7f3c", "subagent"),
            ("agent:main:acp:binding:slack", "acp"),
            ("agent:main:MAIN", "main"),
            ("agent:main:main:thread:5", "main"),
            ("main", "main"),
            ("telegram:group:5", "telegram"),
            ("cron:nightly", "cron job"),
            ("cron:nightly:run:7", "cron job"),
            ("agent:main:cron:nightly:run:7:subagent:8", "cron job"),
            ("agent:main:cron", "other"),
            (" Agent::x:Signal:: 5 ", "signal"),
            ("agent:main", "other"),
            ("agent", "other"),
            ("", "other"),
            ("+491234567", "other"),
            ("global", "other"),
            ("agent:main:+49:direct:5", "other"),
            ("agent:main:\u{1b}[2J:direct:5", "other"),
            ("agent:main:a-word-that-no-channel-would-have:5", "other"),
        ] {
            assert_eq!(kind(key), expected, "{key:?}");
        }
    }

    proptest! {
        #[test]
        fn a_run_and_nothing_else_has_a_job_and_is_of_the_kind(key in "(agent|:|a|cron|run|Ü){0,11}") {
            prop_assert_eq!(job(&key).is_some(), is_cron_run(&key));
            prop_assert_eq!(kind(&key) == "cron run", is_cron_run(&key));
        }

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
