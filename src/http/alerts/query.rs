//! The filters of the API's reading requests.

use axum::http::Uri;
use regex::Regex;
use reqwest::Url;

use super::answer::No;
use crate::{
    alerts::{Conditions, parse_matcher},
    domain::{Labels, Matcher, Subject},
};

/// The most matchers of one request.
const MOST: usize = 50;

/// Which alerts are wanted.
#[derive(Debug)]
pub(super) struct Wanted {
    /// All have to hold.
    pub(super) matchers: Vec<Matcher>,
    compiled: Conditions,
    /// Those that neither a silence nor an incident suppresses.
    pub(super) active: bool,
    /// Also those that a silence suppresses.
    pub(super) silenced: bool,
    /// Also those that an incident suppresses.
    pub(super) inhibited: bool,
    /// The receiver that everything goes to is among those asked for.
    pub(super) ours: bool,
}

impl Wanted {
    /// What the request's query says.
    pub(super) fn read(uri: &Uri, receiver: &str) -> Result<Self, No> {
        let mut wanted = Self {
            matchers: vec![],
            compiled: Conditions::default(),
            active: true,
            silenced: true,
            inhibited: true,
            ours: true,
        };
        let address = format!("http://query/?{}", uri.query().unwrap_or_default());
        let url = Url::parse(&address).map_err(|_| No::bad("query", "the query cannot be read"))?;
        for (key, value) in url.query_pairs() {
            match &*key {
                "filter" if wanted.matchers.len() >= MOST => {
                    return Err(No::bad("query", format!("more than {MOST} filters")));
                }
                "filter" => {
                    let matcher =
                        parse_matcher(&value).map_err(|e| No::bad("query", format!("filter {e}")))?;
                    wanted.matchers.push(matcher);
                }
                "active" => wanted.active = flag(&key, &value)?,
                "silenced" => wanted.silenced = flag(&key, &value)?,
                "inhibited" => wanted.inhibited = flag(&key, &value)?,
                "receiver" => {
                    let regex = Regex::new(&format!("^(?:{value})$"))
                        .map_err(|_| No::bad("query", "receiver holds no regular expression"))?;
                    wanted.ours = regex.is_match(receiver);
                }
                // Nothing here is ever unprocessed; what else there is means nothing, as with Alertmanager.
                _ => {}
            }
        }
        wanted.compiled = Conditions::new(&wanted.matchers);
        Ok(wanted)
    }

    /// Whether these labels are asked for.
    pub(super) fn takes(&self, labels: &Labels, subject: &Subject) -> bool {
        self.ours && self.compiled.hold(labels, subject)
    }
}

fn flag(key: &str, value: &str) -> Result<bool, No> {
    value.parse().map_err(|_| No::bad("query", format!("{key} must be true or false")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_says_what_is_wanted_or_what_is_wrong_with_it() {
        let read = |query: &str| Wanted::read(&format!("/api/v2/alerts?{query}").parse().unwrap(), "opsbot");
        let all = read("").unwrap();
        assert!(all.matchers.is_empty() && all.active && all.silenced && all.inhibited && all.ours);
        let some = read("filter=alertname%3D%22Down%22&filter=a%3D~%22x%7Cy%22&silenced=false&active=false")
            .unwrap();
        assert_eq!(some.matchers.len(), 2);
        assert!(some.matchers[1].is_regex && !some.silenced && !some.active && some.inhibited);
        assert!(read("receiver=ops.*").unwrap().ours && !read("receiver=ops").unwrap().ours);
        for bad in ["filter=x", "silenced=maybe", "receiver=("] {
            assert_eq!(read(bad).unwrap_err().why, "query", "{bad}");
        }
        let many = vec!["filter=a%3Db"; 51].join("&");
        assert!(read(&many).is_err());
    }
}
