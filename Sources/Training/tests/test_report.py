# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""evaluate/report.py: means over clips, and the page as a browser reads it."""
import json
import subprocess
import tempfile
import types
import unittest
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np

from evaluate import report


class Page(HTMLParser):
    """The tags, attributes, texts and sources of a page as a browser reads them."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.texts, self.sources = set(), set(), [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attributes}
        self.sources += [value for name, value in attributes if name == "src"]

    def handle_data(self, text):
        self.texts.append(text)


class Reports(unittest.TestCase):
    def cases(self):
        rows = [("cross", {"closed": 1.0, "onsets": 1, "sync_c": 0.5}),
                ("cross", {"closed": 0.5, "onsets": 4, "sync_c": 0.7}),
                ("real", {"sync_c": 0.8}), ("mismatched", {"sync_c": 0.2, "jitter": float("nan")})]
        return [report.Case("s1", f"c{i}", kind, figures, {"opening": np.arange(9.0)})
                for i, (kind, figures) in enumerate(rows)]

    def test_closures_weigh_by_onsets_and_place_lies_between_mismatched_and_real(self):
        means = report.summary(self.cases())["s1"]
        self.assertEqual(means["cross"], {"closed": 0.6, "onsets": 5, "sync_c": 0.6, "clips": 2, "place": 0.6667})
        self.assertEqual(means["mismatched"], {"sync_c": 0.2, "clips": 1})

    def test_drift_is_the_change_from_the_first_minute_to_the_last(self):
        cases = [report.Case("pair", "c", kind, {"sharpness": value, "lag": lag}, {})
                 for kind, value, lag in (("first minute", 0.8, 0), ("last minute", 0.6, 1))]
        self.assertEqual(report.summary(cases)["pair"]["drift"], {"sharpness": -0.25})

    def test_files(self):
        with tempfile.TemporaryDirectory() as folder:
            report.write(self.cases(), Path(folder), "a < b")
            page = (Path(folder) / "report.html").read_text()
            kept = json.loads((Path(folder) / "report.json").read_text())
        self.assertIn("a &lt; b", page)
        self.assertIn(report.FIGURES["place"], page)
        self.assertEqual(len(kept["clips"]), 4)

    def test_the_page_of_a_drift(self):
        cases = [report.Case("pair", "c", kind, {"sharpness": value}, {})
                 for kind, value in (("first minute", 0.8), ("last minute", 0.6))]
        with tempfile.TemporaryDirectory() as folder:
            report.write(cases, Path(folder), "c")
            page = (Path(folder) / "report.html").read_text()
        for cell in ("<th>drift<br><small></small></th>", "<td>0.8</td><td>0.6</td><td>-0.25</td>"):
            self.assertIn(cell, page)

    def test_hostile_names_are_text_and_every_figure_is_there(self):
        speaker, clip, rng = '<b onclick="x">&#%?', "'><script>x", np.random.default_rng(0)
        points = np.zeros((50, 468, 2))
        points[:, 1] = 64
        curves = {"opening": np.arange(50.0), "donor": np.arange(60.0), "sync": rng.random(31), "lse": rng.random(31)}
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            video = folder / "in.mp4"
            subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc=size=64x64:rate=25", "-f", "lavfi", "-i", "sine",
                            "-t", "0.4", "-pix_fmt", "yuv420p", video], check=True)
            shown = types.SimpleNamespace(frames=np.zeros((50, 64, 64, 3), np.uint8), points=points, path=video, span=(0, 0.4))
            cases = [report.Case(speaker, clip, kind, {"sync_c": 0.5}, curves) for kind in ("cross", "real")]
            cases[0].show(shown, shown, folder)
            report.write(cases, folder, speaker)
            page = Page((folder / "report.html").read_text())
            self.assertLessEqual(page.tags, {"html", "meta", "title", "style", "h1", "h2", "h3", "p", "small", "br", "table", "tr",
                                             "th", "td", "img", "video"})
            self.assertEqual(page.attributes, {"lang", "charset", "src", "alt", "controls", "preload", "width"})
            for text in (speaker, f"{clip}, cross"):
                self.assertIn(text, page.texts)
            files = [unquote(urlsplit(source).path) for source in page.sources]
            ends = ["_sync.svg", "_lse.svg", "_cross.jpg", "_cross_beside.mp4", "_cross_opening.svg"]
            self.assertEqual([next(e for e in ends[::-1] if f.endswith(e)) for f in files], ends)
            for file in files:
                self.assertGreater((folder / file).stat().st_size, 0)
            curve = (folder / files[-1]).read_bytes()
            cases[0].show(shown, shown, folder)
            self.assertEqual((folder / files[-1]).read_bytes(), curve)


if __name__ == "__main__":
    unittest.main()
