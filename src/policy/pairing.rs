//! Pairing: how a stranger on a chat platform becomes somebody who is known, and what keeps guesses away.
//!
//! A stranger is given a code and nothing else. The code is worthless without somebody who may pair and accepts it.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

use crate::domain::{ChannelKind, PersonName, Role, Untrusted, tool::hex};

/// How long a code holds.
pub const LIFETIME: SignedDuration = SignedDuration::from_mins(10);
/// How many codes are open at once.
pub const OPEN_AT_MOST: usize = 3;
/// A stranger is answered once in this time.
pub const PAUSE: SignedDuration = SignedDuration::from_mins(1);
/// So many wrong codes within [`WINDOW`] close all open ones and lock pairing.
pub const WRONG_AT_MOST: usize = 5;
/// How long a wrong code counts.
pub const WINDOW: SignedDuration = SignedDuration::from_mins(10);
/// How long pairing is locked then.
pub const LOCK: SignedDuration = SignedDuration::from_mins(10);

/// Without 0 and O, 1 and I, which are taken for each other.
const ALPHABET: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
const LENGTH: u32 = 8;
/// The longest that a stranger's own name for themselves may be, in bytes.
const SHOWN_NAME: usize = 64;

/// The words that a stranger reads and passes on; shown as `K7QF-2MXB`.
#[derive(Clone, PartialEq, Eq)]
pub struct PairingCode(String);

impl PairingCode {
    /// Makes a code of the lowest 40 of these random bits.
    pub fn from_bits(bits: u64) -> Self {
        let letter = |n: u32| char::from(ALPHABET[(bits >> (5 * n)) as usize % ALPHABET.len()]);
        Self((0..LENGTH).map(letter).collect())
    }

    /// What is stored in its place.
    pub fn digest(&self) -> CodeDigest {
        CodeDigest::of(&self.0)
    }
}

impl fmt::Display for PairingCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (left, right) = self.0.split_at(self.0.len() / 2);
        write!(f, "{left}-{right}")
    }
}

impl fmt::Debug for PairingCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PairingCode([hidden])")
    }
}

/// A code's SHA-256 in hexadecimal; compared in a time that tells nothing of how much is right.
#[derive(Clone, Debug, Eq)]
pub struct CodeDigest(String);

impl CodeDigest {
    /// Of a code as a person types it: capitals or not, with blanks and dashes anywhere.
    pub fn of(typed: &str) -> Self {
        let plain: String = typed.chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
        Self(hex(&Sha256::digest(plain.to_ascii_uppercase().as_bytes())))
    }

    /// As it was stored.
    pub fn stored(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PartialEq for CodeDigest {
    fn eq(&self, other: &Self) -> bool {
        let differs = self.0.bytes().zip(other.0.bytes()).fold(0, |differs, (a, b)| differs | (a ^ b));
        self.0.len() == other.0.len() && differs == 0
    }
}

/// Somebody on a chat platform whom nobody knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stranger {
    /// The platform.
    pub channel: ChannelKind,
    /// The numeric id there, as text.
    pub platform_id: String,
    /// What they call themselves; anybody can be called anything.
    pub shown_name: Untrusted,
}

impl Stranger {
    /// The name is cleaned, put on one line and cut.
    pub fn new(channel: ChannelKind, platform_id: &str, shown_name: &str) -> Self {
        let clean = Untrusted::new(shown_name);
        let line = clean.as_str().split_whitespace().collect::<Vec<_>>().join(" ");
        let shown_name = Untrusted::new(&line).cut(SHOWN_NAME);
        Self { channel, platform_id: platform_id.to_owned(), shown_name }
    }
}

impl fmt::Display for Stranger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}, called “{}” there", self.channel, self.platform_id, self.shown_name)
    }
}

/// A code that was given out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenCode {
    /// To whom.
    pub stranger: Stranger,
    /// What the code must hash to.
    pub digest: CodeDigest,
    /// When it lapses.
    pub expires_at: Timestamp,
    /// When the stranger was last answered.
    pub told_at: Timestamp,
}

impl OpenCode {
    /// Whether it still holds.
    pub fn is_open(&self, now: Timestamp) -> bool {
        ahead(self.expires_at, now, LIFETIME)
    }
}

/// Somebody who was paired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paired {
    /// Who they are here.
    pub person: PersonName,
    /// With which rights; none when the configuration names the person and says so.
    pub role: Option<Role>,
    /// The platform.
    pub channel: ChannelKind,
    /// The numeric id there, as text.
    pub platform_id: String,
    /// Who accepted the code.
    pub paired_by: PersonName,
    /// When.
    pub at: Timestamp,
}

