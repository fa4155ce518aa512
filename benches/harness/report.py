"""Tables in Markdown, for the terminal and for BENCHMARKS.md."""


class Table:
    def __init__(self, title, head, note=None):
        self.title, self.head, self.note = title, head, note
        self.rows = []

    def row(self, *cells):
        self.rows.append([str(cell) for cell in cells])

    def markdown(self):
        lines = [f"| {' | '.join(self.head)} |", "|" + " --- |" * len(self.head)]
        lines += [f"| {' | '.join(row)} |" for row in self.rows]
        title = [f"**{self.title}**", ""] if self.title else []
        return "\n".join([*title, *lines, *(["", self.note] if self.note else [])])


def number(value):
    """A number with three significant digits."""
    if value >= 100:
        return f"{value:,.0f}"
    if value >= 10:
        return f"{value:.1f}".removesuffix(".0")
    return f"{value:.2f}"
