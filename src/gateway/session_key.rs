//! Classifies the entries of a store by their keys: cron runs and other sessions.

use std::borrow::Cow;

use crate::gateway::js;

/// Returns whether `key` is the key of a cron job's run, such as `agent:main:cron:<job>:run:<id>`.
///
/// As in the gateway, white space around the key, case and empty parts are ignored, and the agent's
/// name must not be blank. The key of a job (`agent:main:cron:<job>`), a key below a run and a run
/// under another prefix are not keys of runs.
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
    let mut parts = parts(key);
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
    // The gateway lower-cases all of Unicode. Only K (U+212A, the kelvin sign) and İ (U+0130) become
    // ASCII letters, k and i, and these words contain neither.
    agent.eq_ignore_ascii_case("agent")
        && !js::trim(name).is_empty()
        && cron.eq_ignore_ascii_case("cron")
        && run.eq_ignore_ascii_case("run")
}

/// Which keys are keys of runs. The rule depends on the gateway's version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RunKeys {
    /// Until 2026.5.7: see [`is_cron_run`].
    #[default]
    Runs,
    /// From 2026.5.12: also the keys below a run, such as `agent:main:cron:<job>:run:<id>:subagent:7`.
    ///
    /// Some of these versions ignore empty parts and some do not, so a key with an empty part before
    /// the run's id is not the key of a run.
    RunsAndDescendants,
}

impl RunKeys {
    /// Returns whether `key` is the key of a run.
    ///
    /// ```
    /// use cron_session_reaper::gateway::session_key::RunKeys;
    /// let key = "agent:main:cron:nightly:run:7f3c:subagent:1";
    /// assert!(RunKeys::RunsAndDescendants.contains(key));
    /// assert!(!RunKeys::Runs.contains(key));
    /// ```
    #[must_use]
    pub fn contains(self, key: &str) -> bool {
        match self {
            Self::Runs => is_cron_run(key),
            Self::RunsAndDescendants => is_in_cron_run(key),
        }
    }
}

/// Returns whether `key` is the key of a run or of a descendant of a run.
fn is_in_cron_run(key: &str) -> bool {
    let key = js::trim(key);
    // The end of the sixth part.
    let end = key
        .match_indices(':')
        .nth(5)
        .map_or(key.len(), |(at, _)| at);
    let run = &key[..end];
    !run.split(':').any(str::is_empty) && is_cron_run(run)
}

fn parts(key: &str) -> impl Iterator<Item = &str> {
    js::trim(key).split(':').filter(|part| !part.is_empty())
}

/// The [`kind`] of a cron job's run.
pub(crate) const CRON_RUN: &str = "cron run";

/// The [`kind`] of an entry whose key has another form.
pub(crate) const OTHER: &str = "other";

/// The longest name of a kind, in bytes. The gateway's longest channel has 14.
const MAX_KIND_BYTES: usize = 32;

/// Returns the kind of session that a key belongs to, for display only.
///
/// The kind is `cron run`, `cron job` (the job's own session and keys below a run), `main`, or the
/// word after the agent's name if more parts follow: a channel (`telegram`), `subagent`, `acp`,
/// `hook`, …. Old keys without an agent are treated in the same way. All other keys are `other`.
#[must_use]
pub(crate) fn kind(key: &str) -> Cow<'_, str> {
    if is_cron_run(key) {
        return CRON_RUN.into();
    }
    let mut parts = parts(key);
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
    } else if !has_more || word.len() > MAX_KIND_BYTES || !word.bytes().all(is_name) {
        OTHER.into()
    } else if word.bytes().any(|byte| byte.is_ascii_uppercase()) {
        word.to_ascii_lowercase().into()
    } else {
        word.into()
    }
}

