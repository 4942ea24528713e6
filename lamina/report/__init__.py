"""Results for people: tables and pictures in the terminal, and a page that opens offline."""

from lamina.report.confusion import confusion_matrix
from lamina.report.page import Section, write_page
from lamina.report.terminal import confusion_table, has_colours, picture

__all__ = ["Section", "confusion_matrix", "confusion_table", "has_colours", "picture", "write_page"]
