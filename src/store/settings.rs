//! The database's place and credentials: the variables `DATABASE_…`.

use std::env;

use crate::domain::setting::{InvalidVariable, given, parse};

/// The URL of the database; its `Debug` does not show it, because it may have a password.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// The URL as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DatabaseUrl(…)")
    }
}

/// The database of the campaigns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseAccess {
    /// Where it is, and by what it lets us in.
    pub login: Login,
    /// `DATABASE_SCHEMA`: where the tables are.
    pub schema: Schema,
    /// `PGSSLROOTCERT`: a file of certificate authorities, or `system`, if the URL names none.
    pub root_certificates: Option<String>,
}

/// Where the database is, and by what it lets us in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// `DATABASE_URL`, with its password if it has one.
    Url(DatabaseUrl),
    /// `DATABASE_URL` with `DATABASE_IAM_AUTH=true`: each connection uses a token of its own.
    IamToken(DatabaseUrl),
    /// `DATABASE_SECRET_ARN`: a Secrets Manager secret of RDS's own form.
    Secret {
        /// The secret, which has the user and the password, and the place unless the URL has it.
        arn: String,
        /// `DATABASE_URL` without a password: host, port and database, which a secret that RDS manages does
        /// not have.
        place: Option<DatabaseUrl>,
    },
}

impl From<DatabaseUrl> for DatabaseAccess {
    fn from(url: DatabaseUrl) -> DatabaseAccess {
        DatabaseAccess { login: Login::Url(url), schema: Schema::default(), root_certificates: None }
    }
}

impl DatabaseAccess {
    /// Reads this process's environment, for programs that need only a database.
    ///
    /// # Errors
    /// The first variable that is missing or malformed.
    pub fn from_env() -> Result<DatabaseAccess, InvalidVariable> {
        database_access(&|name| given(env::var(name).ok()))
    }
}

/// The name of a schema; `public` unless another is given. It is written between double quotes in SQL and
/// needs no escaping there or in a string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema(String);

impl Schema {
    /// The name as PostgreSQL's catalog has it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads the value of `DATABASE_SCHEMA`.
    ///
    /// # Errors
    /// When it is not a name that PostgreSQL stores, or has quotes in it.
    pub fn read(name: String) -> Result<Schema, InvalidVariable> {
        let starts = name.starts_with(|c: char| c.is_alphabetic() || c == '_');
        let valid = starts && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '$' | '-'));
        if valid && name.len() <= 63 && !name.starts_with("pg_") {
            return Ok(Schema(name));
        }
        Err(InvalidVariable::Malformed {
            name: "DATABASE_SCHEMA",
            value: format!("{name:?}"),
            expected: "the name of a schema without quotes, as PostgreSQL stores it: letters, digits, _, $ and -, at most 63 bytes, not pg_…",
        })
    }
}

impl Default for Schema {
    fn default() -> Schema {
        Schema("public".to_owned())
    }
}

/// The expected form of `DATABASE_URL`.
pub const DATABASE_URL_FORM: &str = "postgres://USER:PASSWORD@HOST:PORT/DATABASE";

/// Reads an environment given as a function.
///
/// # Errors
/// The first variable that is missing or malformed.
pub fn database_access(variable: &dyn Fn(&str) -> Option<String>) -> Result<DatabaseAccess, InvalidVariable> {
    let schema = variable("DATABASE_SCHEMA").map(Schema::read).transpose()?.unwrap_or_default();
    let root_certificates = variable("PGSSLROOTCERT");
    Ok(DatabaseAccess { login: login(variable)?, schema, root_certificates })
}

fn login(variable: &dyn Fn(&str) -> Option<String>) -> Result<Login, InvalidVariable> {
    let iam = variable("DATABASE_IAM_AUTH")
        .map(|value| parse("DATABASE_IAM_AUTH", &value, "true or false", |_: &bool| true))
        .transpose()?
        .unwrap_or(false);
    let Some(arn) = variable("DATABASE_SECRET_ARN") else {
        let url = database_url(variable("DATABASE_URL"))?;
        return Ok(if iam { Login::IamToken(url) } else { Login::Url(url) });
    };
    let alone = |name, value: &str| InvalidVariable::Malformed {
        name,
        value: value.to_owned(),
        expected: "not to be set together with DATABASE_SECRET_ARN",
    };
    if iam {
        return Err(alone("DATABASE_IAM_AUTH", "true"));
    }
    if arn.starts_with("arn:") && arn.contains(":secretsmanager:") {
        let place = variable("DATABASE_URL").map(|url| database_url(Some(url))).transpose()?;
        Ok(Login::Secret { arn, place })
    } else {
        Err(InvalidVariable::Malformed {
            name: "DATABASE_SECRET_ARN",
            value: format!("{arn:?}"),
            expected: "arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME",
        })
    }
}

/// The database's URL, for programs that need nothing else.
///
/// # Errors
/// When it is missing or malformed.
pub fn database_url(value: Option<String>) -> Result<DatabaseUrl, InvalidVariable> {
    let name = "DATABASE_URL";
    let expected = DATABASE_URL_FORM;
    let url = value.ok_or(InvalidVariable::Missing { name, expected })?;
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        Ok(DatabaseUrl(url))
    } else {
        Err(InvalidVariable::Malformed {
            name,
            value: "of another form (it is not shown)".to_owned(),
            expected,
        })
    }
}
