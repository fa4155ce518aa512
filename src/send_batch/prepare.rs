//! Step 3: what each email of the campaign is made of, and whether the campaign can be sent at all.

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
    /// What makes the links to unsubscribe; a transactional campaign may do without.
    pub links: Option<Links>,
}

/// What lives as long as the process: the keys of the links, and what was compiled for the last campaign.
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

    /// The templates of a campaign, compiled once as long as they stay the same.
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

    /// Checks the campaign and gathers what its emails are made of. The inner error is why the campaign halts if it turns
    /// out to be `sending` by the time of the claim.
    ///
    /// # Errors
    /// `CampaignNotReady`, `UnsubscribeSecretUnavailable`; and [`Exit::Halt`] for what would be wrong for every recipient
    /// of a campaign that is to be sent now.
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

    /// What makes the links to unsubscribe; a campaign that is not transactional cannot do without.
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

/// What would be wrong for every recipient, as far as the campaign alone shows it: its links before the first batch, its
/// mailboxes before each.
fn problem(campaign: &Campaign) -> Option<String> {
    let html = campaign.source.html.as_deref().filter(|_| campaign.progress.sent == 0);
    let findings = examine_campaign(&campaign.from_address, &campaign.reply_to, html);
    findings.into_iter().find(|finding| finding.severity == Severity::Error).map(|finding| finding.text)
}
