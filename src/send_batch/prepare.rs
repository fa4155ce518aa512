//! Step 3: prepares what each email of the campaign is made of, and checks the campaign.

use std::cell::RefCell;
use std::rc::Rc;

use super::exit::Exit;
use crate::domain::campaign::{Campaign, Source};
use crate::domain::error_kind::ErrorKind;
use crate::lambda::Failure;
use crate::message::link::Links;
use crate::message::link_settings::UnsubscribeSettings;
use crate::message::preflight::Severity;
use crate::message::preflight::campaign::examine_campaign;
use crate::message::render::{InvalidTemplate, Templates};
use crate::store::keys::KeyStore;

/// A campaign's templates, or why they do not compile.
pub type Compiled = Result<Rc<Templates>, InvalidTemplate>;

/// What each email of a campaign is made of.
pub struct Material {
    /// The compiled templates.
    pub templates: Rc<Templates>,
    /// Makes the unsubscribe links; `None` is allowed for a transactional campaign.
    pub links: Option<Links>,
}

/// The state of the process: the keys of the links, and the compiled templates of the last campaign.
pub struct Preparation {
    unsubscribe: UnsubscribeSettings,
    keys: KeyStore,
    templates: RefCell<Option<(Source, Rc<Templates>)>>,
}

impl Preparation {
    /// Nothing is compiled or fetched yet.
    pub fn new(unsubscribe: &UnsubscribeSettings) -> Preparation {
        let (unsubscribe, keys) = (unsubscribe.clone(), KeyStore::new(unsubscribe));
        Preparation { unsubscribe, keys, templates: RefCell::new(None) }
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
        campaign: &Campaign,
        compiled: &Compiled,
    ) -> Result<Result<Material, String>, Exit> {
        if let Some(problem) = campaign.not_ready() {
            let message = format!("campaign {} {problem}", campaign.id);
            return Err(Failure::new(ErrorKind::CampaignNotReady, message).into());
        }
        let links = self.links(campaign).await?;
        let material = match compiled {
            Ok(templates) => links.map(|links| Material { templates: Rc::clone(templates), links }),
            Err(error) => Err(error.to_string()),
        };
        if !campaign.sendable {
            return Ok(material);
        }
        match (material, problem(campaign)) {
            (Err(reason), _) | (Ok(_), Some(reason)) => Err(Exit::halt(reason)),
            (Ok(material), None) => Ok(Ok(material)),
        }
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
    findings.into_iter().find(|finding| finding.severity == Severity::Error).map(|finding| finding.text)
}
