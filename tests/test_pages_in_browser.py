"""The report and the manual in a real browser: nothing fails, nothing is cut on a phone."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SITE = ROOT / ".cache" / "site"
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--hide-scrollbars", "--allow-file-access-from-files", "--enable-logging=stderr",
    "--virtual-time-budget=4000",
)  # fmt: skip
WIDTHS = (375, 1280)
# Runs in the page: what is wider than the window and does not scroll in itself is cut.
PROBE = """
<script>
addEventListener('load', () => setTimeout(() => {
  const scrolls = (e) => {
    for (let p = e; p; p = p.parentElement) {
      const x = getComputedStyle(p).overflowX;
      if (x === 'auto' || x === 'scroll' || x === 'hidden') return true;
    }
    return false;
  };
  const wide = [...document.body.querySelectorAll('*')].filter((e) => {
    const box = e.getBoundingClientRect();
    return box.width > 0 && box.right > innerWidth + 1 && !scrolls(e.parentElement);
  });
  for (const e of wide.slice(0, 5)) console.error('CUT ' + e.tagName + ' ' + e.className);
  console.log('PROBED ' + innerWidth);
}, 500));
</script>
"""

needs_browser = pytest.mark.skipif(BROWSER is None, reason="Chromium is not installed")


def problems(page, width, tmp_path):
    """What the browser complains of, and what is cut, at a width of the window in pixels."""
    probed = page.with_name(f".probe-{width}-{page.name}")
    probed.write_text(page.read_text().replace("</body>", PROBE + "</body>"))
    try:
        run = subprocess.run(
            [BROWSER, *FLAGS, f"--user-data-dir={tmp_path / str(width)}",
             f"--window-size={width},900", f"--screenshot={tmp_path / 'page.png'}",
             probed.as_uri()],
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
    finally:
        probed.unlink()
    console = re.findall(r'CONSOLE:\d+\] "(.*)", source: (\S+)', run.stderr)
    assert any(text.startswith("PROBED") for text, _ in console), run.stderr[-2000:]
    return [text for text, _ in console if not text.startswith("PROBED")]


@needs_browser
def test_a_page_that_is_cut_or_fails_is_noticed(tmp_path):
    page = tmp_path / "page.html"
    page.write_text(
        "<html><head><meta name=viewport content='width=device-width'></head><body>"
        "<div class=wide style='width:700px'>x</div><script>missing()</script></body></html>"
    )
    found = problems(page, 375, tmp_path)
    assert "CUT DIV wide" in found
    assert any("missing is not defined" in text for text in found)


@needs_browser
@pytest.mark.skipif(not SITE.is_dir(), reason="the manual is not built: make docs")
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(
    "name",
    ["index.html", "start/ros.html", "reference/topics.html", "reference/parameters.html",
     "reference/python.html", "explanations/architecture.html", "results/detection.html",
     "results/tracking.html"],
)  # fmt: skip
def test_a_page_of_the_manual_is_whole(name, width, tmp_path):
    assert problems(SITE / name, width, tmp_path) == []


@needs_browser
@pytest.mark.skipif(not SITE.is_dir(), reason="the manual is not built: make docs")
def test_every_local_link_of_the_manual_lives():
    dead = []
    for page in SITE.rglob("*.html"):
        for target in re.findall(r'(?:href|src)="([^"#?]+)', page.read_text()):
            if re.match(r"[a-z]+:|//", target) or target.startswith("/"):
                continue
            if not (page.parent / target).exists():
                dead.append(f"{page.relative_to(SITE)}: {target}")
    assert dead == []


@needs_browser
@pytest.mark.parametrize("width", WIDTHS)
def test_the_report_is_whole(width, tmp_path, report_page):
    assert problems(report_page, width, tmp_path) == []


@pytest.fixture
def report_page(tmp_path, blob_bundle, blob_folder):
    """The report of a short replay that has truth."""
    pytest.importorskip("rclpy")
    import json

    from tests.support.fixtures import PERSON_BOX, VEHICLE_BOX
    from tests.support.processes import finished, windhover

    images = sorted(blob_folder.glob("*.png"))
    truth = {
        "images": [
            {"id": i, "file_name": path.name, "width": 320, "height": 256}
            for i, path in enumerate(images)
        ],
        "annotations": [
            {"id": 2 * i + k, "image_id": i, "category_id": k + 1, "iscrowd": 0,
             "bbox": [box[0] + shift * i, box[1], box[2] - box[0], box[3] - box[1]],
             "track_id": k + 1}
            for i in range(len(images))
            for k, (box, shift) in enumerate(((PERSON_BOX, 3), (VEHICLE_BOX, -3)))
        ],
        "categories": [{"id": 1, "name": "person"}, {"id": 2, "name": "vehicle"}],
    }  # fmt: skip
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(truth))
    child = windhover(
        "replay", blob_folder, "--model", blob_bundle, "--truth", path, "--out", tmp_path / "out"
    )
    _, errors = finished(child)
    assert child.returncode == 0, errors
    return tmp_path / "out" / "report.html"
