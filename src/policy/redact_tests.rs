//! What the redactor must take out, and what it must leave.

use std::fmt::Write;

use super::redact::{MARK, Redactor};

#[test]
fn every_pattern_compiles() {
    assert_eq!(super::redact::counts().0, super::redact::counts().1);
}

#[test]
fn exact_secrets_go_in_every_spelling() {
    let secret = "p&ss/w\"rd ünd+1";
    let redactor = Redactor::new([format!("{secret}\n"), "short".into(), String::new(), "hunter22".into()]);
    let json = serde_json::Value::from(secret).to_string();
    let cases = [
        secret.to_owned(),
        json.clone(),
        serde_json::Value::from(json.as_str()).to_string(),
        json.replace('/', "\\/"),
        "p%26ss%2Fw%22rd%20%C3%BCnd%2B1".into(),
        "p%26ss%2fw%22rd%20%c3%bcnd%2b1".into(),
        "p%26ss%2Fw%22rd+%C3%BCnd%2B1".into(),
        // base64 of the secret, of "u:" and of "me:" before it
        "cCZzcy93InJkIMO8bmQrMQ==".into(),
        "dTpwJnNzL3cicmQgw7xuZCsx".into(),
        "bWU6cCZzcy93InJkIMO8bmQrMQ".into(),
        "x1hunter22x2".into(),
        "68756e7465723232".into(),
    ];
    for case in cases {
        let line = format!("before {case} after");
        let got = redactor.redact(&line);
        assert!(got.contains(MARK) && got.starts_with("before ") && got.ends_with(" after"), "{case}: {got}");
        assert!(!got.contains("ss/w") && !got.contains("unter2"), "{case}: {got}");
    }
    assert_eq!(redactor.redact("a short one"), "a short one");
    assert!(!format!("{redactor:?}").contains("hunter"));
}

#[test]
fn a_longer_secret_wins_over_its_prefix_and_key_files_go_line_by_line() {
    let redactor = Redactor::new([
        "abcdef".into(),
        "abcdefghij".into(),
        "-----BEGIN X-----\nQUJDREVGR0hJSktMTU5PUA\n".into(),
    ]);
    assert_eq!(redactor.redact("abcdefghij abcdef"), "[redacted] [redacted]");
    assert_eq!(redactor.redact("1 QUJDREVGR0hJSktMTU5PUA 2"), "1 [redacted] 2");
}

