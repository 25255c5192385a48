"""Pictures and report of the sample, which has every section that is drawn."""

import contextlib
import csv
import io
import shutil
import tempfile
import unittest
from html.parser import HTMLParser
from pathlib import Path

import draw

SAMPLE = Path(__file__).with_name("sample")
REPORT = """# A sample, measured by nobody

## A table

| arm | CPU, us |
| --- | ---: |
| GET | 0.80 |
"""


class Page(HTMLParser):
    """What a page refers to, and its elements."""

    def __init__(self, text):
        super().__init__()
        self.refers_to, self.ids, self.elements = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "data", "srcset", "action"):
                self.refers_to.append(value)
            elif name == "id":
                self.ids.append(value)


class Drawing(unittest.TestCase):
    """Each in a directory of its own."""

    def setUp(self):
        self.directory = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.directory)
        for file in SAMPLE.iterdir():
            shutil.copy(file, self.directory)
        # Not among the sample's files: every page in the tree has to be one that readers find.
        (self.directory / "report.md").write_text(REPORT, encoding="utf-8")

    def draw(self):
        """What it says."""
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            draw.main(self.directory)
        return said.getvalue()

    def without(self, section):
        """As if it had not been measured."""
        for name in ("runs.csv", "latency.csv", "histogram.csv"):
            path = self.directory / name
            with open(path, encoding="utf-8", newline="") as file:
                heading, *rows = csv.reader(file)
            with open(path, "w", encoding="utf-8", newline="") as file:
                csv.writer(file).writerows([heading, *(row for row in rows if row[0] != section)])

    def test_every_picture_is_drawn_as_svg_and_png(self):
        self.draw()
        for name in draw.PICTURES:
            self.assertIn("</svg>", (self.directory / f"pictures/{name}.svg").read_text(encoding="utf-8"))
            self.assertTrue((self.directory / f"pictures/{name}.png").read_bytes().startswith(b"\x89PNG"))

    def test_the_same_data_make_the_same_files(self):
        def files():
            return {path.name: path.read_bytes() for path in (self.directory / "pictures").iterdir()}

        self.draw()
        first = files()
        self.draw()
        self.assertEqual(first, files())

    def test_the_page_needs_nothing_but_the_raw_data_beside_it(self):
        self.draw()
        page = Page((self.directory / "index.html").read_text(encoding="utf-8"))
        for target in page.refers_to:
            if target.startswith("#"):
                self.assertIn(target[1:], page.ids)
            else:
                self.assertTrue((self.directory / target).is_file(), target)
        self.assertEqual(len(page.ids), len(set(page.ids)))
        self.assertEqual(page.elements.count("svg"), len(draw.PICTURES))
        self.assertIn("table", page.elements)

    def test_a_section_that_was_not_measured_is_told_and_an_old_picture_of_it_removed(self):
        self.draw()
        self.without("index")
        said = self.draw()
        self.assertIn("no picture index: runs.csv has no section index", said)
        self.assertFalse((self.directory / "pictures/index.svg").exists())
        self.assertIn("runs.csv has no section index", (self.directory / "index.html").read_text(encoding="utf-8"))

    def test_a_run_of_sections_without_pictures_is_no_error(self):
        path = self.directory / "runs.csv"
        for section in ("base", "hits", "index", "value"):
            path.write_text(path.read_text(encoding="utf-8").replace(f"\n{section},", "\ncluster,"), encoding="utf-8")
            self.without(section)
        said = self.draw()
        self.assertNotIn("as .png", said)
        self.assertTrue((self.directory / "index.html").exists())

    def test_no_data_at_all_is_an_error(self):
        (self.directory / "runs.csv").unlink()
        with self.assertRaisesRegex(SystemExit, "no runs.csv"):
            self.draw()


if __name__ == "__main__":
    unittest.main()
