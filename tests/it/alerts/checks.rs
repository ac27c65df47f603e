//! OpsBot's own checks, on TLS servers that the test makes and on this machine's disk.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use opsbot::{
    runtime::{Counters, clock},
    signals::{Check, CheckSettings, Checks, Trust},
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{RootCertStore, ServerConfig, crypto::ring, pki_types::PrivateKeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::kept::{Kept, label, nothing};

const DAY: u64 = 24 * 3600;

struct Authority {
    params: CertificateParams,
    key: KeyPair,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        // Authorities are told by their names.
        params.distinguished_name.push(rcgen::DnType::CommonName, format!("{:08x}", rand::random::<u32>()));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self { params, key: KeyPair::generate().unwrap() }
    }

    fn trust(&self) -> Trust {
        let mut roots = RootCertStore::empty();
        roots.add(self.params.self_signed(&self.key).unwrap().der().clone()).unwrap();
        Trust::Only(Arc::new(roots))
    }

    /// A server for `name` whose certificate is valid for so many more days.
    async fn server(&self, name: &str, days: i64) -> (SocketAddr, AbortOnDropHandle<()>) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let until = clock::now().checked_add(jiff::SignedDuration::from_hours(24 * days + 1)).unwrap();
        let date = until.to_zoned(jiff::tz::TimeZone::UTC).date();
        let (year, month, day) = (i32::from(date.year()), date.month() as u8, date.day() as u8);
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(year, month, day);
        let key = KeyPair::generate().unwrap();
        let issuer = Issuer::from_params(&self.params, &self.key);
        let certificate = params.signed_by(&key, &issuer).unwrap().der().clone();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let (acceptor, listener) =
            (TlsAcceptor::from(Arc::new(config)), TcpListener::bind("127.0.0.1:0").await.unwrap());
        let at = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                acceptor.accept(stream).await.ok();
            }
        });
        (at, AbortOnDropHandle::new(task))
    }
}

fn certificate(address: String) -> Check {
    let (warn, critical) = (Duration::from_secs(14 * DAY), Duration::from_secs(3 * DAY));
    Check::Certificate { address, warn, critical, customer: Some("19".into()) }
}

fn start(checks: Vec<Check>, trust: Trust, kept: &Kept) -> AbortOnDropHandle<Result<(), String>> {
    let often = Duration::from_millis(100);
    let settings =
        CheckSettings { disks_every: often, certificates_every: often, trust, ..CheckSettings::new(checks) };
    let checks = Checks::new(settings, kept.keep(), nothing(), Counters::new(clock::now())).unwrap();
    AbortOnDropHandle::new(tokio::spawn(async move { checks.run(CancellationToken::new()).await }))
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_seen_as_a_client_meets_them() {
    let (ours, other) = (Authority::new(), Authority::new());
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let table = [
        (ours.server("localhost", 90).await, None),
        (ours.server("localhost", 9).await, Some(("CertificateExpiring", "warning", "expires in"))),
        (ours.server("localhost", 2).await, Some(("CertificateExpiring", "critical", "renew it"))),
        (ours.server("localhost", -3).await, Some(("CertificateBroken", "critical", "it has expired"))),
        (ours.server("else.example", 90).await, Some(("CertificateBroken", "critical", "another name"))),
        (
            other.server("localhost", 90).await,
            Some(("CertificateBroken", "critical", "no trusted authority")),
        ),
    ];
    let kept = Kept::new();
    let address = |at: &SocketAddr| format!("localhost:{}", at.port());
    let mut checks: Vec<_> = table.iter().map(|((at, _), _)| certificate(address(at))).collect();
    checks.push(certificate(address(&closed)));
    let _run = start(checks, ours.trust(), &kept);
    for ((at, _), want) in &table {
        let Some((alertname, severity, words)) = want else { continue };
        let signal = kept.wait(alertname, |s| label(s, "instance") == address(at)).await;
        let got = (label(&signal, "alertname"), label(&signal, "severity"), label(&signal, "customer"));
        assert_eq!(got, (*alertname, *severity, "19"));
        assert!(signal.annotations["summary"].contains(words), "{signal:?}");
    }
    let away = kept.wait("nobody there", |s| label(s, "instance") == address(&closed)).await;
    assert_eq!((label(&away, "alertname"), label(&away, "severity")), ("CertificateBroken", "warning"));
    let well = address(&table[0].0.0);
    assert!(kept.all().iter().all(|s| label(s, "instance") != well), "{:#?}", kept.all());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_over_its_threshold_is_told_with_value_and_threshold() {
    let kept = Kept::new();
    let disk = |warn, critical| Check::Disk { path: "/".into(), warn, critical, customer: None };
    let _run = start(vec![disk(0, 101)], Trust::Only(Arc::new(RootCertStore::empty())), &kept);
    let signal = kept.wait("DiskFilling", |s| label(s, "alertname") == "DiskFilling").await;
    assert_eq!((label(&signal, "severity"), label(&signal, "instance")), ("warning", "/"));
    assert_eq!(signal.annotations["threshold"], "0 %");
    assert!(signal.value.is_some_and(|v| (0.0..=100.0).contains(&v)));
}
