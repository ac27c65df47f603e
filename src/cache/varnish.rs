//! Varnish: bans over the command line on its management port.

use std::{fmt, time::Duration};

use sha2::{Digest, Sha256};

use super::{
    Broke, Report, counted,
    fault::{Fault, Trouble, WAIT, quote},
    pattern::{host_regex, path_regex},
    wire::{Wire, strange},
};

const SECRET: &str = "Set `secret` in [[cache]] to the file that varnishd was started with (-S)";

/// Where a Varnish is and what of it is the customer's.
#[derive(Clone)]
pub struct VarnishOptions {
    /// `HOST:PORT` of the management port (`varnishd -T`).
    pub address: String,
    /// What the file of `varnishd -S` holds; never shown.
    pub secret: Option<String>,
    /// Only objects of this host are the customer's; none means all are.
    pub host: Option<String>,
    /// How long connecting or one answer may take.
    pub timeout: Duration,
}

impl fmt::Debug for VarnishOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, host, .. } = self;
        f.debug_struct("VarnishOptions").field("address", address).field("host", host).finish_non_exhaustive()
    }
}

/// A Varnish.
#[derive(Clone, Debug)]
pub struct Varnish(VarnishOptions);

impl fmt::Display for Varnish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "varnish {}", self.0.address)
    }
}

/// A ban that will be set.
#[derive(Clone, Debug)]
pub(super) struct Ban {
    varnish: Varnish,
    /// The pages, as a person reads them; none means all.
    pages: Option<String>,
    /// Tests of a field by an expression; all must hold.
    tests: Vec<(&'static str, String)>,
}

impl fmt::Display for Ban {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = self.varnish.0.host.as_ref().map(|host| format!(" of {host}")).unwrap_or_default();
        match &self.pages {
            Some(pages) => write!(f, "ban the pages {pages}{of} in {}", self.varnish),
            None => write!(f, "ban every page{of} in {}", self.varnish),
        }
    }
}

impl Varnish {
    /// A Varnish; contacts nobody.
    pub fn new(options: VarnishOptions) -> Self {
        Self(options)
    }

    pub(super) fn ban(&self, pattern: Option<&str>) -> Result<Ban, String> {
        let mut tests = Vec::new();
        if let Some(host) = &self.0.host {
            tests.push(("req.http.host", host_regex(host)));
        }
        if let Some(pattern) = pattern {
            tests.push(("req.url", path_regex(pattern)?));
        }
        if tests.is_empty() {
            tests.push(("req.url", ".".into()));
        }
        Ok(Ban { varnish: self.clone(), pages: pattern.map(str::to_owned), tests })
    }

    /// A session that may command a child that runs.
    async fn open(&self) -> Result<Session, Trouble> {
        let mut session = match self.0.secret.as_deref() {
            None => self.greet(None).await?,
            // Varnish takes the file as it is, and secrets come without the blanks around them: with a line's end first.
            Some(secret) => match self.greet(Some(&format!("{secret}\n"))).await {
                Err(trouble) if trouble.refuses => self.greet(Some(secret)).await?,
                greeted => greeted?,
            },
        };
        let (_, state) = session.ask("status").await?;
        if !state.contains("running") {
            let cure = "Look at its log, then start the child (varnishadm start)";
            return Err(Trouble::refusal(format!("its child process is not running ({state})"), cure));
        }
        Ok(session)
    }

    async fn greet(&self, secret: Option<&str>) -> Result<Session, Trouble> {
        let mut session = Session(Wire::connect(&self.0.address, self.0.timeout).await?);
        let (status, text) = session.read().await?;
        match (status, secret) {
            (200, _) => return Ok(session),
            (107, Some(secret)) => {
                let challenge = text.lines().next().unwrap_or_default();
                let answer = authority(challenge, secret);
                session.0.send(format!("auth {answer}\n").as_bytes()).await?;
            }
            (107, None) => return Err(Trouble::refusal("it wants its secret", SECRET)),
            _ => return Err(strange()),
        }
        match session.read().await {
            Ok((200, _)) => Ok(session),
            // It hangs up on a wrong answer, sometimes before it says so.
            Ok(_) | Err(_) => Err(Trouble::refusal("it refuses the secret", SECRET)),
        }
    }
}

impl Ban {
    pub(super) async fn look(&self) -> Result<String, Fault> {
        let look = async { Ok(bans(&self.varnish.open().await?.list().await?)) };
        look.await.map_err(|t: Trouble| t.of(&self.varnish))
    }

    pub(super) async fn run(&self) -> Result<Report, Broke> {
        let of = |trouble: Trouble| Broke::from(trouble.of(&self.varnish));
        let mut session = self.varnish.open().await.map_err(of)?;
        let before = session.list().await.map_err(of)?;
        let unsure = |trouble: Trouble| {
            let so_far = (!trouble.refuses).then(|| "whether the ban was set is not known".to_owned());
            Broke::Failed(trouble.of(&self.varnish), so_far)
        };
        session.ask(&self.command()).await.map_err(unsure)?;
        let so_far = || Some("the ban was set; whether it stands was not seen".to_owned());
        let after = session.list().await.map_err(|t| Broke::Failed(t.of(&self.varnish), so_far()))?;
        let cleared = after.first().is_some_and(|newest| newest.ends_with(&self.listed()));
        let listed = if cleared { "this one listed first" } else { "this one is not among them" };
        Ok(Report { before: bans(&before), after: format!("{}, {listed}", bans(&after)), cleared })
    }

