// From a recipient to a SendEmail request, and from several to a SendBulkEmail request.
import nunjucks from 'nunjucks';

const plain = new nunjucks.Environment(null, { autoescape: false });
const escaping = new nunjucks.Environment(null, { autoescape: true });

// The campaign's templates, compiled once.
export function compile(campaign) {
  return {
    subject: new nunjucks.Template(campaign.subject, plain, null, true),
    html: new nunjucks.Template(campaign.html, escaping, null, true),
    text: new nunjucks.Template(campaign.text, plain, null, true),
  };
}

export function render(templates, campaign, recipient) {
  const context = {
    ...campaign.variables,
    ...recipient.variables,
    name: recipient.name,
    email: recipient.email,
    campaign_name: campaign.name,
  };
  return {
    subject: templates.subject.render(context),
    html: templates.html.render(context),
    text: templates.text.render(context),
  };
}

export function request(campaign, recipient, content) {
  const utf8 = (data) => ({ Data: data, Charset: 'UTF-8' });
  return {
    FromEmailAddress: campaign.fromAddress,
    ReplyToAddresses: campaign.replyTo,
    Destination: { ToAddresses: [recipient.email] },
    Content: {
      Simple: {
        Subject: utf8(content.subject),
        Body: { Html: utf8(content.html), Text: utf8(content.text) },
        Headers: headers(campaign),
      },
    },
    EmailTags: tags(campaign, recipient),
  };
}

// Messages, each with its recipient and content, in one call: they are rendered here, SES's template only takes them in.
export function bulkRequest(campaign, messages) {
  return {
    FromEmailAddress: campaign.fromAddress,
    ReplyToAddresses: campaign.replyTo,
    DefaultContent: {
      Template: {
        TemplateContent: { Subject: '{{subject}}', Html: '{{{html}}}', Text: '{{{text}}}' },
        TemplateData: '{}',
      },
    },
    BulkEmailEntries: messages.map(({ recipient, content }) => ({
      Destination: { ToAddresses: [recipient.email] },
      ReplacementTags: tags(campaign, recipient),
      ReplacementHeaders: headers(campaign),
      ReplacementEmailContent: { ReplacementTemplate: { ReplacementTemplateData: JSON.stringify(content) } },
    })),
  };
}

// By which Gmail counts complaints.
function headers(campaign) {
  return [
    { Name: 'Feedback-ID', Value: `${campaign.id}:${campaign.organizationId}:transactional:campaign-sender` },
  ];
}

function tags(campaign, recipient) {
  return [
    { Name: 'campaign_id', Value: campaign.id },
    { Name: 'organization_id', Value: campaign.organizationId },
    { Name: 'recipient_id', Value: recipient.id },
  ];
}
