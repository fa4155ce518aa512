//! Tenants: parts of an account, each with its own reputation and suppression list.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    message::Message,
    refusal::Refusal,
    suppression::{SuppressedDestination, SuppressionList, SuppressionReason},
};

/// A tenant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Tenant {
    pub name: String,
    /// False: every message of the tenant is refused.
    pub sending_enabled: bool,
    /// Its own suppression list.
    pub suppressed: Vec<SuppressedDestination>,
}

impl Default for Tenant {
    fn default() -> Self {
        Tenant { name: String::new(), sending_enabled: true, suppressed: Vec::new() }
    }
}

/// The tenants by their names. Unless they are set, there are none.
#[derive(Default)]
pub(super) struct Tenants(BTreeMap<String, (Tenant, SuppressionList)>);

impl Tenants {
    pub(super) fn new(tenants: Vec<Tenant>) -> Self {
        let entry = |tenant: Tenant| {
            let list = SuppressionList::new(tenant.suppressed.clone());
            (tenant.name.clone(), (tenant, list))
        };
        Tenants(tenants.into_iter().map(entry).collect())
    }

    fn get(&self, name: &str) -> Result<&(Tenant, SuppressionList), Refusal> {
        self.0.get(name).ok_or_else(|| Refusal::not_found(format!("Tenant {name} does not exist.")))
    }

    /// Refuses a message whose tenant does not exist or may not send.
    pub(super) fn check(&self, tenant: Option<&str>) -> Result<(), Refusal> {
        let Some(name) = tenant else { return Ok(()) };
        let (tenant, _) = self.get(name)?;
        if tenant.sending_enabled {
            return Ok(());
        }
        let message = format!("Email sending is disabled for tenant {name}.");
        Err(Refusal::new(400, "SendingPausedException", message))
    }

    /// The suppression list of a tenant.
    pub(super) fn suppressed(&self, name: &str) -> Result<&SuppressionList, Refusal> {
        self.get(name).map(|(_, list)| list)
    }

    /// The reason for which the suppression list of a message's tenant has an address.
    pub(super) fn reason(&self, message: &Message) -> Option<SuppressionReason> {
        let (_, list) = self.0.get(message.tenant.as_deref()?)?;
        message.recipients().find_map(|address| list.reason(address))
    }
}
