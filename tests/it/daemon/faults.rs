//! Back ends that are down, silent or talk nonsense: an answer comes, in time, and says what is missing.

use std::time::Duration;

use opsbot::runtime::Stopwatch;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::house::{House, all, say, text};
use crate::docker::boxes::{Boxes, Make, with_boxes};

const BROKEN: &str =
    "echo '[error] upstream timed out' >&2; echo '[error] upstream timed out' >&2; exec sleep 600";
/// A check-up may take this long, whatever hangs.
const IN_TIME: Duration = Duration::from_secs(15);

/// What a Prometheus says to everything.
#[derive(Clone, Copy, Debug)]
enum Prometheus {
    Gone,
    Silent,
    Says(&'static str),
}

/// Its URL; it lives as long as the test's runtime.
async fn serve(kind: Prometheus) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let Prometheus::Gone = kind else {
        tokio::spawn(async move {
            let mut held = vec![];
            while let Ok((mut stream, _)) = listener.accept().await {
                if let Prometheus::Says(answer) = kind {
                    let _head = stream.read(&mut [0; 4096]).await;
                    stream.write_all(answer.as_bytes()).await.ok();
                } else {
                    held.push(stream);
                }
            }
        });
        return url;
    };
    url
}

async fn without_prometheus(boxes: &Boxes, kind: Prometheus) {
    let url = serve(kind).await;
    let house = House::new(&boxes.url, &format!("[prometheus]\nurl = \"{url}\"\ntimeout = \"1s\"\n"));
    let watch = Stopwatch::start();
    let ran = house.run(&["ask", "/check_up", &boxes.customer]).await.exits(0);
    assert!(watch.elapsed() < IN_TIME, "{kind:?} took {:?}", watch.elapsed());
    let ran = ran.says(&["upstream timed out", "could not look at alerts"]);
    assert!(ran.out.to_lowercase().contains("prometheus"), "{kind:?}: {}", ran.out);
    // Docker's own figures stand in for its metrics.
    house.run(&["ask", "/get_metrics", &boxes.customer]).await.exits(0).says(&["docker stats"]);
    house.run(&["ask", "/list_active_alerts"]).await.exits(1).says(&["Prometheus"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_prometheus_is_a_gap_that_is_said() {
    with_boxes(|boxes| async move {
        boxes.make(Make { service: "web", script: BROKEN, ..Make::default() }).await;
        let table = [
            Prometheus::Gone,
            Prometheus::Silent,
            Prometheus::Says("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n<ok>"),
            Prometheus::Says("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"),
            Prometheus::Says("\0\u{1}\u{2} no HTTP at all"),
        ];
        futures::future::join_all(table.map(|kind| without_prometheus(&boxes, kind))).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_docker_engine_that_is_gone_is_said_in_time_and_the_rest_goes_on() {
    let listener = tempfile::tempdir().unwrap();
    let silent = listener.path().join("docker.sock");
    let held = tokio::net::UnixListener::bind(&silent).unwrap();
    for url in ["unix:///nonexistent/docker.sock".to_owned(), format!("unix://{}", silent.display())] {
        let customer = "[[customer]]\nid = \"19\"\nname = \"Bloom\"\ncontainers = [\"bloom-*\"]\n";
        let house = House::new(&url, customer);
        let text_of = std::fs::read_to_string(house.config()).unwrap();
        house.configure(&text_of.replace("[http]", "timeout = \"1s\"\n[http]"));
        let daemon = house.start().await;
        let client = house.client().await;
        for ask in
            ["/check_up 19", "/get_container_status 19 web", "/restart_container 19 web", "/list_customers"]
        {
            let watch = Stopwatch::start();
            let (events, status) = all(&client, say("main", ask)).await;
            assert!(watch.elapsed() < IN_TIME, "{ask} on {url} took {:?}", watch.elapsed());
            let said = text(&events);
            assert!(said.contains("Docker"), "{ask} on {url}: {status:?} {said}");
            assert!(!said.contains("Approval") && !said.contains("\"card\""), "{ask}: {said}");
        }
        let (told, _) = all(&client, say("main", "/whoami")).await;
        assert!(text(&told).contains("anna"));
        daemon.stop().await;
    }
    drop(held);
}
