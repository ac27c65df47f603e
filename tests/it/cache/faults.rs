//! What a Redis refuses, servers that are none, and calls that mean no cache.

use opsbot::domain::ToolError;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::rig::{Rig, free_port, have, redis, redis_of, varnish_of, wait_for};

#[tokio::test(flavor = "multi_thread")]
async fn a_real_redis_refusals_say_what_to_do() {
    if !have("redis-server") {
        return;
    }
    let server = redis(Some("hunter2"), &[]);
    let address = server.address();
    let word = |text: &str| Some(text.to_owned());
    let table = [
        (redis_of("7", &address, |_| ()), "it wants a password (NOAUTH)"),
        (
            redis_of("7", &address, |o| o.password = word("sesame")),
            "refuses the user or the password (WRONGPASS)",
        ),
        (
            redis_of("7", &address, |o| (o.username, o.password) = (word("eve"), word("sesame"))),
            "(WRONGPASS)",
        ),
        (
            redis_of("7", &address, |o| (o.password, o.db) = (word("hunter2"), 99)),
            "no database of that number",
        ),
    ];
    for (cache, want) in table {
        let error = Rig::new(vec![cache]).resolve(json!({"customer_id": "7"})).await.unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, ToolError::Failed(_)) && text.contains(want), "{text}");
        assert!(
            text.contains("[[cache]]") && !text.contains("sesame") && !text.contains("hunter2"),
            "{text}"
        );
    }
    let open = redis(None, &[]);
    let cache = redis_of("7", &open.address(), |o| o.password = word("hunter2"));
    let error = Rig::new(vec![cache]).resolve(json!({"customer_id": "7"})).await.unwrap_err().to_string();
    assert!(error.contains("has no password, and one was sent"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_refuses_and_nothing_is_deleted() {
    if !have("redis-server") {
        return;
    }
    let primary = redis(None, &[]);
    primary.fill(0, "k", 5);
    let replica = redis(None, &["--replicaof", "127.0.0.1", &primary.port.to_string()]);
    wait_for("the replica's data", || replica.size(0) == 5);
    for args in [json!({"customer_id": "7"}), json!({"customer_id": "7", "pattern": "k:*"})] {
        let rig = Rig::new(vec![redis_of("7", &replica.address(), |_| ())]);
        let error = rig.clear(args).await.unwrap_err().to_string();
        assert!(error.contains("read-only replica, nothing was deleted (READONLY)"), "{error}");
        assert!(error.contains("primary") && !error.contains("not known"), "{error}");
    }
    assert_eq!(primary.size(0), 5);
}

/// What a clear does before its first write, answered as Redis would with one key.
const GREETING: [&[u8]; 2] = [b"+OK\r\n", b":1\r\n"];

/// A server that answers the first commands well and then as told; `None` hangs.
async fn server(first: usize, then: Option<&'static [u8]>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut bytes = [0; 65_536];
                for n in 0.. {
                    if !matches!(stream.read(&mut bytes).await, Ok(1..)) {
                        return;
                    }
                    let answer = GREETING.get(n).copied().filter(|_| n < first);
                    match answer.or(then) {
                        Some(b"") => return,
                        Some(answer) => stream.write_all(answer).await.unwrap(),
                        None => std::future::pending::<()>().await,
                    }
                }
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_misbehave_have_their_own_sentences() {
    let dead = format!("127.0.0.1:{}", free_port());
    let huge: &[u8] = b"$99999999999\r\n";
    let table: [(String, &str, &str); 7] = [
        (dead, "no connection (Connection refused", "Start it"),
        (
            server(0, Some(b"-LOADING Redis is loading the dataset in memory\r\n")).await,
            "still loading its data (LOADING)",
            "Try again",
        ),
        (server(0, Some(b"HTTP/1.1 400 Bad Request\r\n\r\n")).await, "never does", "`address`"),
        (server(0, Some(b"")).await, "it closed the connection", "Try again"),
        (server(0, Some(huge)).await, "larger than 16 MiB", "`address`"),
        (server(0, None).await, "no answer within 0.3 s", "Try again"),
        (server(0, Some(b"-ERR \x1b[31mhunter\r\n")).await, "it says: ERR hunter", "`address`"),
    ];
    for (address, detail, cure) in table {
        let cache = redis_of("7", &address, |o| o.timeout = std::time::Duration::from_millis(300));
        let error = Rig::new(vec![cache]).resolve(json!({"customer_id": "7"})).await.unwrap_err().to_string();
        assert!(error.contains(&format!("redis {address} db 0")), "{error}");
        assert!(error.contains(detail) && error.contains(cure), "{detail}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_goes_during_the_write_leaves_it_unknown_and_tells_what_was_done() {
    if !have("redis-server") {
        return;
    }
    let good = redis(None, &[]);
    good.fill(0, "k", 3);
    let rig = Rig::new(vec![
        redis_of("7", &good.address(), |_| ()),
        redis_of("7", &server(2, Some(b"")).await, |o| o.db = 1),
    ]);
    let error = rig.clear(json!({"customer_id": "7"})).await.unwrap_err().to_string();
    assert!(error.contains("whether anything was deleted is not known"), "{error}");
    assert!(
        error.contains("done before: delete every key in") && error.contains("(3 keys before, 0 keys now)"),
        "{error}"
    );
    assert_eq!(good.size(0), 0);
}

#[tokio::test]
async fn a_call_that_means_no_cache_is_told_what_there_is() {
    let dead = format!("127.0.0.1:{}", free_port());
    let both = vec![redis_of("7", &dead, |_| ()), varnish_of("7", &dead, None, None)];
    let redis_only = vec![redis_of("7", &dead, |_| ())];
    let table = [
        (vec![], json!({"customer_id": "7"}), "no cache is configured"),
        (redis_only.clone(), json!({"customer_id": "8"}), "there are caches of 7"),
        (
            redis_only,
            json!({"customer_id": "7", "kind": "varnish"}),
            "no cache of the kind `varnish`; there is redis",
        ),
        (both.clone(), json!({"customer_id": "7", "pattern": "a*"}), "say kind=redis or kind=varnish"),
        (both.clone(), json!({"customer_id": "9"}), "no customer `9`"),
        (both.clone(), json!({"customer_id": "7", "kind": "memcached"}), "must be redis or varnish"),
        (both, json!({}), "missing"),
    ];
    for (caches, args, want) in table {
        let error = Rig::new(caches).resolve(args).await.unwrap_err().to_string();
        assert!(error.contains(want), "{want}: {error}");
    }
}