/// Returns the name of the job whose run `key` belongs to, in lower case as the gateway compares it;
/// `None` if it is not the key of a run.
#[must_use]
pub(crate) fn job(key: &str) -> Option<String> {
    let mut parts = parts(key);
    is_cron_run(key).then(|| parts.nth(3).unwrap_or_default().to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::{RunKeys, is_cron_run, job, kind};
    use crate::gateway::recording;
    use proptest::prelude::*;

    #[test]
    fn classifies_every_recorded_key_as_the_gateway_does() {
        let keys = recording("__test__/gateway-vectors/session-keys.json", "keys");
        assert!(keys.len() >= 200);
        for recorded in keys {
            let key = recorded["key"].as_str().unwrap();
            let expected = recorded["cronRun"].as_bool().unwrap();
            assert_eq!(is_cron_run(key), expected, "{key:?}");
        }
    }

    #[test]
    fn descendants_of_a_run_belong_to_it_by_the_later_rule_only() {
        for (key, expected) in [
            ("agent:main:cron:j:run:x", true),
            (" AGENT:main:cron:j:run:x ", true),
            ("agent:main:cron:j:run:x:", true),
            ("agent:main:cron:j:run:x:subagent:7", true),
            ("agent:main:cron:j:run:x::thread", true),
            ("agent:main:cron:j:run", false),
            ("agent:main:cron:j:run:", false),
            ("agent:main:cron:j:run::x", false),
            ("agent::main:cron:j:run:x", false),
            ("agent:main:slack:cron:j:run:x", false),
            ("agent:main:cron:j:runs:x", false),
            ("agent: :cron:j:run:x", false),
            ("", false),
        ] {
            assert_eq!(
                RunKeys::RunsAndDescendants.contains(key),
                expected,
                "{key:?}"
            );
        }
        assert!(!RunKeys::Runs.contains("agent:main:cron:j:run:x:subagent:7"));
    }

    /// Applies the gateway's rule literally: trim, lower-case, split, compare.
    fn is_cron_run_literally(key: &str) -> bool {
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
    }

    #[test]
    fn rejects_an_agent_whose_name_is_blank() {
        assert!(!is_cron_run("agent: :cron:j:run:x"));
        assert!(!is_cron_run("agent:\u{feff}:cron:j:run:x"));
        assert!(is_cron_run("agent:\u{85}:cron:j:run:x"));
    }

    #[test]
    fn accepts_a_job_whose_name_is_blank() {
        assert!(is_cron_run("agent:a:cron: :run:x"));
    }

    #[test]
    fn returns_the_kind_of_known_keys_and_other_for_all_others() {
        for (key, expected) in [
            ("agent:main:cron:nightly:run:7f3c", "cron run"),
            ("agent:main:cron:nightly", "cron job"),
            ("agent:main:Telegram:direct:12345", "telegram"),
            ("agent:main:main", "main"),
            ("agent:main:a-chat-without-a-channel", "other"),
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
            (
                "agent:main:a-word-that-is-too-long-for-a-channel:5",
                "other",
            ),
        ] {
            assert_eq!(kind(key), expected, "{key:?}");
        }
    }

    #[test]
    fn returns_the_job_of_a_run_in_lower_case() {
        let job_of_run = job("agent:main:cron:Nightly:run:7f3c");
        assert_eq!(job_of_run.as_deref(), Some("nightly"));
        assert_eq!(job("agent:main:cron:nightly"), None);
    }

    proptest! {
        #[test]
        fn returns_a_job_and_the_kind_cron_run_exactly_for_runs(key in "(agent|:|a|cron|run|Ü){0,11}") {
            prop_assert_eq!(job(&key).is_some(), is_cron_run(&key));
            prop_assert_eq!(kind(&key) == "cron run", is_cron_run(&key));
        }

        #[test]
        fn agrees_with_the_literal_rule_for_random_parts(
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
            prop_assert_eq!(is_cron_run(&key), is_cron_run_literally(&key), "{:?}", key);
        }

        #[test]
        fn agrees_with_the_literal_rule_for_a_damaged_key_of_a_run(
            at in 0_usize..28, length in 0_usize..4, put in "[:a-zA-Z \u{feff}\u{130}]{0,3}",
        ) {
            let mut key = "agent:main:cron:job:run:id-1".to_owned();
            key.replace_range(at..(at + length).min(key.len()), &put);
            prop_assert_eq!(is_cron_run(&key), is_cron_run_literally(&key), "{:?}", key);
        }
    }
}
