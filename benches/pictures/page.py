"""The report as one HTML file that needs no other and asks nobody: tables, pictures, links to the raw data beside it."""

import html
import re

import markdown

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; background: #fff }
table { border-collapse: collapse; display: block; overflow-x: auto; font-size: 13px; margin: 1rem 0 }
th, td { padding: .2rem .6rem; border-bottom: 1px solid #ddd; white-space: nowrap }
figure { margin: 2rem 0 } svg { max-width: 100%; height: auto } code, pre { font-size: 13px }
"""
RAW = ["report.md", "runs.csv", "latency.csv", "histogram.csv", "meta.csv"]


def inlined(path):
    """An SVG without what only a file needs. Ids are the picture's own, as several stand in one page."""
    text = path.read_text(encoding="utf-8")
    text = text[text.index("<svg"):]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r'\bid="', f'id="{path.stem}-', text)
    text = re.sub(r'href="#', f'href="#{path.stem}-', text)
    return text.replace("url(#", f"url(#{path.stem}-")


def write(directory, pictures, left_out):
    """directory/index.html, from what is there."""
    report = (directory / "report.md").read_text(encoding="utf-8")
    title = report.partition("\n")[0].lstrip("# ")
    tables = markdown.markdown(report, extensions=["tables", "fenced_code", "sane_lists"])
    figures = "\n".join(f"<figure>{inlined(path)}</figure>" for path in pictures)
    absent = "".join(f"<li>{html.escape(text)}</li>" for text in left_out)
    links = ", ".join(f'<a href="{name}">{name}</a>' for name in RAW if (directory / name).exists())
    heading, _, rest = tables.partition("</h1>")
    page = f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{html.escape(title)}</title><style>{STYLE}</style></head>
<body>
{heading}</h1>
<p>Raw data: {links}.</p>
{figures}
{f"<p>Pictures that were left out:</p><ul>{absent}</ul>" if absent else ""}
{rest}
</body>
</html>
"""
    (directory / "index.html").write_text(page, encoding="utf-8")
