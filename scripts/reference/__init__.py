"""The pages of docs/ that are written from what the code declares and from the committed tables."""

from .api import api_pages
from .commands import command_pages
from .data_sets import citations, data_sets_page
from .index import index_page
from .kinds import kind_pages, relation_pages, suites_page
from .models import models_page
from .never_run import never_run
from .page import BELOW, NOTE, Page, Part, TextFile
from .tables import table_pages

__all__ = ["BELOW", "NOTE", "Page", "Part", "TextFile", "pages"]


def pages() -> list[Page | Part | TextFile]:
    """Every written page and file."""
    commands, api = command_pages(), api_pages()
    others = [
        suites_page(),
        models_page(),
        data_sets_page(),
        *table_pages(),
    ]
    index = index_page(commands, others, api)
    below = [*kind_pages(), *relation_pages()]
    return [index, *commands, *others, *api, *below, *never_run(), citations()]
