//! The sandbox's faults, each made, seen by the real program's check-up, and healed; one of them by `clear_cache`.

use std::{collections::BTreeMap, env, fs, path::PathBuf};

use tokio::process::Command;

use super::house::House;
use crate::prometheus::missing;

/// The sandbox's script and what its `env` file says.
struct Sandbox {
    script: PathBuf,
    places: BTreeMap<String, String>,
}

impl Sandbox {
    fn find() -> Option<Self> {
        let Some(script) = env::var_os("OPSBOT_TEST_SANDBOX") else {
            missing("$OPSBOT_TEST_SANDBOX");
            return None;
        };
        let own = env::var_os("OPSBOT_SANDBOX_DIR").map(PathBuf::from);
        let home = || PathBuf::from(env::var_os("HOME").unwrap()).join(".local/state/opsbot-sandbox");
        let text = fs::read_to_string(own.unwrap_or_else(home).join("env")).unwrap();
        let places = text.lines().filter_map(|line| line.split_once('='));
        let places = places.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Some(Self { script: script.into(), places })
    }

    fn place(&self, name: &str) -> &str {
        &self.places[&format!("OPSBOT_SANDBOX_{name}")]
    }

    async fn run(&self, words: &[&str]) -> String {
        let out = Command::new(&self.script).args(words).output().await.unwrap();
        let err = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "sandbox {words:?}: {err}");
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    /// A house over it, which knows the caches of customer 16.
    fn house(&self) -> House {
        let more = format!(
            "[prometheus]\nurl = \"{}\"\n\
             [[cache]]\ncustomer = \"16\"\nkind = \"redis\"\naddress = \"{}\"\ndb = 16\npassword = {{ file = \"{}\" }}\n\
             [[cache]]\ncustomer = \"16\"\nkind = \"varnish\"\naddress = \"{}\"\nsecret = {{ file = \"{}\" }}\n\
             host = \"sommer-cycles.example\"\n",
            self.place("PROMETHEUS"),
            self.place("REDIS"),
            self.place("REDIS_PASSWORD_FILE"),
            self.place("VARNISH_ADMIN"),
            self.place("VARNISH_SECRET_FILE"),
        );
        House::new(self.place("DOCKER"), &more)
    }

    /// Makes a fault and reads what the check-up says of it.
    async fn suffers(&self, house: &House, fault: &str, customer: &str, signs: &[&str]) {
        self.run(&["break", fault, customer]).await;
        house.run(&["ask", "/check_up", customer]).await.exits(0).says(signs);
        assert!(self.run(&["status"]).await.lines().any(|line| line.ends_with(fault)), "{fault}");
    }
}

/// Customer 19 is left alone: it is the one that people try things on.
#[tokio::test(flavor = "multi_thread")]
async fn every_fault_shows_in_a_check_up_and_is_healed() {
    let Some(sandbox) = Sandbox::find() else { return };
    let house = sandbox.house();
    for customer in ["7", "12", "16"] {
        sandbox.run(&["heal", customer]).await;
    }
    let table: [(&str, &str, &[&str]); 3] = [
        ("memory-leak", "7", &["alert MemoryNearLimit is firing for web", "near its memory limit"]),
        ("full-disk", "12", &["No space left on device", "alert DiskFull is firing for web"]),
        ("slow-upstream", "16", &["upstream timed out", "alert SlowUpstream is firing for web"]),
    ];
    for (fault, customer, signs) in table {
        sandbox.suffers(&house, fault, customer, signs).await;
    }
    for customer in ["7", "12", "16"] {
        sandbox.run(&["heal", customer]).await;
    }
    let table: [(&str, &str, &[&str]); 3] = [
        ("stopped-container", "7", &["web is", "alert ContainerDown is firing for web"]),
        ("cert-expiring", "12", &["alert CertificateExpiring is firing", "ends in 4d 23h"]),
        ("cache-stale", "16", &["alert StaleCache is firing", "clearing its cache helps"]),
    ];
    for (fault, customer, signs) in table {
        sandbox.suffers(&house, fault, customer, signs).await;
    }

    let plan = ["delete every key in redis", "ban every page of sommer-cycles.example in varnish"];
    let card = house.run(&["ask", "/clear_cache", "16"]).await.exits(3).says(&plan);
    let all = format!("{}{}", card.out, card.err);
    let id = all.split("opsbot approve ").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap();
    house.run(&["approve", id]).await.exits(0).says(&["this one listed first"]);
    assert!(!sandbox.run(&["status"]).await.contains("cache-stale"), "clearing the cache heals it");
    for customer in ["7", "12", "16"] {
        sandbox.run(&["heal", customer]).await;
    }
}
