//! Sentences that were written after the first tables held, what was said before, and properties.

use std::sync::Arc;

use super::{
    table_tests::{check, directory, shown, specs},
    *,
};

/// Written when the tables above held, before anything was looked up for these.
#[test]
fn sentences_that_came_later() {
    check(&[
        ("How is customer 19 doing?", "check_up(customer_id=19)"),
        ("Give me the health score for Alpenblick Hotel", "get_health_score(customer_id=7)"),
        ("What's the CPU and memory usage of customer 7?", "get_metrics(customer_id=7)"),
        ("Which alerts are active?", "list_active_alerts()"),
        (
            "What is the status of redis for customer 12?",
            "get_container_status(customer_id=12, service=redis)",
        ),
        ("Can you check on customer 16?", "check_up(customer_id=16)"),
        ("Restart the web container of Nordwind Bakery.", "restart_container(customer_id=19, service=web)"),
        ("Restart the whole stack of customer 12", "restart_container(customer_id=12)"),
        ("Is everything fine with Kranich Books?", "check_up(customer_id=12)"),
        ("tell me about customer 7's health", "get_health_score(customer_id=7)"),
        (
            "I need the logs from the db container of customer 12",
            "get_recent_logs(customer_id=12, service=db)",
        ),
        ("Something is off with the bakery's shop, can you look?", "?check_up(customer_id=19)"),
        ("Users report 502s on nordwind.example, what's going on?", "check_up(customer_id=19)"),
        ("please look into customer 16", "check_up(customer_id=16)"),
        ("pull the logs for 7", "get_recent_logs(customer_id=7)"),
        ("show CPU graph for 19 over the last 6 hours", "get_metrics(customer_id=19, window=6h)"),
        (
            "what's the memory consumption of customer 12 in the last hour",
            "get_metrics(customer_id=12, window=1h)",
        ),
        ("is anything on fire?", "list_active_alerts()"),
        ("stop redis of customer 16", "stop_container(customer_id=16, service=redis)"),
        ("start the db of customer 16 again", "start_container(customer_id=16, service=db)"),
        ("clear varnish for customer 19", "clear_cache(customer_id=19, kind=varnish)"),
        ("flush the cache of nordwind bakery", "clear_cache(customer_id=19)"),
        ("Are newer images available for customer 7?", "image_updates(customer_id=7)"),
        ("How much disk space is left?", "get_disk_usage()"),
        ("customer 12's web container needs a restart", "?restart_container(customer_id=12, service=web)"),
        (
            "restart web for customer 19 and then show me its logs",
            "restart_container(customer_id=19, service=web) + get_recent_logs(customer_id=19, service=web)",
        ),
        (
            "show me the logs of web for 19, then restart it",
            "get_recent_logs(customer_id=19, service=web) + restart_container(customer_id=19, service=web)",
        ),
        ("Check customer 7 and customer 19", "check_up(customer_id=7) + check_up(customer_id=19)"),
        (
            "Compare the health of 7 and 12",
            "get_health_score(customer_id=7) + get_health_score(customer_id=12)",
        ),
        ("don't touch customer 19", "held"),
        ("no restart please", "held"),
        ("we restarted web of 19 an hour ago, is it ok now?", "check_up(customer_id=19)"),
        ("nobody should restart web of 19", "!"),
        ("you may restart web of 19 if I say so", "!"),
        ("tell anna to restart web of 19", "!"),
        ("explain how to restart web of 19", "!"),
        ("remind me to restart web of 19", "!"),
        ("is web of 19 restarting?", "!"),
        ("has the cache of 19 been cleared?", "!"),
        ("the restart of web of 19 is done", "!"),
        ("restart of web of 19 at 3 am", "!"),
        ("pretend to restart web of 19", "!"),
        ("simulate a restart of web of 19", "!"),
        ("undo the restart of web of 19", "!"),
        ("restart the web of 19 only after asking ben", "!"),
        ("what did you restart on 19?", "!"),
        ("are you going to restart web of 19?", "!"),
        ("list everything you could restart on 19", "!"),
        ("web of 19 restarts all the time", "!"),
        ("please do nothing to web of 19", "!"),
        ("hotel", "check_up(customer_id=7)"),
        ("how many customers do we host?", "list_customers()"),
        ("good evening opsbot", "talk"),
        ("ok cool", "talk"),
        ("who are you?", "talk"),
    ]);
}

#[test]
fn notes_hosts_and_whole_sites() {
    check(&[
        (
            "remember that customer 7 is on vacation until May",
            "remember(text=customer 7 is on vacation until May)",
        ),
        ("remember: never restart db of 19 on Mondays", "remember(text=never restart db of 19 on Mondays)"),
        ("do you remember customer 7?", "!"),
        ("show my notes", "list_notes()"),
        ("list the notes", "list_notes()"),
        ("turn the db of alpenblick off and on again", "restart_container(customer_id=7, service=db)"),
        ("turn off web on customer 19", "stop_container(customer_id=19, service=web)"),
        ("switch redis of 7 off and back on", "restart_container(customer_id=7, service=redis)"),
        ("turn off the db of alpenblick", "stop_container(customer_id=7, service=db)"),
        ("what runs on beta?", "list_containers(host=beta)"),
        ("graph up{job=\"node\"}", "query_prometheus(query=up{job=\"node\"}, range=1h)"),
        ("run a playbook", "?run_playbook"),
        ("are all of kranich's containers up?", "get_container_status(customer_id=12)"),
        ("how is 19? | ok, bounce its web then", "restart_container(customer_id=19, service=web)"),
        ("stop and start web of 19", "!"),
        ("forget note 7", "forget_note(id=7)"),
        ("list the containers of customer 7", "list_containers(customer_id=7)"),
        ("disk usage of customer 19", "get_disk_usage(customer_id=19)"),
        ("clear the stale cache of 19", "clear_cache(customer_id=19)"),
        ("explain connection reset by peer", "explain_error(text=connection reset by peer)"),
    ]);
}