    fn command(&self) -> String {
        let tests: Vec<_> =
            self.tests.iter().map(|(field, regex)| format!("{field} ~ \"{regex}\"")).collect();
        format!("ban {}", tests.join(" && "))
    }

    /// The ban as `ban.list` shows it.
    fn listed(&self) -> String {
        let tests: Vec<_> = self.tests.iter().map(|(field, regex)| format!("{field} ~ {regex}")).collect();
        format!(" {}", tests.join(" && "))
    }
}

fn bans(list: &[String]) -> String {
    counted(list.len() as u64, "ban")
}

/// What proves that we know the secret: SHA-256 over challenge, secret and challenge, as varnishadm does it.
fn authority(challenge: &str, secret: &str) -> String {
    let text = format!("{challenge}\n{secret}{challenge}\n");
    crate::domain::tool::hex(&Sha256::digest(text.as_bytes()))
}

#[derive(Debug)]
struct Session(Wire);

impl Session {
    /// A status and its text, behind a head of fixed form: `200 14      `.
    async fn read(&mut self) -> Result<(u16, String), Trouble> {
        let head = self.0.line().await?;
        let head = String::from_utf8_lossy(&head);
        let mut fields = head.split_whitespace();
        let status =
            fields.next().filter(|s| s.len() == 3).and_then(|s| s.parse().ok()).ok_or_else(strange)?;
        let length: usize = fields.next().and_then(|s| s.parse().ok()).ok_or_else(strange)?;
        let body = self.0.bytes(length.saturating_add(1)).await?;
        Ok((status, String::from_utf8_lossy(&body).trim_end().to_owned()))
    }

    /// Its answer to a command; 201 is a success whose text was cut.
    async fn ask(&mut self, command: &str) -> Result<(u16, String), Trouble> {
        self.0.send(format!("{command}\n").as_bytes()).await?;
        match self.read().await? {
            (status @ (200 | 201), text) => Ok((status, text)),
            (status, text) => {
                Err(Trouble::refusal(format!("it refuses ({status}): {}", quote(text.as_bytes())), WAIT))
            }
        }
    }

    /// The bans, newest first, one line each.
    async fn list(&mut self) -> Result<Vec<String>, Trouble> {
        let (_, text) = self.ask("ban.list").await?;
        Ok(text
            .lines()
            .skip(1)
            .map(str::trim_end)
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn varnish(host: Option<&str>) -> Varnish {
        let options = VarnishOptions {
            address: "127.0.0.1:6082".into(),
            secret: Some("hunter2".into()),
            host: host.map(Into::into),
            timeout: super::super::TIMEOUT,
        };
        Varnish::new(options)
    }

    #[test]
    fn a_ban_says_which_pages_and_stays_with_its_host() {
        type Case<'a> = (Option<&'a str>, Option<&'a str>, &'a str, &'a str);
        let table: [Case<'_>; 4] = [
            (
                Some("shop.example"),
                Some("/news/*"),
                "ban the pages /news/* of shop.example in varnish 127.0.0.1:6082",
                "ban req.http.host ~ \"(?i)^shop[.]example(:[0-9]+)?$\" && req.url ~ \"^/news/.*$\"",
            ),
            (
                Some("shop.example"),
                None,
                "ban every page of shop.example in varnish 127.0.0.1:6082",
                "ban req.http.host ~ \"(?i)^shop[.]example(:[0-9]+)?$\"",
            ),
            (
                None,
                Some("*.css"),
                "ban the pages *.css in varnish 127.0.0.1:6082",
                "ban req.url ~ \"^.*[.]css$\"",
            ),
            (None, None, "ban every page in varnish 127.0.0.1:6082", "ban req.url ~ \".\""),
        ];
        for (host, pattern, plan, command) in table {
            let ban = varnish(host).ban(pattern).unwrap();
            assert_eq!((ban.to_string().as_str(), ban.command().as_str()), (plan, command));
        }
        assert!(varnish(None).ban(Some("/a\" || req.url ~ \".")).is_err());
        assert!(!format!("{:?}", varnish(None)).contains("hunter2"));
    }

    #[test]
    fn the_proof_is_varnishs_own() {
        // From Varnish's manual, varnish-cli(7): challenge, secret file "foo\n" and the answer.
        let challenge = "ixslvvxrgkjptxmcgnnsdxsvdmvfympg";
        let want = "455ce847f0073c7ab3b1465f74507b75d3dc064c1e7de3b71e00de9092fdc89a";
        assert_eq!(authority(challenge, "foo\n"), want);
    }
}
