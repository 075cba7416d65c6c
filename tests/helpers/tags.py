"""Markup read back: its tags, and names that would be markup."""

from html.parser import HTMLParser

HOSTILE = '<script>alert("1")</script>&'


class Tags(HTMLParser):
    """Which elements there are; and whether they are closed as they were opened."""

    VOID = frozenset({"meta", "br", "link"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.found.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        assert not any(name.startswith("on") for name, _ in attrs)

    def handle_startendtag(self, tag, attrs):
        self.found.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)
