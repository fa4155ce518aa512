"""From a recipient to a SendEmail request."""

from jinja2 import Environment

PLAIN = Environment(autoescape=False)
ESCAPING = Environment(autoescape=True)


def compile_templates(campaign):
    """The campaign's templates, compiled once."""
    return {
        "subject": PLAIN.from_string(campaign["subject"]),
        "html": ESCAPING.from_string(campaign["html"]),
        "text": PLAIN.from_string(campaign["text"]),
    }


def render(templates, campaign, recipient):
    context = {
        **campaign["variables"],
        **recipient["variables"],
        "name": recipient["name"],
        "email": recipient["email"],
        "campaign_name": campaign["name"],
    }
    return {part: template.render(context) for part, template in templates.items()}


def request(campaign, recipient, content):
    def utf8(data):
        return {"Data": data, "Charset": "UTF-8"}

    return {
        "FromEmailAddress": campaign["from_address"],
        "ReplyToAddresses": campaign["reply_to"],
        "Destination": {"ToAddresses": [recipient["email"]]},
        "Content": {
            "Simple": {
                "Subject": utf8(content["subject"]),
                "Body": {"Html": utf8(content["html"]), "Text": utf8(content["text"])},
                "Headers": headers(campaign),
            }
        },
        "EmailTags": [
            {"Name": "campaign_id", "Value": str(campaign["id"])},
            {"Name": "organization_id", "Value": str(campaign["organization_id"])},
            {"Name": "recipient_id", "Value": str(recipient["id"])},
        ],
    }


def headers(campaign):
    """The header by which Gmail counts complaints."""
    value = f"{campaign['id']}:{campaign['organization_id']}:transactional:campaign-sender"
    return [{"Name": "Feedback-ID", "Value": value}]
