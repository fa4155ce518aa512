//! A local endpoint in place of Amazon SES v2.
//!
//! It supports the part of the API that sending campaigns needs (`SendEmail`, `SendBulkEmail`, `GetAccount`,
//! `GetEmailIdentity`, `ListSuppressedDestinations`, and `CreateEmailTemplate`, `TestRenderEmailTemplate` and
//! `DeleteEmailTemplate`, to render without sending; `CreateExportJob`, `GetExportJob` and `GetMessageInsights`, to find
//! what was accepted), verifies signatures and requests as strictly as SES does, keeps
//! what it accepted and shows it on an inbox page at `/`. The AWS SDKs find it by `AWS_ENDPOINT_URL_SESV2`. How it
//! behaves can be set here, or over HTTP under `/_local/`.

mod account;
mod api;
mod attachment;
mod behaviour;
mod check;
mod connections;
mod control;
mod endpoint;
mod events;
mod identity;
mod insights;
mod mailbox;
mod message;
mod mime;
mod preview;
mod raw;
mod refusal;
mod request;
mod send;
mod server;
mod signature;
mod state;
mod stored;
mod suppression;
mod template;
mod tenant;

pub use account::{Account, EnforcementStatus, TokenBucket};
pub use attachment::Attachment;
pub use behaviour::{Effect, RecipientMatch, Rule};
pub use endpoint::{Options, SesEndpoint};
pub use events::{events, in_sns, in_sqs_batch};
pub use identity::MailFrom;
pub use insights::Vdm;
pub use message::{FeatureStatus, Message, NameValue, RequestKind};
pub use preview::{Finding, Preview};
pub use state::Statistics;
pub use suppression::{SuppressedDestination, SuppressionReason};
pub use tenant::Tenant;
