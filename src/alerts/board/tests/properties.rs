//! Whatever happens to incidents, messages and the daemon: in the end all that concerns a chat is shown in it, and nothing is said
//! over and over.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Happens {
    Opens { id: i64, severity: u8, rings: u32 },
    Changes { id: i64, what: u8 },
    Passes(i64),
    Done,
    Lost,
    NotBegun,
    Gone,
    Failed,
    Restart,
    Shown(i64),
}

fn happens() -> impl Strategy<Value = Happens> {
    let id = 1_i64..40;
    prop_oneof![
        6 => (id.clone(), 0_u8..3, 0_u32..2).prop_map(|(id, severity, rings)| Happens::Opens { id, severity, rings }),
        6 => (id.clone(), 0_u8..8).prop_map(|(id, what)| Happens::Changes { id, what }),
        2 => (1_i64..400).prop_map(Happens::Passes),
        8 => Just(Happens::Done),
        1 => Just(Happens::Lost),
        1 => Just(Happens::NotBegun),
        1 => Just(Happens::Gone),
        1 => Just(Happens::Failed),
        1 => Just(Happens::Restart),
        1 => id.prop_map(Happens::Shown),
    ]
}

fn change(incident: &mut Incident, what: u8, now: Timestamp) {
    match what {
        0 => incident.state = IncidentState::Acked,
        1 => (incident.state, incident.rings) = (IncidentState::Firing, incident.rings + 1),
        2 => incident.state = IncidentState::Recovering,
        3 => (incident.severity, incident.rings) = (Severity::Critical, incident.rings + 1),
        4 => incident.mute = Some(Mute::Silenced { silence: SilenceId(1) }),
        5 => (incident.mute, incident.due_at) = (None, Some(now)),
        6 => (incident.state, incident.resolved_at) = (IncidentState::Resolved, Some(now)),
        _ => incident.step += 1,
    }
}

fn apply(chat: &mut Chat, step: Happens) {
    match step {
        Happens::Opens { id, severity, rings } => {
            if chat.desk.incident(IncidentId(id)).is_none() {
                let severity = [Severity::Info, Severity::Warning, Severity::Critical][usize::from(severity)];
                let mut new = Incident { rings, ..incident(id, severity, chat.now) };
                new.subject.customer = Some(CustomerId::new((id % 4).to_string()));
                chat.put(new);
            }
        }
        Happens::Changes { id, what } => {
            let now = chat.now;
            let open = chat.desk.incident(IncidentId(id)).is_some_and(|i| i.state != IncidentState::Resolved);
            if open {
                chat.change(id, |i| change(i, what, now));
            }
        }
        Happens::Passes(seconds) => chat.pass(seconds),
        Happens::Restart => chat.restart(),
        Happens::Shown(id) => chat.board.show(IncidentId(id)),
        job => wire(chat, &job),
    }
}

/// The next job meets this end.
fn wire(chat: &mut Chat, end: &Happens) {
    let Some(job) = chat.next() else { return };
    if !matches!(end, Happens::Gone) || !matches!(job, Job::Send { .. }) {
        chat.begins(&job);
    }
    let row = match end {
        Happens::Done => return chat.done(&job),
        Happens::NotBegun => chat.board.not_begun(&job),
        Happens::Failed => chat.board.failed(&job, "no"),
        Happens::Gone if !matches!(job, Job::Send { .. }) => chat.board.gone(&job),
        _ => None,
    };
    chat.write(row);
}

/// Every open incident that is to be seen is: on a card, on the storm's, or it is known why not.
fn all_shown(chat: &Chat) {
    let storm = chat.board.lasting().is_some_and(|s| s.message.is_some() || s.begun >= 2 || s.shown > 0);
    for id in 1..40 {
        let Some(incident) = chat.desk.incident(IncidentId(id)) else { continue };
        let page = chat.pages.get(&incident.id);
        let standing = page.is_some_and(|p| p.message.is_some() && p.shown == incident.revision);
        let given_up =
            page.is_some_and(|p| p.failed.is_some() || p.message.is_none() && (p.begun >= 2 || p.shown > 0));
        let nobody = incident.mute.is_some()
            || matches!(incident.state, IncidentState::Resolved | IncidentState::Recovering);
        let never = page.is_none_or(|p| p.message.is_none());
        assert!(standing || given_up || never && (storm || nobody), "{incident:?} {page:?} {:?}", chat.storm);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn in_the_end_all_that_concerns_a_chat_is_shown(steps in prop::collection::vec(happens(), 1..160)) {
        let mut chat = Chat::plain();
        for step in steps {
            apply(&mut chat, step);
        }
        // Jobs that were on their way end, and the storm's card may change a last time.
        for _ in 0..40 {
            chat.drain();
            chat.pass(61);
        }
        prop_assert_eq!(chat.next(), None);
        all_shown(&chat);
        // The rows alone say the same.
        chat.restart();
        for _ in 0..40 {
            chat.drain();
            chat.pass(61);
        }
        prop_assert_eq!(chat.next(), None);
        all_shown(&chat);
    }

    #[test]
    fn no_card_is_sent_more_often_than_it_has_something_to_say(steps in prop::collection::vec(happens(), 1..160)) {
        let mut chat = Chat::plain();
        let mut sends = BTreeMap::<IncidentId, u32>::new();
        let mut asked = BTreeMap::<IncidentId, u32>::new();
        for step in steps {
            if let Happens::Shown(id) = step {
                *asked.entry(IncidentId(id)).or_default() += 1;
            }
            if matches!(step, Happens::Done | Happens::Lost | Happens::Failed)
                && let Some(Job::Send { incident: Some(id), .. }) = chat.next()
            {
                *sends.entry(id).or_default() += 1;
            }
            apply(&mut chat, step);
        }
        for (id, sends) in sends {
            let rings = chat.desk.incident(id).unwrap().rings;
            let asked = asked.get(&id).copied().unwrap_or_default();
            prop_assert!(sends <= 2 * (1 + rings + asked), "{} was sent {} times", id, sends);
        }
    }
}