#[test]
fn well_known_shapes_go_and_keep_their_frame() {
    let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c";
    let telegram = "123456789:AAH-abcdefghijklmnopqrstuvwxyz01234";
    let table: &[(&str, &str)] = &[
        ("password=hunter2", "password=[redacted]"),
        ("PASSWORD: hunter2 user=x", "PASSWORD: [redacted] user=x"),
        ("DB_PASSWORD=a,b;c level=info", "DB_PASSWORD=[redacted] level=info"),
        ("MYSQL_ROOT_PASSWORD_2='a b' x", "MYSQL_ROOT_PASSWORD_2='[redacted]' x"),
        (r#"{"password": "a\"b c", "user": "x"}"#, r#"{"password": "[redacted]", "user": "x"}"#),
        (r#"{"msg":"{\"token\":\"abc\",\"n\":1}"}"#, r#"{"msg":"{\"token\":\"[redacted]\",\"n\":1}"}"#),
        ("passwd => 'x y'", "passwd => '[redacted]'"),
        ("password=\"cut off in the mid", "password=\"[redacted]"),
        ("api_key=abc&user=7", "api_key=[redacted]&user=7"),
        ("X-Api-Key: abcdef", "X-Api-Key: [redacted]"),
        ("apikey:abcdef", "apikey:[redacted]"),
        ("client_secret=abc", "client_secret=[redacted]"),
        ("access_token=abc", "access_token=[redacted]"),
        ("token: abc.def", "token: [redacted]"),
        (
            "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "aws_secret_access_key = [redacted]",
        ),
        ("AKIAIOSFODNN7EXAMPLE ok", "[redacted] ok"),
        ("AKIAIOSFODNN7EXAMPLE:wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY ok", "[redacted] ok"),
        ("Authorization: Bearer abc.def-ghi", "Authorization: Bearer [redacted]"),
        ("authorization: Basic dXNlcjpwYXNz", "authorization: Basic [redacted]"),
        ("-H \"Authorization: Bearer abc\" http://x", "-H \"Authorization: Bearer [redacted]\" http://x"),
        ("Authorization: Digest username=\"x\", response=\"y\"", "Authorization: Digest [redacted]"),
        ("{\"authorization\":\"Bearer abc\"}", "{\"authorization\":\"Bearer [redacted]\"}"),
        ("sent bearer abcdef12345", "sent bearer [redacted]"),
        ("ghp_abcdefghijklmnopqrstuvwxyz0123456789", "[redacted]"),
        ("x github_pat_11ABCDEFG0abcdefghij_klmnop y", "x [redacted] y"),
        ("glpat-abcdefghij0123456789", "[redacted]"),
        ("xoxb-123456789012-abcdefGHIJ", "[redacted]"),
        (
            "https://hooks.slack.com/services/T0/B0/xyz done",
            "https://hooks.slack.com/services/[redacted] done",
        ),
        ("sk-proj-abcdefghijklmnop0123", "[redacted]"),
        ("MTIzNDU2Nzg5MDEyMzQ1Njc4.GabcdE.abcdefghijklmnopqrstuvwxyz012", "[redacted]"),
        ("postgres://app:s3cr/et@db:5432/x", "postgres://app:[redacted]@db:5432/x"),
        ("redis://:s3cret@redis:6379", "redis://:[redacted]@redis:6379"),
        ("amqp://u:p@ss@mq", "amqp://u:[redacted]@mq"),
        ("https://abcdefghijklmnopqrst@example.com/x", "https://[redacted]@example.com/x"),
        ("Set-Cookie: sid=abc; HttpOnly", "Set-Cookie: [redacted]"),
        ("cookie: a=b; c=d\nnext", "cookie: [redacted]\nnext"),
        (r#""cookie":"a=b; c=d","n":1"#, r#""cookie":"[redacted]","n":1"#),
        ("requirepass s3cret", "requirepass [redacted]"),
        ("CONFIG SET requirepass \"s3 cret\"", "CONFIG SET requirepass \"[redacted]\""),
        ("mysql -u root -ps3cret db", "mysql -u root -p[redacted] db"),
        ("mysqldump -uroot -p 's3 cret' db", "mysqldump -uroot -p '[redacted]' db"),
        ("sshpass -p s3cret ssh x", "sshpass -p [redacted] ssh x"),
        ("redis-cli -h x -a s3cret ping", "redis-cli -h x -a [redacted] ping"),
        ("curl -u admin:s3cret http://x", "curl -u admin:[redacted] http://x"),
        ("app --password s3cret --port 80", "app --password [redacted] --port 80"),
        ("app --token=s3cret", "app --token=[redacted]"),
        ("CREATE USER x IDENTIFIED BY 's3cret';", "CREATE USER x IDENTIFIED BY '[redacted]';"),
        ("ALTER ROLE x PASSWORD 's3cret'", "ALTER ROLE x PASSWORD '[redacted]'"),
        ("machine h login l password s3cret", "machine h login l password [redacted]"),
        ("das Passwort ist geheim123", "das Passwort ist [redacted]"),
        ("1490 \"AUTH\" \"default\" \"s3cret\"", "1490 \"AUTH\" \"default\" \"[redacted]\""),
        ("GET /x?sig=abc&b=1", "GET /x?sig=[redacted]&b=1"),
        (
            "a\n-----BEGIN RSA PRIVATE KEY-----\nMIIE-x\nq\n-----END RSA PRIVATE KEY-----\nb",
            "a\n[redacted]\nb",
        ),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blb cut", "[redacted]"),
    ];
    let redactor = Redactor::default();
    for (raw, want) in table {
        assert_eq!(redactor.redact(raw), *want, "{raw}");
        assert_eq!(redactor.redact(want), *want, "a second time: {want}");
    }
    assert_eq!(redactor.redact(&format!("got {jwt}.")).matches(MARK).count(), 1);
    assert!(!redactor.redact(&format!("got {jwt}, ok")).contains("SflK"));
    assert_eq!(redactor.redact(&format!("/bot{telegram}/getMe")), "/bot[redacted]/getMe");
}

#[test]
fn evidence_stays() {
    let redactor = Redactor::new(["hunter22".into()]);
    let table = [
        "2026-11-21T10:00:00Z ERROR web: connection refused to db:5432",
        "GET /login 401 in 12 ms",
        "authentication failed for user anna",
        "password authentication failed for user \"app\"",
        "wrong password for anna",
        "basic understanding of bearer authentication",
        "SMTP AUTH failed: timeout",
        "tokens_in=512 tokens_out=20 tokens: 5",
        "container shop-web (3f2a9c1b7d5e) is unhealthy",
        "docker run -p 8080:80 nginx; mkdir -p /tmp/x",
        "http://web:8080/health?x=1 returned 503",
        "sha256:4b1c9f0e6b6a4b1c9f0e6b6a4b1c9f0e6b6a4b1c9f0e6b6a4b1c9f0e6b6a4b1c",
        "passing 3 of 4 checks",
        "customer 19 @ 12:30:45, mail anna@example.com",
    ];
    for text in table {
        assert_eq!(redactor.redact(text), text);
    }
}

#[test]
fn ten_megabytes_take_linear_time() {
    let redactor = Redactor::new(["hunter22".into()]);
    let mut shapes = String::new();
    for unit in [
        "password=x,",
        "x://u:p@",
        "a",
        "\"password\":\"",
        "mysql -p",
        "-----BEGIN PRIVATE KEY-----",
        "cookie: ",
        "eyJ",
        "\\\"",
    ] {
        shapes.clear();
        while shapes.len() < 16 << 10 {
            shapes.push_str(unit);
        }
        let small = timed(&redactor, &shapes);
        let large = timed(&redactor, &shapes.repeat(8));
        // Quadratic would be 64 times; scheduling noise is not.
        assert!(
            large < small * 32 + std::time::Duration::from_millis(200),
            "{unit}: {small:?} then {large:?}"
        );
    }
    let mut text = String::new();
    while text.len() < 10 << 20 {
        writeln!(text, "2026-11-21 INFO request {} took 12 ms from 10.0.0.7", text.len()).unwrap();
    }
    text.push_str("password=hunter22");
    let got = redactor.redact(&text);
    assert!(got.ends_with("password=[redacted]") && got.len() > 10 << 20);
}

fn timed(redactor: &Redactor, text: &str) -> std::time::Duration {
    #[allow(clippy::disallowed_methods, reason = "the test measures")]
    let start = std::time::Instant::now();
    std::hint::black_box(redactor.redact(text));
    start.elapsed()
}
