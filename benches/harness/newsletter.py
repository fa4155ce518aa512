"""A newsletter of a given size, built like real ones: tables in tables, styles in each element, blocks for Outlook, a
hidden preheader, conditions, a loop over products, variables in text and in links."""

HEAD = """<!doctype html>
<html lang="en" xmlns:v="urn:schemas-microsoft-com:vml" xmlns:o="urn:schemas-microsoft-com:office:office">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<title>{{ campaign_name }}</title>
<style>body{margin:0;padding:0}img{border:0;display:block}a{color:#9c4221}@media (max-width:600px){.column{width:100%!important}}</style>
</head>
<body style="margin:0;padding:0;background-color:#f4efe6">
<div style="display:none;max-height:0;overflow:hidden;mso-hide:all">The spring harvest is here, and your points are waiting.</div>
<!--[if mso]><table role="presentation" width="600" align="center" cellpadding="0" cellspacing="0"><tr><td><![endif]-->
<table role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0" style="max-width:600px;margin:0 auto">
"""
FOOT = """</table>
<!--[if mso]></td></tr></table><![endif]-->
</body>
</html>"""
CELL = 'style="padding:16px 24px;font-family:Arial,Helvetica,sans-serif;font-size:15px;line-height:24px;color:#2b2118"'
# Paragraphs with variables, a third of these in links.
PERSONAL = [
    "<h1>{% if name %}Good morning, {{ name }}{% else %}Good morning{% endif %}</h1>",
    "<p>Your {{ favourite }} is among the beans of this week, and we have put a bag aside for you.</p>",
    '<p><a href="https://kaffa.example/points?utm_source=newsletter&amp;code={{ coupon }}" style="color:{{ accent }}">'
    "See what they are worth</a></p>",
    "<p>You have <strong>{{ points }} points</strong>, which become a cup of coffee with the code <b>{{ coupon }}</b>.</p>",
    "{% if points > 500 %}<p>With so many points, the next bag is on the house.</p>{% endif %}",
    "<p>Sent to {{ email }} by {{ shop }}, because you asked for it.</p>",
]
PRODUCTS = (
    "{% for product in products %}<tr><td " + CELL + '><a href="https://kaffa.example/{{ product.path }}">'
    "{{ product.name }}</a></td><td align=\"right\">{{ product.price }} EUR</td></tr>{% endfor %}\n"
)
# An article that is the same for all, with two links.
ARTICLE = """<tr><td class="column" {cell}>
<table role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0"><tr>
<td width="200" valign="top" style="padding:0 16px 0 0"><a href="https://kaffa.example/stories/{n}?utm_source=newsletter&amp;utm_medium=email&amp;utm_campaign=spring&amp;utm_content=picture-{n}"><img src="https://cdn.kaffa.example/stories/{n}.jpg" width="184" height="138" alt="The drying beds of station {n}" style="width:184px;height:138px;border-radius:8px"></a></td>
<td valign="top" style="font-family:Arial,Helvetica,sans-serif;font-size:14px;line-height:22px;color:#2b2118"><h2 style="margin:0 0 8px;font-size:18px;line-height:24px;color:#9c4221">Letter {n} from the washing station</h2><p style="margin:0 0 12px">The first beans of the harvest left the drying beds last week: sorted twice by hand, rested for a month &amp; roasted on Monday. They taste of bergamot, jasmine and a little of the honey that the farm is known for.</p>{link}</td>
</tr></table></td></tr>
<tr><td height="24" style="height:24px;font-size:0;line-height:0;border-bottom:1px solid #e5dccd">&nbsp;</td></tr>
"""
LINK = (
    '<p style="margin:0"><a href="https://kaffa.example/letters/{n}?utm_source=newsletter&amp;utm_medium=email"'
    ' style="display:inline-block;padding:8px 16px;background:#9c4221;color:#fff;border-radius:6px">Read letter {n}</a></p>'
)
# The number of links of a newsletter that has room for them.
LINKS = 40
# The number of rows with variables; with the title they have 30 variables.
ROWS = 22


def newsletter(size):
    """The template of a body of about `size` bytes."""
    rows = ROWS if size >= 10_000 else 4
    personal = [f"<tr><td {CELL}>{PERSONAL[number % len(PERSONAL)]}</td></tr>\n" for number in range(rows)]
    room = size - len(HEAD) - len(FOOT) - len(PRODUCTS) - sum(map(len, personal))
    articles = []
    while room > 0 and (articles or room > 700):
        number = len(articles) + 1
        link = LINK.format(n=number) if number * 2 <= LINKS else ""
        article = ARTICLE.format(cell=CELL, n=number, link=link)
        if number * 2 > LINKS:
            article = article.replace("<a href", "<span title").replace("</a>", "</span>")
        articles.append(article)
        room -= len(article)
    # They take turns, as evenly as they are many.
    whole = [HEAD]
    for number, row in enumerate(personal):
        whole.append(row)
        whole += articles[number * len(articles) // rows : (number + 1) * len(articles) // rows]
        if number == rows // 2:
            whole.append(PRODUCTS)
    return "".join([*whole, FOOT])