/// All that is open right now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desk {
    /// Codes, some of them perhaps lapsed.
    pub codes: Vec<OpenCode>,
    /// When codes were wrong, since the last lock.
    pub wrong: Vec<Timestamp>,
    /// Until when nothing is accepted.
    pub locked_until: Option<Timestamp>,
}

impl Desk {
    /// The codes that hold.
    pub fn open(&self, now: Timestamp) -> impl Iterator<Item = &OpenCode> {
        self.codes.iter().filter(move |code| code.is_open(now))
    }

    /// The end of the lock, while there is one.
    pub fn locked(&self, now: Timestamp) -> Option<Timestamp> {
        self.locked_until.filter(|until| ahead(*until, now, LOCK))
    }
}

/// Whether `until` is still to come; one that is further off than `longest` was set by a clock that has been set back.
fn ahead(until: Timestamp, now: Timestamp, longest: SignedDuration) -> bool {
    now < until && until.duration_since(now) <= longest
}

/// What a stranger who writes is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// A new code.
    New,
    /// The code that is held for them; it lapses when it would have.
    Same,
    /// A new code in place of one whose letters nobody knows any more (a restart); it lapses when that one would have.
    Replaced,
    /// Nothing: answered a moment ago.
    JustTold,
    /// Nothing: enough codes are open.
    Full,
    /// Nothing: pairing is locked.
    Locked,
}

/// What `stranger` is given; `held` is the code that is remembered for them.
pub fn offer(desk: &Desk, stranger: &Stranger, held: Option<&CodeDigest>, now: Timestamp) -> Offer {
    if desk.locked(now).is_some() {
        return Offer::Locked;
    }
    let own = |code: &&OpenCode| {
        code.stranger.channel == stranger.channel && code.stranger.platform_id == stranger.platform_id
    };
    match desk.open(now).find(own) {
        Some(code) if now.duration_since(code.told_at) < PAUSE => Offer::JustTold,
        Some(code) if held == Some(&code.digest) => Offer::Same,
        Some(_) => Offer::Replaced,
        None if desk.open(now).count() >= OPEN_AT_MOST => Offer::Full,
        None => Offer::New,
    }
}

/// What a typed code comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// It is this one.
    Match(OpenCode),
    /// It is none; so many more tries.
    Wrong {
        /// Wrong codes that may follow before the lock.
        left: usize,
    },
    /// It is none, and one too many.
    Locks,
    /// Pairing is locked; the code was not looked at.
    Locked {
        /// Until when.
        until: Timestamp,
    },
}

/// Compares what was typed with every open code.
pub fn attempt(desk: &Desk, typed: &str, now: Timestamp) -> Attempt {
    if let Some(until) = desk.locked(now) {
        return Attempt::Locked { until };
    }
    let digest = CodeDigest::of(typed);
    // All are looked at, whichever is right.
    let found =
        desk.open(now).fold(None, |found, code| if code.digest == digest { Some(code) } else { found });
    if let Some(code) = found {
        return Attempt::Match(code.clone());
    }
    let wrong = 1 + desk.wrong.iter().filter(|at| now.duration_since(**at) < WINDOW).count();
    if wrong >= WRONG_AT_MOST { Attempt::Locks } else { Attempt::Wrong { left: WRONG_AT_MOST - wrong } }
}

/// Whether somebody with `role` may pair; `host` is whoever owns this host or OpsBot's files on it.
///
/// # Errors
/// Who may, and how.
pub fn may_pair(role: Role, host: bool) -> Result<(), String> {
    if host || role == Role::Admin {
        return Ok(());
    }
    Err("Refused: pairing is for admins, and on the host for root and OpsBot's own account (`sudo opsbot pair`)."
        .into())
}

/// What a name stands for already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nobody yet.
    New,
    /// The configuration names the person.
    Configured(Role),
    /// Paired already, on another platform.
    Paired(Role),
}

/// The role that the person has once paired; the first admin, and any admin, is made on the host only.
///
/// # Errors
/// Why not, and what to do.
pub fn grant(asked: Option<Role>, standing: Standing, host: bool) -> Result<Role, String> {
    let role = match (standing, asked) {
        (Standing::Configured(is) | Standing::Paired(is), Some(asked)) if asked != is => {
            let cure = match standing {
                Standing::Configured(_) => "leave the role out, or change it in config.toml",
                _ => "leave the role out, or revoke the pairing first",
            };
            return Err(format!("Refused: this person is known and is {is}, not {asked}; {cure}."));
        }
        (Standing::Configured(is) | Standing::Paired(is), _) => is,
        (Standing::New, asked) => asked.unwrap_or(Role::Viewer),
    };
    if role == Role::Admin && !host {
        return Err(
            "Refused: an admin is paired on the host only: `opsbot pair accept CODE --person NAME --role \
                    admin` there."
                .into(),
        );
    }
    Ok(role)
}

