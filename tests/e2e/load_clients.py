"""Clients that ask without a pause, for tests of what must not be noticed under load."""

import contextlib
import http.client
import threading

from harness import WAIT_SECONDS, wait_until


class Clients:
    """Threads that ask without a pause and try nothing twice; what goes wrong is kept."""

    def __init__(self, port, short=3, kept=3, context=None):
        self.port = port
        self.context = context
        self.stopped = threading.Event()
        self.statuses = []
        self.failures = []
        self.threads = [threading.Thread(target=self.run, args=(self.ask_once,)) for _ in range(short)]
        self.threads += [threading.Thread(target=self.run, args=(self.ask_often,)) for _ in range(kept)]
        for thread in self.threads:
            thread.start()

    def connection(self):
        if self.context is None:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_SECONDS)
        return http.client.HTTPSConnection(
            "127.0.0.1", self.port, timeout=WAIT_SECONDS, context=self.context
        )

    def run(self, ask):
        while not self.stopped.is_set():
            try:
                ask()
            except (OSError, http.client.HTTPException) as failure:
                self.failures.append(repr(failure))

    def ask(self, connection):
        connection.request("GET", "/")
        answer = connection.getresponse()
        answer.read()
        self.statuses.append(answer.status)
        return answer

    def ask_once(self):
        with contextlib.closing(self.connection()) as connection:
            self.ask(connection)

    def ask_often(self):
        """A connection is kept until the answer says that it ends."""
        with contextlib.closing(self.connection()) as connection:
            while not self.stopped.is_set() and not self.ask(connection).will_close:
                pass

    def wait_for_more(self, count=50):
        enough = len(self.statuses) + count
        wait_until(lambda: len(self.statuses) >= enough or self.failures, f"{count} more answers")

    def stop(self):
        self.stopped.set()
        for thread in self.threads:
            thread.join(WAIT_SECONDS)
