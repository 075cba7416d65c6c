"""Open every page of the built site in headless Chromium: python docs/open_site.py [folder] [--pictures folder].

A page of our own shows one page after the other in a frame, so that one browser is enough. Faults are: a message on the
console, a file that the server lacks, a request to another host, a page that never loads; a page wider than a window of
1,280 or 390 pixels, a broken picture or one without alternative text, text of low contrast, in light and dark
(open_site.js). Also, without a browser, a link to a page or anchor that does not exist.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--hide-scrollbars"),
    *("--enable-logging=stderr", "--v=0", "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"),
)
DRIVER = """<!doctype html><title>pages</title><link rel="icon" href="data:,">
<iframe id="frame" width="1280" height="900"></iframe>
<script>const pages = %s;
%s</script>"""
LOOK = Path(__file__).with_suffix(".js")

SMALL_TALK = re.compile(r'"(\[PST\]: |Got invalid theme mode: \.)')  # harmless messages of the theme


class Handler(SimpleHTTPRequestHandler):
    """Serves the site, and the page that opens the others."""

    def do_GET(self) -> None:
        if self.path == "/favicon.ico":  # browsers request it from every host
            return self.do_POST()
        if self.path != "/open-all":
            return super().do_GET()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write((DRIVER % (json.dumps(self.server.pages), LOOK.read_text(encoding="utf-8"))).encode())
        return None

    def do_POST(self) -> None:
        self.send_response(204)
        self.end_headers()
        if self.path == "/all-opened":
            self.server.done.set()

    def send_error(self, code: int, *arguments) -> None:
        self.server.faults.append(f"{code} {self.path}")
        super().send_error(code, *arguments)

    def log_message(self, *arguments) -> None:
        pass


def serve(site: Path) -> ThreadingHTTPServer:
    """A server of the site on a free port, which runs until it is shut down."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(site)))
    server.pages = sorted(path.relative_to(site).as_posix() for path in site.rglob("*.html"))
    server.pages = [page for page in server.pages if not page.startswith("_static/")]
    server.faults, server.done = [], threading.Event()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def faults_of(site: Path, browser: str, seconds: float) -> tuple[int, list[str]]:
    """The number of opened pages, and their faults."""
    server = serve(site)
    address = f"http://127.0.0.1:{server.server_port}"
    # A browser's children may still write to its profile while the folder is removed.
    folders = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
    with folders as folder, open(Path(folder, "log"), "w+", encoding="utf-8") as log:
        command = [
            browser,
            *FLAGS,
            f"--user-data-dir={folder}/profile",
            "--remote-debugging-port=0",
            f"{address}/open-all",
        ]
        process = subprocess.Popen(command, stdout=log, stderr=log)
        opened = server.done.wait(seconds)
        process.terminate()
        process.wait(30)
        server.shutdown()
        log.seek(0)
        said = [line.strip() for line in log if "CONSOLE" in line and not SMALL_TALK.search(line)]
    late = [] if opened else [f"not all pages were open after {seconds:g} s"]
    return len(server.pages), late + server.faults + said


class Anchors(HTMLParser):
    """The anchors of a page, and the targets of its links."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.places, self.links = set(), set()
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list) -> None:
        found = dict(attributes)
        self.places |= {found[key] for key in ("id", "name") if found.get(key)}
        self.links |= {found[key] for key in ("href", "src") if found.get(key)}


def dead_links(site: Path) -> list[str]:
    """Links to a file or anchor that does not exist, and invalid addresses."""
    pages = {path: Anchors(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    pages = {path: anchors for path, anchors in pages.items() if "_static" not in path.relative_to(site).parts}
    dead = []
    for page, anchors in pages.items():
        for link in anchors.links:
            parts = urlsplit(link)
            if parts.scheme in ("http", "https"):
                known = bool(re.fullmatch(r"[\w-]+(\.[\w-]+)+(:\d+)?", parts.netloc))
            elif parts.scheme:
                known = parts.scheme in ("data", "mailto")
            else:
                target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
                target = target / "index.html" if target.is_dir() else target
                places = pages[target].places if target in pages else set()
                known = target.exists() and (target not in pages or unquote(parts.fragment) in {"", *places})
            if not known:
                dead.append(f"{page.relative_to(site).as_posix()} has a link to {link}, which there is not")
    return sorted(dead)


def photograph(site: Path, browser: str, pictures: Path) -> None:
    """Take a picture of every page, in light and dark."""
    pictures.mkdir(parents=True, exist_ok=True)
    server = serve(site)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        for page in server.pages:
            for mode, scheme in (("light", 1), ("dark", 0)):
                name = re.sub(r"[^\w.-]", "_", page.removesuffix(".html"))
                picture = pictures / f"{name}.{mode}.png"
                command = [
                    *(browser, *FLAGS, f"--user-data-dir={folder}", "--window-size=1280,1500"),
                    *(f"--blink-settings=preferredColorScheme={scheme}", f"--screenshot={picture}"),
                    f"http://127.0.0.1:{server.server_port}/{page}",
                ]
                subprocess.run(command, check=True, capture_output=True, timeout=100)
    server.shutdown()


def main() -> int:
    """Return 0 if there are no faults."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("site", nargs="?", type=Path, default=Path("build/site"))
    parser.add_argument("--pictures", type=Path, help="a folder for a picture of every page, in light and dark")
    parser.add_argument("--seconds", type=float, default=500.0)
    given = parser.parse_args()
    browser = next(filter(None, map(shutil.which, NAMES)), None)
    if browser is None:
        sys.exit("no Chromium here")
    if given.pictures:
        photograph(given.site, browser, given.pictures)
    count, faults = faults_of(given.site, browser, given.seconds)
    faults = dead_links(given.site.resolve()) + faults
    print("\n".join(faults) if faults else f"{count} pages opened, none had anything to say")
    return bool(faults) or not count


if __name__ == "__main__":
    sys.exit(main())