#[test]
fn what_was_said_before_completes_what_is_said_now() {
    let (tools, directory) = (Vocabulary::new(std::sync::Arc::new(specs())), directory());
    let offer = Offer { tools: &tools, directory: &directory };
    let logs = ToolCall {
        tool: "get_recent_logs".into(),
        args: crate::domain::Args(serde_json::json!({"customer_id": "19"}).as_object().unwrap().clone()),
    };
    let earlier = ["show the logs of 19".to_owned()];
    let table = [
        (None, Some(&logs), "and 7?", "get_recent_logs(customer_id=7)"),
        (None, Some(&logs), "what about kranich?", "get_recent_logs(customer_id=12)"),
        (None, Some(&logs), "and the db?", "get_recent_logs(customer_id=19, service=db)"),
        (Some("show me the logs"), None, "19", "get_recent_logs(customer_id=19)"),
        (Some("restart web"), None, "of customer 7", "restart_container(customer_id=7, service=web)"),
        (Some("should I restart web?"), None, "7", "held"),
        (Some("don't restart web"), None, "7", "held"),
        (Some("show me the logs"), None, "check 7", "check_up(customer_id=7)"),
    ];
    for (open, last, text, want) in table {
        let asked = Asked { text, earlier: &earlier, open, last, quoted: None, incident: None };
        assert_eq!(shown(&understand(&asked, offer)), want, "{text} after {open:?} and {last:?}");
    }
}

#[test]
fn words_select_tools_and_are_kept_without_names() {
    let (tools, directory) = (Vocabulary::new(std::sync::Arc::new(specs())), directory());
    let offer = Offer { tools: &tools, directory: &directory };
    let core: Vec<_> = crate::agent::prompt::CORE.to_vec();
    let table: [(&str, &[&str]); 5] = [
        ("how is customer 19?", &[]),
        ("restart web of 19", &[]),
        ("clear the cache of 19", &["clear_cache"]),
        (
            "which playbooks are there, and is there free space on the disk?",
            &["list_playbooks", "get_disk_usage"],
        ),
        ("> clear the cache\nwhat is this?", &[]),
    ];
    for (text, want) in table {
        let got = select(text, offer, &core);
        assert!(want.iter().all(|w| got.contains(w)) && got.len() <= want.len() + 1, "{text}: {got:?}");
        assert!(!want.is_empty() || got.is_empty(), "{text}: {got:?}");
    }
    let table = [
        ("Make Nordwind Bakery's web happy again", "make <customer> <service> happy again"),
        ("do 17 things with \"my secret words here\"", "do <number> things with <text>"),
        ("> quoted words\nfrobnicate #19", "frobnicate <customer>"),
    ];
    for (text, want) in table {
        assert_eq!(normalised(text, &directory), want);
    }
}

proptest::proptest! {
    /// Whatever is typed, nothing panics, and a change runs only with its verb in the person's own words.
    #[test]
    fn no_words_lead_to_a_change_without_its_verb(words in proptest::collection::vec(proptest::sample::select(
        vec!["web", "19", "nordwind", "the", "of", "cache", "please", "show", "logs", "and", "its", "it", "now", "db",
            "container", "\"", ",", "?", "\n", "not", "#7", "customer", "everything", "reboots", "it's", "’", "99", "ü"]), 0..12)) {
        static TOOLS: std::sync::LazyLock<Vocabulary> =
            std::sync::LazyLock::new(|| Vocabulary::new(std::sync::Arc::new(specs())));
        let text = words.join(" ");
        let directory = directory();
        let verdict = understand(&Asked { text: &text, ..Asked::default() }, Offer { tools: &TOOLS, directory: &directory });
        if let Verdict::Run(calls) = verdict {
            let writes = calls.iter().any(|c| TOOLS.specs().iter().any(|s| s.name == c.tool && s.is_write() && s.floor != Risk::Blocked));
            proptest::prop_assert!(!writes, "{text:?}");
        }
    }
}

#[test]
fn what_is_clear_needs_no_model() {
    let (tools, directory) = (Vocabulary::new(Arc::new(specs())), directory());
    let offer = Offer { tools: &tools, directory: &directory };
    let table = [
        ("what's wrong with customer 19?", "check_up(customer_id=19)"),
        ("show me the logs of web of customer 7", "get_recent_logs(customer_id=7, service=web)"),
        ("restart web of customer 19", "restart_container(customer_id=19, service=web)"),
        ("remember that customer 7 is away until May", "remember(text=customer 7 is away until May)"),
        ("are there alerts?", "list_active_alerts()"),
        // What is left over is for a model, and so are questions back and small talk.
        ("I guess the sourdough of customer 19 went stale overnight, what do its logs say?", ""),
        ("my boss would love the logs of customer 7 as a haiku", ""),
        ("should I restart web of customer 19?", ""),
        ("show me the logs", ""),
        ("thanks!", ""),
    ];
    for (text, wanted) in table {
        let asked = Asked { text, ..Asked::default() };
        let calls = clear(&asked, offer).unwrap_or_default();
        let shown: Vec<_> = calls.iter().map(ToString::to_string).collect();
        assert_eq!(shown.join(", "), wanted, "{text}");
    }
}
