"""How `make docs` builds the site: docs/, and reference pages written from the package itself."""

import sys
from importlib import metadata
from pathlib import Path

import fastapi  # noqa: F401
import inspect_ai  # noqa: F401  autodoc imports as type checkers do, which its models do not survive
from sphinx.application import Sphinx

import llava_video

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))

import reference_pages  # noqa: E402

project = "llava-video"
release = metadata.version("llava-video")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
reference_pages.write(DOCS / "reference")

# Markdown
myst_heading_anchors = 3  # links to headings, as GitHub makes them
highlight_language = "text"  # of fences that name no language

# Docstrings
default_role = "code"  # one backtick is as good as two
add_module_names = False
autodoc_member_order = "bysource"
python_maximum_signature_line_length = 80
python_use_unqualified_type_names = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
toc_object_entries = False  # thousands of names in every page's navigation

# `-W` makes an error of every warning: a dead link, a page that is not listed, and, with this, a
# name that nothing has.
autodoc_inherit_docstrings = False  # those of other packages are written in other markup
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(?!llava_video\b)\w+\..*"),  # other packages: no inventory is at hand offline
    # Names that modules import for type checkers only, aliases, type variables, private classes.
    ("py:class", r"Floats|GenerateConfig|Kind|Model|Newline|Numbers|Packet|Path|PreTrainedConfig"),
    ("py:class", r"InputContainer|NDArray|Tensor|Tracker|VideoCodecContext|VideoStream"),
    ("py:exc", r"FFmpegError"),
    ("py:class", r"(dict|tuple)\[str"),
    ("py:class", r"llava_video\.[\w.]+\.(K|M|T|V|Kind|_\w+)"),
    # What stands in annotations of pydantic's fields and of FastAPI's parameters.
    ("py:class", r"FieldInfo|NoneType|_Pydantic\w+|MaxLen|MinLen|Ge|Gt|Le|Lt|AllowInfNan|FailFast"),
    ("py:class", r"llava_video\.serve\.services\.(Annotated|owner_of|services_of)"),
]
suppress_warnings = ["ref.python"]  # a class name that two rooms have (Recipe) gets no link

# The pages work from a folder, without a network: the theme fetches nothing.
html_theme = "furo"
html_title = f"llava-video {release}"
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False

_INTERFACE = [getattr(llava_video, name) for name in reference_pages.public_names()]


def setup(app: Sphinx) -> None:
    """Connect what autodoc has no options for."""
    app.connect("autodoc-skip-member", _skip_told)
    app.connect("autodoc-process-docstring", _keep_colons, priority=400)  # napoleon's is 500


def _skip_told(
    app: Sphinx, what: str, name: str, value: object, skip: bool, options: object
) -> bool | None:
    """Leave out what has its place on the page of the interface, and pydantic's own."""
    is_told = what == "module" and any(value is known for known in _INTERFACE)
    return True if is_told or name == "model_config" else None


def _keep_colons(
    app: Sphinx, what: str, name: str, value: object, options: object, lines: list[str]
) -> None:
    """Put an empty comment first: napoleon takes words before a colon for the type."""
    if what in {"attribute", "data", "property"}:
        lines[:0] = ["..", ""]
