"""What MkDocs does for `make docs` beside rendering docs/.

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
    for path in [*(ROOT / "docs").glob("*.md"), *(ROOT / page for page in PAGES)]:
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
    for modules, names in stable_names((ROOT / "docs" / "api.md").read_text()):
        for name in names:
            members[next(module for module in modules if _binds(module, name))].append(name)
    pages = collections.defaultdict(str)
    for module, names in members.items():
        package = module.partition(".")[0]
        heading = pages[package] or f"# {package}\n\nStable names, from their docstrings.\n"
        entries = "".join(f"\n::: {module}.{name}\n" for name in names)
        pages[package] = f"{heading}\n## `{module}`\n{entries}"
    return pages


def stable_names(table: str) -> list[tuple[list[str], list[str]]]:
    """Of each row of docs/api.md that names functions or classes: the modules and the names in one of them."""
    rows = []
    for line in table.splitlines():
        cells = [re.findall(r"`([^`]+)`", cell) for cell in line.split("|")[1:-1]]
        if len(cells) == 2 and cells[0] and all(name.isidentifier() for name in cells[1]):
            package = cells[0][0].rpartition(".")[0]
            rows.append(([cells[0][0], *(package + name for name in cells[0][1:])], cells[1]))
    return rows


def _binds(module: str, name: str) -> bool:
    """Whether the module's source defines or imports a name."""
    tree = ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text())
    bound = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    imports = (node for node in tree.body if isinstance(node, ast.ImportFrom))
    return name in bound | {alias.asname or alias.name for node in imports for alias in node.names}
