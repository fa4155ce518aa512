//! Step 3: prepares what each email of the campaign is made of, and checks the campaign.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use super::attachments;
use super::exit::Exit;
use super::send::Files;
use crate::domain::campaign::{Campaign, Source};
use crate::domain::error_kind::ErrorKind;
use crate::lambda::Failure;
use crate::message::attachment::examine_attachments;
use crate::message::link::Links;
use crate::message::link_settings::UnsubscribeSettings;
use crate::message::preflight::campaign::examine_campaign;
use crate::message::preflight::{Finding, Severity};
use crate::message::render::{InvalidTemplate, Templates};
use crate::store::Database;
use crate::store::keys::KeyStore;

/// A campaign's templates, or why they do not compile.
pub type Compiled = Result<Rc<Templates>, InvalidTemplate>;

/// What each email of a campaign is made of.
pub struct Material {
    /// The compiled templates.
    pub templates: Rc<Templates>,
    /// Makes the unsubscribe links; `None` is allowed for a transactional campaign.
    pub links: Option<Links>,
    /// The attachments of each.
    pub files: Files,
}

/// The state of the process: the keys of the links, and the compiled templates of the last campaign.
pub struct Preparation {
    unsubscribe: UnsubscribeSettings,
    keys: KeyStore,
    templates: RefCell<Option<(Source, Rc<Templates>)>>,
    /// The attachments of the last campaign that had any, with their hash and the result of their check.
    files: RefCell<Option<(String, Files, Vec<Finding>)>>,
}

impl Preparation {
    /// Nothing is compiled or fetched yet.
    pub fn new(unsubscribe: &UnsubscribeSettings) -> Preparation {
        let (unsubscribe, keys) = (unsubscribe.clone(), KeyStore::new(unsubscribe));
        Preparation { unsubscribe, keys, templates: RefCell::new(None), files: RefCell::new(None) }
    }

    /// The templates of a campaign, compiled once as long as they do not change.
    ///
    /// # Errors
    /// Why they do not compile.
    pub fn compile(&self, source: &Source) -> Compiled {
        if let Some((known, templates)) = self.templates.borrow().as_ref()
            && known == source
        {
            return Ok(Rc::clone(templates));
        }
        let templates = Rc::new(Templates::compile(source.clone())?);
        *self.templates.borrow_mut() = Some((source.clone(), Rc::clone(&templates)));
        Ok(templates)
    }

    /// Checks the campaign and prepares what its emails are made of. The inner error is the reason for a
    /// halt, if the campaign is `sending` at the time of the claim.
    ///
    /// # Errors
    /// `CampaignNotReady`, `UnsubscribeSecretUnavailable`; and [`Exit::Halt`] for an error for every
    /// recipient of a campaign that is sent now.
    pub async fn prepare(
        &self,
        database: &Database,
        campaign: &Campaign,
        compiled: &Compiled,
        until: Instant,
    ) -> Result<Result<Material, String>, Exit> {
        if let Some(problem) = campaign.not_ready() {
            let message = format!("campaign {} {problem}", campaign.id);
            return Err(Failure::new(ErrorKind::CampaignNotReady, message).into());
        }
        let links = self.links(campaign).await?;
        let files = self.files(database, campaign, until).await?;
        let material = match (compiled, files) {
            (Ok(templates), Ok(files)) => {
                links.map(|links| Material { templates: Rc::clone(templates), links, files })
            }
            (Err(error), _) => Err(error.to_string()),
            (Ok(_), Err(reason)) => Err(reason),
        };
        if !campaign.sendable {
            return Ok(material);
        }
        match (material, problem(campaign)) {
            (Err(reason), _) | (Ok(_), Some(reason)) => Err(Exit::halt(reason)),
            (Ok(material), None) => Ok(Ok(material)),
        }
    }

    /// The attachments of each email, read once as long as they do not change. The inner error says why no
    /// email can be sent with them.
    async fn files(
        &self,
        database: &Database,
        campaign: &Campaign,
        until: Instant,
    ) -> Result<Result<Files, String>, Failure> {
        let html = campaign.source.html.as_deref();
        let Some(name) = &campaign.attachments else {
            // A `cid:` link would show nothing.
            let findings = examine_attachments(&[], html.filter(|_| campaign.progress.sent == 0));
            return Ok(first_error(&findings).map_or_else(|| Ok(Files::default()), Err));
        };
        let known = self.files.borrow().as_ref().is_some_and(|(known, ..)| known == name);
        if !known {
            // The files of one campaign at a time are in memory.
            self.files.replace(None);
            let files = attachments::load(database, campaign.id, until).await?;
            let findings = examine_attachments(&files, html);
            self.files.replace(Some((name.clone(), Files::new(&files), findings)));
        }
        let files = self.files.borrow();
        Ok(match files.as_ref().map(|(_, files, findings)| (files, first_error(findings))) {
            Some((_, Some(reason))) => Err(reason),
            Some((files, None)) => Ok(files.clone()),
            None => Ok(Files::default()),
        })
    }

    /// Prepares the unsubscribe links; a campaign that is not transactional needs them.
    async fn links(&self, campaign: &Campaign) -> Result<Result<Option<Links>, String>, Failure> {
        let transactional = campaign.source.transactional;
        let keys = match self.keys.current().await {
            Err(error) if !transactional => {
                return Err(Failure::new(ErrorKind::UnsubscribeSecretUnavailable, error));
            }
            keys => keys.ok().flatten(),
        };
        Ok(match Links::with_keys(&self.unsubscribe, keys) {
            Ok(links) => Ok(Some(links)),
            Err(_) if transactional => Ok(None),
            Err(reason) => Err(reason),
        })
    }
}

/// Errors for every recipient that the campaign itself shows: its links before the first batch, its mailboxes
/// before each batch.
fn problem(campaign: &Campaign) -> Option<String> {
    let html = campaign.source.html.as_deref().filter(|_| campaign.progress.sent == 0);
    let findings = examine_campaign(&campaign.from_address, &campaign.reply_to, html);
    first_error(&findings)
}

fn first_error(findings: &[Finding]) -> Option<String> {
    findings.iter().find(|finding| finding.severity == Severity::Error).map(|finding| finding.text.clone())
}
