"""Line charts on logarithmic axes as small SVG files, without a library; legible on a light and on a dark page.

The colours follow the reader's scheme; every line carries its name at its end, and a mark of its own, so that no one has to
distinguish colours."""

import math
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 800, 420
LEFT, RIGHT, TOP, BOTTOM = 78, 262, 40, 58
# (on a light page, on a dark one); by Okabe and Ito, who chose them for people who see fewer colours.
COLOURS = [("#b3400e", "#ff8c52"), ("#0072b2", "#5cb8ee"), ("#00785a", "#2fc79b"), ("#8a5fa8", "#c79be6"), ("#6b6b6b", "#a8a8a8"),
           ("#8a6d00", "#d9b530")]
MARKS = ["circle", "square", "diamond", "triangle", "ring", "square"]


def chart(path, title, x_title, y_title, series):
    """`series`: (name, [(x, y), ...]) in the order of their colours; the first is drawn stronger, an empty one left out."""
    points = [point for _, line in series for point in line if point[1] > 0]
    if not points:
        return
    xs = sorted({x for x, _ in points})
    low = 10 ** math.floor(math.log10(min(y for _, y in points)))
    high = 10 ** math.ceil(math.log10(max(y for _, y in points) * 1.05))

    def at_x(x):
        if xs[0] == xs[-1]:
            return (LEFT + WIDTH - RIGHT) / 2
        share = (math.log10(x) - math.log10(xs[0])) / (math.log10(xs[-1]) - math.log10(xs[0]))
        return LEFT + 14 + share * (WIDTH - LEFT - RIGHT - 28)

    def at_y(y):
        share = (math.log10(y) - math.log10(low)) / (math.log10(high) - math.log10(low))
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    out = [head(title)]
    step = low
    while step <= high * 1.01:
        y = at_y(step)
        out.append(f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}"/>')
        out.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{number(step)}</text>')
        step *= 10
    for x in xs:
        out.append(f'<line class="grid" x1="{at_x(x):.1f}" y1="{TOP}" x2="{at_x(x):.1f}" y2="{HEIGHT - BOTTOM}"/>')
        out.append(f'<text x="{at_x(x):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{number(x)}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    out.append(f'<text x="{middle}" y="{HEIGHT - 14}" text-anchor="middle">{escape(x_title)}</text>')
    centre = (TOP + HEIGHT - BOTTOM) / 2
    out.append(f'<text transform="rotate(-90 18 {centre})" x="18" y="{centre}" text-anchor="middle">{escape(y_title)}</text>')
    lines = [(index, name, sorted(line)) for index, (name, line) in enumerate(series) if line]
    # The first one last, so that it lies on top.
    for index, _, line in reversed(lines):
        places = [(at_x(x), at_y(y)) for x, y in line if y > 0]
        drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        out.append(f'<polyline class="s{index}" points="{drawn}"/>')
        out += [mark(MARKS[index % len(MARKS)], index, x, y) for x, y in places]
    wanted = [(at_y(line[-1][1]), at_x(line[-1][0]), index, name) for index, name, line in lines]
    for label_y, (_, x, index, name) in zip(spread([entry[0] for entry in sorted(wanted)]), sorted(wanted)):
        weight = ' font-weight="600"' if index == 0 else ""
        out.append(f'<text class="t{index}"{weight} x="{x + 12:.1f}" y="{label_y + 4:.1f}">{escape(name)}</text>')
    path.write_text("\n".join(out) + "\n</svg>\n")


def head(title):
    def rules(which):
        colours = enumerate(pair[which] for pair in COLOURS)
        return "".join(f".s{i}{{stroke:{c}}}.m{i}{{fill:{c};stroke:{c}}}.t{i}{{fill:{c}}}" for i, c in colours)

    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">\n'
        f"<title>{escape(title)}</title>\n<style>text{{font:13px system-ui,sans-serif;fill:#333}}polyline{{fill:none;stroke-width:1.8}}"
        f"polyline.s0{{stroke-width:3}}.grid{{stroke:#8884;stroke-width:1}}.ring{{fill:none;stroke-width:2}}{rules(0)}"
        f"@media(prefers-color-scheme:dark){{text{{fill:#ccc}}{rules(1)}}}</style>\n"
        f'<text x="{LEFT}" y="22" font-weight="600">{escape(title)}</text>'
    )


def mark(kind, index, x, y):
    if kind in ("circle", "ring"):
        ring = ' class="s{0} ring"' if kind == "ring" else ' class="m{0}"'
        return f'<circle{ring.format(index)} cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>'
    shape = {
        "square": [(-4, -4), (4, -4), (4, 4), (-4, 4)],
        "diamond": [(0, -6), (6, 0), (0, 6), (-6, 0)],
        "triangle": [(0, -5.5), (5.5, 4.5), (-5.5, 4.5)],
    }[kind]
    corners = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in shape)
    return f'<polygon class="m{index}" points="{corners}"/>'


def spread(heights, gap=16):
    """Heights in ascending order, moved apart so that no two labels overlap."""
    placed = []
    for height in heights:
        placed.append(max(height, placed[-1] + gap) if placed else height)
    # What was pushed down pulls its neighbours up by half, so that the group stays where its lines end.
    for start in range(len(placed)):
        end = start
        while end + 1 < len(placed) and placed[end + 1] - placed[end] <= gap + 0.01:
            end += 1
        shift = (placed[end] - heights[end]) / 2
        before = placed[start - 1] + gap if start else float("-inf")
        if placed[start] - shift >= before:
            placed[start : end + 1] = [height - shift for height in placed[start : end + 1]]
    return placed


def number(value):
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"
