"""What MkDocs does for `make docs` besides rendering docs/.

Links are written for readers of the repository: relative, with files outside of docs/ as `../path`. Such files become
part of the site, Markdown as pages, and links are turned to where they lie there. The reference pages are made of the
table of docs/api.md: for each package, the docstrings of its stable names.
"""

import ast
import collections
import pathlib
import posixpath
import re

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = pathlib.Path(__file__).parents[1]
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#|/)([^)#\s]+)")
PAGES = ("CHANGELOG.md", "benchmarks/RESULTS.md")  # outside of docs/, shown as pages


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the files outside of docs/ that pages lead to, and the reference pages."""
    outside = set(PAGES)
    for path in [*(ROOT / "docs").rglob("*.md"), *(ROOT / page for page in PAGES)]:
        targets = (_in_repository(path.relative_to(ROOT).as_posix(), link) for link in LINK.findall(path.read_text()))
        outside |= {t for t in targets if not t.startswith("docs/") and (ROOT / t).is_file() and not t.endswith(".md")}
    for path in sorted(outside):
        files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))
    for package, text in _reference_pages().items():
        files.append(File.generated(config, f"reference/{package}.md", content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links of the repository become links of the site."""
    here = page.file.src_uri
    source = here if here in PAGES else f"docs/{here}"

    def turn(match: re.Match) -> str:
        path = _in_repository(source, match[1]).removeprefix("docs/")
        return posixpath.relpath(path, posixpath.dirname(here) or ".")

    return LINK.sub(turn, markdown)


def _in_repository(source: str, link: str) -> str:
    """Path from the root of the repository of what `source` links to."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), link))


def _reference_pages() -> dict[str, str]:
    """Package -> page."""
    members = collections.defaultdict(list)
    for module, names in stable_names((ROOT / "docs" / "api.md").read_text()):
        members[module] += names
    pages = collections.defaultdict(str)
    for module, names in members.items():
        package = module.partition(".")[0]
        heading = pages[package] or f"# {package}\n\nStable names, from their docstrings.\n"
        entries = "".join(f"\n::: {_home(module, name)}.{name}\n" for name in names)
        pages[package] = f"{heading}\n## `{module}`\n{entries}"
    return pages


def stable_names(table: str) -> list[tuple[str, list[str]]]:
    """Of each row of docs/api.md that names functions or classes: the module and the names."""
    rows = []
    for line in table.splitlines():
        cells = [re.findall(r"`([^`]+)`", cell) for cell in line.split("|")[1:-1]]
        if len(cells) == 2 and cells[0] and all(name.isidentifier() for name in cells[1]):
            rows.append((cells[0][0], cells[1]))
    return rows


def _home(module: str, name: str) -> str:
    """The module that defines a name: `module` itself, or the one in which its door finds it."""
    folder = ROOT / module.replace(".", "/")
    if not folder.is_dir():
        return module
    tree = ast.parse((folder / "__init__.py").read_text())
    places = next(node.value for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == "_PLACES")
    return f"{module}.{ast.literal_eval(places)[name]}"
