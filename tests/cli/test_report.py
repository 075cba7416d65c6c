"""The report on a training: what it holds, that hostile data stays text, and that a browser shows it.

The browser is headless Chromium; .ci/run installs it, so there the tests run. How the page looks was judged by eye,
light and dark, wide and narrow.
"""

import csv
import re
import shlex
import shutil
import subprocess

import matplotlib.image
import numpy as np
import pytest

import fastbp as fb
from fastbp import plotting
from fastbp.cli import main, report
from fastbp.data import csv_file, encoding
from fastbp.files import model_file
from fastbp.plotting import svg
from tags import HOSTILE, Tags

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--hide-scrollbars"),
    *("--enable-logging=stderr", "--v=0"),
)


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def flowers(tmp_path):
    """Classes, a value and the target called what no page may run."""
    rng = np.random.default_rng(0)
    with open(tmp_path / "flowers.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["length", "width", HOSTILE])
        for row in range(90):
            writer.writerow([*rng.normal([row % 3, -(row % 3)], 0.4), ("iris", "</style>lily", "<img src=x>")[row % 3]])
    return "flowers.csv"


@pytest.fixture
def houses(tmp_path):
    rng = np.random.default_rng(1)
    rows = "".join(f"{a:.1f},{1000 * a + rng.normal(0, 5000):.0f}\n" for a in rng.uniform(40, 200, 80))
    (tmp_path / "houses.csv").write_text("area,price\n" + rows)
    return "houses.csv"


def reported(capsys, *arguments) -> str:
    """The page that a training writes."""
    assert main(["train", *arguments, "--report", "report.html"]) == 0
    assert "report written to report.html" in capsys.readouterr().out
    with open("report.html", encoding="utf-8") as file:
        return file.read()


def shown(page: str) -> list[str]:
    """Its texts; that its elements are closed, that no script and nothing from elsewhere is in it."""
    tags = Tags(re.sub(r"^<!doctype html>\n|<style>.*</style>", "", page, flags=re.DOTALL))
    assert not {"script", "img", "iframe", "link", "object"} & set(tags.found)
    assert not re.search(r"\b(src|href)=", re.sub(r"&lt;.*?&gt;", "", page))
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org/2000/svg", "")
    return tags.texts


def test_a_report_on_classes(capsys, flowers) -> None:
    arguments = [flowers, "--target", HOSTILE, "--epochs", "30", "--hidden", "7"]
    page = reported(capsys, *arguments)
    texts = shown(page)
    assert f"{HOSTILE} from flowers.csv" in texts
    for title in ("Loss", "Accuracy", "Confusion matrix", "Classes", "Gradients", "Net", "Columns", "Run"):
        assert title in texts
    for text in ("iris", "</style>lily", "<img src=x>", "dense_2", "val_accuracy", np.__version__):
        assert text in texts
    command = next(text for text in texts if text.startswith("fastbp train"))
    assert shlex.split(command) == ["fastbp", "train", *arguments, "--report", "report.html"]


def test_its_confusion_is_that_of_the_saved_net(capsys, flowers) -> None:
    """Loaded and put to the held-out rows again, the net makes the counts and shares of the page."""
    texts = shown(reported(capsys, flowers, "--target", HOSTILE, "--epochs", "3", "--hidden", "7"))
    net, _, metadata = model_file.load("net.safetensors")
    data = encoding.prepare(csv_file.read(flowers), HOSTILE)
    assert data.encoding == encoding.Encoding.from_json(metadata[encoding.METADATA_KEY])
    held_out = data.y[data.held_out], net.predict(data.X[data.held_out])
    counts = plotting.confusion(*held_out, 3)
    assert counts.sum() == 18
    accuracy = np.trace(counts) / 18
    assert any(text.startswith(f"accuracy {accuracy:.4f} on 18 rows held out; ") for text in texts)
    start = texts.index("Confusion matrix")
    numbers = [int(text) for text in texts[start : texts.index("Classes")] if text.isdigit()]
    assert numbers == counts[counts > 0].tolist()
    table = texts[texts.index("most often taken for") :]
    at = table.index("iris")
    k = data.encoding.target.values.index("iris")
    assert table[at + 1] == str(counts[k].sum())
    assert f"{counts[k, k] / counts[k].sum():.1%}" in table[at + 1 : at + 4]


def test_a_report_on_numbers(capsys, houses) -> None:
    page = reported(capsys, houses, "--target", "price", "--epochs", "20", "--hidden", "5")
    texts = shown(page)
    assert "Residuals" in texts
    assert "predicted price" in texts
    assert "Confusion matrix" not in texts
    assert page.count("<circle") >= 32  # 16 rows in each of two charts
    net = fb.load("net.safetensors")
    data = encoding.prepare(csv_file.read(houses), "price")
    error = np.abs(net.predict(data.X[data.held_out]) - data.y[data.held_out]) * data.encoding.target.std
    largest = float(texts[texts.index("are off by at most") + 4].replace(",", ""))
    assert largest == pytest.approx(error.max(), rel=1e-3)


def test_without_rows_held_out(capsys, houses) -> None:
    texts = shown(reported(capsys, houses, "--target", "price", "--epochs", "2", "--validation", "0"))
    assert any("80 rows of the training: none were held out" in text for text in texts)


def test_many_classes_and_columns(capsys, tmp_path) -> None:
    rng = np.random.default_rng(0)
    header = [f"column {k}" for k in range(30)]
    rows = [[*rng.normal(size=30).round(3).astype(str), f"class {row % 50}"] for row in range(200)]
    with open("many.csv", "w", newline="") as file:
        csv.writer(file).writerows([[*header, "t"], *rows])
    texts = shown(reported(capsys, "many.csv", "--target", "t", "--epochs", "1"))
    assert f"The {report.MOST_ROWS} classes with the most errors, of 50." in texts
    assert f"and {31 - report.FEW_COLUMNS} more" in texts
    assert "column 29" in texts


def test_a_report_is_the_same_for_the_same_training_but_for_the_time(capsys, flowers) -> None:
    pages = [reported(capsys, flowers, "--target", HOSTILE, "--epochs", "2") for _ in range(2)]
    first, second = (re.sub(r"[\d.]+ s, [\d,]+ samples per second", "", page) for page in pages)
    assert first == second


# In a browser


def browse(page, folder, *flags: str) -> tuple[list[str], np.ndarray]:
    """What the browser writes to its console, and the picture (rows, columns, RGB in 0 ... 1)."""
    if BROWSER is None:
        pytest.skip("Chromium is not installed")
    picture = folder / "picture.png"
    command = [BROWSER, *FLAGS, *flags, f"--user-data-dir={folder / 'profile'}", f"--screenshot={picture}"]
    done = subprocess.run(
        [*command, "--window-size=1200,1600", page.resolve().as_uri()],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [line for line in done.stderr.splitlines() if "CONSOLE" in line], matplotlib.image.imread(picture)[..., :3]


def has_color(picture: np.ndarray, color: str) -> bool:
    wanted = [int(color[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    return bool((np.abs(picture - wanted).max(axis=-1) < 0.02).sum() > 50)


@pytest.mark.parametrize(("flags", "background"), [([], 1.0), (["--blink-settings=preferredColorScheme=0"], 0.1)])
def test_a_browser_shows_it_without_errors(capsys, flowers, tmp_path, flags, background) -> None:
    reported(capsys, flowers, "--target", HOSTILE, "--epochs", "30")
    console, picture = browse(tmp_path / "report.html", tmp_path, *flags)
    assert console == []
    assert picture[5, 5].mean() == pytest.approx(background, abs=0.05)
    for color in svg.COLORS[:2]:
        assert has_color(picture, color)


def test_the_browser_tells_of_errors(tmp_path) -> None:
    """Neither a script nor a picture from elsewhere gets past the page's policy, and the console says so."""
    text = f'<meta http-equiv="Content-Security-Policy" content="{report.POLICY}"><img src="x.png"><script>1</script>'
    (tmp_path / "bad.html").write_text(text)
    console, picture = browse(tmp_path / "bad.html", tmp_path)
    assert len(console) == 2
    assert not has_color(picture, svg.COLORS[0])