/// Counts strangers who are turned away, so that a crowd of them fills no audit.
#[derive(Clone, Copy, Debug, Default)]
pub struct TurnedAway {
    noted_at: Option<Timestamp>,
    since: u64,
}

impl TurnedAway {
    /// One more; how many there were since the last note, when it is time for one (at most once in [`PAUSE`]).
    pub fn note(&mut self, now: Timestamp) -> Option<u64> {
        self.since += 1;
        let soon = self.noted_at.is_some_and(|at| now >= at && now.duration_since(at) < PAUSE);
        if soon {
            return None;
        }
        self.noted_at = Some(now);
        Some(std::mem::take(&mut self.since))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + seconds).unwrap()
    }

    fn stranger(id: &str) -> Stranger {
        Stranger::new(ChannelKind::Telegram, id, "Ben")
    }

    fn code(id: &str, bits: u64, given: i64) -> OpenCode {
        OpenCode {
            stranger: stranger(id),
            digest: PairingCode::from_bits(bits).digest(),
            expires_at: at(given) + LIFETIME,
            told_at: at(given),
        }
    }

    #[test]
    fn a_code_is_found_however_it_is_typed() {
        let code = PairingCode::from_bits(0x12_3456_789a);
        let shown = code.to_string();
        let (left, right) = shown.split_once('-').unwrap();
        let plain = format!("{left}{right}");
        let lower = plain.to_lowercase();
        let spread = format!(" {left}- -{} ", right.to_lowercase());
        for typed in [&shown, &plain, &lower, &spread] {
            assert_eq!(CodeDigest::of(typed), code.digest(), "{typed}");
        }
        for typed in ["", "-", left, right, &format!("{right}{left}"), &format!("{plain}A")] {
            assert_ne!(CodeDigest::of(typed), code.digest(), "{typed}");
        }
        assert!(!format!("{code:?}").contains(&plain));
    }

    proptest! {
        #[test]
        fn a_code_has_no_letter_that_looks_like_another(bits: u64, other: u64) {
            let code = PairingCode::from_bits(bits);
            prop_assert_eq!(code.0.len(), 8);
            prop_assert!(code.0.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()));
            prop_assert!(!code.0.contains(['0', 'O', '1', 'I']));
            let mask = (1 << 40) - 1;
            prop_assert_eq!(code == PairingCode::from_bits(other), bits & mask == other & mask);
        }

        /// Whatever the clock does, no stranger gets a fourth code, and no wrong code is ever a match.
        #[test]
        fn limits_hold_at_any_time(now in -100_000i64..100_000, given in prop::collection::vec(0i64..2000, 0..6)) {
            let codes: Vec<_> = given.iter().enumerate().map(|(n, s)| code(&n.to_string(), n as u64, *s)).collect();
            let desk = Desk { codes, ..Desk::default() };
            let open = desk.open(at(now)).count();
            let offer = offer(&desk, &stranger("new"), None, at(now));
            prop_assert_eq!(offer, if open >= OPEN_AT_MOST { Offer::Full } else { Offer::New });
            prop_assert_eq!(attempt(&desk, "ZZZZZZZZ", at(now)), Attempt::Wrong { left: 4 });
        }
    }

    #[test]
    fn a_stranger_is_given_one_code_and_seldom() {
        let own = code("7", 1, 0);
        let held = own.digest.clone();
        let other = PairingCode::from_bits(99).digest();
        let desk = |codes: &[&OpenCode]| Desk {
            codes: codes.iter().map(|code| (*code).clone()).collect(),
            ..Desk::default()
        };
        let (one, two, three) = (code("1", 2, 0), code("2", 3, 0), code("3", 4, 0));
        let full = [&one, &two, &three];
        let locked = Desk { locked_until: Some(at(600)), ..desk(&[]) };
        let table = [
            ("the first time", desk(&[]), None, 0, Offer::New),
            ("at once again", desk(&[&own]), Some(&held), 59, Offer::JustTold),
            ("after a minute", desk(&[&own]), Some(&held), 60, Offer::Same),
            ("just before it lapses", desk(&[&own]), Some(&held), 599, Offer::Same),
            ("after it lapsed", desk(&[&own]), Some(&held), 600, Offer::New),
            ("after a restart", desk(&[&own]), None, 60, Offer::Replaced),
            ("after a restart and another's", desk(&[&own]), Some(&other), 60, Offer::Replaced),
            ("three others", desk(&full), None, 599, Offer::Full),
            ("three others whose codes lapsed", desk(&full), None, 600, Offer::New),
            ("one of three", desk(&[&one, &two, &own]), Some(&held), 60, Offer::Same),
            ("while it is locked", locked.clone(), None, 599, Offer::Locked),
            ("after the lock", locked.clone(), None, 600, Offer::New),
            ("a clock that was set back far", locked, None, -10_000, Offer::New),
            ("a clock that was set back a little", desk(&[&own]), Some(&held), -1, Offer::New),
        ];
        for (when, desk, held, now, want) in table {
            assert_eq!(offer(&desk, &stranger("7"), held, at(now)), want, "{when}");
        }
        // The same number elsewhere is somebody else.
        let elsewhere = Stranger::new(ChannelKind::Discord, "7", "Ben");
        assert_eq!(offer(&desk(&[&own]), &elsewhere, None, at(1)), Offer::New);
    }

    #[test]
    fn the_fifth_wrong_code_in_ten_minutes_locks() {
        let right = PairingCode::from_bits(5).to_string();
        let own = code("7", 5, 0);
        let desk = |wrong: &[i64]| Desk {
            codes: vec![code("6", 4, 0), own.clone(), code("8", 6, 0)],
            wrong: wrong.iter().map(|s| at(*s)).collect(),
            locked_until: None,
        };
        let table = [
            (desk(&[]), right.as_str(), 599, Attempt::Match(own.clone())),
            (desk(&[]), right.as_str(), 600, Attempt::Wrong { left: 4 }),
            (desk(&[]), "WRONG", 10, Attempt::Wrong { left: 4 }),
            (desk(&[1, 2, 3]), "WRONG", 10, Attempt::Wrong { left: 1 }),
            (desk(&[1, 2, 3, 4]), "WRONG", 10, Attempt::Locks),
            (desk(&[1, 2, 3, 4]), right.as_str(), 10, Attempt::Match(own.clone())),
            (desk(&[1, 2, 3, 4]), "WRONG", 601, Attempt::Wrong { left: 1 }),
            (desk(&[1, 2, 3, 4]), "WRONG", 604, Attempt::Wrong { left: 4 }),
            (
                Desk { locked_until: Some(at(20)), ..desk(&[]) },
                right.as_str(),
                10,
                Attempt::Locked { until: at(20) },
            ),
            (
                Desk { locked_until: Some(at(20)), ..desk(&[]) },
                right.as_str(),
                20,
                Attempt::Match(own.clone()),
            ),
        ];
        for (desk, typed, now, want) in table {
            assert_eq!(attempt(&desk, typed, at(now)), want, "{typed} at {now} with {desk:?}");
        }
    }

    #[test]
    fn roles_are_granted_by_place_and_standing() {
        use Role::{Admin, Operator, Viewer};
        let (new, anna, ben) = (Standing::New, Standing::Configured(Admin), Standing::Paired(Operator));
        let table = [
            (None, new, false, Ok(Viewer)),
            (Some(Operator), new, false, Ok(Operator)),
            (Some(Admin), new, false, Err("on the host only")),
            (Some(Admin), new, true, Ok(Admin)),
            // Whoever is linked to an admin is one.
            (None, anna, false, Err("on the host only")),
            (None, anna, true, Ok(Admin)),
            (Some(Admin), anna, true, Ok(Admin)),
            (
                Some(Viewer),
                anna,
                true,
                Err("is admin, not viewer; leave the role out, or change it in config.toml"),
            ),
            (None, Standing::Configured(Viewer), false, Ok(Viewer)),
            (None, ben, false, Ok(Operator)),
            (Some(Admin), ben, true, Err("revoke the pairing first")),
        ];
        for (asked, standing, host, want) in table {
            match (grant(asked, standing, host), want) {
                (Ok(got), Ok(want)) => assert_eq!(got, want, "{asked:?} {standing:?}"),
                (Err(got), Err(part)) => assert!(got.contains(part), "{asked:?} {standing:?}: {got}"),
                (got, want) => panic!("{asked:?} {standing:?} {host}: {got:?} instead of {want:?}"),
            }
        }
        let may =
            [(Viewer, false, false), (Operator, false, false), (Admin, false, true), (Viewer, true, true)];
        for (role, host, want) in may {
            assert_eq!(may_pair(role, host).is_ok(), want, "{role} {host}");
        }
    }

    #[test]
    fn a_crowd_is_noted_once_a_minute() {
        let mut away = TurnedAway::default();
        let noted: Vec<_> = [0, 1, 59, 60, 61, 300, -900].map(|s| away.note(at(s))).into();
        assert_eq!(noted, [Some(1), None, None, Some(3), None, Some(2), Some(1)]);
    }

    #[test]
    fn what_strangers_call_themselves_stays_on_one_short_line() {
        let name = format!("an\u{1b}[31mna\n\n(admin)\u{202e} {}", "x".repeat(200));
        let shown = Stranger::new(ChannelKind::Telegram, "7", &name).to_string();
        assert!(shown.starts_with("telegram 7, called “anna (admin) xxx") && shown.len() < 120, "{shown}");
        assert!(!shown.contains(['\n', '\u{1b}', '\u{202e}']));
    }
}
