"""The pages of docs/ that are written from what the code declares and from the committed tables."""

from .api import api_pages
from .commands import command_pages
from .data_sets import data_sets_page
from .index import index_page
from .intervals import coverage_table
from .kinds import kind_pages, relation_pages, suites_page
from .models import models_page
from .never_run import never_run
from .page import NOTE, Page, Part
from .tables import table_pages

__all__ = ["NOTE", "Page", "Part", "pages"]


def pages() -> list[Page | Part]:
    """Every written page, and every part of one that a person writes."""
    commands, api = command_pages(), api_pages()
    others = [suites_page(), models_page(), data_sets_page(), *table_pages()]
    index = index_page(commands, others, api)
    below = [*kind_pages(), *relation_pages()]
    return [index, *commands, *others, *api, *below, *never_run(), coverage_table()]
