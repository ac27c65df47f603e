"""The customers' web sites as their visitors see them: an origin behind Varnish, the same over TLS, and probes of both.

Usage: site.py ORIGIN_PORT TLS_PORT VARNISH_PORT SITES_DIR STATS_DIR TEXTFILE
SITES_DIR/CUSTOMER holds `domain`, `page` and `cert.pem` (certificate and key); each is read anew for every request, so
that a script changes a site by writing a file. STATS_DIR/CUSTOMER-web/fault names the fault of the customer's web.
"""

import http.client
import http.server
import os
import socket
import ssl
import sys
import threading
import time

PERIOD = 1.0
SLOW = 3.0
WAIT = 10


def read(*path):
    try:
        with open(os.path.join(*path)) as file:
            return file.read().strip()
    except OSError:
        return ""


class Sites:
    def __init__(self, folder, stats):
        self.folder, self.stats = folder, stats

    def customers(self):
        return sorted(os.listdir(self.folder))

    def of_host(self, host):
        bare = host.split(":")[0].lower()
        return next((c for c in self.customers() if read(self.folder, c, "domain") == bare), None)

    def page(self, customer):
        return read(self.folder, customer, "page")

    def cert(self, customer):
        return os.path.join(self.folder, customer, "cert.pem")

    def is_slow(self, customer):
        return read(self.stats, f"{customer}-web", "fault") == "slow-upstream"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = WAIT

    def do_GET(self):
        sites = self.server.sites
        customer = sites.of_host(self.headers.get("Host", ""))
        if customer is None:
            self.send_error(404, "no such site")
            return
        if sites.is_slow(customer):
            time.sleep(SLOW)
        body = f"<h1>{sites.page(customer)}</h1>\n<p>{self.path}</p>\n".encode(errors="replace")
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Origin(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, port, sites):
        self.sites = sites
        super().__init__(("127.0.0.1", port), Handler)

    def handle_error(self, *_):
        pass  # a visitor that hung up


class Secure(Origin):
    """Picks the certificate by the name that the visitor asks for; the handshake is the connection's own thread's."""

    def get_request(self):
        connection, address = super().get_request()
        connection.settimeout(WAIT)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # Without a name the first site answers; OpenSSL wants some certificate before it hears of a name.
        context.load_cert_chain(self.sites.cert(self.sites.customers()[0]))
        context.sni_callback = self.choose
        return context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address

    def choose(self, connection, name, _context):
        customer = self.sites.of_host(name or "")
        if customer:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.sites.cert(customer))
            connection.context = context


def fetch(port, domain):
    """(page, seconds); no page where nobody answers."""
    started = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT)
    try:
        connection.request("GET", "/", headers={"Host": domain})
        page = connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        page = None
    finally:
        connection.close()
    return page, time.monotonic() - started


def not_after(port, domain, cert):
    """When the certificate that is served ends, in seconds since 1970. It is its own authority."""
    context = ssl.create_default_context(cafile=cert)
    with socket.create_connection(("127.0.0.1", port), timeout=WAIT) as plain:
        with context.wrap_socket(plain, server_hostname=domain) as secure:
            return ssl.cert_time_to_seconds(secure.getpeercert()["notAfter"])


def look(sites, customer, origin, tls, varnish):
    """The probes of one site, by series' name."""
    domain, found = read(sites.folder, customer, "domain"), {}
    page, seconds = fetch(origin, domain)
    found["sandbox_site_seconds"] = f"{seconds:.3f}"
    cached, _ = fetch(varnish, domain)
    found["sandbox_site_up"] = int(page is not None and cached is not None)
    found["sandbox_site_stale"] = int(page is not None and cached is not None and page != cached)
    try:
        found["sandbox_tls_not_after_seconds"] = f"{not_after(tls, domain, sites.cert(customer)):.0f}"
    except (OSError, ValueError, KeyError):
        pass
    return found


def probe(sites, ports, target):
    """Writes what all sites look like; a slow one delays no other."""
    latest = {}

    def follow(customer):
        while True:
            latest[customer] = look(sites, customer, *ports)
            time.sleep(PERIOD)

    for customer in sites.customers():
        threading.Thread(target=follow, args=(customer,), daemon=True).start()
    while True:
        series = {}
        for customer, found in sorted(latest.items()):
            for name, value in found.items():
                series.setdefault(name, []).append(f'{name}{{customer="{customer}",service="web"}} {value}')
        lines = []
        for name, samples in series.items():
            lines += [f"# HELP {name} Of the sandbox.", f"# TYPE {name} gauge", *samples]
        with open(target + ".tmp", "w") as file:
            file.write("\n".join(lines) + "\n")
        os.rename(target + ".tmp", target)
        time.sleep(PERIOD)


def main():
    origin, tls, varnish = map(int, sys.argv[1:4])
    sites = Sites(sys.argv[4], sys.argv[5])
    for server in (Origin(origin, sites), Secure(tls, sites)):
        threading.Thread(target=server.serve_forever, daemon=True).start()
    probe(sites, (origin, tls, varnish), sys.argv[6])


if __name__ == "__main__":
    main()
