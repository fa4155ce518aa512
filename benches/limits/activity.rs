//! Activities in the binary form of `COPY`, as many bytes as the record statement writes.

use std::error::Error;
use std::time::SystemTime;

use bytes::{BufMut as _, Bytes, BytesMut};
use campaign_sender::domain::batch::Batch;
use serde_json::json;
use tokio_postgres::types::{IsNull, ToSql, Type};
use uuid::Uuid;

use crate::statements::subject;

/// The columns, in the order of [`rows`].
pub const COLUMNS: &str = "organization_id, user_id, entity_type, entity_id, action, description, metadata, \
    source, source_ref, created_at";

/// The activities of a batch, encoded whole: only PostgreSQL's part is measured.
pub fn rows(batch: &Batch) -> Result<Bytes, Box<dyn Error + Send + Sync>> {
    let mut rows = BytesMut::from(&b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0"[..]);
    let (organization, user, campaign) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
    for recipient in &batch.recipients {
        let subject = subject(recipient);
        let who = recipient.name.as_deref().unwrap_or(&recipient.email);
        let description = format!("Email sent to {who}: {subject}");
        let metadata = json!({
            "emailId": recipient.id, "recipientEmail": recipient.email, "recipientName": recipient.name,
            "subject": subject, "campaignId": campaign, "campaignName": "Spring harvest",
            "messageId": format!("0107019a5b3c4d5e-{}-000000", recipient.id),
        });
        let fields: [(&dyn ToSql, Type); 10] = [
            (&organization, Type::UUID),
            (&user, Type::UUID),
            (&"email", Type::TEXT),
            (&recipient.id, Type::UUID),
            (&"email_sent", Type::TEXT),
            (&description, Type::TEXT),
            (&metadata, Type::JSONB),
            (&"email", Type::TEXT),
            (&recipient.id.to_string(), Type::TEXT),
            (&SystemTime::now(), Type::TIMESTAMPTZ),
        ];
        rows.put_i16(10);
        for (value, sql_type) in fields {
            put(&mut rows, value, &sql_type)?;
        }
    }
    rows.put_i16(-1);
    Ok(rows.freeze())
}

fn put(rows: &mut BytesMut, value: &dyn ToSql, sql_type: &Type) -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut field = BytesMut::new();
    match value.to_sql_checked(sql_type, &mut field)? {
        IsNull::Yes => rows.put_i32(-1),
        IsNull::No => {
            rows.put_i32(i32::try_from(field.len())?);
            rows.extend_from_slice(&field);
        }
    }
    Ok(())
}
