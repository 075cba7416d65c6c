"""Checks the search of the built site with words that people search for: python docs/search_site.py [folder].

Each word must lead to its page among the first results, in headless Chromium as in `open_site.py`. Rejected: reading
searchindex.js, which has the words but not the ranking of the results.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import open_site

FIRST = 5  # results that a reader looks at
# Search words, and the page that answers.
WANTED = {
    "overfitting": "how_to",
    "regularization": "how_to",
    "class imbalance": "how_to",
    "missing values": "how_to",
    "categorical": "how_to",
    "hyperparameter search": "how_to",
    "early stopping": "how_to",
    "uncertainty": "how_to",
    "physics-informed": "how_to",
    "microcontroller": "how_to",
    "GPU": "faq",
    "dropout": "how_to",
    "time series": "how_to",
    "reinforcement learning": "how_to",
    "policy gradient": "tapes",
    "backpropagation through time": "tapes",
    "recurrent": "tapes",
    "oversubscription": "threads",
    "number of threads": "threads",
    "reproducible": "faq",
    "GIL": "threads",
    "float32": "faq",
    "overflow": "numerics",
    "rounding": "numerics",
    "Windows": "faq",
    "vanishing gradient": "backpropagation",
    "learning rate schedule": "optimizers",
    "embedding": "data",
    "L-BFGS": "optimizers",
}
DRIVER = """<!doctype html><title>search</title><link rel="icon" href="data:,">
<iframe id="frame" width="1200" height="900"></iframe>
<script>
const words = %s, frame = document.getElementById("frame"), found = {};
const next = k => {
  if (k == words.length) return fetch("/all-found", {method: "POST", body: JSON.stringify(found)});
  frame.onload = () => {
    let waited = 0;
    const look = () => {
      const page = frame.contentDocument, said = page.querySelector("#search-results p.search-summary");
      const links = [...page.querySelectorAll("#search-results ul.search > li > a")];
      if (++waited < 100 && !(said && /found|did not match/.test(said.textContent))) return setTimeout(look, 50);
      found[words[k]] = links.map(link => link.getAttribute("href"));
      next(k + 1);
    };
    look();
  };
  frame.src = "search.html?q=" + encodeURIComponent(words[k]);
};
next(0);
</script>"""


class Server(ThreadingHTTPServer):
    """A server whose client may leave for the next search before it has all of a page."""

    def handle_error(self, request, client_address) -> None:
        if not isinstance(sys.exception(), BrokenPipeError):
            super().handle_error(request, client_address)


class Handler(open_site.Handler):
    """Serves the site, and the page that searches it."""

    def do_GET(self) -> None:
        if self.path != "/open-all":
            return super().do_GET()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write((DRIVER % json.dumps(list(WANTED))).encode())
        return None

    def do_POST(self) -> None:
        if self.path == "/all-found":
            self.server.found = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.server.done.set()
        super().do_POST()


def searched(site: Path, browser: str, seconds: float) -> dict[str, list[str]]:
    """The pages that each word finds, best first."""
    server = Server(("127.0.0.1", 0), partial(Handler, directory=str(site)))
    server.faults, server.done, server.found = [], Event(), {}
    Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:  # the browser's children may still write
        address = f"http://127.0.0.1:{server.server_port}/open-all"
        command = [browser, *open_site.FLAGS, f"--user-data-dir={folder}/profile", "--remote-debugging-port=0", address]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        server.done.wait(seconds)
        process.terminate()
        process.wait(30)
    server.shutdown()
    pages = {word: [link.partition("#")[0].partition("?")[0] for link in links] for word, links in server.found.items()}
    return {word: [page.removesuffix(".html") for page in dict.fromkeys(links)] for word, links in pages.items()}


def main() -> int:
    """Return 0 if each word leads to its page."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("site", nargs="?", type=Path, default=Path("build/site"))
    parser.add_argument("--seconds", type=float, default=200.0)
    given = parser.parse_args()
    browser = next(filter(None, map(shutil.which, open_site.NAMES)), None)
    if browser is None:
        sys.exit("no Chromium here")
    found = searched(given.site, browser, given.seconds)
    lost = {word: found.get(word, []) for word, page in WANTED.items() if page not in found.get(word, [])[:FIRST]}
    for word, pages in lost.items():
        sys.stdout.write(f"{word!r} does not lead to {WANTED[word]}: {', '.join(pages[:FIRST]) or 'nothing'}\n")
    if not lost:
        sys.stdout.write(f"{len(WANTED)} searches, each leads to its page\n")
    return bool(lost)


if __name__ == "__main__":
    sys.exit(main())
