"""TLS with real clients (openssl, curl), on both sides, and certificates that change."""

import contextlib
import http.client
import http.server
import pathlib
import signal
import ssl
import subprocess
import threading
import unittest

from harness import WAIT_SECONDS, EndToEnd, run, wait_until

RULES = "rules:\n  - {name: a, key: [client], limits: [100000/minute]}\n"


def make_certificate(folder, name, signed_by=None, host="127.0.0.1"):
    """A certificate for an address or a host, in files called after `name`: (certificate, key)."""
    certificate, key = pathlib.Path(folder, f"{name}.pem"), pathlib.Path(folder, f"{name}.key")
    kind = "IP" if host[0].isdigit() else "DNS"
    signer = ["-CA", signed_by[0], "-CAkey", signed_by[1]] if signed_by else []
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", f"/CN={name}", "-addext", f"subjectAltName={kind}:{host}", "-keyout", key, "-out", certificate,
         *signer],
        check=True, capture_output=True, timeout=WAIT_SECONDS,
    )
    return certificate, key


def listening(certificate, key):
    return (
        "listen:\n  gateway:\n    - {address: '127.0.0.1:0', tls: "
        f"{{certificate: {certificate}, key: {key}}}}}\n"
    )


class Clients(EndToEnd):
    def setUp(self):
        super().setUp()
        self.certificate, self.key = make_certificate(self.folder, "first")
        self.door = self.gateway(
            listening(self.certificate, self.key) + RULES, upstream=self.origin().url, listen=None
        )

    def s_client(self, *args):
        """What openssl says of a handshake."""
        told = subprocess.run(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{self.door.port}", "-CAfile", self.certificate,
             "-verify_return_error", *args],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=WAIT_SECONDS, check=False,
        )
        return told.returncode, told.stdout + told.stderr

    def curl(self, *args):
        return subprocess.run(
            ["curl", "--silent", "--show-error", "--cacert", self.certificate, *args,
             f"https://127.0.0.1:{self.door.port}/"],
            capture_output=True, text=True, timeout=WAIT_SECONDS, check=False,
        )

    def test_http_1_1_is_chosen(self):
        for offered in ("http/1.1", "h2,http/1.1"):
            status, told = self.s_client("-alpn", offered)
            self.assertEqual(status, 0, told)
            self.assertIn("ALPN protocol: http/1.1", told)
        status, told = self.s_client()
        self.assertEqual(status, 0, told)
        self.assertIn("No ALPN negotiated", told)

    def test_a_client_that_wants_http_2_alone_is_refused(self):
        status, told = self.s_client("-alpn", "h2")
        self.assertNotEqual(status, 0, told)
        self.assertIn("no application protocol", told)

    def test_versions(self):
        for version, serves in (("-tls1_3", True), ("-tls1_2", True), ("-tls1_1", False), ("-tls1", False)):
            # The client's own configuration must not be what refuses.
            status, told = self.s_client(version, "-cipher", "DEFAULT@SECLEVEL=0")
            self.assertEqual(status == 0, serves, f"{version}: {told}")
            if not serves:
                self.assertIn("protocol version", told)

    def test_curl(self):
        for args in ([], ["--http2"], ["--tlsv1.3"], ["--tls-max", "1.2"], ["--data", "x" * 100000]):
            told = self.curl(*args, "--write-out", "%{http_code} %{http_version}")
            self.assertEqual(told.stdout, "hello\n200 1.1", (args, told.stderr))

    def test_plain_http_at_the_door_of_tls_is_no_request(self):
        connection = self.door.raw(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        connection.settimeout(WAIT_SECONDS)
        with contextlib.suppress(ConnectionResetError):
            self.assertNotIn(b"hello", connection.recv(65536))
        self.assertEqual(self.curl().stdout, "hello\n")


class Check(EndToEnd):
    def test_it_refuses_what_a_start_refuses_and_says_which_listener(self):
        certificate, key = make_certificate(self.folder, "first")
        _, other_key = make_certificate(self.folder, "other")
        junk = self.file("junk.pem", "junk\n")
        origin = f"upstream: {{url: '{self.origin().url}'}}\n"
        vouched = f"upstream: {{url: 'https://127.0.0.1:1', tls: {{ca: {junk}}}}}\n"
        door = "listen.gateway 127.0.0.1:0: "
        for config, says in (
            (listening(certificate, other_key) + origin, f"{door}the key {other_key} cannot be used"),
            (listening(junk, key) + origin, f"{door}the certificate {junk} cannot be used"),
            (listening(certificate, key) + vouched, f"upstream: the file of certificate authorities {junk}"),
        ):
            path = str(self.file("policy.yaml", config + RULES))
            for command in (["check", path], ["run", "--config", path]):
                told = run(*command)
                self.assertEqual(told.returncode, 1, (command, told))
                self.assertIn(says, told.stderr)
        path = str(self.file("policy.yaml", listening(certificate, key) + origin + RULES))
        told = run("check", path)
        self.assertEqual((told.returncode, told.stderr), (0, ""))


class Reload(EndToEnd):
    def setUp(self):
        super().setUp()
        self.certificate, self.key = make_certificate(self.folder, "first")
        self.door = self.gateway(
            listening(self.certificate, self.key) + RULES, upstream=self.origin().url, listen=None
        )

    def connect(self):
        """A connection that trusts nobody, and the name that its certificate has."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cafile=self.certificate)  # As it is now.
        connection = http.client.HTTPSConnection("127.0.0.1", self.door.port, timeout=WAIT_SECONDS, context=context)
        connection.connect()
        self.addCleanup(connection.close)
        subject = dict(part[0] for part in connection.sock.getpeercert()["subject"])
        return connection, subject["commonName"]

    def ask(self, connection):
        connection.request("GET", "/")
        return connection.getresponse().read()

    def replace(self, name):
        certificate, key = make_certificate(self.folder, name)
        certificate.rename(self.certificate)
        key.rename(self.key)

    def test_new_connections_see_the_new_certificate_and_old_ones_go_on(self):
        old, name = self.connect()
        self.assertEqual((name, self.ask(old)), ("first", b"hello\n"))
        self.replace("second")
        self.door.signal(signal.SIGHUP)
        self.door.wait_for_log("reload: done")
        new, name = self.connect()
        self.assertEqual((name, self.ask(new)), ("second", b"hello\n"))
        self.assertEqual(self.ask(old), b"hello\n")
        self.assertIsNotNone(old.sock, "the old connection was closed")

    def test_a_bad_certificate_is_refused_and_the_old_one_goes_on(self):
        old, _ = self.connect()
        good = self.certificate.read_text()
        _, other_key = make_certificate(self.folder, "other")
        mistakes = 0
        for certificate, key in (("no certificate\n", self.key.read_text()), (good, "no key\n"),
                                 (good, other_key.read_text()), (None, self.key.read_text())):
            self.certificate.unlink(missing_ok=True)
            if certificate is not None:
                self.certificate.write_text(certificate)
            self.key.write_text(key)
            self.door.signal(signal.SIGHUP)
            mistakes += 1
            wait_until(lambda: self.door.log().count("reload: refused") == mistakes, "the refusal")
            told = [line for line in self.door.log().splitlines() if "error reload:" in line][-2]
            self.assertRegex(told, r"first\.(pem|key)")
            self.certificate.write_text(good)
            new, name = self.connect()
            self.assertEqual((name, self.ask(new)), ("first", b"hello\n"))
            self.assertEqual(self.ask(old), b"hello\n")


class TlsOrigin:
    """An https server that says hello."""

    def __init__(self, certificate, key):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Length", "6")
                self.end_headers()
                self.wfile.write(b"hello\n")

            def log_message(self, *args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            def handle_error(self, request, client_address):
                pass  # Clients that do not trust it are what the test is about.

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.socket = context.wrap_socket(
            self.server.socket, server_side=True, do_handshake_on_connect=False
        )
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(WAIT_SECONDS)


class Upstream(EndToEnd):
    def setUp(self):
        super().setUp()
        self.ca = make_certificate(self.folder, "ca")
        self.signed = make_certificate(self.folder, "server", host="backend.test")
        self.server = TlsOrigin(*self.signed)
        self.addCleanup(self.server.close)

    def status(self, tls):
        door = self.gateway(f"upstream: {{url: 'https://127.0.0.1:{self.server.port}', tls: {tls}}}\n" + RULES)
        return door, door.request()

    def test_an_authority_of_ones_own_and_a_name(self):
        _, answer = self.status(f"{{ca: {self.signed[0]}, name: backend.test}}")
        self.assertEqual((answer.status, answer.body), (200, b"hello\n"))

    def refused(self, tls, reason):
        door, answer = self.status(tls)
        self.assertEqual(answer.status, 502)
        self.assertNotIn(b"hello", answer.body)
        door.wait_for_log("upstream: ")
        self.assertRegex(door.log(), r"(?i)warning upstream: .*" + reason)
        self.assertEqual(door.metrics()['sluicegate_upstream_failures_total{reason="unreachable"}'], 1)

    def test_a_wrong_name_is_refused(self):
        self.refused(f"{{ca: {self.signed[0]}, name: other.test}}", "hostname mismatch")

    def test_the_address_of_the_url_is_the_name_unless_it_is_given(self):
        self.refused(f"{{ca: {self.signed[0]}}}", "mismatch")

    def test_another_authority_is_refused(self):
        self.refused(f"{{ca: {self.ca[0]}, name: backend.test}}", "(self.signed|issuer)")

    def test_without_verification_any_certificate_will_do(self):
        door, answer = self.status("{verify: false}")
        self.assertEqual((answer.status, answer.body), (200, b"hello\n"))
        self.assertRegex(door.log(), "warning start: .*verif")


if __name__ == "__main__":
    unittest.main()
