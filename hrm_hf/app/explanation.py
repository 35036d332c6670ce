"""Explains segments, the halting probability and copies: a picture and three sentences below the puzzles."""


def _picture() -> str:
    """The puzzle, a row of segments, each with a bar for the halting probability, and the answer."""
    parts = []
    for number, (name, x) in enumerate(
        (("puzzle", 0), ("segment 1", 130), ("segment 2", 260), ("segment 3", 390), ("answer", 520))
    ):
        parts.append(
            f'<rect x="{x + 1}" y="20" width="92" height="40" rx="6" fill="none" stroke="currentColor" />'
            f'<text x="{x + 47}" y="45" text-anchor="middle" font-size="14" fill="currentColor">{name}</text>'
        )
        if number < 4:
            parts.append(
                f'<path d="M{x + 95} 40 h30 m-8 -5 l8 5 l-8 5" fill="none" stroke="currentColor" stroke-width="1.5" />'
            )
        if 1 <= number <= 3:
            width = (0, 15, 45, 90)[number]
            parts.append(
                f'<rect x="{x + 2}" y="68" width="90" height="8" rx="2" fill="currentColor" opacity="0.15" />'
                f'<rect x="{x + 2}" y="68" width="{width}" height="8" rx="2" fill="#2563eb" />'
            )
    return (
        '<svg viewBox="0 0 616 84" role="img" aria-label="The puzzle goes through segments; a bar below each shows '
        'the halting probability, which grows until the model answers.">' + "".join(parts) + "</svg>"
    )


EXPLANATION = f"""<section class="explanation"><h2>What you see</h2>
{_picture()}
<p>A <b>segment</b> is one round of thinking: the same small network reads the puzzle and its own last thoughts, and
fills the whole board again. After each segment it gives a <b>halting probability</b>, its estimate that the board is
correct, and stops when it is sure. If its answer breaks a rule, it may try again on <b>copies</b>: the same puzzle
rotated, mirrored or with other digits; their answers are mapped back.</p></section>"""
